//! Loads the files, then puts the manifests of the days that are complete.

use std::path::Path;
use std::sync::Arc;

use amp_cli::RunError;
use amp_core::ledger::Ledger;
use amp_core::lock::LockError;
use amp_core::stage::Staging;

use super::Run;
use crate::inspect::FileInspector;
use crate::loader::Loader;
use crate::manifest::Manifests;
use crate::plan::Plan;
use crate::recorder::Recorder;
use crate::settings::Settings;
use crate::stats::RunStats;
use crate::summary::Summary;
use crate::threads;
use crate::upload::{UploadJournal, UploadOptions, Uploader};

/// Loads what is there and fills in what came of it.
///
/// # Errors
/// When nothing could be begun. What becomes of each file is in `summary`.
pub(crate) async fn load(run: &Run<'_>, summary: &mut Summary) -> Result<(), RunError> {
    let root = &run.session.common.extracted_dir;
    let scan = run.scan()?;
    summary.files.found = scan.files.len();
    summary.place = place(root);
    if scan.files.is_empty() && !may_put_manifests(run)? {
        tracing::info!("nothing to load in {}", summary.place);
        return Ok(());
    }
    run.log_warnings();
    let staging = Staging::open(root).map_err(RunError::unusable)?.until(run.session.stop.flag());
    let _lock = staging.lock("load").map_err(|error| match error {
        LockError::Held(_) => RunError::temporary(error),
        LockError::Io(..) => RunError::unusable(error),
    })?;
    // What another run loaded while we had no lock is gone.
    let scan = staging.scan().map_err(RunError::unusable)?;
    summary.files.found = scan.files.len();
    let plan = run.plan(scan)?;
    let manifests = run.manifests(&staging).await?.map(Arc::new);
    if summary.files.found == 0 && !is_any_pending(manifests.as_ref()).await? {
        tracing::info!("nothing to load in {}", summary.place);
        return Ok(());
    }
    load_planned(run, staging, plan, manifests, summary).await
}

/// The directory in full, and whether it is there: who stands in the wrong one sees it.
fn place(root: &Path) -> String {
    let path = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let missing = if path.exists() { "" } else { " (no such directory)" };
    format!("{}{missing}", path.display())
}

fn may_put_manifests(run: &Run<'_>) -> Result<bool, RunError> {
    if run.settings.manifest_prefix.is_none() {
        return Ok(false);
    }
    let days = Ledger::at(&run.staging().state_dir()).days().map_err(RunError::unusable)?;
    Ok(!days.is_empty())
}

async fn is_any_pending(manifests: Option<&Arc<Manifests>>) -> Result<bool, RunError> {
    let Some(manifests) = manifests.cloned() else { return Ok(false) };
    threads::blocking(move || manifests.is_any_pending()).await.map_err(RunError::unusable)?.map_err(RunError::unusable)
}

async fn load_planned(
    run: &Run<'_>,
    staging: Staging,
    plan: Plan,
    manifests: Option<Arc<Manifests>>,
    summary: &mut Summary,
) -> Result<(), RunError> {
    let Settings { bucket, checksum, multipart_threshold, concurrency, .. } = run.settings;
    let store = run.connect().await?;
    let endpoint = store.custom_endpoint();
    let journal = UploadJournal::open(&staging, &bucket.name, endpoint.clone()).map_err(RunError::unusable)?;
    let options =
        UploadOptions { checksum: *checksum, multipart_threshold: *multipart_threshold, concurrency: *concurrency };
    let uploader = Arc::new(Uploader::new(store, Arc::clone(&run.retrier), journal, options, run.stop.clone()));
    uploader.abort_leftovers().await;

    let ledger = Ledger::at(&staging.state_dir());
    let bytes = plan.uploads.iter().filter_map(|planned| staging.root().join(&planned.file).metadata().ok());
    let transfer = run.session.progress.begin("uploading", Some(bytes.map(|metadata| metadata.len()).sum()));
    transfer.expect_items(plan.uploads.len() as u64);
    let stats = Arc::new(RunStats::new(*concurrency));
    let recorder = Recorder {
        ledger: ledger.clone(),
        bucket: bucket.name.clone(),
        endpoint,
        keep_local: run.settings.keep_local,
        stats: Arc::clone(&stats),
    };
    let (sender, recording) = recorder.start();
    let loader = Arc::new(Loader {
        uploader: Arc::clone(&uploader),
        inspector: Arc::new(FileInspector::new(staging, ledger, run.settings.accept_modified)),
        if_exists: run.settings.if_exists,
        stop: run.stop.clone(),
        transfer: Arc::from(transfer),
        stats: Arc::clone(&stats),
    });
    loader.run(plan, sender).await;
    recording.await.map_err(|error| RunError::unusable(format!("internal error: {error}")))?;
    if let Some(manifests) = manifests {
        manifests.put_pending(&uploader, &stats, &run.stop).await;
    }
    if let Err(error) = uploader.journal().tidy() {
        tracing::warn!("{error}");
    }
    stats.conclude(summary, run.session.stop.is_requested());
    Ok(())
}
