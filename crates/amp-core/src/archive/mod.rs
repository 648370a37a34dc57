//! The export archive: a zip of gzipped newline-JSON, perhaps with zips within, read as input that nobody vouches for.
//!
//! All or nothing: [`unpack`] gives every file of the archive, whole and checked, or an error and no file at all.

mod central;
mod entries;
mod error;
mod headers;
mod inflate;
mod positioned;
mod streaming;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use entries::{Contents, ZipEntry};
pub use error::{ArchiveError, EntryProblem, Limit};
use inflate::{Counted, Inflater};
pub use positioned::ExportArchive;
pub use streaming::StreamingUnpacker;

use crate::progress::Transfer;
use crate::stage::{SealedFile, Staging};

/// In which form events are staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Unpacked newline-JSON.
    Json,
    /// The entry's own gzip bytes, verified.
    JsonGz,
}

/// Bounds on what an archive may unpack to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that may be written to disk.
    pub max_unpacked: u64,
    /// How many times the archive's size may come out of it.
    pub max_ratio: u64,
}

/// How to unpack an archive.
pub struct Unpacking<'a> {
    /// Where the files will be staged.
    pub staging: &'a Staging,
    /// In which form.
    pub format: Format,
    /// What the archive may unpack to at most.
    pub limits: Limits,
    /// How many entries are unpacked at the same time; at least one.
    pub threads: usize,
    /// Told of the archive's bytes as they are read, and of its entries.
    pub transfer: &'a dyn Transfer,
    /// Set from outside to stop.
    pub cancelled: &'a AtomicBool,
}

/// What came out of an archive.
#[derive(Debug, Default)]
pub struct Unpacked {
    /// Whole files, on disk, by name; they lack their final names only.
    pub files: Vec<SealedFile>,
    /// Paths of entries that are neither events nor archives, which were passed over.
    pub skipped: Vec<String>,
}

/// What all threads of one unpacking share.
struct Shared<'a> {
    how: &'a Unpacking<'a>,
    /// So far, for an archive that is still arriving.
    archive_bytes: &'a AtomicU64,
    volume: &'a Volume,
    /// What others have of the same archive.
    other_volumes: Vec<&'a Volume>,
    failed: AtomicBool,
}

/// How much came out of an archive so far.
#[derive(Debug, Default)]
struct Volume {
    inflated: AtomicU64,
    written: AtomicU64,
}

impl Volume {
    fn add(&self, inflated: u64, written: u64) {
        self.inflated.fetch_add(inflated, Ordering::Relaxed);
        self.written.fetch_add(written, Ordering::Relaxed);
    }

    fn subtract(&self, inflated: u64, written: u64) {
        self.inflated.fetch_sub(inflated, Ordering::Relaxed);
        self.written.fetch_sub(written, Ordering::Relaxed);
    }

    /// Starts anew and tells what was inflated and written by then.
    fn take(&self) -> (u64, u64) {
        (self.inflated.swap(0, Ordering::Relaxed), self.written.swap(0, Ordering::Relaxed))
    }
}

impl<'a> Shared<'a> {
    fn new(
        how: &'a Unpacking<'a>,
        archive_bytes: &'a AtomicU64,
        volume: &'a Volume,
        other_volumes: impl IntoIterator<Item = &'a Volume>,
    ) -> Self {
        Self {
            how,
            archive_bytes,
            volume,
            other_volumes: other_volumes.into_iter().collect(),
            failed: AtomicBool::new(false),
        }
    }

    /// Whether what is still done would be in vain.
    fn is_ending(&self) -> bool {
        self.how.cancelled.load(Ordering::Relaxed) || self.failed.load(Ordering::Relaxed)
    }

    /// Counts bytes that came out of an entry and stops at the limits, at a cancellation and when another thread failed.
    fn account(&self, inflated: u64, written: u64) -> Result<(), ArchiveError> {
        if self.is_ending() {
            return Err(ArchiveError::Cancelled);
        }
        let Limits { max_unpacked, max_ratio } = self.how.limits;
        self.volume.add(inflated, written);
        let all = |count: fn(&Volume) -> &AtomicU64| {
            self.other_volumes
                .iter()
                .chain([&self.volume])
                .map(|volume| count(volume).load(Ordering::Relaxed))
                .sum::<u64>()
        };
        let archive_bytes = self.archive_bytes.load(Ordering::Relaxed);
        if all(|volume| &volume.inflated) > archive_bytes.saturating_mul(max_ratio) {
            return Err(ArchiveError::TooMuch(Limit::Ratio { max_ratio, archive_bytes }));
        }
        if all(|volume| &volume.written) > max_unpacked {
            return Err(ArchiveError::TooMuch(Limit::Unpacked { max_unpacked }));
        }
        Ok(())
    }
}

/// Unpacks every event file of the archive, checks all CRCs and lengths, and leaves the files whole and on disk. What `streaming` has of it
/// already is not unpacked again.
///
/// # Errors
/// [`ArchiveError`] for the first thing that is wrong. No file is left then.
pub fn unpack(
    archive: &ExportArchive,
    how: &Unpacking<'_>,
    streaming: Option<&StreamingUnpacker>,
) -> Result<Unpacked, ArchiveError> {
    streaming.inspect(|streaming| streaming.download_finished());
    let archive_bytes = AtomicU64::new(archive.bytes());
    let volume = Volume::default();
    let shared = Shared::new(how, &archive_bytes, &volume, streaming.into_iter().flat_map(StreamingUnpacker::volumes));
    let Contents { mut entries, skipped } = entries::list(archive, &shared)?;
    how.transfer.expect_items(entries.len() as u64);
    // Asked once: it may be done before the sort is.
    let current_offset = streaming.and_then(StreamingUnpacker::current_offset);
    // The biggest first, so that no thread is left alone with one at the end; behind them the one that the streaming unpacker still works on.
    entries.sort_by_key(|entry| {
        (current_offset.is_some() && entry.offset == current_offset, std::cmp::Reverse(entry.fingerprint.compressed))
    });
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Ok(Vec::with_capacity(entries.len())));
    std::thread::scope(|scope| {
        for _ in 0..how.threads.clamp(1, entries.len().max(1)) {
            scope.spawn(|| {
                let result = work(&entries, &next, &shared, streaming);
                let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                match (&mut *done, result) {
                    (Ok(files), Ok(mut more)) => files.append(&mut more),
                    // A thread that stopped because another failed has nothing to say.
                    (Ok(_), Err(error)) | (Err(ArchiveError::Cancelled), Err(error)) => *done = Err(error),
                    (Err(_), _) => {}
                }
            });
        }
    });
    let files = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)?;
    Ok(Unpacked { files: without_repetitions(files)?, skipped })
}

fn work(
    entries: &[ZipEntry],
    next: &AtomicUsize,
    shared: &Shared<'_>,
    streaming: Option<&StreamingUnpacker>,
) -> Result<Vec<SealedFile>, ArchiveError> {
    let mut inflater = Inflater::new(shared);
    let mut files = Vec::new();
    while let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
        let item = shared.how.transfer.item(&entry.event.name.to_string(), entry.fingerprint.compressed);
        let file = match streaming.map_or(Ok(None), |streaming| streaming.take(entry, shared)) {
            Ok(None) => {
                entry.open(|zipped| inflater.unpack(Counted { reader: zipped, transfer: &*item }, &entry.event))
            }
            Ok(Some(file)) => {
                item.advance(entry.fingerprint.compressed);
                Ok(file)
            }
            Err(error) => Err(error),
        };
        files.push(file.inspect_err(|_| shared.failed.store(true, Ordering::Relaxed))?);
    }
    Ok(files)
}

/// Of files with the same name and bytes one is kept; the same name with other bytes is an error.
fn without_repetitions(files: Vec<SealedFile>) -> Result<Vec<SealedFile>, ArchiveError> {
    let mut by_name: HashMap<String, SealedFile> = HashMap::with_capacity(files.len());
    for file in files {
        let record = file.record();
        match by_name.get(&record.name) {
            Some(first) if first.record().digest != record.digest => {
                return Err(ArchiveError::Entry { entry: record.name.clone(), problem: EntryProblem::Collision });
            }
            Some(_) => {}
            None => {
                by_name.insert(record.name.clone(), file);
            }
        }
    }
    let mut files: Vec<_> = by_name.into_values().collect();
    files.sort_unstable_by(|a, b| a.record().name.cmp(&b.record().name));
    Ok(files)
}
