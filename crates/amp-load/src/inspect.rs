//! Opens a staged file and says what its bytes are, by the ledger where that can be trusted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use amp_core::checksum::Digest;
use amp_core::disk::{DiskContext, DiskError};
use amp_core::ledger::{FileIndex, Ledger, LedgerPosition, Partition, UnpackedFile};
use amp_core::receipt::Algorithm;
use amp_core::stage::{StagedFile, Staging};

use crate::checksum::{ContentChecksum, HashedFile};
use crate::error::LoadError;

/// Files of neighbouring days are loaded at the same time, older days are done with. So many names are kept, or one day's if it has more.
const MAX_CACHED_FILES: usize = 100_000;

/// A file that is about to be loaded.
#[derive(Debug)]
pub struct InspectedFile {
    /// The file under its name.
    pub staged: StagedFile,
    /// Its bytes and what they are.
    pub hashed: HashedFile,
    /// What was unpacked under the name, where the operator accepts that it is something else now.
    pub in_place_of: Vec<Digest>,
}

/// By what a file is taken for the one that was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustMode {
    /// Inode, size and modification time; without them, its bytes.
    Identity,
    /// Its bytes alone.
    Bytes,
}

/// Says what staged files hold.
#[derive(Debug)]
pub struct FileInspector {
    staging: Staging,
    ledger: Ledger,
    cache: Mutex<HashMap<Partition, Cached>>,
    accept_modified: bool,
}

/// What was read of a partition, and how far it had come by then.
#[derive(Debug)]
struct Cached {
    files: Arc<FileIndex>,
    position: Option<LedgerPosition>,
}

impl FileInspector {
    /// For the files of `staging`.
    pub fn new(staging: Staging, ledger: Ledger, accept_modified: bool) -> Self {
        Self { staging, ledger, cache: Mutex::default(), accept_modified }
    }

    /// Opens the file of that name; `None` when it is gone.
    ///
    /// # Errors
    /// When it cannot be opened or is not a regular file.
    pub fn open(&self, name: &str) -> Result<Option<StagedFile>, DiskError> {
        self.staging.staged(name)
    }

    /// Says what an open file holds. Blocks on the disk.
    ///
    /// # Errors
    /// When it cannot be read, or is not what amp-extract unpacked.
    pub fn inspect(
        &self,
        staged: StagedFile,
        algorithm: Algorithm,
        trust: TrustMode,
    ) -> Result<InspectedFile, LoadError> {
        let name = staged.name();
        let file = Arc::new(staged.handle()?);
        let index = self.index(name)?;
        let is_trusted = |file: &&UnpackedFile| trust == TrustMode::Identity && staged.is_untouched(file);
        let untouched = index.versions(name).iter().find(is_trusted);
        if let Some(content) = untouched.and_then(|file| ContentChecksum::from_digest(file.digest, algorithm)) {
            return Ok(InspectedFile { staged, hashed: HashedFile { file, content }, in_place_of: Vec::new() });
        }
        // One byte more than there should be, to notice a file that grows.
        let length = staged.bytes().saturating_add(1);
        let content =
            ContentChecksum::read(&file, 0, length, algorithm).context("read", &self.staging.root().join(name))?;
        let in_place_of = self.compare(name, &content, &index)?;
        if content.digest.bytes != staged.bytes() {
            return Err(LoadError::ChangedWhileRead);
        }
        Ok(InspectedFile { staged, hashed: HashedFile { file, content }, in_place_of })
    }

    /// Whether amp-extract made a file of that name.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn is_in_ledger(&self, name: &str) -> Result<bool, DiskError> {
        Ok(!self.index(name)?.versions(name).is_empty())
    }

    /// The digests in whose place the file is accepted; none where it is what was unpacked, or nothing was.
    fn compare(&self, name: &str, content: &ContentChecksum, index: &FileIndex) -> Result<Vec<Digest>, LoadError> {
        let accepts = |index: &FileIndex| index.versions(name).iter().any(|file| file.digest == content.digest);
        if index.versions(name).is_empty() || accepts(index) {
            return Ok(Vec::new());
        }
        // amp-extract may have published it since the ledger was read.
        let index = self.newest(name)?;
        if index.versions(name).is_empty() || accepts(&index) {
            return Ok(Vec::new());
        }
        let unpacked: Vec<_> = index.versions(name).iter().map(|file| file.digest.crc64nvme.to_string()).collect();
        let change = format!("CRC64NVME {} then, {} now", unpacked.join(" or "), content.digest.crc64nvme);
        if self.accept_modified {
            tracing::info!("{name}: it changed since it was unpacked ({change}); uploaded as it is, as asked");
            return Ok(index.versions(name).iter().map(|file| file.digest).collect());
        }
        Err(LoadError::Modified(change))
    }

    /// What was unpacked under the names of the file's partition, as of when it was first asked.
    fn index(&self, name: &str) -> Result<Arc<FileIndex>, DiskError> {
        self.cached(Partition::of_file(name), |_| Ok(true))
    }

    /// The same as of now.
    fn newest(&self, name: &str) -> Result<Arc<FileIndex>, DiskError> {
        let partition = Partition::of_file(name);
        self.cached(partition, |cached| Ok(cached.position == self.ledger.hours_position(partition)?))
    }

    /// What is cached of a partition if it `is_current`, else read. One reads, the others wait: each would hold all of it in memory.
    fn cached(
        &self,
        partition: Partition,
        is_current: impl Fn(&Cached) -> Result<bool, DiskError>,
    ) -> Result<Arc<FileIndex>, DiskError> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = cache.get(&partition)
            && is_current(cached)?
        {
            return Ok(Arc::clone(&cached.files));
        }
        cache.remove(&partition);
        // Before it is read: what comes meanwhile is read again.
        let position = self.ledger.hours_position(partition)?;
        let files = Arc::new(self.ledger.files(partition)?);
        if files.len() + cache.values().map(|cached| cached.files.len()).sum::<usize>() > MAX_CACHED_FILES {
            cache.clear();
        }
        cache.insert(partition, Cached { files: Arc::clone(&files), position });
        Ok(files)
    }
}
