//! The end of an upload in parts.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use chrono::Utc;
use md5::Md5;
use sha2::Digest;
use tempfile::NamedTempFile;

use super::answer::{Reply, Shown};
use super::call::Call;
use super::checksum::{Algorithm, Checksum, Hasher};
use super::error::{Failure, S3Error};
use super::multipart::{no_such_upload, place, upload};
use super::object::{Precondition, version_header};
use super::payload;
use super::receive::etag;
use super::sigv4::Signed;
use super::state::{Part, State, Upload};
use super::store::{Object, each_piece};
use crate::http::Exchange;
use crate::xml::{document, elements, tag, text};

/// No part but the last may be smaller.
const SMALLEST_PART: u64 = 5 * 1024 * 1024;

/// The parts that the client lists, if they are what it says.
fn listed_parts(body: &str, open: &Upload) -> Result<Vec<Arc<Part>>, S3Error> {
    let malformed = || S3Error::new(400, "MalformedXML", "The XML you provided was not well-formed");
    let lists = elements(body, "Part");
    if lists.is_empty() || !body.contains("</CompleteMultipartUpload>") {
        return Err(malformed());
    }
    let mut parts = Vec::new();
    let mut previous = 0;
    for list in &lists {
        let number: u32 = text(list, "PartNumber").and_then(|text| text.parse().ok()).ok_or_else(malformed)?;
        if number <= previous {
            return Err(S3Error::new(400, "InvalidPartOrder", "The list of parts was not in ascending order."));
        }
        previous = number;
        let invalid = |what: &str| S3Error::new(400, "InvalidPart", format!("Part {number}: {what}"));
        let part = open.parts.get(&number).ok_or_else(|| invalid("was not uploaded"))?;
        let etag = text(list, "ETag").ok_or_else(malformed)?;
        if etag.trim_matches('"') != part.etag {
            return Err(invalid("the ETag does not match"));
        }
        if let (Some(algorithm), Some(checksum)) = (open.algorithm, &part.checksum) {
            match text(list, &format!("Checksum{}", algorithm.name())) {
                Some(claimed) if claimed != checksum.value => return Err(invalid("the checksum does not match")),
                None if open.composite => {
                    let name = algorithm.name();
                    let message = format!(
                        "The upload was created using a {name} checksum. The complete request must include the checksum for each part. It was missing for part {number} in the request."
                    );
                    return Err(S3Error::invalid(message));
                }
                _ => {}
            }
        }
        parts.push(Arc::clone(part));
    }
    let mut all_but_last = parts.iter().rev().skip(1);
    if all_but_last.any(|part| part.bytes < SMALLEST_PART) {
        return Err(S3Error::new(
            400,
            "EntityTooSmall",
            "Your proposed upload is smaller than the minimum allowed size",
        ));
    }
    Ok(parts)
}

/// All parts in one file, and the checksum of what is really in it.
fn join(
    state: &State,
    parts: &[Arc<Part>],
    algorithm: Algorithm,
    composite: bool,
) -> Result<(NamedTempFile, Checksum), Failure> {
    let mut whole = state.disk.temporary()?;
    let mut hasher = Hasher::new(algorithm);
    let mut of_parts = Vec::new();
    for part in parts {
        let mut failed = None;
        each_piece(&mut File::open(part.file.path())?, |piece| {
            if !composite {
                hasher.update(piece);
            }
            failed = whole.write_all(piece).err().or(failed.take());
        })?;
        failed.map_or(Ok(()), Err)?;
        of_parts.extend(part.checksum.as_ref().map(Checksum::bytes).unwrap_or_default());
    }
    if !composite {
        return Ok((whole, Checksum::whole(algorithm, &hasher.finish())));
    }
    let plain = Checksum::whole(algorithm, &algorithm.of(&of_parts));
    Ok((whole, Checksum { value: format!("{}-{}", plain.value, parts.len()), composite: true, ..plain }))
}

pub(super) fn complete(
    state: &State,
    exchange: &mut Exchange<'_>,
    call: &Call,
    signed: &Signed,
) -> Result<Reply, Failure> {
    let body = payload::document(exchange, signed)?;
    let head = exchange.head.clone();
    let precondition = Precondition::of(&head, state.quirks)?;
    state.bucket(&call.bucket, |bucket| precondition.check(bucket, &call.key))??;
    let (parts, algorithm, composite, description) = upload(state, call, |open| {
        listed_parts(&body, open).map(|parts| (parts, open.algorithm, open.composite, open.description.clone()))
    })??;
    let kind = if composite { "COMPOSITE" } else { "FULL_OBJECT" };
    if head.header("x-amz-checksum-type").is_some_and(|claimed| claimed != kind) {
        return Err(S3Error::invalid(format!("The upload was created with the {kind} checksum type.")).into());
    }
    let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
    if head.header("x-amz-mp-object-size").is_some_and(|claimed| claimed != bytes.to_string()) {
        return Err(S3Error::invalid("The provided x-amz-mp-object-size does not match the size of the parts.").into());
    }
    let strict = !state.quirks.unverified();
    let (file, checksum) = join(state, &parts, algorithm.unwrap_or(Algorithm::Crc64Nvme), composite && strict)?;
    if let Some(wrong) = Algorithm::ALL.into_iter().find(|claimed| {
        head.header(&claimed.header()).is_some_and(|value| *claimed != checksum.algorithm || value != checksum.value)
    }) && strict
    {
        return Err(S3Error::bad_digest(wrong.name()).into());
    }
    let kept = || {
        let claims = |algorithm: Algorithm| Some((algorithm, head.header(&algorithm.header())?.to_owned()));
        let (algorithm, value) = Algorithm::ALL.into_iter().find_map(claims)?;
        Some(Checksum { algorithm, value, composite })
    };
    let checksum = match (strict, state.quirks.keep_unchecked) {
        (true, _) => Some(checksum),
        (_, true) => kept(),
        _ => None,
    };
    let md5s: Vec<u8> = parts.iter().flat_map(|part| part.md5.clone()).collect();
    let etag = etag(state, &Md5::digest(md5s), &format!("-{}", parts.len()), description.sse.as_deref());
    let path = state.disk.path(&call.bucket, &call.key);
    let object = Object {
        bytes,
        etag: etag.clone(),
        checksum: checksum.clone(),
        description: description.clone(),
        parts: Some(parts.len()),
        modified: Utc::now(),
        version: state.version(),
        path: path.clone(),
    };
    let version = version_header(&object);
    state.bucket(&call.bucket, |bucket| -> Result<(), Failure> {
        precondition.check(bucket, &call.key)?;
        // Only one of two that complete the same upload finds it.
        bucket.uploads.remove(&place(call)).ok_or_else(no_such_upload)?;
        state.disk.publish(file, &path)?;
        bucket.objects.insert(call.key.clone(), object);
        Ok(())
    })??;
    let shown = Shown::new(Some(etag), checksum.filter(|_| strict)).distorted(call);
    let mut inner = [
        tag("Location", &format!("/{}/{}", call.bucket, call.key)),
        tag("Bucket", &call.bucket),
        tag("Key", &call.key),
    ]
    .concat();
    inner.push_str(&shown.elements());
    let reply = Reply::xml(document("CompleteMultipartUploadResult", &inner));
    Ok(Reply { headers: [reply.headers, description.encryption_headers(state), version].concat(), ..reply })
}
