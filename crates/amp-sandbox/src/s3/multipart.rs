//! Uploads in parts.

use std::sync::Arc;

use chrono::Utc;

use super::answer::{Reply, Shown};
use super::bucket::{TIME, at_most, key_encoder};
use super::call::Call;
use super::checksum::{Algorithm, Claim};
use super::error::{Failure, S3Error};
use super::object::key_fits;
use super::payload;
use super::receive::{etag, receive};
use super::sigv4::Signed;
use super::state::{Bucket, Part, State, Upload};
use super::store::Description;
use crate::http::{Exchange, Head};
use crate::xml::{document, tag};

pub(super) fn no_such_upload() -> S3Error {
    let message = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.";
    S3Error::new(404, "NoSuchUpload", message)
}

pub(super) fn place(call: &Call) -> (String, String) {
    (call.key.clone(), call.parameter("uploadId").unwrap_or_default().to_owned())
}

/// Does something to an upload that must be open.
pub(super) fn upload<T>(state: &State, call: &Call, act: impl FnOnce(&mut Upload) -> T) -> Result<T, S3Error> {
    let find = |bucket: &mut Bucket| bucket.uploads.get_mut(&place(call)).map(act);
    state.bucket(&call.bucket, find)?.ok_or_else(no_such_upload)
}

/// The type that a header names, where the algorithm allows it.
fn composite(head: &Head, algorithm: Option<Algorithm>) -> Result<bool, S3Error> {
    let whole = algorithm.is_none_or(Algorithm::whole_object);
    match (head.header("x-amz-checksum-type"), algorithm) {
        (None, None | Some(Algorithm::Crc64Nvme)) => Ok(false),
        (None, Some(_)) => Ok(true),
        (Some("FULL_OBJECT"), Some(_)) if whole => Ok(false),
        (Some("COMPOSITE"), Some(algorithm)) if algorithm != Algorithm::Crc64Nvme => Ok(true),
        (Some(kind), _) => {
            let name = algorithm.map_or("no", Algorithm::name);
            Err(S3Error::invalid(format!(
                "The {kind} checksum type cannot be used with the {name} checksum algorithm."
            )))
        }
    }
}

pub(super) fn create(
    state: &State,
    exchange: &mut Exchange<'_>,
    call: &Call,
    signed: &Signed,
) -> Result<Reply, Failure> {
    payload::none(exchange, signed)?;
    key_fits(&call.key)?;
    let unknown = || S3Error::invalid("Checksum algorithm provided is unsupported.");
    let named = exchange.head.header("x-amz-checksum-algorithm");
    let algorithm = named.map(|name| Algorithm::named(name).ok_or_else(unknown)).transpose()?;
    let composite = composite(&exchange.head, algorithm)?;
    let description = Description::of(&exchange.head, state.quirks)?;
    let id = format!("upload-{:08}-{:x}", state.serial(), Utc::now().timestamp_micros());
    let mut headers = description.encryption_headers(state);
    if let Some(algorithm) = algorithm.filter(|_| !state.quirks.ignore_checksums) {
        headers.push(("x-amz-checksum-algorithm".into(), algorithm.name().into()));
        headers.push(("x-amz-checksum-type".into(), if composite { "COMPOSITE" } else { "FULL_OBJECT" }.into()));
    }
    let upload = Upload { algorithm, composite, description, parts: Default::default(), initiated: Utc::now() };
    state.bucket(&call.bucket, |bucket| bucket.uploads.insert((call.key.clone(), id.clone()), upload))?;
    let inner = [tag("Bucket", &call.bucket), tag("Key", &call.key), tag("UploadId", &id)];
    let root = if state.quirks.wrong_create_root { "InitiateMultipartUpload" } else { "InitiateMultipartUploadResult" };
    let reply = Reply::xml(document(root, &inner.concat()));
    Ok(Reply { headers: [reply.headers, headers].concat(), ..reply })
}

pub(super) fn put_part(
    state: &State,
    exchange: &mut Exchange<'_>,
    call: &Call,
    signed: &Signed,
) -> Result<Reply, Failure> {
    let number = call.parameter("partNumber").and_then(|text| text.parse().ok()).filter(|n| (1..=10_000).contains(n));
    let number: u32 = number.ok_or_else(|| {
        S3Error::new(400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
    })?;
    let (algorithm, sse) = upload(state, call, |upload| (upload.algorithm, upload.description.sse.clone()))?;
    let claim = Claim::of(&exchange.head)?;
    if let Some(claim) = claim.as_ref().filter(|claim| Some(claim.algorithm) != algorithm) {
        let expected = algorithm.map_or("null", Algorithm::name);
        let message = "Checksum Type mismatch occurred, expected checksum Type";
        return Err(S3Error::invalid(format!(
            "{message}: {expected}, actual checksum Type: {}",
            claim.algorithm.name()
        ))
        .into());
    }
    let received = receive(state, exchange, signed, call, claim, algorithm.unwrap_or(Algorithm::Crc64Nvme))?;
    let etag = etag(state, &received.md5, "", sse.as_deref());
    let part = Part {
        file: received.file,
        bytes: received.bytes,
        md5: received.md5,
        etag: etag.clone(),
        checksum: received.checksum,
        modified: Utc::now(),
    };
    upload(state, call, |upload| upload.parts.insert(number, Arc::new(part)))?;
    let shown = Shown::new(Some(etag), received.shown.filter(|_| algorithm.is_some())).distorted(call);
    Ok(Reply::ok(shown.headers(), Vec::new()))
}

pub(super) fn abort(
    state: &State,
    exchange: &mut Exchange<'_>,
    call: &Call,
    signed: &Signed,
) -> Result<Reply, Failure> {
    payload::none(exchange, signed)?;
    state.bucket(&call.bucket, |bucket| bucket.uploads.remove(&place(call)))?.ok_or_else(no_such_upload)?;
    Ok(Reply { status: 204, ..Reply::ok(Vec::new(), Vec::new()) })
}

pub(super) fn list_uploads(
    state: &State,
    exchange: &mut Exchange<'_>,
    call: &Call,
    signed: &Signed,
) -> Result<Reply, Failure> {
    payload::none(exchange, signed)?;
    let most = at_most(call, "max-uploads")?;
    let encode = key_encoder(call);
    let prefix = call.parameter("prefix").unwrap_or_default();
    let key_marker = call.parameter("key-marker").unwrap_or_default();
    // Without an upload id the marker stands for all uploads of its key.
    let id_marker = call.parameter("upload-id-marker").filter(|id| !id.is_empty()).unwrap_or("\u{10FFFF}");
    let mut all: Vec<((String, String), String)> = state.bucket(&call.bucket, |bucket| {
        let described =
            bucket.uploads.iter().map(|(place, open)| (place.clone(), open.initiated.format(TIME).to_string()));
        described.collect()
    })?;
    all.retain(|((key, id), _)| {
        key.starts_with(prefix) && (key_marker.is_empty() || (key.as_str(), id.as_str()) > (key_marker, id_marker))
    });
    let truncated = all.len() > most;
    all.truncate(most);
    let mut inner = [
        tag("Bucket", &call.bucket),
        tag("Prefix", &encode(prefix)),
        tag("MaxUploads", &most.to_string()),
        tag("IsTruncated", &truncated.to_string()),
    ]
    .concat();
    if let (true, Some(((key, id), _))) = (truncated, all.last()) {
        inner.push_str(&(tag("NextKeyMarker", &encode(key)) + &tag("NextUploadIdMarker", id)));
    }
    if let Some(encoding) = call.parameter("encoding-type") {
        inner.push_str(&tag("EncodingType", encoding));
    }
    for ((key, id), initiated) in &all {
        let open = [
            tag("Key", &encode(key)),
            tag("UploadId", id),
            tag("Initiated", initiated),
            tag("StorageClass", "STANDARD"),
        ];
        inner.push_str(&format!("<Upload>{}</Upload>", open.concat()));
    }
    Ok(Reply::xml(document("ListMultipartUploadsResult", &inner)))
}

pub(super) fn list_parts(
    state: &State,
    exchange: &mut Exchange<'_>,
    call: &Call,
    signed: &Signed,
) -> Result<Reply, Failure> {
    payload::none(exchange, signed)?;
    let most = at_most(call, "max-parts")?;
    let marker: u32 = call.parameter("part-number-marker").and_then(|text| text.parse().ok()).unwrap_or(0);
    let (parts, algorithm, composite) = upload(state, call, |open| {
        let parts: Vec<(u32, Arc<Part>)> =
            open.parts.range(marker + 1..).map(|(n, part)| (*n, Arc::clone(part))).collect();
        (parts, open.algorithm, open.composite)
    })?;
    let truncated = parts.len() > most;
    let shown = &parts[..parts.len().min(most)];
    let mut inner = [
        tag("Bucket", &call.bucket),
        tag("Key", &call.key),
        tag("UploadId", call.parameter("uploadId").unwrap_or_default()),
        tag("PartNumberMarker", &marker.to_string()),
        tag("MaxParts", &most.to_string()),
        tag("IsTruncated", &truncated.to_string()),
    ]
    .concat();
    if let Some((last, _)) = shown.last() {
        inner.push_str(&tag("NextPartNumberMarker", &last.to_string()));
    }
    if let Some(algorithm) = algorithm {
        inner.push_str(&tag("ChecksumAlgorithm", algorithm.name()));
        inner.push_str(&tag("ChecksumType", if composite { "COMPOSITE" } else { "FULL_OBJECT" }));
    }
    for (number, part) in shown {
        let checksum = part.checksum.clone().filter(|_| algorithm.is_some());
        let part = [
            tag("PartNumber", &number.to_string()),
            tag("LastModified", &part.modified.format(TIME).to_string()),
            tag("Size", &part.bytes.to_string()),
            Shown::new(Some(part.etag.clone()), checksum).part_elements(),
        ];
        inner.push_str(&format!("<Part>{}</Part>", part.concat()));
    }
    Ok(Reply::xml(document("ListPartsResult", &inner)))
}
