//! Loads what lies in `extracted_data/` into an S3 bucket and deletes what S3 confirmed.
//!
//! [`run`] is the door. A file's way: it is scanned and gets its key ([`plan`]), takes a permit ([`loader`]), is opened and its digest found
//! ([`identify`]), goes out as a plain body ([`body`]) through the AWS SDK ([`store`]), what S3 answers becomes a receipt ([`confirm`]),
//! and against the receipt it is noted and deleted ([`recorder`]). When all is done, whole days get their manifests ([`manifest`]).

mod args;
pub mod body;
pub mod confirm;
mod error;
pub mod identify;
pub mod key;
pub mod loader;
pub mod manifest;
mod multipart;
pub mod plan;
pub mod recorder;
mod settings;
pub mod store;
mod sum;
mod summary;
pub mod tags;
mod tally;
mod threads;
pub mod uploads;
mod verify;

use std::sync::Arc;

use amp_cli::{Session, Stop};
use amp_core::ledger::Ledger;
use amp_core::lock::LockError;
use amp_core::stage::{Scan, Staging};

pub use args::Args;
use error::End;
use identify::Identifier;
use loader::Loader;
use manifest::{Destination, Journal, KeyTaken, Manifests};
use plan::Plan;
use recorder::Recorder;
pub use settings::{IfExists, Settings};
use store::{S3Store, Tries};
pub use summary::{Failure, Files, Summary, VERIFY_JOB, Verified};
use tally::Tally;
use uploads::Uploads;

/// Does what `settings` ask and says what came of it. Every failure is in the summary.
pub async fn run(settings: Settings, session: &Session) -> Summary {
    let mut summary = Summary::new(&settings.place.bucket);
    let halt = Stop::default();
    let tries = Arc::new(Tries::new(session.common.retry, halt.clone()));
    let relay = relay(session.stop.clone(), halt.clone());
    if let Err(End { exit, error }) = attempt(settings, session, &halt, &tries, &mut summary).await {
        tracing::error!("{error}");
        summary.end(exit, error);
    }
    relay.abort();
    summary.retries = tries.retries();
    summary.seconds = session.seconds();
    tracing::info!("{}", summary.line());
    summary
}

async fn attempt(
    settings: Settings,
    session: &Session,
    halt: &Stop,
    tries: &Arc<Tries>,
    summary: &mut Summary,
) -> Result<(), End> {
    let root = &session.common.extracted_dir;
    if let Some(days) = settings.verify_days {
        return compare(settings, days, session, tries, summary).await;
    }
    let scan = Staging::existing(root).scan().map_err(End::unusable)?;
    tell_ignored(&scan);
    if session.common.dry_run {
        return rehearse(scan, &settings, session, summary).await;
    }
    summary.files.found = scan.files.len();
    let may_put = settings.manifest_prefix.is_some() && !days_of(&Staging::existing(root))?.is_empty();
    if scan.files.is_empty() && !may_put {
        tracing::info!("nothing to load in {}", root.display());
        return Ok(());
    }
    tell_doubts(&settings);
    let staging = Staging::open(root).map_err(End::unusable)?;
    let _lock = staging.lock("load").map_err(|error| match error {
        LockError::Held(_) => End::temporary(error),
        LockError::Io(..) => End::unusable(error),
    })?;
    // What another run loaded while we had no lock is gone.
    let scan = staging.scan().map_err(End::unusable)?;
    summary.files.found = scan.files.len();
    let plan = make_plan(scan, &settings)?;
    let manifests = manifests_of(&staging, &settings).await?.map(Arc::new);
    if summary.files.found == 0 && !is_any_due(manifests.as_ref()).await? {
        tracing::info!("nothing to load in {}", root.display());
        return Ok(());
    }
    load(settings, session, halt, tries, staging, plan, manifests, summary).await
}

fn days_of(staging: &Staging) -> Result<Vec<chrono::NaiveDate>, End> {
    Ledger::at(&staging.state_dir()).days().map_err(End::unusable)
}

/// Gives every file its key, which must not be that of another or of a manifest.
fn make_plan(scan: Scan, settings: &Settings) -> Result<Plan, End> {
    let plan = Plan::make(scan, &settings.keys).map_err(End::unusable)?;
    let taken = settings.manifest_prefix.as_ref().and_then(|prefix| plan.find_key(|key| prefix.takes(key)));
    match taken.cloned() {
        None => Ok(plan),
        Some(plan::Planned { file, key }) => {
            Err(End::unusable(format!("nothing was uploaded: {}", KeyTaken { key, file })))
        }
    }
}

/// The manifests of the run, if it is to put any.
async fn manifests_of(staging: &Staging, settings: &Settings) -> Result<Option<Manifests>, End> {
    let Some(prefix) = settings.manifest_prefix.clone() else { return Ok(None) };
    let endpoint = S3Store::foreign_endpoint_of(&settings.place).await?;
    let to = Destination { bucket: settings.place.bucket.clone(), endpoint, keys: settings.keys.clone() };
    Manifests::open(staging, prefix, to).map(Some).map_err(End::unusable)
}

async fn is_any_due(manifests: Option<&Arc<Manifests>>) -> Result<bool, End> {
    let Some(manifests) = manifests.cloned() else { return Ok(false) };
    threads::blocking(move || manifests.is_any_due()).await.map_err(End::unusable)?.map_err(End::unusable)
}

fn tell_doubts(settings: &Settings) {
    let of_manifests = settings.manifest_prefix.as_ref().and_then(|prefix| prefix.doubt(&settings.keys));
    settings.keys.doubts().iter().chain(&of_manifests).for_each(|doubt| tracing::warn!("{doubt}"));
}

/// Compares what earlier runs loaded with the bucket.
async fn compare(
    settings: Settings,
    days: u32,
    session: &Session,
    tries: &Arc<Tries>,
    summary: &mut Summary,
) -> Result<(), End> {
    let staging = Staging::existing(&session.common.extracted_dir);
    let manifests = Journal::open(&staging).map_err(End::unusable)?.records();
    let records =
        verify::recorded(&Ledger::at(&staging.state_dir()), manifests, &settings.place.bucket, days, session)?;
    if session.common.dry_run {
        let planned = records.into_iter().map(|known| plan::Planned { file: known.load.file, key: known.load.key });
        (summary.dry_run, summary.verified, summary.planned) =
            (true, Some(Verified::default()), Some(planned.collect()));
        return Ok(());
    }
    let store = reach(&settings, session, tries).await?;
    verify::verify(records, settings.concurrency, session, store, tries, summary).await
}

fn tell_ignored(scan: &Scan) {
    scan.ignored.iter().for_each(|(name, why)| tracing::warn!("{name} is left alone: {why}"));
}

/// Says what would be done.
async fn rehearse(scan: Scan, settings: &Settings, session: &Session, summary: &mut Summary) -> Result<(), End> {
    tell_doubts(settings);
    if settings.place.bucket.is_empty() {
        tracing::warn!("the bucket is missing: give --bucket or set AWS_BUCKET_NAME in the environment or in .env");
    }
    let plan = make_plan(scan, settings)?;
    let staging = Staging::existing(&session.common.extracted_dir);
    if let Some(manifests) = manifests_of(&staging, settings).await? {
        summary.planned_manifests = manifests.expected(&plan.uploads, &staging).map_err(End::unusable)?;
    }
    summary.dry_run = true;
    summary.files.found = plan.found();
    let tally = Tally::default();
    for (file, error) in &plan.keyless {
        let planned = plan::Planned { file: file.clone(), key: String::new() };
        tally.failed(&planned, &error.to_string(), None);
    }
    if summary.files.found > 0 {
        tally.conclude(summary, false);
    }
    summary.planned = Some(plan.uploads);
    Ok(())
}

/// Connects and makes sure that the bucket is there.
async fn reach(settings: &Settings, session: &Session, tries: &Tries) -> Result<S3Store, End> {
    let connecting = S3Store::connect(&settings.place, settings.storage.clone(), session.common.read_timeout);
    let Some(store) = session.stop.unless_requested(connecting).await else {
        return Err(End { exit: amp_cli::Exit::Interrupted, error: "stopped before anything was done".into() });
    };
    let store = store?;
    let prefix = settings.keys.prefix();
    tries.run(|_| store.check(prefix)).await?;
    Ok(store)
}

#[expect(clippy::too_many_arguments, reason = "its parts, each named once")]
async fn load(
    settings: Settings,
    session: &Session,
    halt: &Stop,
    tries: &Arc<Tries>,
    staging: Staging,
    plan: Plan,
    manifests: Option<Arc<Manifests>>,
    summary: &mut Summary,
) -> Result<(), End> {
    let store = reach(&settings, session, tries).await?;
    let endpoint = store.foreign_endpoint();
    let uploads = Uploads::open(&staging, &settings.place.bucket, endpoint.clone()).map_err(End::unusable)?;
    multipart::abort_leftovers(&store, &uploads).await;

    let ledger = Ledger::at(&staging.state_dir());
    let bytes = plan.uploads.iter().filter_map(|planned| staging.root().join(&planned.file).metadata().ok());
    let meter = session.progress.begin("uploading", Some(bytes.map(|metadata| metadata.len()).sum()));
    meter.expect_items(plan.uploads.len() as u64);
    let tally = Arc::new(Tally::default());
    let recorder = Recorder {
        ledger: ledger.clone(),
        bucket: settings.place.bucket.clone(),
        endpoint,
        keep_local: settings.keep_local,
        tally: Arc::clone(&tally),
    };
    let identifier = Identifier::new(staging, ledger, settings.accept_modified);
    let (sender, recording) = recorder.start();
    let (tries, halt, meter) = (Arc::clone(tries), halt.clone(), Arc::from(meter));
    let loader = Loader::new(settings, store, tries, identifier, uploads, halt, meter, Arc::clone(&tally));
    loader.run(plan, sender).await;
    recording.await.map_err(|error| End::unusable(format!("internal error: {error}")))?;
    if let Some(manifests) = manifests {
        manifests.put_due(&loader).await;
    }
    if let Err(error) = loader.uploads.tidy() {
        tracing::warn!("{error}");
    }
    tally.conclude(summary, session.stop.is_requested());
    Ok(())
}

/// Halts a run when the program is to stop; a run may also halt by itself.
fn relay(stop: Stop, halt: Stop) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        stop.unless_requested(std::future::pending::<()>()).await;
        halt.request();
    })
}
