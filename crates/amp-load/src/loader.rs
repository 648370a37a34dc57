//! The queue of a run: each file is inspected and uploaded, and goes to the recorder with its receipt.

use std::iter;
use std::sync::Arc;
use std::time::Instant;

use amp_cli::{Diagnostic, Retryable, Stop};
use amp_core::progress::Transfer;
use amp_core::retry::Verdict;
use amp_core::stage::StagedFile;
use tokio::sync::mpsc::Sender;
use tokio::task::{JoinError, JoinSet};

use crate::error::LoadError;
use crate::inspect::{FileInspector, InspectedFile, TrustMode};
use crate::plan::{Plan, PlannedUpload};
use crate::recorder::Loaded;
use crate::settings::IfExists;
use crate::stats::RunStats;
use crate::store::{NewObject, StoreError};
use crate::threads::blocking;
use crate::upload::Uploader;

/// Files open beyond those whose requests are under way: they wait for a request, for the recorder or, when large, for each other.
pub(crate) const MAX_WAITING: usize = 16;

/// Loads files.
pub struct Loader {
    /// Brings them into the bucket.
    pub uploader: Arc<Uploader>,
    /// Says what they hold.
    pub inspector: Arc<FileInspector>,
    /// What to do about a key that exists.
    pub if_exists: IfExists,
    /// Requested by a signal, or here when AWS refuses us.
    pub stop: Stop,
    /// Shows how far it is.
    pub transfer: Arc<dyn Transfer>,
    /// Counts what became of each file.
    pub stats: Arc<RunStats>,
}

impl Loader {
    /// Loads all that is planned and hands what S3 confirmed to `recorder`.
    pub async fn run(self: &Arc<Self>, plan: Plan, recorder: Sender<Loaded>) {
        for (planned, error) in plan.refused {
            self.stats.failed(&planned, error.to_string(), Some(&Verdict::Permanent));
        }
        let mut tasks = JoinSet::new();
        let mut uploads = plan.uploads.into_iter();
        while let Some(planned) = uploads.next() {
            if self.stats.is_outage() {
                self.stats.skipped_after_outage(iter::once(planned).chain(uploads).map(|planned| planned.file));
                break;
            }
            while tasks.len() >= self.uploader.request_limit() + MAX_WAITING {
                self.joined(tasks.join_next().await);
            }
            if self.stop.is_requested() {
                break;
            }
            // The handle stays the same file if the name is given to another.
            let staged = match self.inspector.open(&planned.file) {
                Ok(Some(staged)) => staged,
                Ok(None) => {
                    log_gone(&planned);
                    continue;
                }
                Err(error) => {
                    self.failed(&planned, &error.into());
                    continue;
                }
            };
            let (loader, recorder) = (Arc::clone(self), recorder.clone());
            tasks.spawn(async move { loader.load(planned, staged, recorder).await });
        }
        while let Some(joined) = tasks.join_next().await {
            self.joined(Some(joined));
        }
    }

    fn joined(&self, joined: Option<Result<(), JoinError>>) {
        if let Some(Err(error)) = joined {
            let nobody = PlannedUpload { file: "a file".to_owned(), key: String::new() };
            self.stats.failed(&nobody, format!("internal error: {error}"), None);
        }
    }

    async fn load(self: Arc<Self>, planned: PlannedUpload, staged: StagedFile, recorder: Sender<Loaded>) {
        let item = Arc::from(self.transfer.item(&planned.file, staged.bytes()));
        let mut loaded = self.upload(&planned, staged, &item, TrustMode::Identity).await.map(Some);
        if matches!(loaded, Err(LoadError::ChangedWhileRead)) {
            loaded = self.upload_again(&planned, &item).await;
        }
        match loaded {
            Ok(Some(loaded)) => {
                if let Err(lost) = recorder.send(loaded).await {
                    self.stats.failed(&lost.0.planned, "internal error: the recorder stopped", None);
                }
            }
            Ok(None) => log_gone(&planned),
            Err(error) => self.failed(&planned, &error),
        }
    }

    fn failed(&self, planned: &PlannedUpload, error: &LoadError) {
        if let Some(verdict) = error.verdict() {
            self.stats.failed(planned, Diagnostic::of(error), Some(&verdict));
        }
    }

    /// Uploads a file whose inode, size and time may have promised what its bytes did not hold: the bytes tell what it is now.
    /// `None` when it is gone.
    async fn upload_again(
        &self,
        planned: &PlannedUpload,
        item: &Arc<dyn Transfer>,
    ) -> Result<Option<Loaded>, LoadError> {
        if !self.inspector.is_in_ledger(&planned.file)? {
            return Err(LoadError::ChangedWhileRead);
        }
        match self.inspector.open(&planned.file)? {
            Some(staged) => self.upload(planned, staged, item, TrustMode::Bytes).await.map(Some),
            None => Ok(None),
        }
    }

    /// Uploads a file, or finds it in the bucket.
    async fn upload(
        &self,
        planned: &PlannedUpload,
        staged: StagedFile,
        item: &Arc<dyn Transfer>,
        trust: TrustMode,
    ) -> Result<Loaded, LoadError> {
        let is_large = self.uploader.is_large(staged.bytes());
        // Taken here, so that the small ones behind it need not wait, and its bytes are read only when its turn has come.
        let _permit = match is_large {
            true => Some(self.uploader.large_file_permit().await.ok_or_else(StoreError::stopped)?),
            false => None,
        };
        let began = Instant::now();
        let (inspector, algorithm) = (Arc::clone(&self.inspector), self.uploader.whole_file_algorithm(staged.bytes()));
        let InspectedFile { staged, hashed, in_place_of } =
            blocking(move || inspector.inspect(staged, algorithm, trust)).await??;
        let existing = match self.if_exists {
            IfExists::Overwrite => None,
            _ => self.uploader.find(&planned.key).await?,
        };
        let existing = match existing {
            Some(_) if self.if_exists == IfExists::Fail => return Err(LoadError::Exists),
            Some(held) => self.uploader.confirm_existing(&planned.key, &hashed, held).await?,
            None => None,
        };
        let already_there = existing.is_some();
        let receipt = match existing {
            Some(receipt) => receipt,
            None => self.uploader.upload(&hashed, &self.object_of(planned), item).await?,
        };
        let seconds = began.elapsed().as_secs_f64();
        Ok(Loaded { staged, planned: planned.clone(), receipt, in_place_of, already_there, seconds })
    }

    fn object_of(&self, PlannedUpload { file, key }: &PlannedUpload) -> NewObject {
        NewObject {
            key: key.clone(),
            content_type: if file.ends_with(".gz") { "application/gzip" } else { "application/x-ndjson" },
            only_if_new: self.if_exists == IfExists::Fail,
            in_default_class: false,
        }
    }
}

fn log_gone(planned: &PlannedUpload) {
    tracing::info!("{}: it is gone; nothing was loaded", planned.file);
}
