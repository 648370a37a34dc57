//! Which operation a request is, on what.

use super::error::S3Error;
use super::rule::S3Fault;
use crate::http::{Head, percent_decode, query_pairs};

/// The operations that are served; all others are answered 501.
#[allow(missing_docs, reason = "they are S3's own names")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum S3Op {
    HeadBucket,
    ListObjectsV2,
    PutObject,
    HeadObject,
    GetObject,
    GetObjectTagging,
    DeleteObject,
    CreateMultipartUpload,
    UploadPart,
    CompleteMultipartUpload,
    AbortMultipartUpload,
    ListMultipartUploads,
    ListParts,
    Other,
}

impl S3Op {
    /// The served ones.
    pub const ALL: [Self; 13] = [
        Self::HeadBucket,
        Self::ListObjectsV2,
        Self::PutObject,
        Self::HeadObject,
        Self::GetObject,
        Self::GetObjectTagging,
        Self::DeleteObject,
        Self::CreateMultipartUpload,
        Self::UploadPart,
        Self::CompleteMultipartUpload,
        Self::AbortMultipartUpload,
        Self::ListMultipartUploads,
        Self::ListParts,
    ];
}

/// One request, understood.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) op: S3Op,
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) fault: Option<S3Fault>,
}

/// Where a request says which bucket it means.
#[derive(Debug)]
pub(super) struct Addressing {
    pub(super) base_path: String,
    pub(super) domain: Option<String>,
}

impl Addressing {
    /// Bucket and key, of the decoded path.
    fn locate<'a>(&self, head: &'a Head, path: &'a str) -> Option<(&'a str, &'a str)> {
        let below = path.strip_prefix(&self.base_path).filter(|rest| rest.starts_with('/'));
        let path = below.unwrap_or(path).strip_prefix('/')?;
        let host = head.header("host").and_then(|host| host.split(':').next()).unwrap_or_default();
        let bucket = self.domain.as_ref().and_then(|domain| host.strip_suffix(domain)?.strip_suffix('.'));
        Some(bucket.map_or_else(|| path.split_once('/').unwrap_or((path, "")), |bucket| (bucket, path)))
    }
}

impl Call {
    pub(super) fn of(head: &Head, addressing: &Addressing) -> Result<Self, S3Error> {
        let bad = || S3Error::new(400, "InvalidURI", "Couldn't parse the specified URI.");
        let query = query_pairs(head.query()).ok_or_else(bad)?;
        let path = percent_decode(head.path()).and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(bad)?;
        let (bucket, key) = addressing.locate(head, &path).ok_or_else(bad)?;
        let has = |name: &str| query.iter().any(|(n, _)| n == name);
        let is = |name: &str, value: &str| query.iter().any(|(n, v)| n == name && v == value);
        // A subresource we don't serve must not be taken for the plain operation.
        let known = |allowed: &[&str]| query.iter().all(|(n, _)| n == "x-id" || allowed.contains(&n.as_str()));
        let copy = head.header("x-amz-copy-source").is_some();
        let list = ["list-type", "prefix", "delimiter", "max-keys", "continuation-token", "start-after"];
        let list = [&list[..], &["encoding-type", "fetch-owner"]].concat();
        let version = ["versionId"];
        let op = match (head.method.as_str(), bucket.is_empty(), key.is_empty()) {
            (_, true, _) => S3Op::Other,
            ("HEAD", _, true) => S3Op::HeadBucket,
            ("GET", _, true) if is("list-type", "2") && known(&list) => S3Op::ListObjectsV2,
            ("GET", _, true) if has("uploads") => S3Op::ListMultipartUploads,
            (_, _, true) => S3Op::Other,
            ("PUT", ..) if copy => S3Op::Other,
            ("PUT", ..) if has("uploadId") && has("partNumber") => S3Op::UploadPart,
            ("PUT", ..) if known(&[]) => S3Op::PutObject,
            ("POST", ..) if has("uploads") => S3Op::CreateMultipartUpload,
            ("POST", ..) if has("uploadId") => S3Op::CompleteMultipartUpload,
            ("DELETE", ..) if has("uploadId") => S3Op::AbortMultipartUpload,
            ("DELETE", ..) if known(&version) => S3Op::DeleteObject,
            ("GET", ..) if has("uploadId") => S3Op::ListParts,
            ("GET", ..) if has("tagging") => S3Op::GetObjectTagging,
            ("GET", ..) if known(&version) => S3Op::GetObject,
            ("HEAD", ..) if known(&version) => S3Op::HeadObject,
            _ => S3Op::Other,
        };
        Ok(Self { op, bucket: bucket.to_owned(), key: key.to_owned(), query, fault: None })
    }

    /// A query parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}
