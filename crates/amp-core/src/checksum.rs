//! What a file's bytes are known by: size and CRC64NVME, taken once as the bytes go by.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use crc_fast::CrcAlgorithm::Crc64Nvme;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A CRC64NVME checksum. Displays as S3 writes it: base64 of its eight bytes, the most significant first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Crc64(u64);

impl Crc64 {
    /// The checksum of this one's bytes followed by `len` bytes whose checksum is `next`.
    #[must_use]
    pub fn followed_by(self, next: Self, len: u64) -> Self {
        Self(crc_fast::checksum_combine(Crc64Nvme, self.0, next.0, len))
    }
}

impl fmt::LowerHex for Crc64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

impl fmt::Display for Crc64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_STANDARD.encode(self.0.to_be_bytes()))
    }
}

impl Serialize for Crc64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Crc64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64_STANDARD.decode(&text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(|bytes| Self(u64::from_be_bytes(bytes))).ok_or_else(|| de::Error::custom("not a CRC64NVME"))
    }
}

/// What a run of bytes is known by. Two equal digests mean, for our purpose, the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Digest {
    /// Size in bytes.
    pub bytes: u64,
    /// CRC64NVME of the bytes.
    pub crc64nvme: Crc64,
}

/// Takes a [`Digest`] of bytes as they go by.
#[derive(Debug)]
pub struct Digester(crc_fast::Digest);

impl Default for Digester {
    fn default() -> Self {
        Self(crc_fast::Digest::new(Crc64Nvme))
    }
}

impl Digester {
    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of these bytes alone.
    pub fn digest_of(bytes: &[u8]) -> Digest {
        let mut digester = Self::default();
        digester.update(bytes);
        digester.digest()
    }

    /// The digest of all bytes taken in so far.
    pub fn digest(&self) -> Digest {
        Digest { bytes: self.0.get_amount(), crc64nvme: Crc64(self.0.finalize()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(bytes: &[u8]) -> Digest {
        let mut digester = Digester::default();
        digester.update(bytes);
        digester.digest()
    }

    #[test]
    fn the_check_value_of_the_crc_catalogue_is_met_and_written_as_s3_writes_it() {
        let crc = digest(b"123456789").crc64nvme;
        assert_eq!(crc, Crc64(0xae8b_1486_0a79_9888));
        assert_eq!(crc.to_string(), "rosUhgp5mIg=");
        assert_eq!(serde_json::from_str::<Crc64>("\"rosUhgp5mIg=\"").unwrap(), crc);
        assert!(serde_json::from_str::<Crc64>("\"rosUhgp5\"").is_err());
    }

    proptest! {
        #[test]
        fn parts_combine_to_the_whole(left in proptest::collection::vec(any::<u8>(), 0..5000), right in proptest::collection::vec(any::<u8>(), 0..5000)) {
            let whole = digest(&[left.clone(), right.clone()].concat());
            prop_assert_eq!(digest(&left).crc64nvme.followed_by(digest(&right).crc64nvme, right.len() as u64), whole.crc64nvme);
        }
    }
}
