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

use crate::body::Source;
use crate::confirm::{Claim, Confirmation};
use crate::error::LoadError;
use crate::identify::{Identifier, Opened, Trust};
use crate::plan::{Plan, Planned};
use crate::recorder::Loaded;
use crate::settings::{IfExists, Settings};
use crate::store::{NewObject, S3Store, StoreError, Tries, Trouble};
use crate::sum::Sum;
use crate::tally::Tally;
use crate::threads::blocking;
use crate::uploads::Uploads;

/// All bodies together read ahead no more than this, twice.
const BUFFERS: usize = 8 << 20;
/// So many files in a row must use up their retries before the rest is not tried any more: a server that is down would hold the run up for hours.
const LEAST_PATIENCE: usize = 32;
/// Large files under way at the same time; more would only lie open.
const LARGE_AT_ONCE: usize = 2;

/// Loads files.
pub struct Loader {
    /// What was asked for.
    pub settings: Settings,
    /// The bucket.
    pub store: S3Store,
    /// Who tries again.
    pub tries: Arc<Tries>,
    /// Says what files hold.
    pub identifier: Arc<Identifier>,
    /// Makes receipts.
    pub confirmation: Confirmation,
    /// The journal of uploads in parts.
    pub uploads: Uploads,
    /// Told when no more is to be done: at a signal, or when AWS refuses us.
    pub halt: Stop,
    /// Told how far it is.
    pub meter: Arc<dyn Transfer>,
    /// Told what became of each file.
    pub tally: Arc<Tally>,
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
        tries: Arc<Tries>,
        identifier: Identifier,
        uploads: Uploads,
        halt: Stop,
        meter: Arc<dyn Transfer>,
        tally: Arc<Tally>,
    ) -> Arc<Self> {
        Arc::new(Self {
            identifier: Arc::new(identifier),
            confirmation: Confirmation::new(store.foreign_endpoint().is_none()),
            permits: Arc::new(Semaphore::new(settings.concurrency)),
            large: Semaphore::new(LARGE_AT_ONCE),
            settings,
            store,
            tries,
            uploads,
            halt,
            meter,
            tally,
        })
    }

    /// Loads all that is planned and hands what S3 confirmed to `recorder`.
    pub async fn run(self: &Arc<Self>, plan: Plan, recorder: Sender<Loaded>) {
        for (file, error) in plan.keyless {
            let planned = Planned { file, key: String::new() };
            self.tally.failed(&planned, &error.to_string(), Some(&Verdict::Permanent));
        }
        let mut tasks = JoinSet::new();
        let patience = self.patience();
        let mut uploads = plan.uploads.into_iter();
        while let Some(planned) = uploads.next() {
            if self.tally.in_vain() >= patience {
                self.tally.untried(1 + uploads.len(), patience);
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
    pub(crate) fn patience(&self) -> usize {
        (4 * self.settings.concurrency).max(LEAST_PATIENCE)
    }

    fn joined(&self, joined: Option<Result<(), tokio::task::JoinError>>) {
        if let Some(Err(error)) = joined {
            let nobody = Planned { file: "a file".to_owned(), key: String::new() };
            self.tally.failed(&nobody, &format!("internal error: {error}"), None);
        }
    }

    /// Leave to upload one file or part; `None` when no more is to be done.
    pub(crate) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let permit = self.halt.unless_requested(Arc::clone(&self.permits).acquire_owned()).await;
        permit.and_then(Result::ok)
    }

    async fn load(self: Arc<Self>, planned: Planned, permit: OwnedSemaphorePermit, recorder: Sender<Loaded>) {
        let began = Instant::now();
        // Held until a refusal has halted the run, so that no other file begins in between.
        let mut permit = Some(permit);
        let item = Arc::from(self.meter.item(&planned.file, self.identifier.bytes(&planned.file)));
        match self.upload(&planned, &mut permit, &item).await {
            Ok(Some((opened, receipt, skipped))) => {
                drop(permit);
                let seconds = began.elapsed().as_secs_f64();
                let Opened { staged, in_place_of, .. } = opened;
                let loaded = Loaded { staged, planned, receipt, in_place_of, skipped, seconds };
                if let Err(lost) = recorder.send(loaded).await {
                    self.tally.failed(&lost.0.planned, "internal error: nobody notes what was loaded", None);
                }
            }
            Ok(None) => tracing::info!("{}: it is gone; nothing was loaded", planned.file),
            Err(error) => {
                let Some(verdict) = error.verdict() else { return };
                self.tally.failed(&planned, &error.to_string(), Some(&verdict));
                if verdict == Verdict::Refused {
                    self.halt.request();
                }
            }
        }
    }

    /// Uploads a file and has it confirmed; `None` when it is gone. The flag says that the bucket had it already.
    async fn upload(
        self: &Arc<Self>,
        planned: &Planned,
        permit: &mut Option<OwnedSemaphorePermit>,
        item: &Arc<dyn Transfer>,
    ) -> Result<Option<(Opened, Receipt, bool)>, LoadError> {
        match self.upload_trusting(planned, permit, item, Trust::Stamp).await {
            // Its stamp may have promised what its bytes did not hold; the bytes tell what it is now.
            Err(LoadError::Unsteady) if self.identifier.is_known(&planned.file)? => {
                if permit.is_none() {
                    *permit = self.permit().await;
                }
                match permit {
                    Some(_) => self.upload_trusting(planned, permit, item, Trust::Bytes).await,
                    None => Err(LoadError::Unsteady),
                }
            }
            result => result,
        }
    }

    async fn upload_trusting(
        self: &Arc<Self>,
        planned: &Planned,
        permit: &mut Option<OwnedSemaphorePermit>,
        item: &Arc<dyn Transfer>,
        trust: Trust,
    ) -> Result<Option<(Opened, Receipt, bool)>, LoadError> {
        let (identifier, file) = (Arc::clone(&self.identifier), planned.file.clone());
        let (algorithm, large) = (self.settings.checksum, self.settings.multipart_threshold);
        let opened = blocking(move || identifier.open(&file, algorithm, large, trust)).await??;
        let Some(opened) = opened else { return Ok(None) };
        if self.settings.if_exists != IfExists::Overwrite
            && let Some(receipt) = self.existing(&planned.key, &opened).await?
        {
            return Ok(Some((opened, receipt, true)));
        }
        let object = NewObject {
            key: planned.key.clone(),
            content_type: if planned.file.ends_with(".gz") { "application/gzip" } else { "application/x-ndjson" },
            only_if_new: self.settings.if_exists == IfExists::Fail,
        };
        let receipt = if opened.staged.bytes() > large {
            // Its parts take permits of their own.
            permit.take();
            self.upload_in_parts(&opened, &object, item).await?
        } else {
            self.upload_whole(&opened.file, &opened.sum, &object, item).await?
        };
        Ok(Some((opened, receipt, false)))
    }

    /// The receipt for an object that is there already and is the file. Where we may not look, the upload decides.
    async fn existing(self: &Arc<Self>, key: &str, opened: &Opened) -> Result<Option<Receipt>, LoadError> {
        let held = match self.tries.run(|_| self.store.head(key, self.settings.checksum)).await {
            Ok(Some(held)) => held,
            Ok(None) | Err(StoreError { trouble: Trouble::Denied(_), .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if self.settings.if_exists == IfExists::Fail {
            return Err(LoadError::Exists);
        }
        if held.bytes != Some(opened.sum.digest.bytes) {
            return Ok(None);
        }
        let checksum = self.final_checksum(opened).await?;
        let claim = self.claim(key, &opened.file, &opened.sum, checksum);
        match self.confirmation.by_best(claim, held).await {
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
        sum: &Sum,
        object: &NewObject,
        item: &Arc<dyn Transfer>,
    ) -> Result<Receipt, LoadError> {
        let checksum = sum.checksum();
        let source = self.source(file, 0, sum, true, item);
        let mut tried_before = false;
        let reply = self.tries.run(|retry| {
            tried_before = retry > 0;
            self.store.put(object, &checksum, &source)
        });
        let reply = match reply.await {
            Ok(reply) => Some(reply),
            // It may be ours: an answer that was lost does not undo the upload.
            Err(StoreError { trouble: Trouble::Exists, .. }) if tried_before => None,
            Err(error) => return Err(error.into()),
        };
        let claim = self.claim(&object.key, file, sum, checksum);
        self.confirm(claim, reply).await
    }

    /// Has an upload confirmed; when only the answer was lost and the object is another's, that is said.
    pub(crate) async fn confirm(
        &self,
        claim: Claim<'_>,
        reply: Option<amp_core::receipt::Stored>,
    ) -> Result<Receipt, LoadError> {
        let answered = reply.is_some();
        match self.confirmation.receipt(&self.store, &self.tries, claim, reply).await {
            Err(LoadError::Unconfirmed(_)) if !answered && self.settings.if_exists == IfExists::Fail => {
                Err(LoadError::Exists)
            }
            receipt => receipt,
        }
    }

    pub(crate) fn claim<'a>(&self, key: &'a str, file: &'a Arc<File>, sum: &Sum, checksum: Checksum) -> Claim<'a> {
        Claim { key, file, expected: Expected { digest: sum.digest, checksum, etag: None } }
    }

    pub(crate) fn source(
        &self,
        file: &Arc<File>,
        offset: u64,
        sum: &Sum,
        to_end: bool,
        item: &Arc<dyn Transfer>,
    ) -> Source {
        let buffer = (BUFFERS / self.settings.concurrency).clamp(64 << 10, 256 << 10);
        Source::new(Arc::clone(file), offset, sum.digest, to_end, buffer, Arc::clone(item))
    }
}

/// How long a request that must not be left half done may go on after the run was told to stop.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
