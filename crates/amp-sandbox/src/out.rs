//! Lines for the terminal. That nobody reads them any more (`| head`) is no reason to stop.

use std::io::{self, Write};

/// To stdout.
pub fn say(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// To stderr.
pub fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
