//! Errors of input and output that say what was being done.

use std::io;

/// Puts what was being done before the error.
pub fn context(what: impl Into<String>) -> impl FnOnce(io::Error) -> io::Error {
    let what = what.into();
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}
