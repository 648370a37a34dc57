//! Both programs against a model of the ledger: commands at random, a check after each, and a sequence that fails is shrunk.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod check;
mod machine;
mod reference;

use std::env;

use proptest::test_runner::Config;
use proptest_state_machine::{StateMachineTest, prop_state_machine};

use crate::machine::Machine;
use crate::reference::{Command, Model};

/// Few enough for every test run. `PROPTEST_CASES=200` is a night's worth.
const CASES: u32 = 6;

fn config() -> Config {
    let mut config = Config { failure_persistence: None, max_shrink_time: 120_000, ..Config::default() };
    if env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    config
}

struct LedgerTest;

impl StateMachineTest for LedgerTest {
    type SystemUnderTest = Option<Machine>;
    type Reference = Model;

    fn init_test(model: &Model) -> Self::SystemUnderTest {
        Machine::new(model)
    }

    fn apply(machine: Self::SystemUnderTest, model: &Model, command: Command) -> Self::SystemUnderTest {
        let mut machine = machine?;
        machine.carry_out(model, &command);
        Some(machine)
    }

    fn check_invariants(machine: &Self::SystemUnderTest, model: &Model) {
        if let Some(machine) = machine {
            check::after_command(machine, model);
        }
    }

    fn teardown(machine: Self::SystemUnderTest, model: Model) {
        if let Some(mut machine) = machine {
            machine.finish(&model);
            check::after_finish(&machine, &model);
        }
    }
}

prop_state_machine! {
    #![proptest_config(config())]
    #[test]
    fn done_means_that_every_row_is_staged_or_in_the_bucket(sequential 1..12 => LedgerTest);
}
