//! What a verification found, and how the run ends by it.

use amp_cli::{Diagnostic, Ending, Exit, Retryable};
use amp_core::retry::Verdict;

use super::LoadedObject;
use super::compare::Finding;
use super::heal::Cure;
use crate::store::StoreErrorKind;
use crate::summary::{Failure, Summary, Verified};

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    verified: Verified,
    failures: Vec<Failure>,
    /// Objects that we may not look at.
    denied: usize,
    /// Whether an object could not be compared for a reason that will not pass.
    permanent: bool,
}

impl Findings {
    /// Takes in what became of an object and, if it is missing or different, what is done about it.
    pub(super) fn add(&mut self, url: &str, object: &LoadedObject, finding: Finding, cure: Option<Cure>) {
        self.verified.read += usize::from(object.is_read && !matches!(finding, Finding::Missing | Finding::Unknown(_)));
        self.verified.healed += usize::from(matches!(cure, Some(Cure::Recorded { .. })));
        let error: Diagnostic = match finding {
            Finding::Same => {
                self.verified.checked += 1;
                tracing::info!(event = "object_verified", key = object.load.key, "{url} is as it was loaded");
                return;
            }
            Finding::Missing => {
                self.verified.checked += 1;
                self.verified.missing.push(object.load.key.clone());
                format!("{url} is missing").into()
            }
            Finding::Different(mismatch) => {
                self.verified.checked += 1;
                self.verified.different.push(object.load.key.clone());
                format!("{url} is not what was loaded: {mismatch}").into()
            }
            Finding::NotVerified => {
                self.verified.checked += 1;
                self.verified.not_verified += 1;
                let why = "the server tells neither the checksum nor the ETag that it was loaded with";
                Diagnostic::from(format!("{url} is not verified: {why}")).with_hint("--read-data compares its bytes")
            }
            Finding::Unknown(error) => {
                self.permanent |= !matches!(error.verdict(), Verdict::Transient { .. });
                let is_denied = matches!(error.kind, StoreErrorKind::Denied(_));
                self.denied += usize::from(is_denied);
                let told = Diagnostic::of(&error).within(format_args!("{url} could not be compared"));
                let allow = "allow s3:GetObject, and s3:ListBucket, without which a missing object looks forbidden";
                if is_denied { told.with_hint(allow) } else { told }
            }
        };
        let error = match cure {
            Some(cure) => error.with_hint(cure.to_string()),
            None => error,
        };
        let Diagnostic { message, hint } = &error;
        tracing::error!(event = "object_failed", file = object.load.file, key = object.load.key, hint, "{message}");
        self.failures.push(Failure { file: Some(object.load.file.clone()), key: Some(object.load.key.clone()), error });
    }

    /// What went wrong so far, of a run that ends before its end.
    pub(super) fn into_failures(self) -> Vec<Failure> {
        self.failures
    }

    /// Fills in the result.
    pub(super) fn conclude(mut self, summary: &mut Summary, interrupted: bool) {
        self.verified.missing.sort_unstable();
        self.verified.different.sort_unstable();
        let Verified { checked, missing, different, not_verified, .. } = &self.verified;
        let deviating = missing.len() + different.len() + not_verified;
        let failed = !self.failures.is_empty();
        let stopped_by = match (interrupted, *checked) {
            (true, _) => Some(Exit::Interrupted),
            (_, 0) if failed && self.denied == self.failures.len() => Some(Exit::Refused),
            _ => None,
        };
        summary.conclude(Ending {
            stopped_by,
            had_work: *checked > 0,
            achieved: *checked > deviating,
            failed,
            lasting: self.permanent || deviating > 0,
        });
        summary.failures = self.failures;
        summary.verified = Some(self.verified);
    }
}
