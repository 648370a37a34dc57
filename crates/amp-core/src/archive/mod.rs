//! The export archive: a zip of gzipped newline-JSON, perhaps with zips within, read as input that nobody vouches for.
//!
//! All or nothing: [`unpack`] gives every file of the archive, whole and checked, or an error and no file at all.

mod buffers;
mod central;
mod entries;
mod error;
mod export;
mod headers;
mod inflate;
mod limits;
mod positioned;
mod streaming;
mod unpacking;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use entries::{Contents, ZipEntry};
pub use error::{ArchiveError, EntryProblem, Limit};
pub use export::ExportArchive;
use inflate::{Counted, Inflater};
pub use limits::Limits;
use limits::Volume;
pub use streaming::StreamingUnpacker;
use unpacking::Shared;
pub use unpacking::{Format, Formats, Unpacking};

use crate::stage::SealedFile;

/// What came out of an archive.
#[derive(Debug, Default)]
pub struct Unpacked {
    /// Whole files, on disk, by name; they lack their final names only.
    pub files: Vec<SealedFile>,
    /// Paths of entries that are neither events nor archives, which were passed over.
    pub skipped: Vec<String>,
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
    let work_on = || {
        let result = work(&entries, &next, &shared, streaming);
        let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match (&mut *done, result) {
            (Ok(files), Ok(mut more)) => files.append(&mut more),
            // A thread that stopped because another failed has nothing to say.
            (Ok(_), Err(error)) | (Err(ArchiveError::Cancelled), Err(error)) => *done = Err(error),
            (Err(_), _) => {}
        }
    };
    std::thread::scope(|scope| {
        // This thread is one of them. Where the system gives no more threads, those there are do all the work.
        for _ in 1..how.threads.clamp(1, entries.len().max(1)) {
            if std::thread::Builder::new().spawn_scoped(scope, work_on).is_err() {
                break;
            }
        }
        work_on();
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
