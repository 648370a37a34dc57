//! What became of the files so far, counted by all who work on them.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use amp_cli::{Diagnostic, Ending, Exit};
use amp_core::retry::Verdict;

use crate::error::LoadError;
use crate::plan::{Plan, PlannedUpload};
use crate::summary::{Failure, Files, Summary};

/// So many files in a row must at least use up their retries before the rest is not tried any more: a server that is down would hold the
/// run up for hours.
const MIN_CONSECUTIVE_FAILURES: usize = 32;

/// The counts of a run.
#[derive(Debug)]
pub struct RunStats {
    counts: Mutex<Counts>,
    max_consecutive_failures: usize,
}

#[derive(Debug, Default)]
struct Counts {
    files: Files,
    manifests: usize,
    bytes: u64,
    failures: Vec<Failure>,
    manifest_failures: Vec<Failure>,
    /// Files that were not loaded.
    failed: HashSet<String>,
    /// Files that were not tried, because of an outage.
    untried: HashSet<String>,
    /// Files of this round that may go later.
    deferred: HashSet<String>,
    /// Failures that will not pass by themselves.
    permanent: bool,
    /// Files in a row whose retries were used up, the last one included.
    consecutive_failures: usize,
    refused: bool,
}

impl RunStats {
    /// Nothing so far, of a run that uploads so many files at the same time.
    pub fn new(concurrency: usize) -> Self {
        let max_consecutive_failures = (4 * concurrency).max(MIN_CONSECUTIVE_FAILURES);
        Self { counts: Mutex::default(), max_consecutive_failures }
    }

    /// A round begins, which tries the files of `plan`. What came of them in earlier rounds no longer counts.
    pub fn begin_round(&self, plan: &Plan) {
        self.with(|counts| {
            let refused = plan.refused.iter().map(|(planned, _)| planned);
            let again: HashSet<&str> =
                plan.uploads.iter().chain(refused).map(|planned| planned.file.as_str()).collect();
            let failed_before = counts.failed.extract_if(|file| again.contains(file.as_str())).count();
            counts.files.failed -= failed_before;
            counts.untried.retain(|file| !again.contains(file.as_str()));
            counts.failures.retain(|failure| failure.file.as_deref().is_none_or(|file| !again.contains(file)));
            counts.deferred.clear();
            counts.consecutive_failures = 0;
            let Files { uploaded, skipped, failed, .. } = counts.files;
            counts.files.found = uploaded + skipped + failed + counts.untried.len() + plan.found();
        });
    }

    /// The manifests of a round are to be put. What failed in earlier rounds is tried again.
    pub fn begin_manifests(&self) {
        self.with(|counts| counts.manifest_failures.clear());
    }

    /// The files of this round that may go later: they failed for a reason that passes, or were not tried because of an outage.
    pub fn deferred(&self) -> HashSet<String> {
        self.with(|counts| std::mem::take(&mut counts.deferred))
    }

    fn with<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// S3 holds a file, before or since.
    pub fn confirmed(&self, bytes: u64, already_there: bool) {
        self.with(|counts| {
            counts.consecutive_failures = 0;
            if already_there {
                counts.files.skipped += 1;
            } else {
                counts.files.uploaded += 1;
                counts.bytes += bytes;
            }
        });
    }

    /// A confirmed file was deleted.
    pub fn deleted(&self) {
        self.with(|counts| counts.files.deleted += 1);
    }

    /// A confirmed file could not be deleted.
    pub fn delete_failed(&self, planned: &PlannedUpload, error: &LoadError) {
        let error = Diagnostic::of(error).within("S3 has it, but it was not deleted");
        self.with(|counts| counts.record_failure(planned, error));
    }

    /// A file was not loaded. `verdict`: what that means for the others.
    pub fn failed(&self, planned: &PlannedUpload, error: impl Into<Diagnostic>, verdict: Option<&Verdict>) {
        self.with(|counts| {
            counts.record_failure(planned, error.into());
            counts.files.failed += 1;
            counts.failed.insert(planned.file.clone());
            if counts.apply_verdict(verdict) {
                counts.deferred.insert(planned.file.clone());
            }
        });
    }

    /// These files were not tried, because of an outage.
    pub fn skipped_after_outage(&self, files: impl Iterator<Item = String>) {
        self.with(|counts| {
            let before = counts.untried.len();
            counts.untried.extend(files);
            self.untried_error(counts.untried.len() - before).error();
            counts.deferred.extend(counts.untried.iter().cloned());
        });
    }

    fn untried_error(&self, files: usize) -> Diagnostic {
        let in_a_row = self.max_consecutive_failures;
        let error = format!("{files} files were not tried: the server failed {in_a_row} in a row");
        Diagnostic::from(error).with_hint("run again later")
    }

    /// A manifest was put and noted.
    pub fn manifest_uploaded(&self) {
        self.with(|counts| {
            counts.consecutive_failures = 0;
            counts.manifests += 1;
        });
    }

    /// How many manifests were put.
    pub fn manifests(&self) -> usize {
        self.with(|counts| counts.manifests)
    }

    /// A manifest or a state object was not put; without one, several were not. `verdict`: what that means for the others.
    pub fn object_failed(&self, planned: Option<&PlannedUpload>, error: impl Into<Diagnostic>, verdict: &Verdict) {
        let error = error.into();
        self.with(|counts| {
            let failure = match planned {
                Some(planned) => failure_of(planned, error),
                None => {
                    error.error();
                    Failure { file: None, key: None, error }
                }
            };
            counts.manifest_failures.push(failure);
            counts.apply_verdict(Some(verdict));
        });
    }

    /// Whether so many files in a row used all their retries up that no other is to be tried.
    pub fn is_outage(&self) -> bool {
        self.with(|counts| counts.consecutive_failures >= self.max_consecutive_failures)
    }

    /// Fills in what came of the run.
    pub fn conclude(&self, summary: &mut Summary, interrupted: bool) {
        self.with(|counts| {
            summary.files = counts.files;
            summary.files.failed += counts.untried.len();
            (summary.bytes_uploaded, summary.manifests) = (counts.bytes, counts.manifests);
            summary.failures.append(&mut counts.failures);
            if !counts.untried.is_empty() {
                let error = self.untried_error(counts.untried.len());
                summary.failures.push(Failure { file: None, key: None, error });
            }
            summary.failures.append(&mut counts.manifest_failures);
            let achieved = counts.files.uploaded + counts.files.skipped + counts.manifests > 0;
            let stopped_by = match (counts.refused, interrupted) {
                (true, _) => Some(Exit::Refused),
                (_, true) => Some(Exit::Interrupted),
                _ => None,
            };
            let (failed, lasting) = (!summary.failures.is_empty(), counts.permanent);
            summary.conclude(Ending { stopped_by, had_work: summary.files.found > 0, achieved, failed, lasting });
        });
    }
}

impl Counts {
    /// Whether what failed may go later.
    fn apply_verdict(&mut self, verdict: Option<&Verdict>) -> bool {
        let transient = matches!(verdict, Some(Verdict::Transient { .. }));
        self.permanent |= !transient;
        self.consecutive_failures = if transient { self.consecutive_failures + 1 } else { 0 };
        self.refused |= verdict == Some(&Verdict::Refused);
        transient
    }

    fn record_failure(&mut self, planned: &PlannedUpload, error: Diagnostic) {
        self.failures.push(failure_of(planned, error));
    }
}

fn failure_of(PlannedUpload { file, key }: &PlannedUpload, error: Diagnostic) -> Failure {
    let Diagnostic { message, hint } = &error;
    tracing::error!(event = "file_failed", file, key, hint, "{file}: {message}");
    let key = Some(key.clone()).filter(|key| !key.is_empty());
    Failure { file: Some(file.clone()), key, error }
}
