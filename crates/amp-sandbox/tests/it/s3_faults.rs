//! The fault script of S3, and look-alikes.

use std::time::Duration;

use amp_sandbox::s3::{Quirks, S3Fault, S3Op, S3Rule};

use crate::s3_strict::{crc64, refused, server, with_quirks};
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
fn look_alikes_ignore_or_echo_checksums_and_have_other_etags() {
    let wrong = crc64(b"other");
    let s3 = with_quirks(Quirks { ignore_checksums: true, no_md5_etag: true, ..Quirks::default() });
    let put = Caller::of(&s3).call("PUT", "/lake/k", &[(SUM, &wrong)], b"body").unwrap();
    assert_eq!((put.status, put.header(SUM)), (200, None));
    assert!(put.header("etag").unwrap().starts_with("\"0x8"));

    let s3 = with_quirks(Quirks { echo_checksums: true, ..Quirks::default() });
    let caller = Caller::of(&s3);
    let put = caller.call("PUT", "/lake/k", &[(SUM, &wrong)], b"body").unwrap();
    assert_eq!((put.status, put.header(SUM)), (200, Some(wrong.as_str())));
    let head = caller.call("HEAD", "/lake/k", &[("x-amz-checksum-mode", "ENABLED")], b"").unwrap();
    assert_eq!(head.header(SUM), None);

    let s3 = with_quirks(Quirks { keep_chunk_framing: true, ..Quirks::default() });
    let caller = Caller::of(&s3);
    let headers = [("x-amz-decoded-content-length", "4")];
    let (signed, seed) = caller.sign("PUT", "/lake/k", &headers, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
    let body = caller.chunked(&seed, &[b"body"], None);
    assert_eq!(caller.send("PUT", "/lake/k", &signed, &body).unwrap().status, 200);
    assert_eq!(s3.object_bytes("lake", "k").unwrap(), body);
}

#[test]
fn a_role_that_may_only_put_can_put() {
    let s3 = with_quirks(Quirks { list_denied: true, head_object_denied: true, ..Quirks::default() });
    let caller = Caller::of(&s3);
    assert_eq!(caller.call("HEAD", "/lake", &[], b"").unwrap().status, 403);
    refused(&caller.call("GET", "/lake?list-type=2", &[], b"").unwrap(), 403, "AccessDenied");
    refused(&caller.call("GET", "/lake?uploads=", &[], b"").unwrap(), 403, "AccessDenied");
    assert_eq!(caller.call("PUT", "/lake/k", &[], b"x").unwrap().status, 200);
    assert_eq!(caller.call("HEAD", "/lake/k", &[], b"").unwrap().status, 403);
}
