//! Loads what lies in `extracted_data/` into an S3 bucket and deletes what S3 confirmed.
//!
//! [`run`] is the door. A file's way: it is scanned and gets its key ([`plan`]), takes a permit ([`loader`]), is inspected and its digest found
//! ([`inspect`]), goes out as a plain body ([`body`]) through the AWS SDK ([`store`]), what S3 answers becomes a receipt ([`confirm`]),
//! and against the receipt it is noted and deleted ([`recorder`]). When all is done, whole days get their manifests ([`manifest`]).

mod args;
pub mod body;
mod checksum;
pub mod confirm;
mod error;
pub mod inspect;
pub mod key;
pub mod loader;
pub mod manifest;
mod multipart;
pub mod plan;
pub mod recorder;
mod settings;
mod stats;
pub mod store;
mod summary;
pub mod tags;
mod threads;
pub mod upload_journal;
mod verify;

use std::sync::Arc;

use amp_cli::{Session, Stop};
use amp_core::ledger::Ledger;
use amp_core::lock::LockError;
use amp_core::stage::{Scan, Staging};

pub use args::Args;
use error::RunError;
use inspect::FileInspector;
use loader::Loader;
use manifest::{Destination, KeyTaken, ManifestJournal, Manifests};
use plan::Plan;
use recorder::Recorder;
pub use settings::{IfExists, Settings};
use stats::RunStats;
use store::{Retrier, S3Store};
pub use summary::{Failure, Files, Summary, VERIFY_JOB, Verified};
use upload_journal::UploadJournal;

/// Does what `settings` ask and says what came of it. Every failure is in the summary.
pub async fn run(settings: Settings, session: &Session) -> Summary {
    let mut summary = Summary::new(&settings.bucket.name);
    let stop = Stop::default();
    let retrier = Arc::new(Retrier::new(session.common.retry, stop.clone()));
    let relay = relay(session.stop.clone(), stop.clone());
    if let Err(RunError { exit, error }) = attempt(settings, session, &stop, &retrier, &mut summary).await {
        tracing::error!("{error}");
        summary.record_run_error(exit, error);
    }
    relay.abort();
    summary.retries = retrier.retries();
    summary.seconds = session.seconds();
    tracing::info!("{}", summary.line());
    summary
}

async fn attempt(
    settings: Settings,
    session: &Session,
    stop: &Stop,
    retrier: &Arc<Retrier>,
    summary: &mut Summary,
) -> Result<(), RunError> {
    let root = &session.common.extracted_dir;
    if let Some(days) = settings.verify_days {
        return compare(settings, days, session, retrier, summary).await;
    }
    let scan = Staging::existing(root).scan().map_err(RunError::unusable)?;
    log_ignored(&scan);
    if session.common.dry_run {
        return dry_run(scan, &settings, session, summary).await;
    }
    summary.files.found = scan.files.len();
    let may_put = settings.manifest_prefix.is_some() && !days_of(&Staging::existing(root))?.is_empty();
    if scan.files.is_empty() && !may_put {
        tracing::info!("nothing to load in {}", root.display());
        return Ok(());
    }
    log_warnings(&settings);
    let staging = Staging::open(root).map_err(RunError::unusable)?;
    let _lock = staging.lock("load").map_err(|error| match error {
        LockError::Held(_) => RunError::temporary(error),
        LockError::Io(..) => RunError::unusable(error),
    })?;
    // What another run loaded while we had no lock is gone.
    let scan = staging.scan().map_err(RunError::unusable)?;
    summary.files.found = scan.files.len();
    let plan = make_plan(scan, &settings)?;
    let manifests = manifests_of(&staging, &settings).await?.map(Arc::new);
    if summary.files.found == 0 && !is_any_pending(manifests.as_ref()).await? {
        tracing::info!("nothing to load in {}", root.display());
        return Ok(());
    }
    load(settings, session, stop, retrier, staging, plan, manifests, summary).await
}

fn days_of(staging: &Staging) -> Result<Vec<chrono::NaiveDate>, RunError> {
    Ledger::at(&staging.state_dir()).days().map_err(RunError::unusable)
}

/// Gives every file its key, which must not be that of another or of a manifest.
fn make_plan(scan: Scan, settings: &Settings) -> Result<Plan, RunError> {
    let plan = Plan::make(scan, &settings.keys).map_err(RunError::unusable)?;
    let taken = settings.manifest_prefix.as_ref().and_then(|prefix| plan.find_key(|key| prefix.is_manifest_key(key)));
    match taken.cloned() {
        None => Ok(plan),
        Some(plan::PlannedUpload { file, key }) => {
            Err(RunError::unusable(format!("nothing was uploaded: {}", KeyTaken { key, file })))
        }
    }
}

/// The manifests of the run, if it is to put any.
async fn manifests_of(staging: &Staging, settings: &Settings) -> Result<Option<Manifests>, RunError> {
    let Some(prefix) = settings.manifest_prefix.clone() else { return Ok(None) };
    let endpoint = S3Store::custom_endpoint_of(&settings.bucket).await?;
    let to = Destination { bucket: settings.bucket.name.clone(), endpoint, keys: settings.keys.clone() };
    Manifests::open(staging, prefix, to).map(Some).map_err(RunError::unusable)
}

async fn is_any_pending(manifests: Option<&Arc<Manifests>>) -> Result<bool, RunError> {
    let Some(manifests) = manifests.cloned() else { return Ok(false) };
    threads::blocking(move || manifests.is_any_pending()).await.map_err(RunError::unusable)?.map_err(RunError::unusable)
}

fn log_warnings(settings: &Settings) {
    let of_manifests = settings.manifest_prefix.as_ref().and_then(|prefix| prefix.warning(&settings.keys));
    settings.keys.warnings().iter().chain(&of_manifests).for_each(|warning| tracing::warn!("{warning}"));
}

/// Compares what earlier runs loaded with the bucket.
async fn compare(
    settings: Settings,
    days: u32,
    session: &Session,
    retrier: &Arc<Retrier>,
    summary: &mut Summary,
) -> Result<(), RunError> {
    let staging = Staging::existing(&session.common.extracted_dir);
    let manifests = ManifestJournal::open(&staging).map_err(RunError::unusable)?.records();
    let records = verify::recorded(&Ledger::at(&staging.state_dir()), manifests, &settings.bucket.name, days, session)?;
    if session.common.dry_run {
        let planned =
            records.into_iter().map(|known| plan::PlannedUpload { file: known.load.file, key: known.load.key });
        (summary.dry_run, summary.verified, summary.planned) =
            (true, Some(Verified::default()), Some(planned.collect()));
        return Ok(());
    }
    let store = connect(&settings, session, retrier).await?;
    verify::verify(records, settings.concurrency, session, store, retrier, summary).await
}

fn log_ignored(scan: &Scan) {
    scan.ignored.iter().for_each(|(name, why)| tracing::warn!("{name} is left alone: {why}"));
}

/// Says what would be done.
async fn dry_run(scan: Scan, settings: &Settings, session: &Session, summary: &mut Summary) -> Result<(), RunError> {
    log_warnings(settings);
    if settings.bucket.name.is_empty() {
        tracing::warn!("the bucket is missing: give --bucket or set AWS_BUCKET_NAME in the environment or in .env");
    }
    let plan = make_plan(scan, settings)?;
    let staging = Staging::existing(&session.common.extracted_dir);
    if let Some(manifests) = manifests_of(&staging, settings).await? {
        summary.planned_manifests = manifests.expected(&plan.uploads, &staging).map_err(RunError::unusable)?;
    }
    summary.dry_run = true;
    summary.files.found = plan.found();
    let stats = RunStats::default();
    for (file, error) in &plan.keyless {
        let planned = plan::PlannedUpload { file: file.clone(), key: String::new() };
        stats.failed(&planned, &error.to_string(), None);
    }
    if summary.files.found > 0 {
        stats.conclude(summary, false);
    }
    summary.planned = Some(plan.uploads);
    Ok(())
}

/// Connects and makes sure that the bucket is there.
async fn connect(settings: &Settings, session: &Session, retrier: &Retrier) -> Result<S3Store, RunError> {
    let connecting = S3Store::connect(&settings.bucket, settings.object_options.clone(), session.common.read_timeout);
    let Some(store) = session.stop.unless_requested(connecting).await else {
        return Err(RunError { exit: amp_cli::Exit::Interrupted, error: "stopped before anything was done".into() });
    };
    let store = store?;
    let prefix = settings.keys.prefix();
    retrier.run(|_| store.check(prefix)).await?;
    Ok(store)
}

#[expect(clippy::too_many_arguments, reason = "its parts, each named once")]
async fn load(
    settings: Settings,
    session: &Session,
    stop: &Stop,
    retrier: &Arc<Retrier>,
    staging: Staging,
    plan: Plan,
    manifests: Option<Arc<Manifests>>,
    summary: &mut Summary,
) -> Result<(), RunError> {
    let store = connect(&settings, session, retrier).await?;
    let endpoint = store.custom_endpoint();
    let uploads = UploadJournal::open(&staging, &settings.bucket.name, endpoint.clone()).map_err(RunError::unusable)?;
    multipart::abort_leftovers(&store, &uploads).await;

    let ledger = Ledger::at(&staging.state_dir());
    let bytes = plan.uploads.iter().filter_map(|planned| staging.root().join(&planned.file).metadata().ok());
    let transfer = session.progress.begin("uploading", Some(bytes.map(|metadata| metadata.len()).sum()));
    transfer.expect_items(plan.uploads.len() as u64);
    let stats = Arc::new(RunStats::default());
    let recorder = Recorder {
        ledger: ledger.clone(),
        bucket: settings.bucket.name.clone(),
        endpoint,
        keep_local: settings.keep_local,
        stats: Arc::clone(&stats),
    };
    let inspector = FileInspector::new(staging, ledger, settings.accept_modified);
    let (sender, recording) = recorder.start();
    let (retrier, stop, transfer) = (Arc::clone(retrier), stop.clone(), Arc::from(transfer));
    let loader = Loader::new(settings, store, retrier, inspector, uploads, stop, transfer, Arc::clone(&stats));
    loader.run(plan, sender).await;
    recording.await.map_err(|error| RunError::unusable(format!("internal error: {error}")))?;
    if let Some(manifests) = manifests {
        manifests.put_pending(&loader).await;
    }
    if let Err(error) = loader.uploads.tidy() {
        tracing::warn!("{error}");
    }
    stats.conclude(summary, session.stop.is_requested());
    Ok(())
}

/// Halts a run when the program is to stop; a run may also halt by itself.
fn relay(session: Stop, run: Stop) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        session.unless_requested(std::future::pending::<()>()).await;
        run.request();
    })
}
