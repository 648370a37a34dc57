//! How a run ended, and the exit code that says so.

use serde::Serialize;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_the_contracts() {
        let all = [Exit::Done, Exit::Incomplete, Exit::Unusable, Exit::Refused, Exit::Temporary, Exit::Interrupted];
        assert_eq!(all.map(|exit| exit.code(143)), [0, 1, 2, 3, 75, 143]);
    }
}
