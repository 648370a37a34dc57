//! Objects: put, checksums, conditions, ranges, listings, refusals.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use crc_fast::{CrcAlgorithm, checksum};
use sha2::{Digest, Sha256};

use super::{Check, Server, encoded};
use crate::s3_strict::{crc64, hex_md5, md5, refused};
use crate::signer::Caller;

pub(super) const SIGNED_BODY: &str = "a body that is not the signed one is refused";

pub(super) const ALL: [(&str, Check); 15] = [
    ("an object comes back as it was put, under any key", any_key),
    ("an ETag is the MD5", etag_is_md5),
    ("a wrong Content-MD5 is refused", wrong_md5),
    ("a right checksum is kept and told", right_checksum),
    ("a wrong checksum is refused", wrong_checksum),
    (SIGNED_BODY, wrong_payload),
    ("a checksum behind a signed body counts", trailing_checksum),
    ("only the first of two who want to be first is", if_none_match),
    ("an object that is another is not overwritten or read", if_match),
    ("a part of an object comes as a part", ranges),
    ("a listing has every key below a prefix once, page by page", listing),
    ("what is not there is not found", not_found),
    ("a wrong key, secret or region does not get in", strangers),
    ("a deleted object is gone, and deleting it again is a success", deleting),
    ("metadata, type and tags stay with an object", metadata),
];

fn any_key(server: &Server) {
    for key in [
        "/any/plain.json",
        "/any/100_2025-11-06_4%230.json",
        "/any/with%20space",
        "/any/%C3%BC%E2%82%AC%F0%9F%90%98",
        "/any/%2B%26%3D%3F%27%22%28%29~",
        "/any/a%3Db/c%3Dd/e.json",
    ] {
        let body = format!("of {key}");
        server.ok("PUT", key, &[], body.as_bytes());
        assert_eq!(server.bytes(key).as_deref(), Some(body.as_bytes()), "{key}");
        let head = server.ok("HEAD", key, &[], b"");
        assert_eq!(head.header("content-length"), Some(body.len().to_string().as_str()), "{key}");
    }
    server.ok("PUT", "/any/empty", &[], b"");
    assert_eq!(server.bytes("/any/empty").as_deref(), Some(&b""[..]));
}

fn etag_is_md5(server: &Server) {
    let etag = format!("\"{}\"", hex_md5(b"body"));
    assert_eq!(server.ok("PUT", "/etag", &[], b"body").header("etag"), Some(etag.as_str()));
    assert_eq!(server.ok("HEAD", "/etag", &[], b"").header("etag"), Some(etag.as_str()));
}

fn wrong_md5(server: &Server) {
    server.ok("PUT", "/md5", &[("content-md5", &md5(b"old"))], b"old");
    server.refuses("/md5", &[("content-md5", &md5(b"other"))], b"new", 400, "BadDigest");
    server.refuses("/md5", &[("content-md5", "short")], b"new", 400, "InvalidDigest");
}

fn sums(bytes: &[u8]) -> [(&'static str, String); 4] {
    let crc32 = |algorithm| BASE64.encode((checksum(algorithm, bytes) as u32).to_be_bytes());
    [
        ("x-amz-checksum-crc64nvme", crc64(bytes)),
        ("x-amz-checksum-crc32c", crc32(CrcAlgorithm::Crc32Iscsi)),
        ("x-amz-checksum-crc32", crc32(CrcAlgorithm::Crc32IsoHdlc)),
        ("x-amz-checksum-sha256", BASE64.encode(Sha256::digest(bytes))),
    ]
}

fn right_checksum(server: &Server) {
    for (name, sum) in sums(b"body") {
        let put = server.ok("PUT", "/sum", &[(name, &sum)], b"body");
        assert_eq!(put.header(name), Some(sum.as_str()), "PutObject, {name}");
        let head = server.ok("HEAD", "/sum", &[("x-amz-checksum-mode", "ENABLED")], b"");
        assert_eq!(head.header(name), Some(sum.as_str()), "HeadObject, {name}");
    }
}

fn wrong_checksum(server: &Server) {
    for ((name, right), (_, wrong)) in sums(b"old").into_iter().zip(sums(b"other")) {
        server.ok("PUT", "/wrong", &[(name, &right)], b"old");
        server.refuses("/wrong", &[(name, &wrong)], b"new", 400, "BadDigest");
    }
}

fn wrong_payload(server: &Server) {
    server.ok("PUT", "/payload", &[], b"old");
    let (signed, _) = server.caller.sign("PUT", "/lake/payload", &[], &crate::signer::sha256(b"new"));
    let answer = server.caller.send("PUT", "/lake/payload", &signed, b"nex").unwrap();
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(server.bytes("/payload").as_deref(), Some(&b"old"[..]));
}

fn trailing_checksum(server: &Server) {
    let name = "x-amz-checksum-crc64nvme";
    let headers = [("x-amz-decoded-content-length", "5"), ("content-encoding", "aws-chunked"), ("x-amz-trailer", name)];
    let kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
    let (signed, seed) = server.caller.sign("PUT", "/lake/trailer", &headers, kind);
    let put = |sum: &str| {
        let body = server.caller.chunked(&seed, &[b"12345"], Some((name, sum)));
        server.caller.send("PUT", "/lake/trailer", &signed, &body).unwrap()
    };
    let wrong = put(&crc64(b"54321"));
    assert_eq!((wrong.status, server.bytes("/trailer")), (400, None), "{}", wrong.text());
    let right = put(&crc64(b"12345"));
    assert_eq!(right.status, 200, "{}", right.text());
    assert_eq!(server.bytes("/trailer").as_deref(), Some(&b"12345"[..]));
}

fn if_none_match(server: &Server) {
    let first = [("if-none-match", "*")];
    server.ok("PUT", "/first", &first, b"first");
    server.refuses("/first", &first, b"second", 412, "PreconditionFailed");
}

fn if_match(server: &Server) {
    let etag = server.ok("PUT", "/match", &[], b"old").header("etag").unwrap().to_owned();
    let other = format!("\"{}\"", hex_md5(b"other"));
    server.refuses("/match", &[("if-match", &other)], b"new", 412, "PreconditionFailed");
    assert_eq!(server.call("GET", "/match", &[("if-match", &other)], b"").status, 412);
    assert_eq!(server.call("HEAD", "/match", &[("if-match", &other)], b"").status, 412);
    assert_eq!(server.ok("GET", "/match", &[("if-match", &etag)], b"").body, b"old");
    server.ok("PUT", "/match", &[("if-match", &etag)], b"new");
}

fn ranges(server: &Server) {
    server.ok("PUT", "/range", &[], b"0123456789");
    for (range, bytes, told) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
        ("bytes=-1", "9", "bytes 9-9/10"),
    ] {
        let part = server.call("GET", "/range", &[("range", range)], b"");
        assert_eq!(
            (part.status, part.text().as_str(), part.header("content-range")),
            (206, bytes, Some(told)),
            "{range}"
        );
    }
    refused(&server.call("GET", "/range", &[("range", "bytes=10-")], b""), 416, "InvalidRange");
}

fn listing(server: &Server) {
    let keys: Vec<String> = (0..7).map(|n| format!("list/day={n}/file#0.json")).collect();
    for key in keys.iter().map(String::as_str).chain(["lisu", "lis"]) {
        server.ok("PUT", &format!("/{}", encoded(key).replace("%2F", "/")), &[], b"x");
    }
    let page = |more: &str| {
        let answer = server.ok("GET", &format!("?list-type=2&max-keys=3&prefix=list%2F{more}"), &[], b"").text();
        let texts = |name: &str| -> Vec<String> {
            let open = format!("<{name}>");
            answer.split(&open).skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
        };
        let next = texts("NextContinuationToken").pop();
        assert_eq!(texts("IsTruncated"), [next.is_some().to_string()]);
        (texts("Key"), texts("Size"), next)
    };
    let (mut found, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let (page, sizes, next) = page(&token);
        assert!(page.len() <= 3 && sizes.iter().all(|size| size == "1"), "{page:?} {sizes:?}");
        found.extend(page);
        pages += 1;
        let Some(next) = next else { break };
        token = format!("&continuation-token={}", encoded(&next));
    }
    assert_eq!((found, pages), (keys, 3));
}

fn not_found(server: &Server) {
    assert_eq!(server.call("HEAD", "/nothing", &[], b"").status, 404);
    refused(&server.call("GET", "/nothing", &[], b""), 404, "NoSuchKey");
    let elsewhere = |method, target| server.caller.call(method, target, &[], b"").unwrap();
    refused(&elsewhere("PUT", "/nowhere/key"), 404, "NoSuchBucket");
    assert_eq!(elsewhere("HEAD", "/nowhere").status, 404);
    assert_eq!(elsewhere("HEAD", "/lake").status, 200);
}

fn strangers(server: &Server) {
    let right = &server.caller;
    let put = |caller: Caller| caller.call("PUT", "/lake/stranger", &[], b"x").unwrap();
    refused(&put(Caller { access_key: "NOBODY".into(), ..right.clone() }), 403, "InvalidAccessKeyId");
    refused(&put(Caller { secret_key: "guess".into(), ..right.clone() }), 403, "SignatureDoesNotMatch");
    let late = Caller { now: right.now - chrono::Duration::minutes(20), ..right.clone() };
    refused(&put(late), 403, "RequestTimeTooSkewed");
    refused(&right.send("PUT", "/lake/stranger", &[], b"x").unwrap(), 403, "AccessDenied");
    assert_eq!(server.bytes("/stranger"), None);
}

fn deleting(server: &Server) {
    server.ok("PUT", "/gone", &[], b"x");
    for _ in 0..2 {
        assert_eq!(server.call("DELETE", "/gone", &[], b"").status, 204);
        assert_eq!(server.bytes("/gone"), None);
    }
}

fn metadata(server: &Server) {
    let headers = [
        ("content-type", "application/x-ndjson"),
        ("x-amz-meta-window", "2025-11-06"),
        ("x-amz-tagging", "team=data&env=test"),
        ("x-amz-storage-class", "STANDARD_IA"),
    ];
    server.ok("PUT", "/meta", &headers, b"x");
    let head = server.ok("HEAD", "/meta", &[], b"");
    assert_eq!(head.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(head.header("x-amz-meta-window"), Some("2025-11-06"));
    assert_eq!(head.header("x-amz-tagging-count"), Some("2"));
    assert_eq!(head.header("x-amz-storage-class"), Some("STANDARD_IA"));
}
