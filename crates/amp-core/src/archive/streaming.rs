//! Unpacks entries while their archive is still arriving.
//!
//! A head start, never a verdict: a file made here is used only for an entry that the whole, checked archive lists at the same place, with the
//! same name, method, CRC-32 and sizes. Whatever is unexpected here ends the head start and is left for the whole archive to tell.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use flate2::CrcReader;
use flate2::bufread::DeflateDecoder;

use super::buffers::INPUT_BYTES;
use super::entries::{DEFLATED, EntryFingerprint, EventEntry, STORED, ZipEntry};
use super::error::ArchiveError;
use super::headers::LocalHeader;
use super::inflate::Inflater;
use super::limits::{Limits, Volume};
use super::unpacking::{Formats, Shared, Unpacking};
use crate::name::{EntryKind, EntryName};
use crate::progress::NoProgress;
use crate::stage::{SealedFile, Staging};

/// Flags of entries that their local file header does not describe: encrypted in one way or another, or a patch (APPNOTE.TXT 4.4.4).
const UNREADABLE: u16 = 1 | 1 << 5 | 1 << 6 | 1 << 13;
/// CRC-32 and sizes follow the bytes.
const DESCRIPTOR: u16 = 1 << 3;
/// How often one that waits for an entry looks whether the run is to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A thread that unpacks an archive's entries as they arrive; dropped, it ends, and what nobody took is deleted.
#[derive(Debug)]
pub struct StreamingUnpacker {
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<Arrivals>,
    changed: Condvar,
    arrived: AtomicU64,
    /// What came out of the entries that are ready.
    ready: Volume,
    /// What came out of the entry that is being unpacked.
    current: Volume,
    /// To be given up at once.
    stop: AtomicBool,
}

#[derive(Debug, Default)]
struct Arrivals {
    /// Nothing more will arrive; no entry is begun any more.
    download_finished: bool,
    /// Where the entry that is being unpacked starts.
    current_offset: Option<u64>,
    done: HashMap<u64, Done>,
}

/// An entry that was unpacked.
#[derive(Debug)]
struct Done {
    fingerprint: EntryFingerprint,
    file: SealedFile,
    /// Bytes that came out of it; its file says how many of them are on disk.
    inflated: u64,
}

impl StreamingUnpacker {
    /// Begins with the archive that is being written to `file`; `path` is for messages. Of `limits`, the ratio counts for what has arrived.
    #[must_use]
    pub fn start(file: File, path: &Path, staging: Arc<Staging>, formats: Formats, limits: Limits) -> Self {
        let inner = Arc::new(Inner::default());
        let (shared, path) = (Arc::clone(&inner), path.to_owned());
        let run = move || {
            // However the thread ends, nobody may wait for it any longer.
            let _end = ThreadEnd(&shared);
            let how = Unpacking {
                staging: &staging,
                formats: &formats,
                limits,
                threads: 1,
                transfer: &NoProgress,
                cancelled: &shared.stop,
            };
            shared.unpack_entries(&Arriving { file: &file, inner: &shared, offset: 0 }, &path, &how);
        };
        // Without a thread there is no head start, and that is all.
        let thread = thread::Builder::new().name("unpack-ahead".to_owned()).spawn(run).ok();
        Self { inner, thread }
    }

    /// `bytes` more were written to the file.
    pub fn arrived(&self, bytes: u64) {
        let _state = self.inner.lock();
        self.inner.arrived.fetch_add(bytes, Ordering::Release);
        self.inner.changed.notify_all();
    }

    /// The archive is whole: the entry at work is the last one that is unpacked ahead.
    pub fn download_finished(&self) {
        self.inner.lock().download_finished = true;
        self.inner.changed.notify_all();
    }

    /// Bytes that it has on disk.
    pub fn written(&self) -> u64 {
        self.volumes().map(|volume| volume.written.load(Ordering::Relaxed)).iter().sum()
    }

    /// What it has of the archive and nobody took yet.
    pub(super) fn volumes(&self) -> [&Volume; 2] {
        [&self.inner.ready, &self.inner.current]
    }

    /// Bytes of the files that lie ready and were not taken.
    pub fn ready_bytes(&self) -> u64 {
        self.inner.lock().done.values().map(|done| done.file.record().digest.bytes).sum()
    }

    /// Where the entry starts that is being unpacked this moment.
    pub(super) fn current_offset(&self) -> Option<u64> {
        self.inner.lock().current_offset
    }

    /// Returns the file if this entry was unpacked early, and charges its bytes to the caller. Waits if it is being unpacked now, until the run stops.
    pub(super) fn take(&self, entry: &ZipEntry, shared: &Shared<'_>) -> Result<Option<SealedFile>, ArchiveError> {
        let Some(offset) = entry.offset else { return Ok(None) };
        let mut state = self.inner.lock();
        while state.current_offset == Some(offset) && !shared.is_ending() {
            let waited = self.inner.changed.wait_timeout(state, LOOK_EVERY);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let done = state.done.remove(&offset);
        drop(state);
        let Some(Done { fingerprint, file, inflated }) = done else { return Ok(None) };
        let record = file.record();
        self.inner.ready.subtract(inflated, record.digest.bytes);
        if fingerprint != entry.fingerprint || record.name != entry.event.file_name(shared.how.formats).to_string() {
            return Ok(None);
        }
        shared.account(inflated, record.digest.bytes)?;
        Ok(Some(file))
    }
}

impl Drop for StreamingUnpacker {
    fn drop(&mut self) {
        self.inner.stop.store(true, Ordering::Relaxed);
        self.download_finished();
        if let Some(thread) = self.thread.take() {
            // A panic was its own; the archive is read without its help.
            thread.join().ok();
        }
    }
}

struct ThreadEnd<'a>(&'a Inner);

impl Drop for ThreadEnd<'_> {
    fn drop(&mut self) {
        self.0.lock().current_offset = None;
        self.0.changed.notify_all();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Arrivals> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unpack_entries(&self, archive: &Arriving<'_>, path: &Path, how: &Unpacking<'_>) {
        let shared = Shared::new(how, &self.arrived, &self.current, [&self.ready]);
        let mut inflater = Inflater::new(&shared);
        let mut offset = 0;
        while self.begin(offset) {
            let unpacked = unpack_entry_at(archive, offset, path, &mut inflater);
            let (inflated, written) = self.current.take();
            match unpacked {
                Ok(Some((end, unpacked))) => {
                    let mut state = self.lock();
                    if let Some((fingerprint, file)) = unpacked {
                        self.ready.add(inflated, written);
                        state.done.insert(offset, Done { fingerprint, file, inflated });
                    }
                    state.current_offset = None;
                    self.changed.notify_all();
                    offset = end;
                }
                // On a full disk what lies ready is in the way of the download.
                Err(ArchiveError::Disk(_)) => {
                    let mut state = self.lock();
                    for (_, Done { file, inflated, .. }) in state.done.drain() {
                        self.ready.subtract(inflated, file.record().digest.bytes);
                    }
                    return;
                }
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Marks the entry at `offset` as being unpacked, unless the archive is whole.
    fn begin(&self, offset: u64) -> bool {
        let mut state = self.lock();
        state.current_offset = (!state.download_finished).then_some(offset);
        state.current_offset.is_some()
    }

    /// Waits until more than `offset` bytes have arrived and tells how many; not more when no more will.
    fn wait_beyond(&self, offset: u64) -> u64 {
        let arrived = self.arrived.load(Ordering::Acquire);
        if arrived > offset {
            return arrived;
        }
        let waiting = |state: &mut Arrivals| !state.download_finished && self.arrived.load(Ordering::Relaxed) <= offset;
        drop(self.changed.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner));
        self.arrived.load(Ordering::Acquire)
    }
}

/// Reads an archive as far as it has arrived, and waits for what has not.
#[derive(Debug, Clone, Copy)]
struct Arriving<'a> {
    file: &'a File,
    inner: &'a Inner,
    offset: u64,
}

impl Read for Arriving<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.inner.wait_beyond(self.offset).saturating_sub(self.offset);
        let most = buffer.len().min(usize::try_from(there).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut buffer[..most], self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Identifies an entry, with its file.
type FinishedEntry = (EntryFingerprint, SealedFile);

/// Unpacks the entry whose header starts at `offset`, or passes over what holds no events; `None` where that cannot be done from the front.
fn unpack_entry_at(
    archive: &Arriving<'_>,
    offset: u64,
    path: &Path,
    inflater: &mut Inflater<'_>,
) -> Result<Option<(u64, Option<FinishedEntry>)>, ArchiveError> {
    let unexpected = |_: io::Error| ArchiveError::NotWhole(String::new());
    let from = |offset| Arriving { offset, ..*archive };
    let Some(header) = LocalHeader::read(&mut from(offset)).map_err(unexpected)? else { return Ok(None) };
    let describes_later = header.flags & DESCRIPTOR != 0;
    let is_large = [header.compressed, header.uncompressed].contains(&u32::MAX);
    if header.flags & UNREADABLE != 0 || is_large || (describes_later && header.method == STORED) {
        return Ok(None);
    }
    let start = offset + header.bytes;
    let passed_over = Ok((!describes_later).then(|| (start + u64::from(header.compressed), None)));
    if header.name.ends_with(b"/") {
        return passed_over;
    }
    let Ok(label) = String::from_utf8(header.name) else { return Ok(None) };
    let Ok(name) = EntryName::from_path(&label) else { return Ok(None) };
    let gzipped = match name.kind() {
        EntryKind::JsonGz => true,
        EntryKind::Json => false,
        EntryKind::Zip | EntryKind::Other => return passed_over,
    };
    let event = EventEntry { label, name, gzipped, archive: path.to_owned() };
    let most = if describes_later { u64::MAX } else { header.compressed.into() };
    let bytes = from(start).take(most);
    let (file, fingerprint) = match header.method {
        STORED => {
            let mut bytes = CrcReader::new(bytes);
            let file = inflater.unpack(&mut bytes, &event)?;
            let compressed = u64::from(header.compressed);
            (file, EntryFingerprint { method: STORED, crc32: bytes.crc().sum(), compressed, uncompressed: compressed })
        }
        DEFLATED => {
            let decoder = DeflateDecoder::new(BufReader::with_capacity(INPUT_BYTES, bytes));
            let mut bytes = CrcReader::new(decoder);
            let file = inflater.unpack(&mut bytes, &event)?;
            let decoder = bytes.get_ref();
            let (compressed, uncompressed) = (decoder.total_in(), decoder.total_out());
            (file, EntryFingerprint { method: DEFLATED, crc32: bytes.crc().sum(), compressed, uncompressed })
        }
        _ => return Ok(None),
    };
    let mut end = start + fingerprint.compressed;
    if describes_later {
        let Some(bytes) = descriptor_bytes(from(end), &fingerprint).map_err(unexpected)? else { return Ok(None) };
        end += bytes;
    }
    Ok(Some((end, Some((fingerprint, file)))))
}

/// How long the descriptor is that `source` stands at, if it says what `fingerprint` says (APPNOTE.TXT 4.3.9: with and without a signature, sizes
/// of four or of eight bytes).
fn descriptor_bytes(mut source: impl Read, fingerprint: &EntryFingerprint) -> io::Result<Option<u64>> {
    const SIGNATURE: &[u8] = b"PK\x07\x08";
    let mut found = [0; 24];
    // The archive goes on for longer than that.
    source.read_exact(&mut found)?;
    let crc32 = fingerprint.crc32.to_le_bytes();
    let [compressed, uncompressed] = [fingerprint.compressed, fingerprint.uncompressed].map(u64::to_le_bytes);
    let small = fingerprint.compressed.max(fingerprint.uncompressed) < u64::from(u32::MAX);
    let forms = [(SIGNATURE, 4), (SIGNATURE, 8), (&[], 4), (&[], 8)];
    let forms = forms.into_iter().filter(|(_, size)| *size == 8 || small);
    let mut written =
        forms.map(|(signature, size)| [signature, &crc32, &compressed[..size], &uncompressed[..size]].concat());
    Ok(written.find(|form| found.starts_with(form)).map(|form| form.len() as u64))
}
