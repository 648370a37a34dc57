//! How look-alikes of S3 differ from it.

use std::str::FromStr;

use crate::script;
use crate::time::ParseError;

/// What a server does otherwise than S3. Without any, it is S3.
///
/// As text: names of fields with dashes, between commas, `throttle-above=8`, or a server's name, which stands for all
/// that was observed of it.
///
/// ```
/// use amp_sandbox::s3::Quirks;
///
/// let quirks: Quirks = "rgw,ignore-sse,throttle-above=8".parse()?;
/// assert!(quirks.ignore_checksums && quirks.ignore_sse);
/// # Ok::<(), amp_sandbox::time::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quirks {
    /// `x-amz-checksum-*` is neither checked nor stored nor returned.
    pub ignore_checksums: bool,
    /// PutObject and UploadPart return the checksum as it was sent, unchecked; HeadObject has none.
    pub echo_checksums: bool,
    /// HeadObject and GetObject return the checksum as it was sent, unchecked; PutObject and UploadPart have none.
    pub keep_unchecked: bool,
    /// A digest that does not match is `InvalidDigest` instead of `BadDigest`.
    pub invalid_digest: bool,
    /// `Content-MD5` is not checked.
    pub ignore_content_md5: bool,
    /// ETags that are visibly no MD5.
    pub no_md5_etag: bool,
    /// ETags that look like an MD5 and are not.
    pub random_etag: bool,
    /// A chunk-signed body is stored with its framing.
    pub keep_chunk_framing: bool,
    /// `If-Match` and `If-None-Match` have no effect.
    pub ignore_conditions: bool,
    /// Encryption that is asked for is neither applied nor confirmed.
    pub ignore_sse: bool,
    /// Every object is of the class STANDARD.
    pub ignore_storage_class: bool,
    /// Tags are dropped.
    pub ignore_tags: bool,
    /// A range is answered with 200 instead of 206; the body and `Content-Range` are right.
    pub range_with_200: bool,
    /// CreateMultipartUpload is answered with a document whose root is `InitiateMultipartUpload`.
    pub wrong_create_root: bool,
    /// 403 for HeadObject.
    pub head_object_denied: bool,
    /// 403 for HeadBucket, ListObjectsV2 and ListMultipartUploads: a role that may only put.
    pub list_denied: bool,
    /// 503 SlowDown for a request that comes while so many are being answered.
    pub throttle_above: Option<usize>,
}

type Switch = fn(&mut Quirks) -> &mut bool;

const SWITCHES: [(&str, Switch); 16] = [
    ("ignore-checksums", |q| &mut q.ignore_checksums),
    ("echo-checksums", |q| &mut q.echo_checksums),
    ("keep-unchecked", |q| &mut q.keep_unchecked),
    ("invalid-digest", |q| &mut q.invalid_digest),
    ("ignore-content-md5", |q| &mut q.ignore_content_md5),
    ("no-md5-etag", |q| &mut q.no_md5_etag),
    ("random-etag", |q| &mut q.random_etag),
    ("keep-chunk-framing", |q| &mut q.keep_chunk_framing),
    ("ignore-conditions", |q| &mut q.ignore_conditions),
    ("ignore-sse", |q| &mut q.ignore_sse),
    ("ignore-storage-class", |q| &mut q.ignore_storage_class),
    ("ignore-tags", |q| &mut q.ignore_tags),
    ("range-with-200", |q| &mut q.range_with_200),
    ("wrong-create-root", |q| &mut q.wrong_create_root),
    ("head-object-denied", |q| &mut q.head_object_denied),
    ("list-denied", |q| &mut q.list_denied),
];

/// Garage 2.5.
const GARAGE: &[&str] = &["invalid-digest", "ignore-sse", "ignore-storage-class", "ignore-tags"];

/// Ceph RGW 16: the ETags alone tell what it holds.
const RGW: &[&str] = &["ignore-checksums"];

/// `rclone serve s3` 1.75.
const RCLONE: &[&str] =
    &["keep-unchecked", "keep-chunk-framing", "ignore-conditions", "ignore-sse", "range-with-200", "wrong-create-root"];

impl Quirks {
    /// Whether a checksum that a client sends says nothing about what is stored.
    pub(super) fn unverified(self) -> bool {
        self.ignore_checksums || self.echo_checksums || self.keep_unchecked
    }

    fn set(&mut self, name: &str) -> Result<(), ParseError> {
        match SWITCHES.into_iter().find(|(switch, _)| *switch == name) {
            Some((_, field)) => *field(self) = true,
            None => {
                let names: Vec<&str> = SWITCHES.into_iter().map(|(name, _)| name).collect();
                let expected = format!("{}, throttle-above=N, garage, rgw, rclone", names.join(", "));
                return Err(script::unknown("quirk", name, &expected));
            }
        }
        Ok(())
    }
}

impl FromStr for Quirks {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut quirks = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match (word, word.split_once('=')) {
                ("garage", _) => GARAGE.iter().try_for_each(|name| quirks.set(name))?,
                ("rgw", _) => RGW.iter().try_for_each(|name| quirks.set(name))?,
                ("rclone", _) => RCLONE.iter().try_for_each(|name| quirks.set(name))?,
                (_, Some(("throttle-above", most))) => quirks.throttle_above = Some(script::number(most)?),
                (name, _) => quirks.set(name)?,
            }
        }
        Ok(quirks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quirks_are_read_by_name_and_by_server() {
        let parsed: Quirks = "echo-checksums, throttle-above=8".parse().unwrap();
        assert_eq!(parsed, Quirks { echo_checksums: true, throttle_above: Some(8), ..Quirks::default() });
        assert!("rclone".parse::<Quirks>().is_ok_and(|rclone| rclone.keep_unchecked && rclone.wrong_create_root));
        assert_eq!("rgw".parse(), Ok(Quirks { ignore_checksums: true, ..Quirks::default() }));
        for bad in ["lazy", "throttle-above", "throttle-above=some", "echo-checksums=yes"] {
            assert!(bad.parse::<Quirks>().is_err(), "{bad}");
        }
    }
}
