//! Unpacks members while their archive is still arriving.
//!
//! A head start, never a verdict: a file made here is used only for a member that the whole, checked archive lists at the same place, with the
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

use super::headers::LocalHeader;
use super::inflate::{INPUT_BYTES, Inflater};
use super::members::{DEFLATED, EventMember, Facts, Member, STORED};
use super::{ArchiveError, Format, Limits, Shared, Unpacking, Volume};
use crate::name::{MemberKind, MemberName};
use crate::progress::Silent;
use crate::stage::{SealedFile, Staging};

/// Flags of members that are not read by their own header: encrypted in one way or another, or a patch (APPNOTE.TXT 4.4.4).
const UNREADABLE: u16 = 1 | 1 << 5 | 1 << 6 | 1 << 13;
/// CRC-32 and sizes follow the bytes.
const DESCRIPTOR: u16 = 1 << 3;
/// How often one that waits for a member looks whether the run is to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A thread that unpacks an archive's members as they arrive; dropped, it ends, and what nobody took is deleted.
#[derive(Debug)]
pub struct Ahead {
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
    arrived: AtomicU64,
    /// Of the members that lie ready.
    ready: Volume,
    /// Of the member at work.
    at_work: Volume,
    /// To be given up at once.
    stop: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Nothing more will arrive; no member is begun any more.
    whole: bool,
    /// Where the member that is being unpacked starts.
    at_work: Option<u64>,
    done: HashMap<u64, Done>,
}

/// A member that was unpacked.
#[derive(Debug)]
struct Done {
    facts: Facts,
    file: SealedFile,
    /// Bytes that came out of it; how many of them are on disk its file tells.
    inflated: u64,
}

impl Ahead {
    /// Begins with the archive that is being written to `file`; `path` is for messages. Of `limits`, the ratio counts for what has arrived.
    #[must_use]
    pub fn start(file: File, path: &Path, staging: Arc<Staging>, format: Format, limits: Limits) -> Self {
        let inner = Arc::new(Inner::default());
        let (shared, path) = (Arc::clone(&inner), path.to_owned());
        let run = move || {
            // However the thread ends, nobody may wait for it any longer.
            let _end = End(&shared);
            let how =
                Unpacking { staging: &staging, format, limits, threads: 1, meter: &Silent, cancelled: &shared.stop };
            shared.run(&Arriving { file: &file, inner: &shared, at: 0 }, &path, &how);
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

    /// The archive is whole: the member at work is the last one that is unpacked ahead.
    pub fn whole(&self) {
        self.inner.lock().whole = true;
        self.inner.changed.notify_all();
    }

    /// Bytes that it has on disk.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.volumes().map(|volume| volume.written.load(Ordering::Relaxed)).iter().sum()
    }

    /// What it has of the archive and nobody took yet.
    pub(super) fn volumes(&self) -> [&Volume; 2] {
        [&self.inner.ready, &self.inner.at_work]
    }

    /// Bytes of the files that lie ready and were not taken.
    #[must_use]
    pub fn ready_bytes(&self) -> u64 {
        self.inner.lock().done.values().map(|done| done.file.record().digest.bytes).sum()
    }

    /// Where the member starts that is being unpacked this moment.
    pub(super) fn at_work(&self) -> Option<u64> {
        self.inner.lock().at_work
    }

    /// The file of `member`, if it was unpacked ahead, which counts as theirs who take it from now on; waits for it if it is at work on it, unless the run ends.
    pub(super) fn take(&self, member: &Member, shared: &Shared<'_>) -> Result<Option<SealedFile>, ArchiveError> {
        let Some(at) = member.at else { return Ok(None) };
        let mut state = self.inner.lock();
        while state.at_work == Some(at) && !shared.is_ending() {
            let waited = self.inner.changed.wait_timeout(state, LOOK_EVERY);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let done = state.done.remove(&at);
        drop(state);
        let Some(Done { facts, file, inflated }) = done else { return Ok(None) };
        let record = file.record();
        self.inner.ready.subtract(inflated, record.digest.bytes);
        if facts != member.facts || record.name != member.event.file_name(shared.how.format).to_string() {
            return Ok(None);
        }
        shared.account(inflated, record.digest.bytes)?;
        Ok(Some(file))
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.inner.stop.store(true, Ordering::Relaxed);
        self.whole();
        if let Some(thread) = self.thread.take() {
            // A panic was its own; the archive is read without its help.
            thread.join().ok();
        }
    }
}

struct End<'a>(&'a Inner);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.lock().at_work = None;
        self.0.changed.notify_all();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, archive: &Arriving<'_>, path: &Path, how: &Unpacking<'_>) {
        let shared = Shared::new(how, &self.arrived, &self.at_work, [&self.ready]);
        let mut inflater = Inflater::new(&shared);
        let mut at = 0;
        while self.begin(at) {
            let unpacked = next(archive, at, path, &mut inflater);
            let (inflated, written) = self.at_work.take();
            match unpacked {
                Ok(Some((end, unpacked))) => {
                    let mut state = self.lock();
                    if let Some((facts, file)) = unpacked {
                        self.ready.add(inflated, written);
                        state.done.insert(at, Done { facts, file, inflated });
                    }
                    state.at_work = None;
                    self.changed.notify_all();
                    at = end;
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

    /// Notes that the member at `at` is at work, unless the archive is whole.
    fn begin(&self, at: u64) -> bool {
        let mut state = self.lock();
        state.at_work = (!state.whole).then_some(at);
        state.at_work.is_some()
    }

    /// Waits until more than `at` bytes have arrived and tells how many; not more when no more will.
    fn wait_beyond(&self, at: u64) -> u64 {
        let arrived = self.arrived.load(Ordering::Acquire);
        if arrived > at {
            return arrived;
        }
        let waiting = |state: &mut State| !state.whole && self.arrived.load(Ordering::Relaxed) <= at;
        drop(self.changed.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner));
        self.arrived.load(Ordering::Acquire)
    }
}

/// Reads an archive as far as it has arrived, and waits for what has not.
#[derive(Debug, Clone, Copy)]
struct Arriving<'a> {
    file: &'a File,
    inner: &'a Inner,
    at: u64,
}

impl Read for Arriving<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.inner.wait_beyond(self.at).saturating_sub(self.at);
        let most = buffer.len().min(usize::try_from(there).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// By what a member is known again, and its file.
type Found = (Facts, SealedFile);

/// Unpacks the member whose header starts at `at`, or passes over what holds no events; `None` where that cannot be done from the front.
fn next(
    archive: &Arriving<'_>,
    at: u64,
    path: &Path,
    inflater: &mut Inflater<'_>,
) -> Result<Option<(u64, Option<Found>)>, ArchiveError> {
    let unexpected = |_: io::Error| ArchiveError::NotWhole(String::new());
    let from = |at| Arriving { at, ..*archive };
    let Some(header) = LocalHeader::read(&mut from(at)).map_err(unexpected)? else { return Ok(None) };
    let describes_later = header.flags & DESCRIPTOR != 0;
    let is_large = [header.packed, header.unpacked].contains(&u32::MAX);
    if header.flags & UNREADABLE != 0 || is_large || (describes_later && header.method == STORED) {
        return Ok(None);
    }
    let start = at + header.bytes;
    let passed_over = Ok((!describes_later).then(|| (start + u64::from(header.packed), None)));
    if header.name.ends_with(b"/") {
        return passed_over;
    }
    let Ok(label) = String::from_utf8(header.name) else { return Ok(None) };
    let Ok(name) = MemberName::from_path(&label) else { return Ok(None) };
    let gzipped = match name.kind() {
        MemberKind::JsonGz => true,
        MemberKind::Json => false,
        MemberKind::Zip | MemberKind::Other => return passed_over,
    };
    let event = EventMember { label, name, gzipped, archive: path.to_owned() };
    let most = if describes_later { u64::MAX } else { header.packed.into() };
    let bytes = from(start).take(most);
    let (file, facts) = match header.method {
        STORED => {
            let mut bytes = CrcReader::new(bytes);
            let file = inflater.unpack(&mut bytes, &event)?;
            let packed = u64::from(header.packed);
            (file, Facts { method: STORED, crc32: bytes.crc().sum(), packed, unpacked: packed })
        }
        DEFLATED => {
            let decoder = DeflateDecoder::new(BufReader::with_capacity(INPUT_BYTES, bytes));
            let mut bytes = CrcReader::new(decoder);
            let file = inflater.unpack(&mut bytes, &event)?;
            let decoder = bytes.get_ref();
            let (packed, unpacked) = (decoder.total_in(), decoder.total_out());
            (file, Facts { method: DEFLATED, crc32: bytes.crc().sum(), packed, unpacked })
        }
        _ => return Ok(None),
    };
    let mut end = start + facts.packed;
    if describes_later {
        let Some(bytes) = descriptor_bytes(from(end), &facts).map_err(unexpected)? else { return Ok(None) };
        end += bytes;
    }
    Ok(Some((end, Some((facts, file)))))
}

/// How long the descriptor is that `source` stands at, if it says what `facts` say (APPNOTE.TXT 4.3.9: with and without a signature, sizes
/// of four or of eight bytes).
fn descriptor_bytes(mut source: impl Read, facts: &Facts) -> io::Result<Option<u64>> {
    const SIGNATURE: &[u8] = b"PK\x07\x08";
    let mut found = [0; 24];
    // The archive goes on for longer than that.
    source.read_exact(&mut found)?;
    let crc32 = facts.crc32.to_le_bytes();
    let [packed, unpacked] = [facts.packed, facts.unpacked].map(u64::to_le_bytes);
    let small = facts.packed.max(facts.unpacked) < u64::from(u32::MAX);
    let forms = [(SIGNATURE, 4), (SIGNATURE, 8), (&[], 4), (&[], 8)];
    let forms = forms.into_iter().filter(|(_, size)| *size == 8 || small);
    let mut written = forms.map(|(signature, size)| [signature, &crc32, &packed[..size], &unpacked[..size]].concat());
    Ok(written.find(|form| found.starts_with(form)).map(|form| form.len() as u64))
}
