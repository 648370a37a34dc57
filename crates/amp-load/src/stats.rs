//! What became of the files so far, counted by all who work on them.

use std::sync::{Mutex, PoisonError};

use amp_cli::{Ending, Exit};
use amp_core::retry::Verdict;

use crate::error::LoadError;
use crate::plan::PlannedUpload;
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
        let error = format!("S3 has it, but it was not deleted: {error}");
        self.with(|counts| counts.record_failure(planned, &error));
    }

    /// A file was not loaded. `verdict`: what that means for the others.
    pub fn failed(&self, planned: &PlannedUpload, error: &str, verdict: Option<&Verdict>) {
        self.with(|counts| {
            counts.record_failure(planned, error);
            counts.files.failed += 1;
            counts.apply_verdict(verdict);
        });
    }

    /// `files` more were not tried, because of an outage.
    pub fn skipped_after_outage(&self, files: usize) {
        let error = format!(
            "{files} files were not tried: the server failed {} in a row; run again later",
            self.max_consecutive_failures
        );
        tracing::error!("{error}");
        self.with(|counts| {
            counts.files.failed += files;
            counts.failures.push(Failure { file: None, key: None, error });
        });
    }

    /// A manifest was put and noted.
    pub fn manifest_uploaded(&self) {
        self.with(|counts| {
            counts.consecutive_failures = 0;
            counts.manifests += 1;
        });
    }

    /// A manifest was not put; without one, several were not. `verdict`: what that means for the others.
    pub fn manifest_failed(&self, planned: Option<&PlannedUpload>, error: &str, verdict: &Verdict) {
        self.with(|counts| {
            match planned {
                Some(planned) => counts.record_failure(planned, error),
                None => {
                    tracing::error!("{error}");
                    counts.failures.push(Failure { file: None, key: None, error: error.to_owned() });
                }
            }
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
            let found = summary.files.found;
            summary.files = Files { found, ..counts.files };
            (summary.bytes_uploaded, summary.manifests) = (counts.bytes, counts.manifests);
            summary.failures.append(&mut counts.failures);
            let achieved = counts.files.uploaded + counts.files.skipped + counts.manifests > 0;
            let stopped_by = match (counts.refused, interrupted) {
                (true, _) => Some(Exit::Refused),
                (_, true) => Some(Exit::Interrupted),
                _ => None,
            };
            let (failed, lasting) = (!summary.failures.is_empty(), counts.permanent);
            summary.conclude(Ending { stopped_by, had_work: found > 0, achieved, failed, lasting });
        });
    }
}

impl Counts {
    fn apply_verdict(&mut self, verdict: Option<&Verdict>) {
        let transient = matches!(verdict, Some(Verdict::Transient { .. }));
        self.permanent |= !transient;
        self.consecutive_failures = if transient { self.consecutive_failures + 1 } else { 0 };
        self.refused |= verdict == Some(&Verdict::Refused);
    }

    fn record_failure(&mut self, planned: &PlannedUpload, error: &str) {
        let PlannedUpload { file, key } = planned;
        tracing::error!("{file}: {error}");
        let key = Some(key.clone()).filter(|key| !key.is_empty());
        self.failures.push(Failure { file: Some(file.clone()), key, error: error.to_owned() });
    }
}
