//! The bucket as the loader sees it: what it asks for, what it is answered, how that can fail.

mod body;
mod error;
mod s3;

use std::fmt;

use amp_core::receipt::{Algorithm, Checksum, Stored};
use amp_core::secret::Secret;
use chrono::{DateTime, Utc};
use url::Url;

use crate::tags::Tags;

pub use body::{BodyFault, UploadBody};
pub use error::{StoreError, StoreErrorKind};
pub use s3::S3Store;

/// Where the bucket is and who asks.
#[derive(Debug, Clone)]
pub struct BucketConfig {
    /// The bucket's name.
    pub name: String,
    /// The keys; `None`: what AWS's default chain finds.
    pub credentials: Option<StaticCredentials>,
    /// The region; `None`: the profile's, then `us-east-1`.
    pub region: Option<String>,
    /// The endpoint; `None`: the profile's, then Amazon's.
    pub endpoint: Option<Url>,
    /// Where the bucket's name stands in a request.
    pub addressing: Addressing,
    /// Whether an endpoint may be of plain http where it is not on this machine.
    pub allow_http: bool,
    /// The account that the bucket must be of; every call says so.
    pub owner: Option<String>,
}

/// Keys that a person set, rather than those that AWS's default chain finds.
#[derive(Debug, Clone)]
pub struct StaticCredentials {
    /// The access key.
    pub access_key: Secret,
    /// The secret key.
    pub secret_key: Secret,
    /// The token that temporary keys come with.
    pub session_token: Option<Secret>,
}

/// Where the bucket's name stands in a request, as `addressing_style` of the AWS configuration has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// As the profile says, else in the path where the endpoint's host can have no subdomain.
    Auto,
    /// In the path.
    Path,
    /// Before the host.
    Virtual,
}

/// Server-side encryption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// With S3's own keys.
    Aes256,
    /// With a KMS key, or the account's default one.
    Kms(Option<String>),
}

impl Encryption {
    /// Whether what the server says of an object confirms it. A key that was given by an alias cannot be compared with the one that the alias
    /// stands for.
    pub fn is_confirmed_by(&self, held: Option<&HeldEncryption>) -> bool {
        let Some(held) = held else { return false };
        match self {
            Self::Aes256 => held.algorithm == "AES256",
            Self::Kms(None) => held.algorithm == "aws:kms",
            Self::Kms(Some(key)) => {
                let is_alias = key.starts_with("alias/") || key.contains(":alias/");
                let is_key = |told: &str| told == key || told.ends_with(&format!(":key/{key}"));
                held.algorithm == "aws:kms" && held.kms_key.as_deref().is_some_and(|told| is_alias || is_key(told))
            }
        }
    }
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aes256 => f.write_str("AES256"),
            Self::Kms(None) => f.write_str("aws:kms"),
            Self::Kms(Some(key)) => write!(f, "aws:kms with key {key}"),
        }
    }
}

/// The encryption of an object as the server tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldEncryption {
    /// The algorithm, as `AES256` or `aws:kms`.
    pub algorithm: String,
    /// The KMS key, most often as an ARN.
    pub kms_key: Option<String>,
}

impl fmt::Display for HeldEncryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.algorithm)?;
        self.kms_key.as_ref().map_or(Ok(()), |key| write!(f, " with key {key}"))
    }
}

/// How objects are to be stored.
#[derive(Debug, Clone, Default)]
pub struct ObjectOptions {
    /// The storage class.
    pub class: Option<String>,
    /// The encryption.
    pub encryption: Option<Encryption>,
    /// The tags.
    pub tags: Option<Tags>,
    /// The canned ACL.
    pub acl: Option<String>,
}

/// An object to be written.
#[derive(Debug, Clone)]
pub struct NewObject {
    /// Its key.
    pub key: String,
    /// What it holds, as HTTP names it.
    pub content_type: &'static str,
    /// Write it only if the key does not exist.
    pub only_if_new: bool,
    /// Write it in the bucket's default storage class, whatever that of data is: it is read again soon.
    pub in_default_class: bool,
}

/// What S3 says of an object it holds; what it did not say is `None`.
#[derive(Debug, Clone, Default)]
pub struct HeldObject {
    /// Its size in bytes.
    pub bytes: Option<u64>,
    /// Its checksum by the algorithm that was asked for.
    pub checksum: Option<String>,
    /// Its ETag, quotes removed.
    pub etag: Option<String>,
    /// Its encryption.
    pub encryption: Option<HeldEncryption>,
    /// Its storage class; servers do not tell the standard one.
    pub class: Option<String>,
    /// How many tags it has.
    pub tags: Option<u32>,
    /// Whether its encryption makes the ETag something other than an MD5.
    pub opaque_etag: bool,
    /// Its version, in a bucket that keeps versions.
    pub version_id: Option<String>,
}

impl HeldObject {
    /// Of how many parts the ETag is the MD5 of MD5s, or 0 where it is that of the bytes; `None` where it is no MD5 at all.
    pub fn md5_parts(&self) -> Option<u32> {
        let etag = self.etag.as_deref().filter(|_| !self.opaque_etag)?;
        let (md5, parts) = etag.split_once('-').unwrap_or((etag, "0"));
        let is_md5 = md5.len() == 32 && md5.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_md5.then(|| parts.parse().ok()).flatten()
    }
}

impl From<HeldObject> for Stored {
    fn from(HeldObject { bytes, checksum, etag, version_id, .. }: HeldObject) -> Self {
        Self { bytes, checksum, etag, version_id, read_back: None }
    }
}

/// A part that S3 took.
#[derive(Debug, Clone)]
pub struct StoredPart {
    /// Its number, counted from 1.
    pub number: i32,
    /// Its ETag as it came.
    pub etag: String,
    /// Its checksum, as it was sent.
    pub checksum: Checksum,
}

/// An object as all its parts.
#[derive(Debug)]
pub struct AssembledObject<'a> {
    /// Its parts, in order.
    pub parts: &'a [StoredPart],
    /// Its size.
    pub bytes: u64,
    /// Its checksum.
    pub checksum: &'a Checksum,
}

/// An upload in parts that is neither complete nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUpload {
    /// Its id.
    pub id: String,
    /// When it was initiated, by the server's clock.
    pub initiated: DateTime<Utc>,
}

/// Whether the checksum of an object in parts covers the whole object, or is one of its parts' checksums.
pub fn covers_whole_objects(algorithm: Algorithm) -> bool {
    algorithm != Algorithm::Sha256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encryption_is_confirmed_by_the_same_algorithm_and_key() {
        const ARN: &str = "arn:aws:kms:eu-west-1:1:key/k-1";
        let held = |algorithm: &str, key: Option<&str>| {
            Some(HeldEncryption { algorithm: algorithm.to_owned(), kms_key: key.map(str::to_owned) })
        };
        let kms = |key: &str| Encryption::Kms(Some(key.to_owned()));
        for (asked, told, confirmed) in [
            (Encryption::Aes256, None, false),
            (Encryption::Aes256, held("AES256", None), true),
            (Encryption::Kms(None), held("AES256", None), false),
            (Encryption::Kms(None), held("aws:kms", Some(ARN)), true),
            (kms("k-1"), held("aws:kms", Some(ARN)), true),
            (kms(ARN), held("aws:kms", Some(ARN)), true),
            (kms("k-2"), held("aws:kms", Some(ARN)), false),
            (kms("k-1"), held("aws:kms", None), false),
            (kms("alias/lake"), held("aws:kms", Some(ARN)), true),
        ] {
            assert_eq!(asked.is_confirmed_by(told.as_ref()), confirmed, "{asked} {told:?}");
        }
    }

    #[test]
    fn an_etag_counts_only_where_it_is_an_md5() {
        let md5 = "25F9E794323B453885F5181F1B624D0B";
        let parts = |etag: &str, opaque_etag| {
            HeldObject { etag: Some(etag.to_owned()), opaque_etag, ..HeldObject::default() }.md5_parts()
        };
        assert_eq!(parts(md5, false), Some(0));
        assert_eq!(parts(&format!("{md5}-13"), false), Some(13));
        assert_eq!(parts(md5, true), None);
        assert_eq!(parts(&format!("{md5}-x"), false), None);
        assert_eq!(parts("xyz", false), None);
    }
}
