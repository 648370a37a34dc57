//! How a run ended, and the exit code that says so.

use serde::Serialize;

use crate::diagnostic::Diagnostic;

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

/// Why a run ended before its work did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunError {
    /// What the exit code is to say.
    pub exit: Exit,
    /// What happened and what to do; `None`: the failures of the result say it.
    pub message: Option<Diagnostic>,
}

impl RunError {
    /// Something is not as it must be for a run to begin.
    pub fn unusable(error: impl Into<Diagnostic>) -> Self {
        Self { exit: Exit::Unusable, message: Some(error.into()) }
    }

    /// It may go later.
    pub fn temporary(error: impl Into<Diagnostic>) -> Self {
        Self { exit: Exit::Temporary, message: Some(error.into()) }
    }

    /// What ended it stands among the failures of the result, or needs no words.
    pub fn told(exit: Exit) -> Self {
        Self { exit, message: None }
    }
}

/// What is known of a run at its end, as far as it decides how the run ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ending {
    /// Why it ended before its work did.
    pub stopped_by: Option<Exit>,
    /// Whether there was anything to do.
    pub had_work: bool,
    /// Whether the run brought anything about.
    pub achieved: bool,
    /// Whether anything failed.
    pub failed: bool,
    /// Whether anything failed for a reason that will not pass by itself.
    pub lasting: bool,
}

impl Ending {
    /// How the run ended, and what its exit code says.
    pub fn conclude(self) -> (Outcome, Exit) {
        let failed = if self.achieved { Outcome::Partial } else { Outcome::Failed };
        match self {
            Self { stopped_by: Some(Exit::Interrupted), .. } => (Outcome::Interrupted, Exit::Interrupted),
            Self { stopped_by: Some(exit), .. } => (failed, exit),
            Self { failed: true, achieved: false, lasting: false, .. } => (failed, Exit::Temporary),
            Self { failed: true, .. } => (failed, Exit::Incomplete),
            Self { had_work: true, .. } => (Outcome::Complete, Exit::Done),
            _ => (Outcome::Empty, Exit::Done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_has_its_outcome_and_its_exit() {
        // stopped by, had work, achieved, failed, lasting
        for (stopped_by, facts, ended) in [
            (None, "....", (Outcome::Empty, Exit::Done)),
            (None, "w...", (Outcome::Complete, Exit::Done)),
            (None, "wa..", (Outcome::Complete, Exit::Done)),
            (None, "w.f.", (Outcome::Failed, Exit::Temporary)),
            (None, "w.fl", (Outcome::Failed, Exit::Incomplete)),
            (None, "waf.", (Outcome::Partial, Exit::Incomplete)),
            (None, "wafl", (Outcome::Partial, Exit::Incomplete)),
            (Some(Exit::Interrupted), "wafl", (Outcome::Interrupted, Exit::Interrupted)),
            (Some(Exit::Interrupted), "....", (Outcome::Interrupted, Exit::Interrupted)),
            (Some(Exit::Refused), "w.fl", (Outcome::Failed, Exit::Refused)),
            (Some(Exit::Refused), "waf.", (Outcome::Partial, Exit::Refused)),
            (Some(Exit::Unusable), "..f.", (Outcome::Failed, Exit::Unusable)),
            (Some(Exit::Temporary), "..f.", (Outcome::Failed, Exit::Temporary)),
        ] {
            let has = |fact| facts.contains(fact);
            let (had_work, achieved, failed, lasting) = (has('w'), has('a'), has('f'), has('l'));
            let ending = Ending { stopped_by, had_work, achieved, failed, lasting };
            assert_eq!(ending.conclude(), ended, "{ending:?}");
        }
    }

    #[test]
    fn exit_codes_are_the_contracts() {
        let all = [Exit::Done, Exit::Incomplete, Exit::Unusable, Exit::Refused, Exit::Temporary, Exit::Interrupted];
        assert_eq!(all.map(|exit| exit.code(143)), [0, 1, 2, 3, 75, 143]);
    }
}
