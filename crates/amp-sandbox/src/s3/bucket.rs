//! Calls on a bucket.

use std::collections::BTreeSet;

use super::answer::Reply;
use super::call::Call;
use super::error::{Failure, S3Error};
use super::payload;
use super::sigv4::Signed;
use super::state::{State, lock};
use super::store::url_encoded;
use crate::http::{Exchange, Head};
use crate::xml::{document, tag};

pub(super) const TIME: &str = "%Y-%m-%dT%H:%M:%S%.3fZ";

pub(super) fn head(state: &State, exchange: &mut Exchange<'_>, call: &Call, signed: &Signed) -> Result<Reply, Failure> {
    payload::none(exchange, signed)?;
    state.bucket(&call.bucket, |_| ())?;
    let region = lock(&state.signer).region.clone();
    Ok(Reply::ok(vec![("x-amz-bucket-region".into(), region)], Vec::new()))
}

/// Refuses a call that expects the bucket to be another account's.
pub(super) fn owned_as_expected(state: &State, head: &Head) -> Result<(), S3Error> {
    match head.header("x-amz-expected-bucket-owner") {
        Some(owner) if owner.len() != 12 || !owner.bytes().all(|byte| byte.is_ascii_digit()) => {
            let message = "The value of the expected bucket owner parameter must be an AWS account ID.";
            Err(S3Error::new(400, "InvalidBucketOwnerAWSAccountID", message))
        }
        Some(owner) if owner != state.owner => Err(S3Error::new(403, "AccessDenied", "Access Denied")),
        _ => Ok(()),
    }
}

/// A number in the query, at most 1000.
pub(super) fn at_most(call: &Call, name: &str) -> Result<usize, S3Error> {
    let bad = |_| S3Error::new(400, "InvalidArgument", format!("{name} is no number"));
    call.parameter(name).map_or(Ok(1000), |text| text.parse::<usize>().map_err(bad)).map(|number| number.min(1000))
}

/// How keys are to be written in a listing.
pub(super) fn key_encoder(call: &Call) -> impl Fn(&str) -> String {
    let url = call.parameter("encoding-type") == Some("url");
    move |key| if url { url_encoded(key) } else { key.to_owned() }
}

pub(super) fn list(state: &State, exchange: &mut Exchange<'_>, call: &Call, signed: &Signed) -> Result<Reply, Failure> {
    payload::none(exchange, signed)?;
    let most = at_most(call, "max-keys")?;
    let encode = key_encoder(call);
    let prefix = call.parameter("prefix").unwrap_or_default();
    let delimiter = call.parameter("delimiter").filter(|text| !text.is_empty());
    let after = call.parameter("continuation-token").or(call.parameter("start-after")).unwrap_or_default();
    let objects = state.bucket(&call.bucket, |bucket| bucket.objects.clone())?;
    let (mut contents, mut common, mut count, mut last) = (String::new(), BTreeSet::new(), 0, String::new());
    let mut truncated = false;
    for (key, object) in &objects {
        let Some(rest) = key.strip_prefix(prefix) else { continue };
        if key.as_str() <= after {
            continue;
        }
        let group = delimiter.and_then(|d| rest.find(d).map(|at| format!("{prefix}{}", &rest[..at + d.len()])));
        // A group that an earlier page showed is not shown again.
        if group.as_ref().is_some_and(|group| common.contains(group) || after.starts_with(group.as_str())) {
            last.clone_from(key);
            continue;
        }
        if count == most {
            truncated = most > 0;
            break;
        }
        count += 1;
        last.clone_from(key);
        if let Some(group) = group {
            common.insert(group);
            continue;
        }
        let checksum = object.checksum.as_ref().map_or_else(String::new, |checksum| {
            tag("ChecksumAlgorithm", checksum.algorithm.name()) + &tag("ChecksumType", checksum.kind())
        });
        let inner = [
            tag("Key", &encode(key)),
            tag("LastModified", &object.modified.format(TIME).to_string()),
            tag("ETag", &format!("\"{}\"", object.etag)),
            checksum,
            tag("Size", &object.bytes.to_string()),
            tag("StorageClass", object.description.storage_class.as_deref().unwrap_or("STANDARD")),
        ];
        contents.push_str(&format!("<Contents>{}</Contents>", inner.concat()));
    }
    let groups: String = common
        .iter()
        .map(|group| format!("<CommonPrefixes>{}</CommonPrefixes>", tag("Prefix", &encode(group))))
        .collect();
    let mut head = [
        tag("Name", &call.bucket),
        tag("Prefix", &encode(prefix)),
        tag("KeyCount", &count.to_string()),
        tag("MaxKeys", &most.to_string()),
        tag("IsTruncated", &truncated.to_string()),
    ]
    .concat();
    for (name, value) in [("EncodingType", call.parameter("encoding-type")), ("Delimiter", delimiter)] {
        head.push_str(&value.map_or_else(String::new, |value| tag(name, value)));
    }
    if truncated {
        head.push_str(&tag("NextContinuationToken", &last));
    }
    Ok(Reply::xml(document("ListBucketResult", &format!("{head}{contents}{groups}"))))
}
