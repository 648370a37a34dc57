//! Headers of a zip that are read by hand: an entry's local file header, and the fixed fields of the others.

use std::io::{self, Read};

/// Length and signature of an entry's local file header (APPNOTE.TXT 4.3.7).
const LOCAL_BYTES: usize = 30;
const LOCAL_SIGNATURE: [u8; 4] = *b"PK\x03\x04";

/// A local file header, in front of its entry's bytes.
#[derive(Debug)]
pub(super) struct LocalHeader {
    /// General purpose bits (4.4.4).
    pub(super) flags: u16,
    /// 0 is stored, 8 deflated.
    pub(super) method: u16,
    /// Both sizes are zero where they follow the bytes, and have all bits set where four bytes cannot hold them.
    pub(super) compressed: u32,
    pub(super) uncompressed: u32,
    /// Its path.
    pub(super) name: Vec<u8>,
    /// How long the header is; the entry's bytes follow.
    pub(super) bytes: u64,
}

impl LocalHeader {
    /// Reads the header that `source` stands at; `None` when something else stands there.
    pub(super) fn read(source: &mut impl Read) -> io::Result<Option<Self>> {
        let mut header = [0; LOCAL_BYTES];
        source.read_exact(&mut header[..4])?;
        if header[..4] != LOCAL_SIGNATURE {
            return Ok(None);
        }
        source.read_exact(&mut header[4..])?;
        let (name_bytes, extra_bytes) = (u16_at(&header, 26), u16_at(&header, 28));
        let mut name = vec![0; usize::from(name_bytes)];
        source.read_exact(&mut name)?;
        Ok(Some(Self {
            flags: u16_at(&header, 6),
            method: u16_at(&header, 8),
            compressed: u32_at(&header, 18),
            uncompressed: u32_at(&header, 22),
            name,
            bytes: LOCAL_BYTES as u64 + u64::from(name_bytes) + u64::from(extra_bytes),
        }))
    }
}

pub(super) fn u16_at(header: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([header[at], header[at + 1]])
}

pub(super) fn u32_at(header: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}
