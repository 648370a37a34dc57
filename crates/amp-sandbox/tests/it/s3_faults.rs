//! The fault script of S3.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use amp_sandbox::s3::{S3Fault, S3Op, S3Rule, S3Server};

use crate::s3_multipart::Upload;
use crate::s3_strict::{crc64, hex_md5, md5, refused, server, with_quirks};
use crate::signer::Caller;

const SUM: &str = "x-amz-checksum-crc64nvme";

#[test]
fn the_second_put_fails_and_the_third_does_not() {
    let s3 = server();
    let caller = Caller::of(&s3);
    s3.add_rule("op=PutObject,nth=2:status=503,code=SlowDown,retry-after=1".parse().unwrap());
    let put = |key: &str| caller.call("PUT", &format!("/lake/{key}"), &[], b"x").unwrap();
    assert_eq!(put("a").status, 200);
    let failed = put("b");
    refused(&failed, 503, "SlowDown");
    assert_eq!(failed.header("retry-after"), Some("1"));
    assert_eq!(put("c").status, 200);
    assert_eq!(s3.objects("lake").iter().map(|o| o.key.as_str()).collect::<Vec<_>>(), ["a", "c"]);
}

#[test]
fn resets_break_the_connection_before_within_and_after() {
    let s3 = server();
    let caller = Caller::of(&s3);
    let body = vec![1; 1 << 20];
    for (fault, stored) in [
        (S3Fault::ResetBefore, false),
        (S3Fault::ResetWithinBody { after: 1000 }, false),
        (S3Fault::ResetAfterCommit, true),
    ] {
        s3.clear_rules();
        s3.add_rule(S3Rule::on(S3Op::PutObject, fault.clone()));
        assert!(caller.call("PUT", "/lake/k", &[], &body).is_err(), "{fault:?}");
        assert_eq!(s3.object("lake", "k").is_some(), stored, "{fault:?}");
    }
}

#[test]
fn a_stalled_request_gets_no_answer_and_does_not_hold_up_the_end() {
    let s3 = server();
    let caller = Caller::of(&s3);
    s3.add_rule(":stall".parse().unwrap());
    let start = std::time::Instant::now();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| caller.call("PUT", "/lake/k", &[], b"x"));
        while s3.requests().is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(s3);
        assert!(call.join().unwrap().is_err());
    });
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn replies_can_lie_about_checksum_and_etag() {
    let s3 = server();
    let caller = Caller::of(&s3);
    let put = |fault: S3Fault| {
        s3.clear_rules();
        s3.add_rule(S3Rule::always(fault));
        caller.call("PUT", "/lake/k", &[], b"body").unwrap()
    };
    let (right, etag) = (crc64(b"body"), "\"841a2d689ad86bd1611447453c22c6fc\"");
    let wrong = put(S3Fault::WrongChecksumInReply);
    assert!(wrong.header(SUM).is_some_and(|sum| sum != right));
    assert_eq!(wrong.header("etag"), Some(etag));
    assert!(put(S3Fault::WrongEtagInReply).header("etag").is_some_and(|wrong| wrong != etag));
    assert_eq!(put(S3Fault::NoChecksumInReply).header(SUM), None);
    assert_eq!(put(S3Fault::NoEtagInReply).header("etag"), None);
    let half = put(S3Fault::TruncateStored);
    assert_eq!(half.header(SUM), Some(crc64(b"bo").as_str()));
    assert_eq!(s3.object_bytes("lake", "k").unwrap(), b"bo");
    assert!(s3.delete_object_directly("lake", "k"));
    assert_eq!(put(S3Fault::DropBodyButAnswer200).status, 200);
    assert!(s3.object("lake", "k").is_none());
    let late = put(S3Fault::ErrorIn200 { s3_code: "InternalError".into() });
    refused(&late, 200, "InternalError");
}

#[test]
fn a_byte_flipped_on_its_way_is_refused_where_the_request_says_what_it_should_be() {
    let s3 = server();
    let caller = Caller::of(&s3);
    s3.add_rule("op=PutObject:flip=2,mask=1".parse().unwrap());
    let put = |s3: &S3Server, headers: &[(&str, &str)]| {
        Caller::of(s3).call_unsigned("PUT", "/lake/k", headers, b"body").unwrap()
    };
    refused(&put(&s3, &[(SUM, &crc64(b"body"))]), 400, "BadDigest");
    refused(&put(&s3, &[("content-md5", &md5(b"body"))]), 400, "BadDigest");
    refused(&caller.call("PUT", "/lake/k", &[], b"body").unwrap(), 400, "XAmzContentSHA256Mismatch");
    assert!(s3.objects("lake").is_empty());
    assert_eq!(put(&s3, &[]).status, 200);
    assert_eq!(s3.object_bytes("lake", "k").unwrap(), b"boey");

    for (quirks, header, shown) in [
        ("ignore-checksums", (SUM, crc64(b"body")), None),
        ("echo-checksums", (SUM, crc64(b"body")), Some(crc64(b"body"))),
        ("ignore-content-md5", ("content-md5", md5(b"body")), Some(crc64(b"boey"))),
    ] {
        let s3 = with_quirks(quirks);
        s3.add_rule("op=PutObject:flip=-2,mask=1".parse().unwrap());
        let answer = put(&s3, &[(header.0, &header.1)]);
        assert_eq!((answer.status, answer.header(SUM)), (200, shown.as_deref()), "{quirks}");
        assert_eq!(s3.object_bytes("lake", "k").unwrap(), b"boey", "{quirks}");
        assert_ne!(answer.header("etag").unwrap().trim_matches('"'), hex_md5(b"body"), "{quirks}");
    }
}

#[test]
fn one_part_of_an_upload_can_be_flipped() {
    let s3 = with_quirks("rgw");
    s3.add_rule("op=UploadPart,nth=2:flip=0".parse().unwrap());
    let upload = Upload::open(&s3, &[]);
    let etags = (1..=3).map(|number| {
        let target = format!("/lake/big?partNumber={number}&uploadId={}", upload.id);
        let part = upload.caller.call_unsigned("PUT", &target, &[], b"part").unwrap();
        part.header("etag").unwrap().trim_matches('"').to_owned()
    });
    let flipped = etags.map(|etag| etag != hex_md5(b"part"));
    assert_eq!(flipped.collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn what_was_stored_can_go_bad_and_vanish_unseen() {
    let s3 = server();
    let caller = Caller::of(&s3);
    s3.add_rule("key=bad:damage=-1".parse().unwrap());
    s3.add_rule("op=PutObject,key=gone:vanish".parse().unwrap());
    for key in ["bad", "gone"] {
        let put = caller.call("PUT", &format!("/lake/{key}"), &[], b"body").unwrap();
        assert_eq!((put.status, put.header(SUM)), (200, Some(crc64(b"body").as_str())), "{key}");
    }
    let head = caller.call("HEAD", "/lake/bad", &[("x-amz-checksum-mode", "ENABLED")], b"").unwrap();
    assert_eq!(head.header(SUM), Some(crc64(b"body").as_str()));
    assert_eq!(caller.call("GET", "/lake/bad", &[], b"").unwrap().body, b"bod\x86");
    assert_eq!(caller.call("HEAD", "/lake/gone", &[], b"").unwrap().status, 404);
}

#[test]
fn an_object_can_be_flipped_and_cut_on_its_way_back() {
    let s3 = server();
    s3.put_object_directly("lake", "k", b"body").unwrap();
    let get = |rule: &str| {
        s3.clear_rules();
        s3.add_rule(rule.parse().unwrap());
        Caller::of(&s3).call("GET", "/lake/k", &[], b"")
    };
    assert_eq!(get(":flip=0,mask=2").unwrap().body, b"`ody");
    assert!(get(":cut=3").is_err());
    assert_eq!(get(":cut=4").unwrap().body, b"body");
}

#[test]
fn an_answer_can_be_without_end() {
    let s3 = server();
    s3.add_rule("op=PutObject:endless=503".parse().unwrap());
    let (signed, _) = Caller::of(&s3).sign("PUT", "/lake/k", &[], "UNSIGNED-PAYLOAD");
    let mut stream = TcpStream::connect(s3.endpoint_url().strip_prefix("http://").unwrap()).unwrap();
    let headers: String = signed.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(stream, "PUT /lake/k HTTP/1.1\r\n{headers}Content-Length: 1\r\n\r\nx").unwrap();
    let mut answer = vec![0; 5 << 20];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 503 "));
    drop(stream);
    assert!(s3.objects("lake").is_empty());
}
