//! Compares what earlier loads recorded with what the bucket holds.

use std::sync::Arc;

use amp_cli::{Diagnostic, Ending, Exit, Retrier, Retryable, RunError};
use amp_core::ledger::{Ledger, LoadRecord};
use amp_core::receipt::{Expected, Mismatch, Receipt};
use amp_core::retry::Verdict;
use chrono::TimeDelta;
use tokio::task::JoinSet;

use super::Run;
use crate::manifest::ManifestJournal;
use crate::plan::PlannedUpload;
use crate::store::{S3Store, StoreError, StoreErrorKind};
use crate::summary::{Failure, Summary, Verified};

/// An object that was loaded.
#[derive(Debug)]
struct LoadedObject {
    /// Its record.
    load: LoadRecord,
    is_manifest: bool,
}

impl LoadedObject {
    /// How it is put back.
    fn remedy(&self) -> &'static str {
        if self.is_manifest {
            "remove the lines of that key from .amp/manifests.jsonl, then `amp-load --manifest-prefix` puts it back"
        } else {
            "`amp-extract --force --date` with the day in its name, then `amp-load`, puts it back"
        }
    }
}

/// What became of one object.
enum Finding {
    Same,
    Missing,
    Different(Mismatch),
    /// It is there and of the same size, and the server tells nothing else that could be compared.
    NotVerified,
    Unknown(StoreError),
}

/// Compares the objects that the runs of the last `days` days loaded with the bucket and fills in `summary`.
///
/// # Errors
/// When the records cannot be read, or AWS refuses.
pub(crate) async fn verify(run: &Run<'_>, days: u32, summary: &mut Summary) -> Result<(), RunError> {
    let objects = loaded_objects(run, days)?;
    if run.session.common.dry_run {
        let planned = objects.into_iter().map(|object| PlannedUpload { file: object.load.file, key: object.load.key });
        (summary.dry_run, summary.verified, summary.planned) =
            (true, Some(Verified::default()), Some(planned.collect()));
        return Ok(());
    }
    let store = run.connect().await?;
    let mut findings = Findings::default();
    let mut tasks: JoinSet<(LoadedObject, Finding)> = JoinSet::new();
    let mut objects = objects.into_iter();
    loop {
        while tasks.len() < run.settings.concurrency.at_start()
            && !run.stop.is_requested()
            && let Some(object) = objects.next()
        {
            let (store, retrier) = (Arc::clone(&store), Arc::clone(&run.retrier));
            tasks.spawn(async move {
                let finding = compare_object(&store, &retrier, &object.load).await;
                (object, finding)
            });
        }
        let Some(joined) = tasks.join_next().await else { break };
        let (object, finding) = joined.map_err(|error| RunError::unusable(format!("internal error: {error}")))?;
        match finding {
            Finding::Unknown(_) if run.stop.is_requested() => {}
            Finding::Unknown(error) if error.verdict() == Verdict::Refused => {
                summary.failures = findings.failures;
                return Err(error.into());
            }
            finding => findings.add(&store.url(&object.load.key), object, finding),
        }
    }
    findings.conclude(summary, run.stop.is_requested());
    Ok(())
}

/// What was found so far.
#[derive(Debug, Default)]
struct Findings {
    verified: Verified,
    failures: Vec<Failure>,
    /// Objects that we may not look at.
    denied: usize,
    /// Whether an object could not be compared for a reason that will not pass.
    permanent: bool,
}

impl Findings {
    fn add(&mut self, url: &str, object: LoadedObject, finding: Finding) {
        let error: Diagnostic = match finding {
            Finding::Same => {
                self.verified.checked += 1;
                let key = &object.load.key;
                tracing::info!(event = "object_verified", key, "{url} is as it was loaded");
                return;
            }
            Finding::Missing => {
                self.verified.checked += 1;
                self.verified.missing.push(object.load.key.clone());
                Diagnostic::from(format!("{url} is missing")).with_hint(object.remedy())
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
                format!("{url} is not verified: {why}").into()
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
        let Diagnostic { message, hint } = &error;
        tracing::error!(event = "object_failed", file = object.load.file, key = object.load.key, hint, "{message}");
        self.failures.push(Failure { file: Some(object.load.file), key: Some(object.load.key), error });
    }

    fn conclude(mut self, summary: &mut Summary, interrupted: bool) {
        self.verified.missing.sort_unstable();
        self.verified.different.sort_unstable();
        let Verified { checked, missing, different, not_verified } = &self.verified;
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

/// The objects to compare: what this bucket was loaded with in the last `days` days, manifests behind the files.
fn loaded_objects(run: &Run<'_>, days: u32) -> Result<Vec<LoadedObject>, RunError> {
    let staging = run.staging();
    let since = run.session.started.checked_sub_signed(TimeDelta::days(i64::from(days)));
    let bucket = &run.settings.bucket.name;
    // Whatever the endpoint was called then: one server may have several names.
    let wanted = |record: &LoadRecord| record.bucket == *bucket && since.is_none_or(|since| record.time >= since);
    let manifests = ManifestJournal::open(&staging).map_err(RunError::unusable)?.records();
    let ledger = Ledger::at(&staging.state_dir());
    let (files, damaged) = ledger.latest_loads(wanted).map_err(RunError::unusable)?;
    let manifests = manifests.filter(wanted).map(|load| LoadedObject { load, is_manifest: true });
    let objects = files.into_iter().map(|load| LoadedObject { load, is_manifest: false }).chain(manifests).collect();
    if damaged > 0 {
        tracing::warn!("{damaged} damaged lines of the load records were passed over: their objects are not compared");
    }
    Ok(objects)
}

async fn compare_object(store: &S3Store, retrier: &Retrier, record: &LoadRecord) -> Finding {
    let expected = Expected { digest: record.digest, checksum: record.checksum.clone(), etag: record.etag.clone() };
    match retrier.run(|_| store.head(&record.key, record.checksum.algorithm)).await {
        Ok(None) => Finding::Missing,
        Ok(Some(held)) => match Receipt::compare(&expected, &held.into()) {
            Ok(_) => Finding::Same,
            Err(Mismatch::Nothing) => Finding::NotVerified,
            Err(mismatch) => Finding::Different(mismatch),
        },
        Err(error) => Finding::Unknown(error),
    }
}
