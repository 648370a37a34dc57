//! Uploads in parts.

use amp_sandbox::s3::S3Server;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use sha2::{Digest, Sha256};

use crate::client::Response;
use crate::s3_strict::{crc64, refused, server};
use crate::signer::Caller;

const PART: usize = 5 * 1024 * 1024;

pub(crate) struct Upload {
    pub(crate) caller: Caller,
    pub(crate) id: String,
}

impl Upload {
    pub(crate) fn open(s3: &S3Server, headers: &[(&str, &str)]) -> Self {
        let caller = Caller::of(s3);
        let text = caller.call("POST", "/lake/big?uploads=", headers, b"").unwrap().text();
        let id = text.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap().to_owned();
        Self { caller, id }
    }

    pub(crate) fn put(&self, number: u32, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let target = format!("/lake/big?partNumber={number}&uploadId={}", self.id);
        self.caller.call("PUT", &target, headers, body).unwrap()
    }

    pub(crate) fn complete(&self, headers: &[(&str, &str)], parts: &[(u32, &str, &str)]) -> Response {
        let parts: String = parts
            .iter()
            .map(|(n, etag, more)| format!("<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag>{more}</Part>"))
            .collect();
        let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        let target = format!("/lake/big?uploadId={}", self.id);
        self.caller.call("POST", &target, headers, body.as_bytes()).unwrap()
    }
}

#[test]
fn the_checksum_of_the_whole_object_is_compared_with_the_real_bytes() {
    let s3 = server();
    let kind = [("x-amz-checksum-algorithm", "CRC64NVME"), ("x-amz-checksum-type", "FULL_OBJECT")];
    let upload = Upload::open(&s3, &kind);
    let first = vec![7; PART];
    let (sum1, whole) = (crc64(&first), crc64(&[&first[..], b"tail"].concat()));
    refused(&upload.put(1, &[("x-amz-checksum-crc64nvme", &crc64(b"no"))], &first), 400, "BadDigest");
    let one = upload.put(1, &[("x-amz-checksum-crc64nvme", &sum1)], &first);
    assert_eq!(one.header("x-amz-checksum-crc64nvme"), Some(sum1.as_str()));
    let two = upload.put(2, &[], b"tail");
    let (one, two) = (one.header("etag").unwrap(), two.header("etag").unwrap());
    let right = [(1, one, ""), (2, two, "")];

    let claim = |sum: &str| upload.complete(&[("x-amz-checksum-crc64nvme", sum)], &right);
    refused(&claim(&sum1), 400, "BadDigest");
    refused(&upload.complete(&[], &[(2, two, ""), (1, one, "")]), 400, "InvalidPartOrder");
    refused(&upload.complete(&[], &[(1, two, ""), (2, two, "")]), 400, "InvalidPart");
    refused(&upload.complete(&[], &[(1, one, ""), (3, two, "")]), 400, "InvalidPart");
    refused(&upload.complete(&[], &[]), 400, "MalformedXML");
    refused(&upload.complete(&[("x-amz-mp-object-size", "1")], &right), 400, "InvalidRequest");
    assert!(s3.objects("lake").is_empty());
    assert_eq!(s3.open_uploads("lake"), [("big".to_owned(), upload.id.clone())]);

    let done = claim(&whole);
    assert!(done.text().contains(&format!("<ChecksumCRC64NVME>{whole}</ChecksumCRC64NVME>")), "{}", done.text());
    let object = s3.object("lake", "big").unwrap();
    assert_eq!((object.parts, object.checksum, object.etag.ends_with("-2")), (Some(2), Some(whole), true));
    assert!(s3.open_uploads("lake").is_empty());
    refused(&upload.complete(&[], &right), 404, "NoSuchUpload");
}

#[test]
fn a_composite_checksum_is_one_of_the_parts_checksums() {
    let s3 = server();
    let upload = Upload::open(&s3, &[("x-amz-checksum-algorithm", "SHA256")]);
    let bytes = vec![1; PART];
    let sum = BASE64.encode(Sha256::digest(&bytes));
    let etag = upload.put(1, &[("x-amz-checksum-sha256", &sum)], &bytes).header("etag").unwrap().to_owned();
    refused(&upload.put(2, &[("x-amz-checksum-crc64nvme", &crc64(b"t"))], b"t"), 400, "InvalidRequest");
    refused(&upload.complete(&[], &[(1, &etag, "")]), 400, "InvalidRequest");
    let wrong = format!("<ChecksumSHA256>{}</ChecksumSHA256>", BASE64.encode([0; 32]));
    refused(&upload.complete(&[], &[(1, &etag, &wrong)]), 400, "InvalidPart");
    let right = format!("<ChecksumSHA256>{sum}</ChecksumSHA256>");
    assert_eq!(upload.complete(&[], &[(1, &etag, &right)]).status, 200);
    let composite = format!("{}-1", BASE64.encode(Sha256::digest(Sha256::digest(&bytes))));
    assert_eq!(s3.object("lake", "big").unwrap().checksum, Some(composite));
}

#[test]
fn small_parts_and_impossible_checksum_types_are_refused() {
    let s3 = server();
    let upload = Upload::open(&s3, &[]);
    let one = upload.put(1, &[], b"small").header("etag").unwrap().to_owned();
    let two = upload.put(2, &[], b"small").header("etag").unwrap().to_owned();
    refused(&upload.complete(&[], &[(1, &one, ""), (2, &two, "")]), 400, "EntityTooSmall");
    refused(&upload.put(0, &[], b"x"), 400, "InvalidArgument");
    let whole_sha = [("x-amz-checksum-algorithm", "SHA256"), ("x-amz-checksum-type", "FULL_OBJECT")];
    refused(&upload.caller.call("POST", "/lake/big?uploads=", &whole_sha, b"").unwrap(), 400, "InvalidRequest");
}

#[test]
fn open_uploads_and_their_parts_are_listed_until_aborted() {
    let s3 = server();
    let upload = Upload::open(&s3, &[]);
    upload.put(1, &[], b"part");
    let list = upload.caller.call("GET", "/lake?uploads=&prefix=bi", &[], b"").unwrap().text();
    assert!(list.contains(&upload.id) && list.contains("<Key>big</Key>"), "{list}");
    let target = format!("/lake/big?uploadId={}", upload.id);
    let parts = upload.caller.call("GET", &target, &[], b"").unwrap().text();
    assert!(parts.contains("<PartNumber>1</PartNumber>") && parts.contains("<Size>4</Size>"), "{parts}");
    assert_eq!(upload.caller.call("DELETE", &target, &[], b"").unwrap().status, 204);
    refused(&upload.caller.call("DELETE", &target, &[], b"").unwrap(), 404, "NoSuchUpload");
    refused(&upload.put(1, &[], b"part"), 404, "NoSuchUpload");
    assert!(s3.open_uploads("lake").is_empty());
}
