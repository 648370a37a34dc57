//! The pipeline: a file takes a permit, is identified, uploaded, confirmed, and handed to the recorder.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use amp_cli::Stop;
use amp_core::progress::Transfer;
use amp_core::receipt::{Checksum, Expected, Proof, Receipt};
use amp_core::retry::Verdict;
use tokio::sync::mpsc::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::body::UploadBody;
use crate::checksum::ContentChecksum;
use crate::confirm::{Confirmer, PendingUpload};
use crate::error::LoadError;
use crate::inspect::{FileInspector, InspectedFile, TrustMode};
use crate::plan::{Plan, PlannedUpload};
use crate::recorder::Loaded;
use crate::settings::{IfExists, Settings};
use crate::stats::RunStats;
use crate::store::{NewObject, Retrier, S3Store, StoreError, StoreErrorKind};
use crate::threads::blocking;
use crate::upload_journal::UploadJournal;

/// All bodies together read ahead no more than this, twice.
const BUFFERS: usize = 8 << 20;
/// So many files in a row must use up their retries before the rest is not tried any more: a server that is down would hold the run up for hours.
const MIN_CONSECUTIVE_FAILURES: usize = 32;
/// Large files under way at the same time; more would only lie open.
const LARGE_AT_ONCE: usize = 2;

/// Loads files.
pub struct Loader {
    /// What was asked for.
    pub settings: Settings,
    /// The bucket.
    pub store: S3Store,
    /// Repeats requests that may pass.
    pub retrier: Arc<Retrier>,
    /// Says what files hold.
    pub inspector: Arc<FileInspector>,
    /// Makes receipts.
    pub confirmer: Confirmer,
    /// The journal of uploads in parts.
    pub uploads: UploadJournal,
    /// Told when no more is to be done: at a signal, or when AWS refuses us.
    pub stop: Stop,
    /// Told how far it is.
    pub transfer: Arc<dyn Transfer>,
    /// Told what became of each file.
    pub stats: Arc<RunStats>,
    permits: Arc<Semaphore>,
    /// Held by files that go in parts.
    pub(crate) large: Semaphore,
}

impl Loader {
    /// A loader with as many permits as the settings allow.
    #[expect(clippy::too_many_arguments, reason = "its parts, each named once")]
    #[must_use]
    pub fn new(
        settings: Settings,
        store: S3Store,
        retrier: Arc<Retrier>,
        inspector: FileInspector,
        uploads: UploadJournal,
        stop: Stop,
        transfer: Arc<dyn Transfer>,
        stats: Arc<RunStats>,
    ) -> Arc<Self> {
        Arc::new(Self {
            inspector: Arc::new(inspector),
            confirmer: Confirmer::new(store.custom_endpoint().is_none()),
            permits: Arc::new(Semaphore::new(settings.concurrency)),
            large: Semaphore::new(LARGE_AT_ONCE),
            settings,
            store,
            retrier,
            uploads,
            stop,
            transfer,
            stats,
        })
    }

    /// Loads all that is planned and hands what S3 confirmed to `recorder`.
    pub async fn run(self: &Arc<Self>, plan: Plan, recorder: Sender<Loaded>) {
        for (file, error) in plan.keyless {
            let planned = PlannedUpload { file, key: String::new() };
            self.stats.failed(&planned, &error.to_string(), Some(&Verdict::Permanent));
        }
        let mut tasks = JoinSet::new();
        let max_consecutive_failures = self.max_consecutive_failures();
        let mut uploads = plan.uploads.into_iter();
        while let Some(planned) = uploads.next() {
            if self.stats.consecutive_failures() >= max_consecutive_failures {
                self.stats.skipped_after_outage(1 + uploads.len(), max_consecutive_failures);
                break;
            }
            // Tasks without a permit wait for the recorder or are large: not too many of them either.
            while tasks.len() >= 4 * self.settings.concurrency {
                self.joined(tasks.join_next().await);
            }
            let Some(permit) = self.permit().await else { break };
            let (loader, recorder) = (Arc::clone(self), recorder.clone());
            tasks.spawn(async move { loader.load(planned, permit, recorder).await });
        }
        while let Some(joined) = tasks.join_next().await {
            self.joined(Some(joined));
        }
    }

    /// So many uploads in a row may fail for good before no other is tried.
    pub(crate) fn max_consecutive_failures(&self) -> usize {
        (4 * self.settings.concurrency).max(MIN_CONSECUTIVE_FAILURES)
    }

    fn joined(&self, joined: Option<Result<(), tokio::task::JoinError>>) {
        if let Some(Err(error)) = joined {
            let nobody = PlannedUpload { file: "a file".to_owned(), key: String::new() };
            self.stats.failed(&nobody, &format!("internal error: {error}"), None);
        }
    }

    /// Leave to upload one file or part; `None` when no more is to be done.
    pub(crate) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let permit = self.stop.unless_requested(Arc::clone(&self.permits).acquire_owned()).await;
        permit.and_then(Result::ok)
    }

    async fn load(self: Arc<Self>, planned: PlannedUpload, permit: OwnedSemaphorePermit, recorder: Sender<Loaded>) {
        let began = Instant::now();
        // Held until a refusal has halted the run, so that no other file begins in between.
        let mut permit = Some(permit);
        let item = Arc::from(self.transfer.item(&planned.file, self.inspector.bytes(&planned.file)));
        match self.upload(&planned, &mut permit, &item).await {
            Ok(Some((inspected, receipt, skipped))) => {
                drop(permit);
                let seconds = began.elapsed().as_secs_f64();
                let InspectedFile { staged, in_place_of, .. } = inspected;
                let loaded = Loaded { staged, planned, receipt, in_place_of, skipped, seconds };
                if let Err(lost) = recorder.send(loaded).await {
                    self.stats.failed(&lost.0.planned, "internal error: nobody notes what was loaded", None);
                }
            }
            Ok(None) => tracing::info!("{}: it is gone; nothing was loaded", planned.file),
            Err(error) => {
                let Some(verdict) = error.verdict() else { return };
                self.stats.failed(&planned, &error.to_string(), Some(&verdict));
                if verdict == Verdict::Refused {
                    self.stop.request();
                }
            }
        }
    }

    /// Uploads a file and has it confirmed; `None` when it is gone. The flag says that the bucket had it already.
    async fn upload(
        self: &Arc<Self>,
        planned: &PlannedUpload,
        permit: &mut Option<OwnedSemaphorePermit>,
        item: &Arc<dyn Transfer>,
    ) -> Result<Option<(InspectedFile, Receipt, bool)>, LoadError> {
        match self.upload_trusting(planned, permit, item, TrustMode::Identity).await {
            // Its stamp may have promised what its bytes did not hold; the bytes tell what it is now.
            Err(LoadError::ChangedWhileRead) if self.inspector.is_in_ledger(&planned.file)? => {
                if permit.is_none() {
                    *permit = self.permit().await;
                }
                match permit {
                    Some(_) => self.upload_trusting(planned, permit, item, TrustMode::Bytes).await,
                    None => Err(LoadError::ChangedWhileRead),
                }
            }
            result => result,
        }
    }

    async fn upload_trusting(
        self: &Arc<Self>,
        planned: &PlannedUpload,
        permit: &mut Option<OwnedSemaphorePermit>,
        item: &Arc<dyn Transfer>,
        trust: TrustMode,
    ) -> Result<Option<(InspectedFile, Receipt, bool)>, LoadError> {
        let (inspector, file) = (Arc::clone(&self.inspector), planned.file.clone());
        let (algorithm, large) = (self.settings.checksum, self.settings.multipart_threshold);
        let inspected = blocking(move || inspector.open(&file, algorithm, large, trust)).await??;
        let Some(inspected) = inspected else { return Ok(None) };
        if self.settings.if_exists != IfExists::Overwrite
            && let Some(receipt) = self.existing(&planned.key, &inspected).await?
        {
            return Ok(Some((inspected, receipt, true)));
        }
        let object = NewObject {
            key: planned.key.clone(),
            content_type: if planned.file.ends_with(".gz") { "application/gzip" } else { "application/x-ndjson" },
            only_if_new: self.settings.if_exists == IfExists::Fail,
        };
        let receipt = if inspected.staged.bytes() > large {
            // Its parts take permits of their own.
            permit.take();
            self.upload_in_parts(&inspected, &object, item).await?
        } else {
            self.upload_whole(&inspected.file, &inspected.content, &object, item).await?
        };
        Ok(Some((inspected, receipt, false)))
    }

    /// The receipt for an object that is there already and is the file. Where we may not look, the upload decides.
    async fn existing(self: &Arc<Self>, key: &str, inspected: &InspectedFile) -> Result<Option<Receipt>, LoadError> {
        let held = match self.retrier.run(|_| self.store.head(key, self.settings.checksum)).await {
            Ok(Some(held)) => held,
            Ok(None) | Err(StoreError { kind: StoreErrorKind::Denied(_), .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if self.settings.if_exists == IfExists::Fail {
            return Err(LoadError::Exists);
        }
        if held.bytes != Some(inspected.content.digest.bytes) {
            return Ok(None);
        }
        let checksum = self.final_checksum(inspected).await?;
        let pending = self.pending(key, &inspected.file, &inspected.content, checksum);
        match self.confirmer.confirm_held(pending, held).await {
            Ok(receipt) if receipt.proof() == Proof::Size => Ok(None),
            Ok(receipt) => Ok(Some(receipt)),
            Err(LoadError::Unconfirmed(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Uploads a file in one request and has it confirmed.
    pub(crate) async fn upload_whole(
        &self,
        file: &Arc<File>,
        sum: &ContentChecksum,
        object: &NewObject,
        item: &Arc<dyn Transfer>,
    ) -> Result<Receipt, LoadError> {
        let checksum = sum.to_checksum();
        let source = self.source(file, 0, sum, true, item);
        let mut tried_before = false;
        let reply = self.retrier.run(|retry| {
            tried_before = retry > 0;
            self.store.put(object, &checksum, &source)
        });
        let reply = match reply.await {
            Ok(reply) => Some(reply),
            // It may be ours: an answer that was lost does not undo the upload.
            Err(StoreError { kind: StoreErrorKind::Exists, .. }) if tried_before => None,
            Err(error) => return Err(error.into()),
        };
        let pending = self.pending(&object.key, file, sum, checksum);
        self.confirm(pending, reply).await
    }

    /// Has an upload confirmed; when only the answer was lost and the object is another's, that is said.
    pub(crate) async fn confirm(
        &self,
        pending: PendingUpload<'_>,
        reply: Option<amp_core::receipt::Stored>,
    ) -> Result<Receipt, LoadError> {
        let answered = reply.is_some();
        match self.confirmer.confirm(&self.store, &self.retrier, pending, reply).await {
            Err(LoadError::Unconfirmed(_)) if !answered && self.settings.if_exists == IfExists::Fail => {
                Err(LoadError::Exists)
            }
            receipt => receipt,
        }
    }

    pub(crate) fn pending<'a>(
        &self,
        key: &'a str,
        file: &'a Arc<File>,
        sum: &ContentChecksum,
        checksum: Checksum,
    ) -> PendingUpload<'a> {
        PendingUpload { key, file, expected: Expected { digest: sum.digest, checksum, etag: None } }
    }

    pub(crate) fn source(
        &self,
        file: &Arc<File>,
        offset: u64,
        sum: &ContentChecksum,
        to_end: bool,
        item: &Arc<dyn Transfer>,
    ) -> UploadBody {
        let buffer = (BUFFERS / self.settings.concurrency).clamp(64 << 10, 256 << 10);
        UploadBody::new(Arc::clone(file), offset, sum.digest, to_end, buffer, Arc::clone(item))
    }
}

/// How long a request that must not be left half done may go on after the run was told to stop.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
