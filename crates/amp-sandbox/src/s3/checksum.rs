//! The checksums of S3: computed here, claimed by clients.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use crc_fast::CrcAlgorithm;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::error::S3Error;
use crate::http::Head;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Crc64Nvme,
    Crc32c,
    Crc32,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub(super) const ALL: [Self; 5] = [Self::Crc64Nvme, Self::Crc32c, Self::Crc32, Self::Sha1, Self::Sha256];

    /// As S3 writes it: `CRC64NVME`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crc64Nvme => "CRC64NVME",
            Self::Crc32c => "CRC32C",
            Self::Crc32 => "CRC32",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    pub(super) fn header(self) -> String {
        format!("x-amz-checksum-{}", self.name().to_ascii_lowercase())
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Whether parts can be combined to the checksum of the whole.
    pub(super) fn whole_object(self) -> bool {
        matches!(self, Self::Crc64Nvme | Self::Crc32c | Self::Crc32)
    }

    fn length(self) -> usize {
        match self {
            Self::Crc64Nvme => 8,
            Self::Crc32c | Self::Crc32 => 4,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    pub(super) fn of(self, bytes: &[u8]) -> Vec<u8> {
        let mut hasher = Hasher::new(self);
        hasher.update(bytes);
        hasher.finish()
    }
}

pub(super) enum Hasher {
    Crc64(Box<crc_fast::Digest>),
    Crc32(Box<crc_fast::Digest>),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hasher {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        let crc = |which| Box::new(crc_fast::Digest::new(which));
        match algorithm {
            Algorithm::Crc64Nvme => Self::Crc64(crc(CrcAlgorithm::Crc64Nvme)),
            Algorithm::Crc32c => Self::Crc32(crc(CrcAlgorithm::Crc32Iscsi)),
            Algorithm::Crc32 => Self::Crc32(crc(CrcAlgorithm::Crc32IsoHdlc)),
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc64(crc) | Self::Crc32(crc) => crc.update(bytes),
            Self::Sha1(sha) => sha.update(bytes),
            Self::Sha256(sha) => sha.update(bytes),
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc64(crc) => crc.finalize().to_be_bytes().to_vec(),
            Self::Crc32(crc) => (crc.finalize() as u32).to_be_bytes().to_vec(),
            Self::Sha1(sha) => sha.finalize().to_vec(),
            Self::Sha256(sha) => sha.finalize().to_vec(),
        }
    }
}

/// A checksum of an object or a part, as it is stored and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checksum {
    pub(super) algorithm: Algorithm,
    /// Base64, with `-N` behind it if it is one of checksums.
    pub(super) value: String,
    pub(super) composite: bool,
}

impl Checksum {
    pub(super) fn whole(algorithm: Algorithm, bytes: &[u8]) -> Self {
        Self { algorithm, value: BASE64.encode(bytes), composite: false }
    }

    pub(super) fn kind(&self) -> &'static str {
        if self.composite { "COMPOSITE" } else { "FULL_OBJECT" }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        BASE64.decode(&self.value).unwrap_or_default()
    }

    /// One that looks right and isn't.
    pub(super) fn falsified(&self) -> Self {
        let (value, parts) = self.value.split_once('-').unwrap_or((&self.value, ""));
        let mut bytes = BASE64.decode(value).unwrap_or_default();
        bytes.iter_mut().take(1).for_each(|byte| *byte ^= 0x80);
        let dash = if parts.is_empty() { "" } else { "-" };
        Self { value: format!("{}{dash}{parts}", BASE64.encode(bytes)), ..self.clone() }
    }
}

/// What the client says of the body it sends.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) algorithm: Algorithm,
    /// None yet if it comes behind the body.
    pub(super) value: Option<String>,
}

impl Claim {
    pub(super) fn of(head: &Head) -> Result<Option<Self>, S3Error> {
        let trailer = head.header("x-amz-trailer").unwrap_or_default().trim().to_ascii_lowercase();
        let mut claims = Vec::new();
        for algorithm in Algorithm::ALL {
            let header = algorithm.header();
            if let Some(value) = head.header(&header) {
                let right = BASE64.decode(value).is_ok_and(|bytes| bytes.len() == algorithm.length());
                if !right {
                    return Err(S3Error::invalid(format!("Value for {header} header is invalid.")));
                }
                claims.push(Self { algorithm, value: Some(value.to_owned()) });
            } else if trailer == header {
                claims.push(Self { algorithm, value: None });
            }
        }
        if claims.len() > 1 {
            return Err(S3Error::invalid(
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
            ));
        }
        let claim = claims.pop();
        match head.header("x-amz-sdk-checksum-algorithm") {
            Some(name) if claim.as_ref().map(|c| c.algorithm.name()) != Some(name.to_ascii_uppercase().as_str()) => {
                Err(S3Error::invalid(
                    "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.",
                ))
            }
            _ => Ok(claim),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_algorithms_give_their_published_check_values() {
        let hex = |algorithm: Algorithm| crate::http::hex(&algorithm.of(b"123456789"));
        assert_eq!(hex(Algorithm::Crc64Nvme), "ae8b14860a799888");
        assert_eq!(hex(Algorithm::Crc32c), "e3069283");
        assert_eq!(hex(Algorithm::Crc32), "cbf43926");
        assert_eq!(hex(Algorithm::Sha1), "f7c3bc1d808e04732adf679965ccc34ca7ae3441");
        assert_eq!(hex(Algorithm::Sha256), "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225");
    }

    #[test]
    fn a_falsified_checksum_differs_and_keeps_its_form() {
        let right = Checksum::whole(Algorithm::Crc32c, &[1, 2, 3, 4]);
        let wrong = right.falsified();
        assert_ne!(right.value, wrong.value);
        assert_eq!(right.value.len(), wrong.value.len());
    }
}
