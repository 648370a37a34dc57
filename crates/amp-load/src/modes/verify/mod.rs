//! Compares what earlier loads recorded with what the bucket holds.

mod compare;
mod findings;
mod heal;

use std::sync::Arc;

use amp_cli::{Retryable, RunError};
use amp_core::ledger::{LatestLoad, Ledger, LoadRecord};
use amp_core::progress::{Progress, Transfer};
use amp_core::retry::Verdict;
use chrono::TimeDelta;
use tokio::task::JoinSet;

use self::compare::{Finding, compare_object};
use self::findings::Findings;
use self::heal::Healer;
use super::Run;

use crate::descriptors::Descriptors;
use crate::manifest::ManifestJournal;
use crate::plan::PlannedUpload;
use crate::settings::VerifyOptions;
use crate::summary::{Summary, Verified};
use crate::threads::blocking;
use crate::upload::Requests;

/// An object that was loaded.
#[derive(Debug)]
struct LoadedObject {
    /// Its record.
    load: LoadRecord,
    is_manifest: bool,
    /// Whether it was found lost before, and not loaded again since.
    is_lost: bool,
    /// Whether its bytes are to be read.
    is_read: bool,
}

/// Compares the objects that the runs of some days loaded with the bucket and fills in `summary`.
///
/// # Errors
/// When the records cannot be read, or AWS refuses.
pub(crate) async fn verify(run: &Run<'_>, options: VerifyOptions, summary: &mut Summary) -> Result<(), RunError> {
    let is_dry = run.session.common.dry_run;
    // Only the holder of the lock may add to the load records.
    let _lock = if options.heal && !is_dry { Some(Run::lock(&run.open_staging()?, "load")?) } else { None };
    let staging = run.staging();
    let journal = ManifestJournal::open(&staging).map_err(RunError::unusable)?;
    let objects = loaded_objects(run, options, &journal)?;
    if is_dry {
        let planned = objects.into_iter().map(|object| PlannedUpload { file: object.load.file, key: object.load.key });
        (summary.dry_run, summary.verified, summary.planned) =
            (true, Some(Verified::default()), Some(planned.collect()));
        return Ok(());
    }
    let store = run.connect().await?;
    let mut healer = Healer::new(Ledger::at(&staging.state_dir()), journal, options.heal);
    let transfer = options.read_percent.map(|_| begin_transfer(run.session.progress.as_ref(), &objects));
    // A child: a refusal ends the comparisons, and is no interruption of the run.
    let stop = run.stop.child();
    let (concurrency, most) = (run.settings.concurrency, Descriptors::of_process().requests);
    let requests = Arc::new(Requests::new(concurrency, most, Arc::clone(&run.retrier), stop.clone()));
    let mut findings = Findings::default();
    let mut tasks: JoinSet<(LoadedObject, Finding)> = JoinSet::new();
    let mut objects = objects.into_iter();
    loop {
        while tasks.len() < requests.limit()
            && !stop.is_requested()
            && let Some(object) = objects.next()
        {
            let (store, requests) = (Arc::clone(&store), Arc::clone(&requests));
            let item = transfer.as_ref().filter(|_| object.is_read);
            let item = item.map(|transfer| transfer.item(&object.load.file, object.load.digest.bytes));
            tasks.spawn(async move {
                let finding = compare_object(&store, &requests, &object.load, item.as_deref()).await;
                (object, finding)
            });
        }
        let Some(joined) = tasks.join_next().await else { break };
        let (object, finding) = joined.map_err(|error| RunError::unusable(format!("internal error: {error}")))?;
        let cure = match &finding {
            Finding::Unknown(_) if run.stop.is_requested() => continue,
            Finding::Unknown(error) if error.verdict() == Verdict::Refused => {
                summary.failures = findings.into_failures();
                return Err(error.clone().into());
            }
            Finding::Missing | Finding::Different(_) => {
                let load = object.load.clone();
                let (returned, cure) = blocking(move || {
                    let cure = healer.cure(&load, object.is_manifest, object.is_lost);
                    (healer, cure)
                })
                .await
                .map_err(RunError::unusable)?;
                healer = returned;
                Some(cure.map_err(RunError::unusable)?)
            }
            _ => None,
        };
        findings.add(&store.url(&object.load.key), &object, finding, cure);
    }
    findings.conclude(summary, run.stop.is_requested());
    Ok(())
}

fn begin_transfer(progress: &dyn Progress, objects: &[LoadedObject]) -> Box<dyn Transfer> {
    let read = || objects.iter().filter(|object| object.is_read);
    let transfer = progress.begin("reading", Some(read().map(|object| object.load.digest.bytes).sum()));
    transfer.expect_items(read().count() as u64);
    transfer
}

/// The objects to compare: what this bucket was loaded with in the last days, manifests behind the files.
fn loaded_objects(
    run: &Run<'_>,
    options: VerifyOptions,
    journal: &ManifestJournal,
) -> Result<Vec<LoadedObject>, RunError> {
    let since = run.session.started.checked_sub_signed(TimeDelta::days(i64::from(options.days)));
    let bucket = &run.settings.bucket.name;
    // Whatever the endpoint was called then: one server may have several names.
    let wanted = |record: &LoadRecord| record.bucket == *bucket && since.is_none_or(|since| record.time >= since);
    let ledger = Ledger::at(&run.staging().state_dir());
    let (files, damaged) = ledger.latest_loads(wanted).map_err(RunError::unusable)?;
    if damaged > 0 {
        tracing::warn!("{damaged} damaged lines of the load records were passed over: their objects are not compared");
    }
    let loads = files.into_iter().map(|load| (load, false));
    let manifests = journal.records().into_iter().filter(|load| wanted(&load.record)).map(|load| (load, true));
    let object = |(load, is_manifest): (LatestLoad, bool)| LoadedObject {
        load: load.record,
        is_manifest,
        is_lost: load.is_lost,
        is_read: false,
    };
    let mut objects: Vec<_> = loads.chain(manifests).map(object).collect();
    let read = (objects.len() as u64 * u64::from(options.read_percent.unwrap_or(0))).div_ceil(100);
    for object in fastrand::choose_multiple(objects.iter_mut(), read as usize) {
        object.is_read = true;
    }
    Ok(objects)
}
