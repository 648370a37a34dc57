//! The result on stdout and the exit code.

use std::io::{self, Write};

use serde::Serialize;

use crate::args::OutputFormat;
use crate::metrics::Page;

/// How a run ended, as the result says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// All that was asked is done.
    Complete,
    /// Some of it failed.
    Partial,
    /// There was nothing to do.
    Empty,
    /// All of it failed.
    Failed,
    /// A signal stopped it.
    Interrupted,
}

impl Outcome {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Complete, Self::Partial, Self::Empty, Self::Failed, Self::Interrupted];

    /// Its name in results and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Empty => "empty",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All that was asked is done.
    Done,
    /// Part or all of it failed and a rerun will pick it up.
    Incomplete,
    /// Bad usage or settings; nothing was done.
    Unusable,
    /// Refused by Amplitude or AWS.
    Refused,
    /// It may go later: nothing was achieved for reasons that pass.
    Temporary,
    /// A signal stopped it.
    Interrupted,
}

impl Exit {
    /// The process's exit code; `interrupted` is the one for a stopped run.
    #[must_use]
    pub fn code(self, interrupted: u8) -> u8 {
        match self {
            Self::Done => 0,
            Self::Incomplete => 1,
            Self::Unusable => 2,
            Self::Refused => 3,
            Self::Temporary => 75,
            Self::Interrupted => interrupted,
        }
    }
}

/// What a run says at its end.
pub trait Document: Serialize {
    /// The result of a run that could not begin, for these reasons.
    fn unusable(problems: &[String]) -> Self;

    /// What the exit code is to say.
    fn exit(&self) -> Exit;

    /// How the run ended.
    fn outcome(&self) -> Outcome;

    /// Adds what the run counted to its metrics.
    fn measure(&self, page: &mut Page);

    /// Writes the result for people.
    ///
    /// # Errors
    /// When `out` takes no more.
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()>;
}

/// Writes the result to stdout. A reader that went away (`| head`) is no error.
pub(crate) fn print<D: Document>(document: &D, format: OutputFormat) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let written = match format {
        OutputFormat::Json => {
            serde_json::to_writer(&mut out, document).map_err(io::Error::from).and_then(|()| writeln!(out))
        }
        OutputFormat::Text => document.write_text(&mut out),
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Bytes as people read them: `1.5 MiB`.
#[must_use]
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_well() {
        let all = [0, 1023, 1024, 1536, (1 << 20) - 1, 1 << 20, u64::MAX].map(human_bytes);
        assert_eq!(all, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1.0 MiB", "16384.0 PiB"]);
    }

    #[test]
    fn exit_codes_are_the_contracts() {
        let all = [Exit::Done, Exit::Incomplete, Exit::Unusable, Exit::Refused, Exit::Temporary, Exit::Interrupted];
        assert_eq!(all.map(|exit| exit.code(143)), [0, 1, 2, 3, 75, 143]);
    }
}
