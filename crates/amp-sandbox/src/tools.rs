//! Tools and rights that some tests need and a machine may lack: strace, faketime, a terminal, a mount.

use std::io::Write as _;
use std::{env, io, thread};

/// The variable that leaves out tests for which something is missing; without it they fail.
pub const LEAVE_OUT: &str = "AMP_TESTS_WITHOUT_TOOLS";

/// Whether a test can have what it `needs`. If it can't and [`LEAVE_OUT`] is set, a line on stderr says that it was not run.
///
/// # Panics
/// When it can't have it and [`LEAVE_OUT`] is not set: a test that was not run must not pass for one that was.
#[must_use]
pub fn has(needs: &str, is_there: bool) -> bool {
    if !is_there {
        assert!(env::var_os(LEAVE_OUT).is_some(), "needs {needs}; {LEAVE_OUT}=1 leaves out tests that lack a tool");
        // Not `eprintln!`, whose lines the test harness shows of failed tests only.
        let test = thread::current().name().unwrap_or("a test").to_owned();
        let _ = writeln!(io::stderr(), "NOT RUN: {test}: needs {needs}");
    }
    is_there
}
