//! Compares what earlier loads recorded with what the bucket holds.

use std::sync::Arc;

use amp_cli::{Exit, Outcome, Session};
use amp_core::ledger::{Ledger, LoadRecord};
use amp_core::receipt::{Expected, Mismatch, Proof, Receipt, Stored};
use amp_core::retry::Verdict;
use chrono::TimeDelta;
use tokio::task::JoinSet;

use crate::error::RunError;
use crate::store::{Retrier, S3Store, StoreError, StoreErrorKind};
use crate::summary::{Failure, Summary, Verified};

/// An object that was loaded.
#[derive(Debug)]
pub(crate) struct LoadedObject {
    /// Its record.
    pub(crate) load: LoadRecord,
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
    Same(Proof),
    Missing,
    Different(Mismatch),
    Unknown(StoreError),
}

/// Compares `records` with the bucket and fills in `summary`.
///
/// # Errors
/// When AWS refuses.
pub(crate) async fn verify(
    records: Vec<LoadedObject>,
    concurrency: usize,
    session: &Session,
    store: S3Store,
    retrier: &Arc<Retrier>,
    summary: &mut Summary,
) -> Result<(), RunError> {
    let store = Arc::new(store);
    let mut verified = Verified::default();
    let mut transient = true;
    let (mut by_size, mut denied) = (0usize, 0usize);
    let mut tasks: JoinSet<(LoadedObject, Finding)> = JoinSet::new();
    let mut records = records.into_iter();
    loop {
        while tasks.len() < concurrency
            && !session.stop.is_requested()
            && let Some(record) = records.next()
        {
            let (store, retrier) = (Arc::clone(&store), Arc::clone(retrier));
            tasks.spawn(async move {
                let finding = compare_object(&store, &retrier, &record.load).await;
                (record, finding)
            });
        }
        let Some(joined) = tasks.join_next().await else { break };
        let (record, finding) = joined.map_err(|error| RunError::unusable(format!("internal error: {error}")))?;
        let url = store.url(&record.load.key);
        verified.checked += 1;
        let error = match finding {
            Finding::Same(proof) => {
                by_size += usize::from(proof == Proof::Size);
                tracing::info!("{url} is as it was loaded");
                continue;
            }
            Finding::Missing => {
                verified.missing.push(record.load.key.clone());
                format!("{url} is missing; {}", record.remedy())
            }
            Finding::Different(mismatch) => {
                verified.different.push(record.load.key.clone());
                format!("{url} is not what was loaded: {mismatch}")
            }
            Finding::Unknown(error) => match error.verdict() {
                _ if session.stop.is_requested() => continue,
                Verdict::Refused => return Err(error.into()),
                verdict => {
                    transient &= matches!(verdict, Verdict::Transient { .. });
                    let is_denied = matches!(error.kind, StoreErrorKind::Denied(_));
                    denied += usize::from(is_denied);
                    verified.checked -= 1;
                    let advice = if is_denied {
                        "; allow s3:GetObject, and s3:ListBucket, without which a missing object looks forbidden"
                    } else {
                        ""
                    };
                    format!("{url} could not be compared: {error}{advice}")
                }
            },
        };
        tracing::error!("{error}");
        summary.failures.push(Failure { file: Some(record.load.file), key: Some(record.load.key), error });
    }
    if by_size > 0 {
        tracing::warn!("the server told no checksum of {by_size} objects: they were compared by size alone");
    }
    verified.missing.sort_unstable();
    verified.different.sort_unstable();
    let fine = summary.failures.is_empty();
    let found = verified.missing.len() + verified.different.len();
    (summary.outcome, summary.exit) = match () {
        () if session.stop.is_requested() => (Outcome::Interrupted, Exit::Interrupted),
        () if fine && verified.checked == 0 => (Outcome::Empty, Exit::Done),
        () if fine => (Outcome::Complete, Exit::Done),
        () if verified.checked == 0 && denied == summary.failures.len() => (Outcome::Failed, Exit::Refused),
        () if verified.checked == 0 && transient => (Outcome::Failed, Exit::Temporary),
        () if verified.checked == found => (Outcome::Failed, Exit::Incomplete),
        () => (Outcome::Partial, Exit::Incomplete),
    };
    summary.verified = Some(verified);
    Ok(())
}

/// The loads to compare: those of the bucket of the last `days` days, `manifests` behind the files.
///
/// # Errors
/// When the records cannot be read.
pub(crate) fn recorded(
    ledger: &Ledger,
    manifests: impl Iterator<Item = LoadRecord>,
    bucket: &str,
    days: u32,
    session: &Session,
) -> Result<Vec<LoadedObject>, RunError> {
    let since = session.started.checked_sub_signed(TimeDelta::days(i64::from(days)));
    // Whatever the endpoint was called then: one server may have several names.
    let wanted = |record: &LoadRecord| record.bucket == bucket && since.is_none_or(|since| record.time >= since);
    let (files, damaged) = ledger.latest_loads(wanted).map_err(RunError::unusable)?;
    let manifests = manifests.filter(wanted).map(|load| LoadedObject { load, is_manifest: true });
    let records = files.into_iter().map(|load| LoadedObject { load, is_manifest: false }).chain(manifests).collect();
    if damaged > 0 {
        tracing::warn!("{damaged} damaged lines of the load records were passed over: their objects are not compared");
    }
    Ok(records)
}

async fn compare_object(store: &S3Store, retrier: &Retrier, record: &LoadRecord) -> Finding {
    let expected = Expected { digest: record.digest, checksum: record.checksum.clone(), etag: None };
    match retrier.run(|_| store.head(&record.key, record.checksum.algorithm)).await {
        Ok(None) => Finding::Missing,
        Ok(Some(held)) => match Receipt::compare(&expected, &Stored { etag: None, ..held }) {
            Ok(receipt) => Finding::Same(receipt.proof()),
            Err(mismatch) => Finding::Different(mismatch),
        },
        Err(error) => Finding::Unknown(error),
    }
}
