//! What a run says at its end.

use std::io::{self, Write};

use amp_cli::{Diagnostic, Document, Ending, Exit, Outcome, Page, Printed, RunError, counted, human_bytes};
use serde::Serialize;

use crate::plan::PlannedUpload;
use crate::state::{PutCounts, RestoreCounts};

/// What the metrics of `--verify` begin with: loading nothing, it must not count as a load.
pub const VERIFY_JOB: &str = "amp_verify";

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    program: &'static str,
    version: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// The bucket, where one is known.
    pub bucket: Option<String>,
    /// How many files came how far.
    pub files: Files,
    /// Bytes of the files that were uploaded.
    pub bytes_uploaded: u64,
    /// How long it took.
    pub seconds: f64,
    /// What went wrong.
    pub failures: Vec<Failure>,
    /// Requests that were tried again.
    pub retries: u64,
    /// Manifests that were put.
    pub manifests: usize,
    /// With `--state-prefix`: what was written and brought back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<StateCounts>,
    /// What `--verify` found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    /// Set when nothing was to be done.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// What would be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned: Option<Vec<PlannedUpload>>,
    /// Keys of the manifests that would be put, as far as is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub planned_manifests: Vec<String>,
    /// The directory that was looked at, and whether it is there.
    #[serde(skip)]
    pub place: String,
    /// What the exit code is to say.
    #[serde(skip)]
    pub exit: Exit,
}

/// How many files came how far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Files {
    /// Found in `extracted_data/`.
    pub found: usize,
    /// Uploaded and confirmed.
    pub uploaded: usize,
    /// Not uploaded because the bucket has them already.
    pub skipped: usize,
    /// Not loaded, for reasons that the failures name.
    pub failed: usize,
    /// Those that nothing became of: the run ended before.
    pub unfinished: usize,
    /// Deleted after confirmation.
    pub deleted: usize,
}

/// What came of the state in the bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct StateCounts {
    /// What was written.
    #[serde(flatten)]
    pub written: PutCounts,
    /// What `--restore` brought back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored: Option<RestoreCounts>,
}

impl StateCounts {
    /// Adds what was written.
    pub fn add(&mut self, PutCounts { put, deleted }: PutCounts) {
        self.written.put += put;
        self.written.deleted += deleted;
    }
}

/// What went wrong with one file, or with the run when `file` is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The file.
    pub file: Option<String>,
    /// Its key.
    pub key: Option<String>,
    /// What happened and what to do.
    pub error: Diagnostic,
}

/// What `--verify` found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Objects compared.
    pub checked: usize,
    /// Keys that the bucket does not have.
    pub missing: Vec<String>,
    /// Keys whose objects are not what was loaded.
    pub different: Vec<String>,
    /// Objects of the right size of which the server tells nothing else that could be compared.
    pub not_verified: usize,
    /// Objects whose bytes were read back.
    pub read: usize,
    /// Missing and different objects that are recorded as lost.
    pub healed: usize,
}

impl Summary {
    /// A run that has found nothing so far.
    pub fn new(bucket: &str) -> Self {
        Self {
            program: "amp-load",
            version: env!("CARGO_PKG_VERSION"),
            outcome: Outcome::Empty,
            bucket: Some(bucket.to_owned()).filter(|bucket| !bucket.is_empty()),
            files: Files::default(),
            bytes_uploaded: 0,
            seconds: 0.0,
            failures: Vec::new(),
            retries: 0,
            manifests: 0,
            state: None,
            verified: None,
            dry_run: false,
            planned: None,
            planned_manifests: Vec::new(),
            place: String::new(),
            exit: Exit::Done,
        }
    }

    /// The result in one line, for the log.
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Notes what ended the run before its end.
    pub fn stopped_by(&mut self, RunError { exit, message }: RunError) {
        if let Some(error) = message {
            error.error();
            self.failures.push(Failure { file: None, key: None, error });
        }
        let achieved = self.files.uploaded + self.files.skipped + self.manifests > 0;
        self.conclude(Ending { stopped_by: Some(exit), achieved, ..Ending::default() });
    }

    /// Settles the outcome.
    pub(crate) fn conclude(&mut self, ending: Ending) {
        (self.outcome, self.exit) = ending.conclude();
    }
}

impl Summary {
    /// Counts the files that nothing became of, once all others are counted.
    pub(crate) fn count_unfinished(&mut self) {
        let Files { found, uploaded, skipped, failed, .. } = self.files;
        self.files.unfinished = found.saturating_sub(uploaded + skipped + failed);
    }

    /// What to do about a run that did not do all.
    fn next(&self) -> Option<&'static str> {
        match self.exit {
            Exit::Refused => Some("`amp-load --check` names what is missing; then run amp-load again: no file is lost"),
            Exit::Temporary | Exit::Interrupted => Some("run amp-load again: what is not loaded is still here"),
            Exit::Incomplete => Some("do what the errors say and run amp-load again: what is not loaded is still here"),
            Exit::Done | Exit::Unusable => None,
        }
    }

    fn write_head(&self, out: &mut dyn Write, what: &str) -> io::Result<()> {
        let bucket = self.bucket.as_deref().unwrap_or("BUCKET");
        writeln!(out, "{what} {} s3://{bucket}", self.outcome.name())
    }
}

impl Document for Summary {
    fn unusable(problems: &[String]) -> Self {
        let mut summary = Self::new("");
        let failures = problems.iter().map(|error| Failure { file: None, key: None, error: error.as_str().into() });
        summary.failures = failures.collect();
        summary.stopped_by(RunError::told(Exit::Unusable));
        summary
    }

    fn exit(&self) -> Exit {
        self.exit
    }

    fn outcome(&self) -> Outcome {
        self.outcome
    }

    fn measure(&self, page: &mut Page) {
        let count = |count: usize| count as f64;
        if page.job() == VERIFY_JOB {
            let none = Verified::default();
            let Verified { checked, missing, different, not_verified, .. } = self.verified.as_ref().unwrap_or(&none);
            let (missing, different) = (missing.len(), different.len());
            let states = [
                ("same", count(checked.saturating_sub(missing + different + not_verified))),
                ("missing", count(missing)),
                ("different", count(different)),
                ("not_verified", count(*not_verified)),
            ];
            page.labelled("last_run_objects", "Objects compared by the last run.", "state", &states);
        } else {
            let Files { uploaded, skipped, failed, unfinished, deleted, .. } = self.files;
            let states = [
                ("uploaded", count(uploaded)),
                ("skipped", count(skipped)),
                ("failed", count(failed)),
                ("unfinished", count(unfinished)),
            ];
            page.labelled("last_run_files", "Files by what the last run made of them.", "state", &states);
            page.gauge("last_run_deleted_files", "Files deleted after their confirmation.", count(deleted));
            page.gauge("last_run_uploaded_bytes", "Bytes of the files uploaded.", self.bytes_uploaded as f64);
        }
        page.gauge("last_run_retries", "Requests that the last run tried again.", self.retries as f64);
    }
}

impl Printed for Summary {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let bucket = self.bucket.as_deref().unwrap_or("BUCKET");
        if let Some(planned) = &self.planned {
            for PlannedUpload { file, key } in planned {
                writeln!(out, "{file} -> s3://{bucket}/{key}")?;
            }
            let (thing, done) = if self.verified.is_some() { ("object", "compared") } else { ("file", "uploaded") };
            self.planned_manifests.iter().try_for_each(|key| writeln!(out, "manifest -> s3://{bucket}/{key}"))?;
            let manifests = match self.planned_manifests.len() {
                0 => String::new(),
                count => format!(" and {} put", counted(count, "manifest")),
            };
            let place = if planned.is_empty() && self.verified.is_none() {
                format!(" from {}", self.place)
            } else {
                String::new()
            };
            writeln!(
                out,
                "dry run: {} would be {done}{place}{manifests}, nothing was changed",
                counted(planned.len(), thing)
            )?;
        } else if let Some(Verified { checked, missing, different, not_verified, read, healed }) = &self.verified {
            self.write_head(out, "amp-load --verify")?;
            let (gone, other) = (missing.len(), different.len());
            write!(out, "  objects    {checked} checked: {gone} missing, {other} different")?;
            writeln!(
                out,
                "{}",
                if *not_verified > 0 { format!(", {not_verified} not verified") } else { String::new() }
            )?;
            if *read > 0 {
                writeln!(out, "  read       {read} of {checked}")?;
            }
            if *healed > 0 {
                writeln!(out, "  healed     {healed} recorded as lost: amp-extract, then amp-load bring them back")?;
            }
            writeln!(out, "  seconds    {:.1}", self.seconds)?;
            // Which they are stands on stderr, each once.
        } else if let Some(StateCounts { restored: Some(restored), .. }) = self.state {
            self.write_head(out, "amp-load --restore")?;
            let RestoreCounts { days, lines, unread, .. } = restored;
            writeln!(out, "  state      {days} days read, {lines} new lines, {unread} objects not read")?;
            if self.manifests > 0 {
                writeln!(out, "  manifests  {} put", self.manifests)?;
            }
            writeln!(out, "  seconds    {:.1}", self.seconds)?;
        } else if self.exit == Exit::Unusable {
            // Nothing was done, and stderr says why.
        } else if self.outcome == Outcome::Empty {
            write!(out, "nothing to load in {}", self.place)?;
            if self.manifests > 0 {
                write!(out, ", {} put", counted(self.manifests, "manifest"))?;
            }
            match self.state {
                Some(StateCounts { written: PutCounts { put: 1.., .. }, .. }) => writeln!(out, ", state put")?,
                _ => writeln!(out)?,
            }
        } else {
            let Files { found, uploaded, skipped, failed, unfinished, deleted } = self.files;
            self.write_head(out, "amp-load")?;
            write!(out, "  files      {found} found: {uploaded} uploaded, {skipped} skipped, {failed} failed")?;
            if unfinished > 0 {
                write!(out, ", {unfinished} unfinished")?;
            }
            writeln!(out, "; {deleted} deleted")?;
            writeln!(out, "  uploaded   {}", human_bytes(self.bytes_uploaded))?;
            if self.manifests > 0 {
                writeln!(out, "  manifests  {} put", self.manifests)?;
            }
            if let Some(StateCounts { written: PutCounts { put, deleted }, .. }) = self.state {
                writeln!(out, "  state      {put} objects put, {deleted} deleted")?;
            }
            writeln!(out, "  seconds    {:.1}", self.seconds)?;
            // What failed stands on stderr, each once.
            if let Some(next) = self.next() {
                writeln!(out, "next: {next}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_the_contracts() {
        let text = serde_json::to_string(&Summary::new("lake")).unwrap();
        assert_eq!(
            text,
            format!(
                "{{\"program\":\"amp-load\",\"version\":\"{}\",\"outcome\":\"empty\",\"bucket\":\"lake\",\"files\":{{\"found\":0,\
                 \"uploaded\":0,\"skipped\":0,\"failed\":0,\"unfinished\":0,\"deleted\":0}},\"bytes_uploaded\":0,\"seconds\":0.0,\"failures\":[],\"retries\":0,\"manifests\":0}}",
                env!("CARGO_PKG_VERSION")
            )
        );
        let unusable = serde_json::to_value(Summary::unusable(&["no bucket".into()])).unwrap();
        assert_eq!(unusable["outcome"], "failed");
        assert_eq!(unusable["failures"][0]["error"], "no bucket");
        assert!(unusable["failures"][0]["file"].is_null());
    }
}
