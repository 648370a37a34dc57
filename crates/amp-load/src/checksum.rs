//! Digests and checksums of files and of their parts, taken before they are sent.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use amp_core::checksum::{Digest, Digester};
use amp_core::receipt::{Algorithm, Checksum};
use base64::{Engine, prelude::BASE64_STANDARD};
use crc_fast::CrcAlgorithm::Crc32Iscsi;
use md5::Md5;
use sha2::{Digest as _, Sha256};

const BUFFER: usize = 256 << 10;

/// An open file and what its bytes are.
#[derive(Debug, Clone)]
pub struct HashedFile {
    /// The file.
    pub file: Arc<File>,
    /// The digest and checksum of all its bytes.
    pub content: ContentChecksum,
}

/// What a run of bytes is known by: always its digest, and its checksum in the algorithm that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentChecksum {
    /// Size and CRC64NVME.
    pub digest: Digest,
    value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Crc64nvme,
    Crc32c(u32),
    Sha256([u8; 32]),
}

impl ContentChecksum {
    /// What a digest says by itself; `None` when the algorithm needs the bytes.
    pub fn from_digest(digest: Digest, algorithm: Algorithm) -> Option<Self> {
        (algorithm == Algorithm::Crc64nvme).then_some(Self { digest, value: Value::Crc64nvme })
    }

    /// Reads `len` bytes of `file` from `offset`, or fewer where it ends before.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(file: &File, offset: u64, len: u64, algorithm: Algorithm) -> io::Result<Self> {
        let mut digester = Digester::default();
        let mut crc32c = (algorithm == Algorithm::Crc32c).then(|| crc_fast::Digest::new(Crc32Iscsi));
        let mut sha256 = (algorithm == Algorithm::Sha256).then(Sha256::new);
        read_range(file, offset, len, |bytes| {
            digester.update(bytes);
            crc32c.iter_mut().for_each(|crc| crc.update(bytes));
            sha256.iter_mut().for_each(|sha| sha.update(bytes));
        })?;
        let value = match (crc32c, sha256) {
            (Some(crc), _) => Value::Crc32c(crc.finalize() as u32),
            (_, Some(sha)) => Value::Sha256(sha.finalize().into()),
            _ => Value::Crc64nvme,
        };
        Ok(Self { digest: digester.digest(), value })
    }

    /// The checksum as S3 writes it.
    pub fn to_checksum(&self) -> Checksum {
        match &self.value {
            Value::Crc64nvme => Checksum { algorithm: Algorithm::Crc64nvme, value: self.digest.crc64nvme.to_string() },
            Value::Crc32c(crc) => {
                Checksum { algorithm: Algorithm::Crc32c, value: BASE64_STANDARD.encode(crc.to_be_bytes()) }
            }
            Value::Sha256(sha) => Checksum { algorithm: Algorithm::Sha256, value: BASE64_STANDARD.encode(sha) },
        }
    }
}

/// The digest and checksum of an object by those of its parts, in order: CRCs are combined to that of the whole, SHA-256 to that of the
/// parts' (`-N`).
pub(crate) fn combine_parts(parts: &[ContentChecksum]) -> (Digest, Checksum) {
    let mut digest = Digester::default().digest();
    let (mut crc32c, mut sha256) = (crc_fast::Digest::new(Crc32Iscsi).finalize(), Sha256::new());
    for ContentChecksum { digest: part, value } in parts {
        digest = Digest {
            bytes: digest.bytes + part.bytes,
            crc64nvme: digest.crc64nvme.followed_by(part.crc64nvme, part.bytes),
        };
        match value {
            Value::Crc64nvme => {}
            Value::Crc32c(crc) => {
                crc32c = crc_fast::checksum_combine(Crc32Iscsi, crc32c, u64::from(*crc), part.bytes);
            }
            Value::Sha256(sha) => sha256.update(sha),
        }
    }
    let checksum = match parts.first().map(|part| &part.value) {
        Some(Value::Sha256(_)) => {
            let value = format!("{}-{}", BASE64_STANDARD.encode(sha256.finalize()), parts.len());
            Checksum { algorithm: Algorithm::Sha256, value }
        }
        Some(Value::Crc32c(_)) => ContentChecksum { digest, value: Value::Crc32c(crc32c as u32) }.to_checksum(),
        _ => ContentChecksum { digest, value: Value::Crc64nvme }.to_checksum(),
    };
    (digest, checksum)
}

/// The MD5 of the first `len` bytes in hexadecimal, as the ETags of whole objects have it.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn md5_hex(file: &File, len: u64) -> io::Result<String> {
    let mut md5 = Md5::new();
    read_range(file, 0, len, |bytes| md5.update(bytes))?;
    Ok(hex(&md5.finalize()))
}

/// The MD5 of the MD5s of the parts, each from an offset on and of a length, and `-N`, as the ETags of objects in parts have it.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn md5_of_parts(file: &File, parts: impl Iterator<Item = (u64, u64)>) -> io::Result<String> {
    let (mut whole, mut count) = (Md5::new(), 0);
    for (offset, length) in parts {
        let mut part = Md5::new();
        read_range(file, offset, length, |bytes| part.update(bytes))?;
        whole.update(part.finalize());
        count += 1;
    }
    Ok(format!("{}-{count}", hex(&whole.finalize())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_range(file: &File, offset: u64, len: u64, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER.min(usize::try_from(len).unwrap_or(BUFFER))];
    let mut done = 0;
    while done < len {
        let wanted = buffer.len().min(usize::try_from(len - done).unwrap_or(BUFFER));
        let count = match file.read_at(&mut buffer[..wanted], offset + done) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        if count == 0 {
            break;
        }
        take(&buffer[..count]);
        done += count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn checksums_are_those_of_the_catalogues() {
        let file = file(b"123456789");
        let value = |algorithm| ContentChecksum::read(&file, 0, 9, algorithm).unwrap().to_checksum().value;
        assert_eq!(value(Algorithm::Crc64nvme), "rosUhgp5mIg=");
        assert_eq!(value(Algorithm::Crc32c), BASE64_STANDARD.encode(0xe306_9283_u32.to_be_bytes()));
        assert_eq!(value(Algorithm::Sha256), "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=");
        assert_eq!(md5_hex(&file, 9).unwrap(), "25f9e794323b453885f5181f1b624d0b");
    }

    #[test]
    fn parts_make_up_the_whole() {
        let bytes: Vec<u8> = (0..700_000u32).map(|n| ((n * 31) >> 3) as u8).collect();
        let file = file(&bytes);
        for algorithm in [Algorithm::Crc64nvme, Algorithm::Crc32c] {
            let parts: Vec<_> = [(0, 300_000), (300_000, 300_000), (600_000, 300_000)]
                .map(|(at, len)| ContentChecksum::read(&file, at, len, algorithm).unwrap())
                .into();
            let all = ContentChecksum::read(&file, 0, u64::MAX, algorithm).unwrap();
            assert_eq!(combine_parts(&parts), (all.digest, all.to_checksum()));
        }
    }

    #[test]
    fn a_composite_is_the_hash_of_the_parts_hashes_and_their_number() {
        let file = file(b"ab");
        let parts = [0, 1].map(|at| ContentChecksum::read(&file, at, 1, Algorithm::Sha256).unwrap());
        let hashes = [Sha256::digest(b"a"), Sha256::digest(b"b")].concat();
        assert_eq!(combine_parts(&parts).1.value, format!("{}-2", BASE64_STANDARD.encode(Sha256::digest(hashes))));
    }
}
