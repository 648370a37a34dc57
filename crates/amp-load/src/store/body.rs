//! The body of an upload: a range of a file, read as it is sent and compared with what was promised.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use amp_core::checksum::{Digest, Digester};
use amp_core::progress::Transfer;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

/// A range of a file that is to be sent, as often as it takes.
pub struct UploadBody {
    /// The file.
    pub file: Arc<File>,
    /// Where the range begins.
    pub offset: u64,
    /// What the range holds.
    pub digest: Digest,
    /// Whether the file ends with the range.
    pub to_end: bool,
    /// How much is read at a time.
    pub buffer: usize,
    /// Told how far it is.
    pub transfer: Arc<dyn Transfer>,
    reported: Arc<AtomicU64>,
}

/// Why a body broke off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// The bytes are no longer those whose digest was taken.
    #[error("the file changed while it was being uploaded; nothing of it was kept, run again when it is finished")]
    Changed,
    /// The disk failed.
    #[error("cannot read the file: {0}")]
    Unreadable(String),
}

/// What one body tells the one who waits for the answer.
#[derive(Debug)]
pub struct BodyMonitor {
    began: Instant,
    moved: AtomicU64,
    fault: OnceLock<BodyFault>,
}

impl Default for BodyMonitor {
    fn default() -> Self {
        Self { began: Instant::now(), moved: AtomicU64::new(0), fault: OnceLock::new() }
    }
}

impl BodyMonitor {
    /// When the connection last asked for bytes.
    pub fn last_progress(&self) -> Instant {
        self.began + Duration::from_micros(self.moved.load(Ordering::Relaxed))
    }

    /// Why the body broke off, if it did.
    pub fn fault(&self) -> Option<BodyFault> {
        self.fault.get().cloned()
    }

    fn touch(&self) {
        let elapsed = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.moved.store(elapsed, Ordering::Relaxed);
    }
}

impl UploadBody {
    /// The range of `file` from `offset` that holds `digest`.
    pub fn new(
        file: Arc<File>,
        offset: u64,
        digest: Digest,
        to_end: bool,
        buffer: usize,
        transfer: Arc<dyn Transfer>,
    ) -> Self {
        Self { file, offset, digest, to_end, buffer, transfer, reported: Arc::default() }
    }

    /// The same range, known to hold `digest`.
    pub fn with_digest(self, digest: Digest) -> Self {
        Self { digest, ..self }
    }

    /// A body for one try.
    pub fn body(&self) -> (FileBody, Arc<BodyMonitor>) {
        let monitor = Arc::new(BodyMonitor::default());
        let body = FileBody {
            file: Arc::clone(&self.file),
            offset: self.offset,
            expected: self.digest,
            to_end: self.to_end,
            buffer: self.buffer,
            transfer: Arc::clone(&self.transfer),
            reported: Arc::clone(&self.reported),
            digester: Digester::default(),
            sent: 0,
            spare: [None, None],
            monitor: Arc::clone(&monitor),
        };
        (body, monitor)
    }
}

impl fmt::Debug for UploadBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadBody").field("offset", &self.offset).field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// The bytes of a [`UploadBody`], once.
///
/// The last of them is held back until all are known to be what was promised: a request that carries anything else can't succeed.
pub struct FileBody {
    file: Arc<File>,
    offset: u64,
    expected: Digest,
    to_end: bool,
    buffer: usize,
    transfer: Arc<dyn Transfer>,
    /// How far any try of the source came, so that a retry is not counted twice.
    reported: Arc<AtomicU64>,
    digester: Digester,
    sent: u64,
    /// Buffers that may be free again once the connection has written them.
    spare: [Option<Bytes>; 2],
    monitor: Arc<BodyMonitor>,
}

impl FileBody {
    fn next(&mut self) -> Result<Option<Bytes>, BodyFault> {
        let left = self.expected.bytes - self.sent;
        if left == 0 {
            // An empty file has no chunk in which a change would be noticed.
            return if self.expected.bytes == 0 { self.check().map(|()| None) } else { Ok(None) };
        }
        let size = self.buffer.min(usize::try_from(left).unwrap_or(self.buffer));
        let mut chunk = self.free_buffer(size);
        self.file.read_exact_at(&mut chunk, self.offset + self.sent).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => BodyFault::Changed,
            _ => BodyFault::Unreadable(error.to_string()),
        })?;
        self.digester.update(&chunk);
        self.sent += size as u64;
        if self.sent == self.expected.bytes {
            self.check()?;
        }
        let chunk = chunk.freeze();
        self.spare.rotate_left(1);
        self.spare[1] = Some(chunk.clone());
        Ok(Some(chunk))
    }

    fn check(&self) -> Result<(), BodyFault> {
        let mut more = [0];
        let longer = self.to_end && self.file.read_at(&mut more, self.offset + self.sent).is_ok_and(|count| count > 0);
        if longer || self.digester.digest() != self.expected { Err(BodyFault::Changed) } else { Ok(()) }
    }

    /// A buffer that was written before, or a new one.
    fn free_buffer(&mut self, size: usize) -> BytesMut {
        for spare in &mut self.spare {
            match spare.take().map(Bytes::try_into_mut) {
                Some(Ok(buffer)) if buffer.len() >= size => {
                    let mut buffer = buffer;
                    buffer.truncate(size);
                    return buffer;
                }
                Some(Err(still_written)) => *spare = Some(still_written),
                _ => {}
            }
        }
        BytesMut::zeroed(size)
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let body = self.get_mut();
        body.monitor.touch();
        // A short read of the page cache on the reactor costs less than a hop to another thread.
        let next = body.next();
        if let Err(fault) = &next {
            body.monitor.fault.set(fault.clone()).ok();
        }
        let before = body.reported.fetch_max(body.sent, Ordering::Relaxed);
        if body.sent > before {
            body.transfer.advance(body.sent - before);
        }
        Poll::Ready(next.transpose().map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.expected.bytes > 0 && self.sent == self.expected.bytes
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.expected.bytes - self.sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use amp_core::progress::NoProgress;
    use std::io::Write;

    const LEN: usize = 10_000;

    fn source(bytes: &[u8], promised: &[u8]) -> UploadBody {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let mut digester = Digester::default();
        digester.update(promised);
        UploadBody::new(Arc::new(file), 0, digester.digest(), true, 1024, Arc::new(NoProgress))
    }

    /// The bytes that came, and the fault if there was one.
    fn drain(source: &UploadBody) -> (Vec<u8>, Option<BodyFault>) {
        let (mut body, monitor) = source.body();
        let mut bytes = Vec::new();
        let mut context = Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(Some(frame)) = Pin::new(&mut body).poll_frame(&mut context) {
            match frame {
                Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap()),
                Err(fault) => {
                    assert_eq!(monitor.fault(), Some(fault.clone()));
                    return (bytes, Some(fault));
                }
            }
        }
        (bytes, None)
    }

    #[test]
    fn what_was_promised_is_sent_as_often_as_asked() {
        let bytes: Vec<u8> = (0..LEN).map(|n| (n / 7) as u8).collect();
        let source = source(&bytes, &bytes);
        assert_eq!(drain(&source), (bytes.clone(), None));
        assert_eq!(drain(&source), (bytes, None));
    }

    #[test]
    fn of_a_file_that_changed_the_last_chunk_is_never_sent() {
        let bytes = vec![1; LEN];
        let mut other = bytes.clone();
        other[0] = 2;
        for wrong in [other.clone(), [&bytes[..], b"x"].concat(), bytes[1..].to_vec()] {
            let (sent, fault) = drain(&source(&wrong, &bytes));
            assert_eq!(fault, Some(BodyFault::Changed));
            assert!(sent.len() < LEN);
        }
        assert_eq!(drain(&source(b"x", b"")).1, Some(BodyFault::Changed));
    }
}
