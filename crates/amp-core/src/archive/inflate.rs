//! The hot path: an entry's bytes through zip and gzip into a file, with CRCs, digest, rows and the count of events taken as they go by.

use std::io::{self, BufRead, BufReader, Read, Write};

use flate2::bufread::MultiGzDecoder;

use super::buffers::{INPUT_BYTES, OUTPUT_BYTES, fill};
use super::entries::EventEntry;
use super::error::ArchiveError;
use super::unpacking::Shared;
use crate::checksum::Digester;
use crate::event_dates::{EventCounter, EventDates};
use crate::progress::Transfer;
use crate::rows::{RowCounter, RowFingerprint};
use crate::stage::{PartialFile, SealedFile};

/// Unpacks entries one after the other with one set of buffers.
pub(super) struct Inflater<'a> {
    shared: &'a Shared<'a>,
    output: Vec<u8>,
}

impl<'a> Inflater<'a> {
    pub(super) fn new(shared: &'a Shared<'a>) -> Self {
        Self { shared, output: vec![0; OUTPUT_BYTES] }
    }

    /// Unpacks the entry whose bytes `zipped` gives, its zip layer taken off, into a file that is whole, checked and on disk.
    pub(super) fn unpack(&mut self, zipped: impl Read, event: &EventEntry) -> Result<SealedFile, ArchiveError> {
        let failed = |error| event.failed(error);
        let mut file = self.shared.how.staging.partial()?;
        let keeps_gzip = event.keeps_gzip(self.shared.how.formats);
        let (digest, (lines, dates, rows)) = if keeps_gzip {
            let tee = Tee { reader: zipped, file: &mut file, digester: Digester::default(), shared: self.shared };
            let mut gzip = open_gzip(tee).map_err(failed)?;
            let events = self.pump(&mut gzip, event, |_| Ok(()))?;
            (gzip.finish().map_err(failed)?.digester.digest(), events)
        } else {
            let mut digester = Digester::default();
            let shared = self.shared;
            let write = |bytes: &[u8]| {
                digester.update(bytes);
                // Counted first: several threads that write before they ask fill a small disk beyond its limit.
                shared.account(0, bytes.len() as u64).map_err(io::Error::other)?;
                file.write_all(bytes)
            };
            let events = if event.gzipped {
                let mut gzip = open_gzip(Stopped { reader: zipped, shared: self.shared }).map_err(failed)?;
                let events = self.pump(&mut gzip, event, write)?;
                gzip.finish().map_err(failed)?;
                events
            } else {
                self.pump(&mut BufReader::with_capacity(INPUT_BYTES, zipped), event, write)?
            };
            (digester.digest(), events)
        };
        Ok(file.seal(&event.file_name(self.shared.how.formats), digest, lines, Some(dates), Some(rows))?)
    }

    /// Reads to the end, where the readers below check lengths and CRCs; `write` takes each buffer.
    fn pump(
        &mut self,
        reader: &mut impl Read,
        event: &EventEntry,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(u64, EventDates, RowFingerprint), ArchiveError> {
        let (mut events, mut rows) = (EventCounter::default(), RowCounter::default());
        loop {
            let filled = fill(reader, &mut self.output).map_err(|error| event.failed(error))?;
            if filled == 0 {
                let (lines, dates) = events.finish();
                return Ok((lines, dates, rows.rows().fingerprint));
            }
            let bytes = &self.output[..filled];
            events.update(bytes);
            rows.update(bytes);
            self.shared.account(filled as u64, 0)?;
            write(bytes).map_err(|error| event.failed(error))?;
        }
    }
}

/// A gzip stream of any number of members (RFC 1952, 2.2). One of no bytes at all, which exports have for empty parts, is none.
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack")]
enum Gzip<R: Read> {
    Empty(BufReader<R>),
    Stream(MultiGzDecoder<BufReader<R>>),
}

fn open_gzip<R: Read>(reader: R) -> io::Result<Gzip<R>> {
    let mut reader = BufReader::with_capacity(INPUT_BYTES, reader);
    Ok(if reader.fill_buf()?.is_empty() { Gzip::Empty(reader) } else { Gzip::Stream(MultiGzDecoder::new(reader)) })
}

impl<R: Read> Gzip<R> {
    /// Gives the reader back once it was read to its end, where a zip checks its own CRC.
    fn finish(self) -> io::Result<R> {
        let mut reader = match self {
            Self::Empty(reader) => reader,
            Self::Stream(decoder) => decoder.into_inner(),
        };
        match reader.fill_buf()? {
            [] => Ok(reader.into_inner()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "bytes follow the gzip stream")),
        }
    }
}

impl<R: Read> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Empty(_) => Ok(0),
            Self::Stream(decoder) => decoder.read(buffer),
        }
    }
}

/// Passes bytes on and tells how many.
pub(super) struct Counted<'a, R> {
    pub(super) reader: R,
    pub(super) transfer: &'a dyn Transfer,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.transfer.advance(read as u64);
        Ok(read)
    }
}

/// Passes bytes on until the run ends: a gzip stream may go on for long without anything coming out of it.
struct Stopped<'a, R> {
    reader: R,
    shared: &'a Shared<'a>,
}

impl<R: Read> Read for Stopped<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.shared.account(0, 0).map_err(io::Error::other)?;
        self.reader.read(buffer)
    }
}

/// Passes bytes on and keeps a copy of them in a file, which counts at once.
struct Tee<'a, R> {
    reader: R,
    file: &'a mut PartialFile,
    digester: Digester,
    shared: &'a Shared<'a>,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.digester.update(&buffer[..read]);
        self.shared.account(0, read as u64).map_err(io::Error::other)?;
        self.file.write_all(&buffer[..read])?;
        Ok(read)
    }
}
