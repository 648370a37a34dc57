//! From an open file to a receipt: uploads it in one request or in parts, and has S3 confirm what it stored.

mod abort;
mod applied;
mod concurrency;
mod confirm;
mod in_memory;
mod journal;
mod multipart;
mod probe;
mod requests;
mod whole;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use amp_cli::{Retrier, Retryable, Stop};
use amp_core::progress::Transfer;
use amp_core::receipt::{Algorithm, Checksum, Expected, Receipt};
use amp_core::retry::{Effort, Verdict};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::checksum::HashedFile;
use crate::error::LoadError;
use crate::store::{HeldObject, NewObject, S3Store, StoreError, StoreErrorKind, UploadBody};
pub use concurrency::Concurrency;
use confirm::{Confirmer, PendingUpload};
pub(crate) use in_memory::file_in_memory;
pub use journal::{Leftover, UploadJournal};
use requests::Permit;
pub(crate) use requests::Requests;

/// All large bodies together read ahead no more bytes than this, twice.
const READ_AHEAD: usize = 8 << 20;
/// Large files under way at the same time; more would only lie open.
const MAX_LARGE_FILES: usize = 2;

/// How files are uploaded.
#[derive(Debug, Clone, Copy)]
pub struct UploadOptions {
    /// The checksum that is sent and compared.
    pub checksum: Algorithm,
    /// Files of more bytes go in parts.
    pub multipart_threshold: u64,
    /// How many requests are under way at the same time.
    pub concurrency: Concurrency,
    /// How many there can be at most.
    pub max_requests: usize,
}

/// Uploads files to one bucket. It does not return a receipt before S3 has confirmed the bytes.
pub struct Uploader {
    store: Arc<S3Store>,
    requests: Requests,
    /// Begins uploads anew; each request of theirs has its own retries.
    retrier: Arc<Retrier>,
    confirmer: Confirmer,
    journal: UploadJournal,
    options: UploadOptions,
    stop: Stop,
    /// Whether an object was looked at for what the server drops.
    looked_for_dropped: AtomicBool,
    large_files: Semaphore,
}

impl Uploader {
    /// An uploader that begins nothing more once `stop` is requested, and requests it when AWS refuses us.
    pub fn new(
        store: Arc<S3Store>,
        retrier: Arc<Retrier>,
        journal: UploadJournal,
        options: UploadOptions,
        stop: Stop,
    ) -> Self {
        Self {
            confirmer: Confirmer::new(store.custom_endpoint().is_none()),
            requests: Requests::new(options.concurrency, options.max_requests, Arc::clone(&retrier), stop.clone()),
            large_files: Semaphore::new(MAX_LARGE_FILES),
            looked_for_dropped: AtomicBool::new(false),
            store,
            retrier,
            journal,
            options,
            stop,
        }
    }

    /// How files are uploaded.
    pub fn options(&self) -> &UploadOptions {
        &self.options
    }

    /// The bucket.
    pub fn store(&self) -> &Arc<S3Store> {
        &self.store
    }

    /// Repeats requests, and counts how often.
    pub(crate) fn retrier(&self) -> &Arc<Retrier> {
        &self.retrier
    }

    /// What a key is called in messages.
    pub fn url(&self, key: &str) -> String {
        self.store.url(key)
    }

    /// The journal of uploads in parts.
    pub fn journal(&self) -> &UploadJournal {
        &self.journal
    }

    /// Whether a file of that many bytes goes in parts.
    pub fn is_large(&self, bytes: u64) -> bool {
        bytes > self.options.multipart_threshold
    }

    /// The checksum that a file of that many bytes needs as a whole. A large one is known by its digest alone: its parts get checksums of
    /// their own.
    pub fn whole_file_algorithm(&self, bytes: u64) -> Algorithm {
        if self.is_large(bytes) { Algorithm::Crc64nvme } else { self.options.checksum }
    }

    /// How many requests may be under way at the same time, for now.
    pub fn request_limit(&self) -> usize {
        self.requests.limit()
    }

    /// One of few places for large files; `None` when no more is to be done.
    pub async fn large_file_permit(&self) -> Option<SemaphorePermit<'_>> {
        self.stop.unless_requested(self.large_files.acquire()).await.and_then(Result::ok)
    }

    /// Uploads `file` and has it confirmed; for a large one the caller has a permit.
    ///
    /// # Errors
    /// When S3 does not confirm that it holds the bytes.
    pub async fn upload(
        self: &Arc<Self>,
        file: &HashedFile,
        object: &NewObject,
        transfer: &Arc<dyn Transfer>,
    ) -> Result<Receipt, LoadError> {
        if self.is_large(file.content.digest.bytes) {
            self.until_confirmed(object, || self.upload_in_parts(file, object, transfer)).await
        } else {
            self.upload_whole(file, object, transfer).await
        }
    }

    /// Uploads a file in one request, whatever its size, and has it confirmed.
    ///
    /// # Errors
    /// When S3 does not confirm that it holds the bytes.
    pub async fn upload_whole(
        &self,
        file: &HashedFile,
        object: &NewObject,
        transfer: &Arc<dyn Transfer>,
    ) -> Result<Receipt, LoadError> {
        self.until_confirmed(object, || self.send_whole(file, object, transfer)).await
    }

    /// Uploads again, within the retries, what S3 took and holds otherwise: a byte that changed on its way.
    async fn until_confirmed<F>(&self, object: &NewObject, upload: impl Fn() -> F) -> Result<Receipt, LoadError>
    where
        F: Future<Output = Result<Receipt, LoadError>>,
    {
        // The damaged object has the key: only one that may be replaced can be sent again.
        if object.only_if_new {
            return Box::pin(upload()).await;
        }
        // Its requests end by themselves when the run is to stop; what they leave half done must still be aborted.
        let sent = self.retrier.run_with_grace(Duration::MAX, |_| {
            let upload = Box::pin(upload());
            async move { upload.await.map_err(|error| FailedUpload { error, url: self.url(&object.key) }) }
        });
        sent.await.map_err(|failed| failed.error)
    }

    /// What S3 holds under a key; `None` also where we may not look, so that the upload decides.
    ///
    /// # Errors
    /// When S3 does not tell.
    pub async fn find(&self, key: &str) -> Result<Option<HeldObject>, LoadError> {
        match self.requests.run(0, |_| self.store.head(key, self.options.checksum)).await {
            Err(StoreError { kind: StoreErrorKind::Denied(_), .. }) => Ok(None),
            found => Ok(found?),
        }
    }

    /// The receipt for the object that S3 `held` before, if it is the file, encrypted as asked.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn confirm_existing(
        &self,
        key: &str,
        file: &HashedFile,
        held: HeldObject,
    ) -> Result<Option<Receipt>, LoadError> {
        let asked = self.store.object_options().encryption.as_ref();
        let is_encrypted = asked.is_none_or(|asked| asked.is_confirmed_by(held.encryption.as_ref()));
        if held.bytes != Some(file.content.digest.bytes) || !is_encrypted {
            return Ok(None);
        }
        let checksum = self.final_checksum(file).await?;
        let pending = Self::pending(key, file, checksum);
        match Box::pin(self.confirmer.confirm_held(&self.store, &self.requests, None, pending, held)).await {
            Ok(receipt) => Ok(Some(receipt)),
            Err(LoadError::Unconfirmed(_) | LoadError::Unprovable(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Has an upload confirmed, with the permit of its request where there is one; when only the answer was lost and the object is another's,
    /// that is said.
    async fn confirm<'a>(
        &'a self,
        object: &NewObject,
        file: &HashedFile,
        checksum: Checksum,
        reply: Option<HeldObject>,
        permit: Option<Permit<'a>>,
    ) -> Result<Receipt, LoadError> {
        let answered = reply.is_some();
        let encryption = reply.as_ref().and_then(|reply| reply.encryption.clone());
        let pending = Self::pending(&object.key, file, checksum);
        match self.confirmer.confirm(&self.store, &self.requests, permit, pending, reply).await {
            Err(LoadError::Unconfirmed(_)) if !answered && object.only_if_new => Err(LoadError::Exists),
            Err(error) => Err(error),
            Ok(receipt) => Box::pin(self.check_applied(&object.key, encryption)).await.map(|()| receipt),
        }
    }

    fn pending<'a>(key: &'a str, file: &'a HashedFile, checksum: Checksum) -> PendingUpload<'a> {
        let expected = Expected { digest: file.content.digest, checksum, etag: None };
        PendingUpload { key, file: &file.file, expected }
    }

    /// The bytes of `file` from `offset` on that hold what `file` does as a whole, until the body is given another digest.
    fn body(&self, file: &HashedFile, offset: u64, to_end: bool, transfer: &Arc<dyn Transfer>) -> UploadBody {
        let buffer = (READ_AHEAD / self.options.concurrency.max_large()).clamp(64 << 10, 256 << 10);
        UploadBody::new(Arc::clone(&file.file), offset, file.content.digest, to_end, buffer, Arc::clone(transfer))
    }
}

/// An upload that failed, for the retrier: only what arrived otherwise is worth another one, for its requests were retried before.
struct FailedUpload {
    error: LoadError,
    url: String,
}

impl fmt::Display for FailedUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            LoadError::Unconfirmed(mismatch) => write!(f, "{} was uploaded, but {mismatch}", self.url),
            error => write!(f, "{}: {error}", self.url),
        }
    }
}

impl Retryable for FailedUpload {
    fn verdict(&self) -> Verdict {
        match self.error {
            LoadError::Unconfirmed(_) | LoadError::Vanished => Verdict::TRANSIENT,
            _ => Verdict::Permanent,
        }
    }

    fn stopped() -> Self {
        Self { error: StoreError::stopped().into(), url: String::new() }
    }

    fn after(self, _: Effort) -> Self {
        self
    }

    // A server that answers with success is not down.
    fn is_worth_waiting(&self) -> bool {
        false
    }
}
