//! Rounds of loading over one connection to the bucket: each loads files, then puts the manifests of the days that are complete.

use std::sync::Arc;

use amp_cli::{Diagnostic, RunError};
use amp_core::ledger::Ledger;

use super::Run;
use crate::descriptors::Descriptors;
use crate::inspect::FileInspector;
use crate::loader::Loader;
use crate::manifest::Manifests;
use crate::plan::Plan;
use crate::recorder::Recorder;
use crate::settings::Settings;
use crate::stats::RunStats;
use crate::store::S3Store;
use crate::summary::Summary;
use crate::upload::{UploadJournal, UploadOptions, Uploader};

/// What the rounds of a run share.
pub(super) struct Rounds<'a> {
    pub(super) run: &'a Run<'a>,
    ledger: Ledger,
    pub(super) uploader: Arc<Uploader>,
    pub(super) manifests: Option<Arc<Manifests>>,
    recorder: Recorder,
    /// What became of the files of all rounds.
    pub(super) stats: Arc<RunStats>,
}

impl<'a> Rounds<'a> {
    /// Aborts uploads that killed runs left open in the bucket. For the holder of amp-load's lock.
    ///
    /// # Errors
    /// When nothing can be uploaded.
    pub(super) async fn begin(
        run: &'a Run<'a>,
        store: Arc<S3Store>,
        manifests: Option<Arc<Manifests>>,
    ) -> Result<Self, RunError> {
        let Settings { bucket, checksum, multipart_threshold, concurrency, keep_local, .. } = run.settings;
        let staging = run.staging();
        let endpoint = store.custom_endpoint();
        let journal = UploadJournal::open(&staging, &bucket.name, endpoint.clone()).map_err(RunError::unusable)?;
        let Descriptors { requests: max_requests, queue } = Descriptors::of_process();
        let (checksum, multipart_threshold, concurrency) = (*checksum, *multipart_threshold, *concurrency);
        let options = UploadOptions { checksum, multipart_threshold, concurrency, max_requests };
        let uploader = Arc::new(Uploader::new(store, Arc::clone(&run.retrier), journal, options, run.stop.clone()));
        uploader.abort_leftovers().await;
        let ledger = Ledger::at(&staging.state_dir());
        let stats = Arc::new(RunStats::new(concurrency.at_start()));
        let recorder = Recorder {
            ledger: ledger.clone(),
            bucket: bucket.name.clone(),
            endpoint,
            keep_local: *keep_local,
            queue,
            stats: Arc::clone(&stats),
        };
        Ok(Self { run, ledger, uploader, manifests, recorder, stats })
    }

    /// Loads what is planned, then puts the manifests that are to be put.
    ///
    /// # Errors
    /// When a thread of ours failed. What becomes of each file is in the counts.
    pub(super) async fn load(&self, plan: Plan) -> Result<(), RunError> {
        self.stats.begin_round(&plan);
        let staging = self.run.staging();
        let bytes = plan.uploads.iter().filter_map(|planned| staging.root().join(&planned.file).metadata().ok());
        let transfer = self.run.session.progress.begin("uploading", Some(bytes.map(|metadata| metadata.len()).sum()));
        transfer.expect_items(plan.uploads.len() as u64);
        let (sender, recording) = self.recorder.clone().start();
        let loader = Arc::new(Loader {
            uploader: Arc::clone(&self.uploader),
            // Anew with each round: what it knows of a day must not be older than the files.
            inspector: Arc::new(FileInspector::new(staging, self.ledger.clone(), self.run.settings.accept_modified)),
            if_exists: self.run.settings.if_exists,
            stop: self.run.stop.clone(),
            transfer: Arc::from(transfer),
            stats: Arc::clone(&self.stats),
        });
        loader.run(plan, sender).await;
        recording.await.map_err(|error| RunError::unusable(format!("internal error: {error}")))?;
        if let Some(manifests) = &self.manifests {
            manifests.put_pending(&self.uploader, &self.stats, &self.run.stop).await;
        }
        Ok(())
    }

    /// Fills in what came of all rounds.
    pub(super) fn conclude(self, summary: &mut Summary) {
        if let Err(error) = self.uploader.journal().tidy() {
            Diagnostic::of(&error).warn();
        }
        self.stats.conclude(summary, self.run.session.stop.is_requested());
    }
}
