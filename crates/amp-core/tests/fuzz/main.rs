//! Fuzzing on the stable toolchain: replays `fuzz/corpus`, the inputs that coverage-guided runs found, and changes each a number of times.
//! `fuzz/run` lets libFuzzer search with the same targets for as long as it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "panicking is how a target tells")]
#![allow(clippy::print_stderr, reason = "an input that failed must be seen")]

mod archive;
mod build;
mod ledger;
mod name;
mod peer;
mod replay;
mod script;

use replay::replay;

#[test]
fn no_archive_makes_the_reader_panic_leave_files_or_stage_wrong_bytes() {
    replay("archive", 4, archive::any_bytes);
}

#[test]
fn an_archive_built_and_damaged_at_will_is_staged_as_it_was_built_or_refused() {
    replay("archive_built", 4, archive::built);
}

#[test]
fn no_path_makes_a_name_that_is_more_than_one_component() {
    replay("name", 20, name::any_path);
}

#[test]
fn no_bytes_in_the_ledger_make_its_reader_panic_or_its_next_line_unreadable() {
    replay("ledger", 4, ledger::any_bytes);
}

#[test]
fn every_whole_line_of_a_damaged_ledger_counts() {
    replay("ledger_built", 4, ledger::built);
}
