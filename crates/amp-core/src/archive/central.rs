//! Entries whose whole path stands twice in an archive's directory, of which the zip reader shows only the last.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::error::{ArchiveError, EntryProblem};
use super::headers::{LocalHeader, u16_at, u32_at};
use super::positioned::Positioned;

/// Lengths of the central header and of both kinds of end of central directory record (APPNOTE.TXT 4.3.12, 4.3.14, 4.3.16).
const CENTRAL_BYTES: usize = 46;
const END64_BYTES: usize = 56;
const END_BYTES: usize = 22;
const CENTRAL_SIGNATURE: [u8; 4] = *b"PK\x01\x02";
const END64_SIGNATURE: [u8; 4] = *b"PK\x06\x06";
const END_SIGNATURE: [u8; 4] = *b"PK\x05\x06";

/// CRC-32 and uncompressed size of an entry.
type Content = (u32, u64);

/// Checks that entries with the same path have the same bytes, that each is named alike in its local file header, and that there are
/// as many as the end of central directory record says: a header that is passed over would be an entry lost.
///
/// `directory` is where the central directory starts, `base` what its offsets count from.
pub(super) fn check(source: &Positioned, directory: u64, base: u64, path: &Path) -> Result<(), ArchiveError> {
    let failed = |error: io::Error| ArchiveError::of_archive(error.into(), path);
    let mut central = BufReader::new(source.clone());
    central.seek(SeekFrom::Start(directory)).map_err(failed)?;
    let mut contents: HashMap<Vec<u8>, Content> = HashMap::new();
    for listed in 0_u64.. {
        let mut signature = [0; 4];
        central.read_exact(&mut signature).map_err(failed)?;
        if signature != CENTRAL_SIGNATURE {
            let promised = promised(signature, &mut central).map_err(failed)?;
            if promised != listed {
                let why = format!("its directory lists {listed} members, its end record says {promised}");
                return Err(ArchiveError::NotWhole(why));
            }
            break;
        }
        let mut header = [0; CENTRAL_BYTES];
        central.read_exact(&mut header[4..]).map_err(failed)?;
        let mut name = vec![0; usize::from(u16_at(&header, 28))];
        central.read_exact(&mut name).map_err(failed)?;
        let mut extra = vec![0; usize::from(u16_at(&header, 30))];
        central.read_exact(&mut extra).map_err(failed)?;
        central.seek_relative(i64::from(u16_at(&header, 32))).map_err(failed)?;
        let refused = |problem| ArchiveError::Entry { entry: String::from_utf8_lossy(&name).into_owned(), problem };
        let mut large = large_numbers(&extra);
        let [uncompressed, compressed, offset] = [24, 20, 42].map(|field| match u32_at(&header, field) {
            u32::MAX => large.next().unwrap_or(u32::MAX.into()),
            number => number.into(),
        });
        let local = base.saturating_add(offset);
        let local_header = local_file_header(source, local).map_err(failed)?;
        if local_header.name != name {
            return Err(refused(EntryProblem::Damaged("its own header has another name".to_owned())));
        }
        if local.saturating_add(local_header.bytes).saturating_add(compressed) > directory {
            return Err(refused(EntryProblem::Damaged("its bytes reach into the directory".to_owned())));
        }
        let content = (u32_at(&header, 16), uncompressed);
        if *contents.entry(name.clone()).or_insert(content) != content {
            return Err(refused(EntryProblem::Collision));
        }
    }
    Ok(())
}

/// How many entries the end of central directory record with this signature, which follows the directory, says that there are.
fn promised(signature: [u8; 4], record: &mut impl Read) -> io::Result<u64> {
    match signature {
        END64_SIGNATURE => {
            let mut rest = [0; END64_BYTES - 4];
            record.read_exact(&mut rest)?;
            Ok(u64::from(u32_at(&rest, 28)) | u64::from(u32_at(&rest, 32)) << 32)
        }
        END_SIGNATURE => {
            let mut rest = [0; END_BYTES - 4];
            record.read_exact(&mut rest)?;
            Ok(u16_at(&rest, 6).into())
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "no end record follows the directory")),
    }
}

/// The numbers that four bytes cannot hold, in the order of the header's fields (APPNOTE.TXT 4.5.3).
fn large_numbers(mut extra: &[u8]) -> impl Iterator<Item = u64> + '_ {
    const ZIP64: u16 = 1;
    let mut field: &[u8] = &[];
    while let [id_low, id_high, low, high, rest @ ..] = extra {
        let (this, after) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes([*low, *high]))));
        if u16::from_le_bytes([*id_low, *id_high]) == ZIP64 {
            field = this;
        }
        extra = after;
    }
    field.as_chunks().0.iter().map(|number| u64::from_le_bytes(*number))
}

fn local_file_header(source: &Positioned, offset: u64) -> io::Result<LocalHeader> {
    let mut local = source.clone();
    local.seek(SeekFrom::Start(offset))?;
    let header = LocalHeader::read(&mut local)?;
    header.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the directory points to no member"))
}
