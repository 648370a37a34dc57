//! Calls on one object.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use chrono::{DateTime, Utc};

use super::answer::{Reply, ReplyBody, Shown};
use super::call::Call;
use super::checksum::{Algorithm, Claim};
use super::error::{Failure, S3Error};
use super::payload;
use super::quirks::Quirks;
use super::range::ByteRange;
use super::receive::{etag, receive};
use super::sigv4::Signed;
use super::state::{Bucket, State, lock};
use super::store::{Description, Object};
use crate::http::{Exchange, Head, query_pairs};
use crate::xml::{document, tag};

const STORAGE_CLASSES: [&str; 8] = [
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "GLACIER_IR",
];

const CANNED_ACLS: [&str; 7] = [
    "private",
    "public-read",
    "public-read-write",
    "aws-exec-read",
    "authenticated-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
];

/// Tags as S3 takes them in a header: pairs of a query, ten at most, each once, of a length and of characters that are allowed.
fn tags_fit(tags: &str) -> Result<(), S3Error> {
    let bad = |message: &str| S3Error::new(400, "InvalidArgument", message);
    let malformed = "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.";
    let pairs = query_pairs(&tags.replace('+', "%20")).ok_or_else(|| bad(malformed))?;
    let encoded = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~%+=&*".contains(&byte);
    let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if !tags.bytes().all(encoded) || names.len() != pairs.len() {
        return Err(bad(malformed));
    }
    if pairs.len() > 10 {
        return Err(S3Error::new(400, "BadRequest", "Object tags cannot be greater than 10"));
    }
    let allowed = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c));
    let fits = |(name, value): &(String, String)| {
        (1..=128).contains(&name.chars().count())
            && value.chars().count() <= 256
            && !name.to_ascii_lowercase().starts_with("aws:")
            && allowed(name)
            && allowed(value)
    };
    if !pairs.iter().all(fits) {
        return Err(S3Error::new(400, "InvalidTag", "The TagKey or TagValue you have provided is invalid"));
    }
    Ok(())
}

impl Description {
    /// From the headers of PutObject or CreateMultipartUpload.
    pub(super) fn of(head: &Head, quirks: Quirks) -> Result<Self, S3Error> {
        let header = |name: &str| head.header(name).map(str::to_owned);
        let metadata = head.headers.iter().filter_map(|(name, value)| {
            Some((name.to_ascii_lowercase().strip_prefix("x-amz-meta-")?.to_owned(), value.clone()))
        });
        let mut description = Self {
            content_type: header("content-type"),
            content_encoding: header("content-encoding").filter(|encoding| encoding != "aws-chunked"),
            storage_class: header("x-amz-storage-class"),
            sse: header("x-amz-server-side-encryption"),
            kms_key_id: header("x-amz-server-side-encryption-aws-kms-key-id"),
            tags: header("x-amz-tagging"),
            acl: header("x-amz-acl"),
            metadata: metadata.collect(),
        };
        if description.storage_class.as_ref().is_some_and(|class| !STORAGE_CLASSES.contains(&class.as_str())) {
            return Err(S3Error::new(400, "InvalidStorageClass", "The storage class you specified is not valid"));
        }
        if description.sse.as_ref().is_some_and(|sse| !["AES256", "aws:kms", "aws:kms:dsse"].contains(&sse.as_str())) {
            let message = "The Encryption request you specified is not valid. Supported value: AES256/aws:kms.";
            return Err(S3Error::new(400, "InvalidArgument", message));
        }
        if description.acl.as_ref().is_some_and(|acl| !CANNED_ACLS.contains(&acl.as_str())) {
            return Err(S3Error::new(400, "InvalidArgument", "The canned ACL you specified is not known"));
        }
        description.tags.as_deref().map_or(Ok(()), tags_fit)?;
        if quirks.ignore_sse {
            (description.sse, description.kms_key_id) = (None, None);
        }
        description.storage_class = description.storage_class.filter(|_| !quirks.ignore_storage_class);
        description.tags = description.tags.filter(|_| !quirks.ignore_tags);
        Ok(description)
    }

    /// How an answer tells of the encryption: the key by its ARN, whatever the client called it.
    pub(super) fn encryption_headers(&self, state: &State) -> Vec<(String, String)> {
        let arn = |id: &String| match id.starts_with("arn:") {
            true => id.clone(),
            false => format!("arn:aws:kms:{}:{}:key/{id}", lock(&state.signer).region, state.owner),
        };
        let pairs = [
            ("x-amz-server-side-encryption", self.sse.clone()),
            ("x-amz-server-side-encryption-aws-kms-key-id", self.kms_key_id.as_ref().map(arn)),
        ];
        pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// The conditions under which an object may be written.
#[derive(Clone)]
pub(super) struct Precondition {
    none: bool,
    etag: Option<String>,
}

impl Precondition {
    pub(super) fn of(head: &Head, quirks: Quirks) -> Result<Self, S3Error> {
        if quirks.ignore_conditions {
            return Ok(Self { none: false, etag: None });
        }
        let none = match head.header("if-none-match").map(|value| value.trim_matches('"')) {
            None => false,
            Some("*") => true,
            Some(_) => {
                let message = "A header you provided implies functionality that is not implemented: If-None-Match";
                return Err(S3Error::new(501, "NotImplemented", message));
            }
        };
        Ok(Self { none, etag: head.header("if-match").map(|etag| etag.trim_matches('"').to_owned()) })
    }

    pub(super) fn check(&self, bucket: &Bucket, key: &str) -> Result<(), S3Error> {
        match (bucket.objects.get(key), &self.etag) {
            (Some(_), _) if self.none => Err(precondition_failed()),
            (Some(object), Some(etag)) if object.etag != *etag => Err(precondition_failed()),
            (None, Some(_)) => Err(no_such_key()),
            _ => Ok(()),
        }
    }
}

fn no_such_key() -> S3Error {
    S3Error::new(404, "NoSuchKey", "The specified key does not exist.")
}

pub(super) fn key_fits(key: &str) -> Result<(), S3Error> {
    if key.len() > 1024 {
        return Err(S3Error::new(400, "KeyTooLongError", "Your key is too long"));
    }
    Ok(())
}

pub(super) fn put(state: &State, exchange: &mut Exchange<'_>, call: &Call, signed: &Signed) -> Result<Reply, Failure> {
    key_fits(&call.key)?;
    let precondition = Precondition::of(&exchange.head, state.quirks)?;
    state.bucket(&call.bucket, |bucket| precondition.check(bucket, &call.key))??;
    let description = Description::of(&exchange.head, state.quirks)?;
    let claim = Claim::of(&exchange.head)?;
    let received = receive(state, exchange, signed, call, claim, Algorithm::Crc64Nvme)?;
    let etag = etag(state, &received.md5, "", description.sse.as_deref());
    let path = state.disk.path(&call.bucket, &call.key);
    let object = Object {
        bytes: received.bytes,
        etag: etag.clone(),
        checksum: received.checksum,
        description: description.clone(),
        parts: None,
        modified: Utc::now(),
        version: state.version(),
        path: path.clone(),
    };
    let version = version_header(&object);
    state.bucket(&call.bucket, |bucket| -> Result<(), Failure> {
        // Another may have put the key while this body came.
        precondition.check(bucket, &call.key)?;
        state.disk.publish(received.file, &path)?;
        bucket.objects.insert(call.key.clone(), object);
        Ok(())
    })??;
    let shown = Shown::new(Some(etag), received.shown).distorted(call);
    Ok(Reply::ok([shown.headers(), description.encryption_headers(state), version].concat(), Vec::new()))
}

fn describe(state: &State, call: &Call, head: &Head, object: &Object) -> Vec<(String, String)> {
    let asked = head.header("x-amz-checksum-mode").is_some_and(|mode| mode.eq_ignore_ascii_case("ENABLED"));
    let checksum = object.checksum.clone().filter(|_| asked);
    let mut headers = Shown::new(Some(object.etag.clone()), checksum).distorted(call).headers();
    let description = &object.description;
    let mut add = |name: &str, value: Option<String>| headers.extend(value.map(|value| (name.to_owned(), value)));
    add("Last-Modified", Some(http_date(object.modified)));
    add("Content-Type", Some(description.content_type.clone().unwrap_or_else(|| "binary/octet-stream".into())));
    add("Content-Encoding", description.content_encoding.clone());
    add("x-amz-storage-class", description.storage_class.clone().filter(|class| class != "STANDARD"));
    add("x-amz-tagging-count", description.tags.as_ref().map(|tags| tags.split('&').count().to_string()));
    for (name, value) in &description.metadata {
        add(&format!("x-amz-meta-{name}"), Some(value.clone()));
    }
    headers.extend(description.encryption_headers(state));
    headers.extend(version_header(object));
    headers
}

pub(super) fn version_header(object: &Object) -> Vec<(String, String)> {
    object.version.iter().map(|version| ("x-amz-version-id".to_owned(), version.clone())).collect()
}

fn http_date(moment: DateTime<Utc>) -> String {
    moment.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The object that HeadObject or GetObject means, if it is the one that the client expects.
fn find(state: &State, head: &Head, call: &Call) -> Result<Object, S3Error> {
    let object = state.bucket(&call.bucket, |bucket| bucket.objects.get(&call.key).cloned())?;
    let object = object.ok_or_else(no_such_key)?;
    if call.parameter("versionId").is_some_and(|version| object.version.as_deref() != Some(version)) {
        return Err(S3Error::new(404, "NoSuchVersion", "The specified version does not exist."));
    }
    if head.header("if-match").is_some_and(|etag| etag.trim_matches('"') != object.etag)
        && !state.quirks.ignore_conditions
    {
        return Err(precondition_failed());
    }
    Ok(object)
}

fn precondition_failed() -> S3Error {
    S3Error::new(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
}

pub(super) fn head(state: &State, exchange: &mut Exchange<'_>, call: &Call, signed: &Signed) -> Result<Reply, Failure> {
    payload::none(exchange, signed)?;
    let object = find(state, &exchange.head, call)?;
    let mut headers = describe(state, call, &exchange.head, &object);
    headers.push(("Content-Length".into(), object.bytes.to_string()));
    Ok(Reply::ok(headers, Vec::new()))
}

pub(super) fn tagging(
    state: &State,
    exchange: &mut Exchange<'_>,
    call: &Call,
    signed: &Signed,
) -> Result<Reply, Failure> {
    payload::none(exchange, signed)?;
    let object = find(state, &exchange.head, call)?;
    let pairs = query_pairs(&object.description.tags.unwrap_or_default()).unwrap_or_default();
    let tags = pairs.iter().map(|(key, value)| format!("<Tag>{}{}</Tag>", tag("Key", key), tag("Value", value)));
    Ok(Reply::xml(document("Tagging", &format!("<TagSet>{}</TagSet>", tags.collect::<String>()))))
}

pub(super) fn get(state: &State, exchange: &mut Exchange<'_>, call: &Call, signed: &Signed) -> Result<Reply, Failure> {
    payload::none(exchange, signed)?;
    let object = find(state, &exchange.head, call)?;
    let mut headers = describe(state, call, &exchange.head, &object);
    let range = ByteRange::of(&exchange.head, object.bytes)?;
    headers.extend(range.as_ref().map(|range| ("Content-Range".into(), range.of_size(object.bytes))));
    let status = if range.is_some() && !state.quirks.range_with_200 { 206 } else { 200 };
    let ByteRange { start, length } = range.unwrap_or(ByteRange { start: 0, length: object.bytes });
    headers.push(("Content-Length".into(), length.to_string()));
    let mut file = File::open(&object.path)?;
    file.seek(SeekFrom::Start(start))?;
    Ok(Reply { status, headers, body: ReplyBody::File(file.take(length)) })
}

/// Deletes an object as if it had never been stored.
pub(super) fn forget(state: &State, call: &Call) {
    if let Ok(Some(object)) = state.bucket(&call.bucket, |bucket| bucket.objects.remove(&call.key)) {
        let _ = state.disk.remove(&object.path);
    }
}

/// Deleting what isn't there is a success, as S3 has it.
pub(super) fn delete(
    state: &State,
    exchange: &mut Exchange<'_>,
    call: &Call,
    signed: &Signed,
) -> Result<Reply, Failure> {
    payload::none(exchange, signed)?;
    if let Some(object) = state.bucket(&call.bucket, |bucket| bucket.objects.remove(&call.key))? {
        state.disk.remove(&object.path)?;
    }
    Ok(Reply { status: 204, ..Reply::ok(Vec::new(), Vec::new()) })
}
