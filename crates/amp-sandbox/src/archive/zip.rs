//! The zip format, written front to back.

use std::borrow::Cow;
use std::io::{self, Write};

use flate2::{Compression, Crc, write::DeflateEncoder};

use super::member::{MemberSpec, Method};

const FULL: u64 = u32::MAX as u64;
const DOS_DATE: u16 = ((2025 - 1980) << 9) | (11 << 5) | 6;

struct Entry {
    name: Vec<u8>,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    offset: u64,
    external: u32,
    zip64: bool,
}

/// Writes members one after the other; only a member's own bytes are in memory.
pub(crate) struct ZipWriter<W> {
    out: W,
    at: u64,
    entries: Vec<Entry>,
}

impl<W: Write> ZipWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, at: 0, entries: Vec::new() }
    }

    pub(crate) fn add(&mut self, spec: &MemberSpec) -> io::Result<()> {
        let mut crc = Crc::new();
        crc.update(&spec.data);
        let packed = match spec.method {
            Method::Deflated => {
                let mut deflate = DeflateEncoder::new(Vec::new(), Compression::new(spec.level));
                deflate.write_all(&spec.data)?;
                Cow::Owned(deflate.finish()?)
            }
            Method::Stored | Method::Other(_) => Cow::Borrowed(&spec.data[..]),
        };
        let entry = Entry {
            name: spec.name.clone(),
            flags: u16::from(spec.encrypted) | u16::from(spec.data_descriptor) << 3 | u16::from(spec.utf8) << 11,
            method: match spec.method {
                Method::Stored => 0,
                Method::Deflated => 8,
                Method::Other(number) => number,
            },
            crc: crc.sum() ^ spec.crc_mask,
            packed: packed.len() as u64,
            size: spec.claimed_size.unwrap_or(spec.data.len() as u64),
            offset: self.at,
            external: spec.unix_mode.unwrap_or(0o100_644) << 16,
            zip64: spec.zip64 || spec.claimed_size.is_some_and(|size| size >= FULL),
        };
        let local = entry.local_header(spec);
        self.write(&local)?;
        self.write(&packed)?;
        if spec.data_descriptor {
            let descriptor = entry.descriptor();
            self.write(&descriptor)?;
        }
        self.entries.push(entry);
        Ok(())
    }

    pub(crate) fn finish(mut self, comment: &[u8]) -> io::Result<W> {
        let start = self.at;
        for entry in std::mem::take(&mut self.entries) {
            let record = entry.central();
            self.entries.push(entry);
            self.write(&record)?;
        }
        let (size, count) = (self.at - start, self.entries.len() as u64);
        let large = start >= FULL || count >= 0xFFFF || self.entries.iter().any(|e| e.zip64 || e.offset >= FULL);
        if large {
            let end64 = self.at;
            let mut r = Vec::new();
            r.extend(0x0606_4b50u32.to_le_bytes());
            r.extend(44u64.to_le_bytes());
            r.extend(45u16.to_le_bytes());
            r.extend(45u16.to_le_bytes());
            r.extend([0; 8]);
            for number in [count, count, size, start] {
                r.extend(number.to_le_bytes());
            }
            r.extend(0x0706_4b50u32.to_le_bytes());
            r.extend(0u32.to_le_bytes());
            r.extend(end64.to_le_bytes());
            r.extend(1u32.to_le_bytes());
            self.write(&r)?;
        }
        let mut r = Vec::new();
        r.extend(0x0605_4b50u32.to_le_bytes());
        r.extend([0; 4]);
        let count = if large { 0xFFFF } else { count as u16 };
        r.extend(count.to_le_bytes());
        r.extend(count.to_le_bytes());
        for number in [size, start] {
            r.extend(if large { u32::MAX } else { number as u32 }.to_le_bytes());
        }
        r.extend((comment.len() as u16).to_le_bytes());
        r.extend(comment);
        self.write(&r)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

impl Entry {
    fn local_header(&self, spec: &MemberSpec) -> Vec<u8> {
        let name = spec.local_name.as_ref().unwrap_or(&self.name);
        let known = if spec.data_descriptor { (0, 0, 0) } else { (self.crc, self.packed, self.size) };
        let mut r = Vec::new();
        r.extend(0x0403_4b50u32.to_le_bytes());
        for number in [if self.zip64 { 45 } else { 20 }, self.flags, self.method, 0, DOS_DATE] {
            r.extend(number.to_le_bytes());
        }
        r.extend(known.0.to_le_bytes());
        for number in [known.1, known.2] {
            r.extend(if self.zip64 { u32::MAX } else { number as u32 }.to_le_bytes());
        }
        r.extend((name.len() as u16).to_le_bytes());
        r.extend(if self.zip64 { 20u16 } else { 0 }.to_le_bytes());
        r.extend(name);
        if self.zip64 {
            r.extend(1u16.to_le_bytes());
            r.extend(16u16.to_le_bytes());
            r.extend(known.2.to_le_bytes());
            r.extend(known.1.to_le_bytes());
        }
        r
    }

    fn descriptor(&self) -> Vec<u8> {
        let mut r = 0x0807_4b50u32.to_le_bytes().to_vec();
        r.extend(self.crc.to_le_bytes());
        for number in [self.packed, self.size] {
            match self.zip64 {
                true => r.extend(number.to_le_bytes()),
                false => r.extend((number as u32).to_le_bytes()),
            }
        }
        r
    }

    fn central(&self) -> Vec<u8> {
        let far = self.offset >= FULL;
        let mut extra = Vec::new();
        if self.zip64 {
            extra.extend(self.size.to_le_bytes());
            extra.extend(self.packed.to_le_bytes());
        }
        if self.zip64 || far {
            extra.extend(self.offset.to_le_bytes());
        }
        let mut r = Vec::new();
        r.extend(0x0201_4b50u32.to_le_bytes());
        // Made by Unix, so that the mode counts.
        r.extend((3u16 << 8 | 45).to_le_bytes());
        for number in [if self.zip64 { 45 } else { 20 }, self.flags, self.method, 0, DOS_DATE] {
            r.extend(number.to_le_bytes());
        }
        r.extend(self.crc.to_le_bytes());
        for number in [self.packed, self.size] {
            r.extend(if self.zip64 { u32::MAX } else { number as u32 }.to_le_bytes());
        }
        r.extend((self.name.len() as u16).to_le_bytes());
        r.extend(if extra.is_empty() { 0 } else { extra.len() as u16 + 4 }.to_le_bytes());
        r.extend([0; 6]); // comment, disk, internal attributes
        r.extend(self.external.to_le_bytes());
        r.extend(if self.zip64 || far { u32::MAX } else { self.offset as u32 }.to_le_bytes());
        r.extend(&self.name);
        if !extra.is_empty() {
            r.extend(1u16.to_le_bytes());
            r.extend((extra.len() as u16).to_le_bytes());
            r.extend(extra);
        }
        r
    }
}
