//! What S3 refuses, the double refuses, and keeps nothing of it.

use amp_sandbox::s3::{S3Config, S3Op, S3Server};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use crc_fast::{CrcAlgorithm, checksum};
use md5::{Digest, Md5};

use crate::client::Response;
use crate::signer::{Caller, hex, sha256};

pub(crate) fn server() -> S3Server {
    S3Server::start(S3Config::new("lake")).unwrap()
}

pub(crate) fn with_quirks(quirks: &str) -> S3Server {
    S3Server::start(S3Config { quirks: quirks.parse().unwrap(), ..S3Config::new("lake") }).unwrap()
}

pub(crate) fn md5(bytes: &[u8]) -> String {
    BASE64.encode(Md5::digest(bytes))
}

pub(crate) fn hex_md5(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

pub(crate) fn crc64(bytes: &[u8]) -> String {
    BASE64.encode(checksum(CrcAlgorithm::Crc64Nvme, bytes).to_be_bytes())
}

#[track_caller]
pub(crate) fn refused(response: &Response, status: u16, code: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    assert!(response.text().contains(&format!("<Code>{code}</Code>")), "{}", response.text());
}

#[test]
fn a_right_request_is_stored_and_its_checksum_comes_back() {
    let s3 = server();
    let caller = Caller::of(&s3);
    let sum = crc64(b"{}\n");
    let put = caller.call("PUT", "/lake/a/b%231.json", &[("x-amz-checksum-crc64nvme", &sum)], b"{}\n").unwrap();
    assert_eq!((put.status, put.header("x-amz-checksum-crc64nvme")), (200, Some(sum.as_str())));
    let object = s3.object("lake", "a/b#1.json").unwrap();
    assert_eq!((object.bytes, object.checksum.as_deref()), (3, Some(sum.as_str())));
    assert_eq!(object.sha256().unwrap(), sha256(b"{}\n"));
    assert_eq!(s3.object_bytes("lake", "a/b#1.json").unwrap(), b"{}\n");

    let head = caller.call("HEAD", "/lake/a/b%231.json", &[("x-amz-checksum-mode", "ENABLED")], b"").unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, Some("3")));
    assert_eq!(head.header("x-amz-checksum-crc64nvme"), Some(sum.as_str()));
    let plain = caller.call("HEAD", "/lake/a/b%231.json", &[], b"").unwrap();
    assert_eq!(plain.header("x-amz-checksum-crc64nvme"), None);
    assert_eq!(
        s3.requests().iter().map(|r| r.op).collect::<Vec<_>>(),
        [S3Op::PutObject, S3Op::HeadObject, S3Op::HeadObject]
    );
    assert!(s3.requests()[0].header("authorization").is_none());
}

#[test]
fn a_part_of_an_object_comes_as_a_part() {
    let s3 = server();
    s3.put_object_directly("lake", "k", b"0123456789").unwrap();
    let get = |range| Caller::of(&s3).call("GET", "/lake/k", &[("range", range)], b"").unwrap();
    let part = get("bytes=2-4");
    assert_eq!((part.status, part.text().as_str()), (206, "234"));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    let whole = get("bytes=4-2");
    assert_eq!((whole.status, whole.text().as_str(), whole.header("content-range")), (200, "0123456789", None));
    let beyond = get("bytes=10-");
    refused(&beyond, 416, "InvalidRange");
    assert_eq!(beyond.header("content-range"), Some("bytes */10"));
}

#[test]
fn a_wrong_key_secret_region_clock_or_signature_is_refused() {
    let s3 = server();
    let right = Caller::of(&s3);
    let put = |caller: &Caller| caller.call("PUT", "/lake/k", &[], b"x").unwrap();
    refused(&put(&Caller { access_key: "NOBODY".into(), ..right.clone() }), 403, "InvalidAccessKeyId");
    refused(&put(&Caller { secret_key: "guess".into(), ..right.clone() }), 403, "SignatureDoesNotMatch");
    refused(&put(&Caller { region: "eu-west-1".into(), ..right.clone() }), 400, "AuthorizationHeaderMalformed");
    let late = Caller { now: right.now - chrono::Duration::minutes(16), ..right.clone() };
    refused(&put(&late), 403, "RequestTimeTooSkewed");
    refused(&right.send("PUT", "/lake/k", &[], b"x").unwrap(), 403, "AccessDenied");

    let (signed, _) = right.sign("PUT", "/lake/k", &[], &sha256(b"x"));
    refused(&right.send("PUT", "/lake/other", &signed, b"x").unwrap(), 403, "SignatureDoesNotMatch");
    refused(&right.send("PUT", "/lake/k", &signed, b"y").unwrap(), 400, "XAmzContentSHA256Mismatch");
    let smuggled = [signed, vec![("x-amz-storage-class".into(), "GLACIER".into())]].concat();
    refused(&right.send("PUT", "/lake/k", &smuggled, b"x").unwrap(), 403, "AccessDenied");
    assert!(s3.objects("lake").is_empty());
    assert!(s3.requests().iter().all(|request| request.status >= 400));

    s3.set_credentials("ROTATED", "new");
    refused(&put(&right), 403, "InvalidAccessKeyId");
}

#[test]
fn a_wrong_digest_leaves_the_old_object_as_it_was() {
    let s3 = server();
    let caller = Caller::of(&s3);
    s3.put_object_directly("lake", "k", b"old").unwrap();
    let wrong = [
        ("x-amz-checksum-crc64nvme", crc64(b"other")),
        ("x-amz-checksum-crc32", BASE64.encode([1, 2, 3, 4])),
        ("x-amz-checksum-crc32c", BASE64.encode([1, 2, 3, 4])),
        ("x-amz-checksum-sha256", BASE64.encode([7; 32])),
        ("x-amz-checksum-sha1", BASE64.encode([7; 20])),
        ("content-md5", BASE64.encode([7; 16])),
    ];
    for (name, value) in wrong {
        refused(&caller.call("PUT", "/lake/k", &[(name, &value)], b"new").unwrap(), 400, "BadDigest");
    }
    refused(&caller.call("PUT", "/lake/k", &[("content-md5", "short")], b"new").unwrap(), 400, "InvalidDigest");
    let malformed = [("x-amz-checksum-crc64nvme", "AAAA")];
    refused(&caller.call("PUT", "/lake/k", &malformed, b"new").unwrap(), 400, "InvalidRequest");
    let sum = crc64(b"new");
    let two = [("x-amz-checksum-crc64nvme", sum.as_str()), ("x-amz-checksum-crc32", "AAAAAA==")];
    refused(&caller.call("PUT", "/lake/k", &two, b"new").unwrap(), 400, "InvalidRequest");
    assert_eq!(s3.object_bytes("lake", "k").unwrap(), b"old");
}

#[test]
fn a_missing_bucket_and_an_existing_key_are_told() {
    let s3 = server();
    let caller = Caller::of(&s3);
    refused(&caller.call("PUT", "/nowhere/k", &[], b"x").unwrap(), 404, "NoSuchBucket");
    assert_eq!(caller.call("HEAD", "/nowhere", &[], b"").unwrap().status, 404);
    assert_eq!(caller.call("HEAD", "/lake", &[], b"").unwrap().status, 200);
    let once = [("if-none-match", "*")];
    assert_eq!(caller.call("PUT", "/lake/k", &once, b"first").unwrap().status, 200);
    refused(&caller.call("PUT", "/lake/k", &once, b"second").unwrap(), 412, "PreconditionFailed");
    assert_eq!(s3.object_bytes("lake", "k").unwrap(), b"first");
}

#[test]
fn signed_chunks_are_decoded_and_every_signature_counts() {
    let s3 = server();
    let caller = Caller::of(&s3);
    let kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
    let headers = [("x-amz-decoded-content-length", "10"), ("content-encoding", "aws-chunked")];
    let (signed, seed) = caller.sign("PUT", "/lake/k", &headers, kind);
    let body = caller.chunked(&seed, &[b"hello ", b"you\n"], None);
    assert_eq!(caller.send("PUT", "/lake/k", &signed, &body).unwrap().status, 200);
    assert_eq!(s3.object_bytes("lake", "k").unwrap(), b"hello you\n");
    assert_eq!(s3.object("lake", "k").unwrap().content_encoding, None);

    let forged = String::from_utf8(body).unwrap().replace("you", "YOU").into_bytes();
    refused(&caller.send("PUT", "/lake/k", &signed, &forged).unwrap(), 403, "SignatureDoesNotMatch");
    let cut = caller.chunked(&seed, &[b"hello "], None);
    refused(&caller.send("PUT", "/lake/k", &signed, &cut).unwrap(), 400, "IncompleteBody");
    assert_eq!(s3.object_bytes("lake", "k").unwrap(), b"hello you\n");
}

#[test]
fn a_trailing_checksum_is_checked_like_one_in_front() {
    let s3 = server();
    let caller = Caller::of(&s3);
    let trailer = "x-amz-checksum-crc64nvme";
    let headers = [("x-amz-decoded-content-length", "5"), ("x-amz-trailer", trailer)];
    let kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
    let (signed, seed) = caller.sign("PUT", "/lake/k", &headers, kind);
    let put = |sum: &str| {
        let body = caller.chunked(&seed, &[b"12345"], Some((trailer, sum)));
        caller.send("PUT", "/lake/k", &signed, &body).unwrap()
    };
    refused(&put(&crc64(b"54321")), 400, "BadDigest");
    assert!(s3.objects("lake").is_empty());
    assert_eq!(put(&crc64(b"12345")).header(trailer), Some(crc64(b"12345").as_str()));

    let (signed, _) = caller.sign("PUT", "/lake/u", &headers, "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    let body = |sum: &str| format!("5\r\n12345\r\n0\r\n{trailer}:{sum}\r\n\r\n").into_bytes();
    refused(&caller.send("PUT", "/lake/u", &signed, &body(&crc64(b"x"))).unwrap(), 400, "BadDigest");
    assert_eq!(caller.send("PUT", "/lake/u", &signed, &body(&crc64(b"12345"))).unwrap().status, 200);
}

#[test]
fn an_object_survives_the_server_in_its_folder() {
    let lake = tempfile::tempdir().unwrap();
    let config = || S3Config { root: Some(lake.path().to_owned()), ..S3Config::new("lake") };
    let first = S3Server::start(config()).unwrap();
    assert_eq!(Caller::of(&first).call("PUT", "/lake/day/file.json", &[], b"{}\n").unwrap().status, 200);
    drop(first);
    assert_eq!(std::fs::read(lake.path().join("lake/day/file.json")).unwrap(), b"{}\n");
    let second = S3Server::start(config()).unwrap();
    assert_eq!(second.object("lake", "day/file.json").unwrap().checksum, Some(crc64(b"{}\n")));
}

#[test]
fn tags_acls_and_owners_are_those_of_s3_or_refused() {
    let s3 = server();
    let caller = Caller::of(&s3);
    let put = |headers: &[(&str, &str)]| caller.call("PUT", "/lake/k", headers, b"x").unwrap();
    let eleven = (0..11).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join("&");
    for (tags, code) in [
        ("a=1&a=2", "InvalidArgument"),
        ("a=%zz", "InvalidArgument"),
        ("a=b c", "InvalidArgument"),
        (eleven.as_str(), "BadRequest"),
        ("aws:x=1", "InvalidArgument"),
        ("aws%3Ax=1", "InvalidTag"),
        ("a=%3C", "InvalidTag"),
        ("=v", "InvalidTag"),
    ] {
        refused(&put(&[("x-amz-tagging", tags)]), 400, code);
    }
    refused(&put(&[("x-amz-acl", "everybody")]), 400, "InvalidArgument");
    refused(&put(&[("x-amz-expected-bucket-owner", "me")]), 400, "InvalidBucketOwnerAWSAccountID");
    refused(&put(&[("x-amz-expected-bucket-owner", "999999999999")]), 403, "AccessDenied");
    assert!(s3.object("lake", "k").is_none());
    let owner = s3.config().owner.clone();
    let headers =
        [("x-amz-tagging", "a=b%20c&d="), ("x-amz-acl", "private"), ("x-amz-expected-bucket-owner", owner.as_str())];
    assert_eq!(put(&headers).status, 200);
    let object = s3.object("lake", "k").unwrap();
    assert_eq!((object.tags.as_deref(), object.acl.as_deref()), (Some("a=b%20c&d="), Some("private")));
}
