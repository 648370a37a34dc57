//! The proof that S3 holds what we have, without which nothing is deleted.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::checksum::{Crc64, Digest};

/// A checksum algorithm of S3 that can cover an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// CRC64NVME, S3's own default.
    Crc64nvme,
    /// CRC32C.
    Crc32c,
    /// SHA-256.
    Sha256,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crc64nvme => "CRC64NVME",
            Self::Crc32c => "CRC32C",
            Self::Sha256 => "SHA256",
        })
    }
}

/// A checksum as S3 writes it: base64, with `-N` behind it for a composite of N parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Its value.
    pub value: String,
}

/// What an object must be to be ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Size and CRC64NVME of the file's bytes.
    pub digest: Digest,
    /// The checksum that was sent with the object.
    pub checksum: Checksum,
    /// The ETag that a server without checksums would give the object, quotes removed: the MD5 in hexadecimal, or the MD5 of the parts' MD5s
    /// and `-N`. Computed only when needed.
    pub etag: Option<String>,
}

/// What S3 says of an object it stored; what it did not say is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stored {
    /// Its size in bytes.
    pub bytes: Option<u64>,
    /// Its checksum by the algorithm that was asked for.
    pub checksum: Option<String>,
    /// Its ETag, quotes removed.
    pub etag: Option<String>,
    /// Its version, in a bucket that keeps versions.
    pub version_id: Option<String>,
    /// Size and CRC64NVME of its bytes, read back.
    pub read_back: Option<Digest>,
}

/// By what an upload was confirmed, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// The checksum the server stored.
    Checksum,
    /// An ETag that is the MD5 of the bytes, or of the parts' MD5s.
    Etag,
    /// The object's bytes, read back.
    ReadBack,
    /// The size alone: only in old records, for it proves nothing.
    Size,
}

/// What S3 says it holds is not what was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// A checksum differs.
    #[error("the server stored {algorithm} {stored}, the file has {expected}")]
    Checksum {
        /// Which checksum.
        algorithm: Algorithm,
        /// The server's value.
        stored: String,
        /// Ours.
        expected: String,
    },
    /// The ETag is not the MD5 of the file.
    #[error("the server stored ETag {stored}, the file's MD5 is {expected}")]
    Etag {
        /// The server's value.
        stored: String,
        /// Ours.
        expected: String,
    },
    /// The size differs.
    #[error("the server stored {stored} bytes, the file has {expected}")]
    Size {
        /// The server's value.
        stored: u64,
        /// Ours.
        expected: u64,
    },
    /// The bytes that were read back differ.
    #[error("the object read back has CRC64NVME {stored}, the file has {expected}")]
    ReadBack {
        /// That of the object.
        stored: Crc64,
        /// Ours.
        expected: Crc64,
    },
    /// The server said nothing that could be compared.
    #[error("the server tells neither checksum nor MD5 of what it stored")]
    Nothing,
}

/// The proof that S3 holds exactly the bytes of a file. It can only come from a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    digest: Digest,
    checksum: Checksum,
    proof: Proof,
    etag: Option<String>,
    version_id: Option<String>,
}

impl Receipt {
    /// Compares all that the server said with what the object must be.
    ///
    /// Whatever both sides know must agree; the strongest agreement is the proof. Equal size is none.
    ///
    /// # Errors
    /// The first [`Mismatch`], or [`Mismatch::Nothing`] when only the size, or nothing, can be compared.
    pub fn compare(expected: &Expected, stored: &Stored) -> Result<Self, Mismatch> {
        let mut proof = None;
        if let Some(bytes) = stored.bytes
            && bytes != expected.digest.bytes
        {
            return Err(Mismatch::Size { stored: bytes, expected: expected.digest.bytes });
        }
        if let Some(read) = stored.read_back {
            let Digest { bytes, crc64nvme } = expected.digest;
            if read.bytes != bytes {
                return Err(Mismatch::Size { stored: read.bytes, expected: bytes });
            }
            if read.crc64nvme != crc64nvme {
                return Err(Mismatch::ReadBack { stored: read.crc64nvme, expected: crc64nvme });
            }
            proof = Some(Proof::ReadBack);
        }
        if let (Some(stored), Some(expected)) = (&stored.etag, &expected.etag) {
            if !stored.eq_ignore_ascii_case(expected) {
                return Err(Mismatch::Etag { stored: stored.clone(), expected: expected.clone() });
            }
            proof = Some(Proof::Etag);
        }
        if let Some(value) = &stored.checksum {
            let Checksum { algorithm, value: expected } = &expected.checksum;
            if value != expected {
                return Err(Mismatch::Checksum {
                    algorithm: *algorithm,
                    stored: value.clone(),
                    expected: expected.clone(),
                });
            }
            proof = Some(Proof::Checksum);
        }
        let proof = proof.ok_or(Mismatch::Nothing)?;
        let (etag, version_id) = (stored.etag.clone(), stored.version_id.clone());
        Ok(Self { digest: expected.digest, checksum: expected.checksum.clone(), proof, etag, version_id })
    }

    /// Size and CRC64NVME of the bytes that S3 holds.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The checksum the object was stored with.
    pub fn checksum(&self) -> &Checksum {
        &self.checksum
    }

    /// What the proof rests on.
    pub fn proof(&self) -> Proof {
        self.proof
    }

    /// The object's ETag as the server told it, quotes removed.
    pub fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    /// The object's version, in a bucket that keeps versions.
    pub fn version_id(&self) -> Option<&str> {
        self.version_id.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(etag: Option<&str>) -> Expected {
        Expected {
            digest: Digest { bytes: 9, ..Digest::default() },
            checksum: Checksum { algorithm: Algorithm::Crc64nvme, value: "rosUhgp5mIg=".into() },
            etag: etag.map(str::to_owned),
        }
    }

    fn stored(bytes: Option<u64>, checksum: Option<&str>, etag: Option<&str>) -> Stored {
        Stored { bytes, checksum: checksum.map(str::to_owned), etag: etag.map(str::to_owned), ..Stored::default() }
    }

    #[test]
    fn the_strongest_agreement_is_the_proof_and_any_disagreement_refuses() {
        let proof = |etag, stored: Stored| Receipt::compare(&expected(etag), &stored).map(|receipt| receipt.proof());
        assert_eq!(proof(None, stored(None, Some("rosUhgp5mIg="), Some("x"))), Ok(Proof::Checksum));
        assert_eq!(proof(Some("AB"), stored(Some(9), None, Some("ab"))), Ok(Proof::Etag));
        assert_eq!(proof(None, stored(Some(9), None, Some("ab"))), Err(Mismatch::Nothing));
        let read_back = |bytes| Stored { read_back: Some(Digest { bytes, ..Digest::default() }), ..Stored::default() };
        assert_eq!(proof(None, read_back(9)), Ok(Proof::ReadBack));
        assert!(matches!(proof(None, read_back(8)), Err(Mismatch::Size { .. })));
        assert_eq!(proof(None, stored(None, None, Some("ab"))), Err(Mismatch::Nothing));
        assert!(matches!(proof(None, stored(Some(9), Some("other"), None)), Err(Mismatch::Checksum { .. })));
        assert!(matches!(
            proof(Some("ab"), stored(Some(9), Some("rosUhgp5mIg="), Some("cd"))),
            Err(Mismatch::Etag { .. })
        ));
        assert!(matches!(proof(None, stored(Some(8), Some("rosUhgp5mIg="), None)), Err(Mismatch::Size { .. })));
    }
}
