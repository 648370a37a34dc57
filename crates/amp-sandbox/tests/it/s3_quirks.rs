//! Look-alikes of S3, and the places where they are found.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use amp_sandbox::proxy::Proxy;
use amp_sandbox::s3::{S3Config, S3Server};

use crate::s3_multipart::Upload;
use crate::s3_strict::{crc64, hex_md5, md5, refused, with_quirks};
use crate::signer::Caller;

const SUM: &str = "x-amz-checksum-crc64nvme";

#[test]
fn look_alikes_ignore_or_echo_checksums_and_have_other_etags() {
    let wrong = crc64(b"other");
    let s3 = with_quirks("ignore-checksums,no-md5-etag");
    let put = Caller::of(&s3).call("PUT", "/lake/k", &[(SUM, &wrong)], b"body").unwrap();
    assert_eq!((put.status, put.header(SUM)), (200, None));
    assert!(put.header("etag").unwrap().starts_with("\"0x8"));

    let s3 = with_quirks("echo-checksums");
    let caller = Caller::of(&s3);
    let put = caller.call("PUT", "/lake/k", &[(SUM, &wrong)], b"body").unwrap();
    assert_eq!((put.status, put.header(SUM)), (200, Some(wrong.as_str())));
    let head = caller.call("HEAD", "/lake/k", &[("x-amz-checksum-mode", "ENABLED")], b"").unwrap();
    assert_eq!(head.header(SUM), None);

    let s3 = with_quirks("keep-chunk-framing");
    let caller = Caller::of(&s3);
    let headers = [("x-amz-decoded-content-length", "4")];
    let (signed, seed) = caller.sign("PUT", "/lake/k", &headers, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
    let body = caller.chunked(&seed, &[b"body"], None);
    assert_eq!(caller.send("PUT", "/lake/k", &signed, &body).unwrap().status, 200);
    assert_eq!(s3.object_bytes("lake", "k").unwrap(), body);
}

#[test]
fn a_role_that_may_only_put_can_put() {
    let s3 = with_quirks("list-denied,head-object-denied");
    let caller = Caller::of(&s3);
    assert_eq!(caller.call("HEAD", "/lake", &[], b"").unwrap().status, 403);
    refused(&caller.call("GET", "/lake?list-type=2", &[], b"").unwrap(), 403, "AccessDenied");
    refused(&caller.call("GET", "/lake?uploads=", &[], b"").unwrap(), 403, "AccessDenied");
    assert_eq!(caller.call("PUT", "/lake/k", &[], b"x").unwrap().status, 200);
    assert_eq!(caller.call("HEAD", "/lake/k", &[], b"").unwrap().status, 403);
}

#[test]
fn an_etag_is_the_md5_of_the_object_or_of_its_parts_md5s() {
    let s3 = with_quirks("");
    let put = Caller::of(&s3).call("PUT", "/lake/k", &[], b"body").unwrap();
    assert_eq!(put.header("etag").unwrap().trim_matches('"'), hex_md5(b"body"));
    let upload = Upload::open(&s3, &[]);
    let first = vec![7; 5 << 20];
    let one = upload.put(1, &[], &first).header("etag").unwrap().to_owned();
    let two = upload.put(2, &[], b"tail").header("etag").unwrap().to_owned();
    assert_eq!([one.trim_matches('"'), two.trim_matches('"')], [hex_md5(&first), hex_md5(b"tail")]);
    assert_eq!(upload.complete(&[], &[(1, &one, ""), (2, &two, "")]).status, 200);
    let binary = |hex: String| (0..16).map(move |i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap());
    let of_parts: Vec<u8> = binary(hex_md5(&first)).chain(binary(hex_md5(b"tail"))).collect();
    assert_eq!(s3.object("lake", "big").unwrap().etag, format!("{}-2", hex_md5(&of_parts)));
}

#[test]
fn rclone_stores_what_a_client_says_of_its_body_as_if_it_were_true() {
    let s3 = with_quirks("rclone");
    let caller = Caller::of(&s3);
    let wrong = crc64(b"other");
    let put = caller.call("PUT", "/lake/k", &[(SUM, &wrong)], b"body").unwrap();
    assert_eq!((put.status, put.header(SUM)), (200, None));
    assert_eq!(put.header("etag").unwrap().trim_matches('"'), hex_md5(b"body"));
    let head = caller.call("HEAD", "/lake/k", &[("x-amz-checksum-mode", "ENABLED")], b"").unwrap();
    assert_eq!(head.header(SUM), Some(wrong.as_str()));
    assert_eq!(caller.call("PUT", "/lake/k", &[("if-none-match", "*")], b"body").unwrap().status, 200);
    let part = caller.call("GET", "/lake/k", &[("range", "bytes=1-2")], b"").unwrap();
    assert_eq!((part.status, part.header("content-range"), part.text().as_str()), (200, Some("bytes 1-2/4"), "od"));
    let created = caller.call("POST", "/lake/big?uploads=", &[], b"").unwrap().text();
    assert!(created.contains("<InitiateMultipartUpload ") && created.contains("<UploadId>"), "{created}");
}

#[test]
fn garage_calls_a_wrong_digest_invalid() {
    let s3 = with_quirks("garage");
    let put = |headers: &[(&str, &str)]| Caller::of(&s3).call("PUT", "/lake/k", headers, b"body").unwrap();
    refused(&put(&[(SUM, &crc64(b"other"))]), 400, "InvalidDigest");
    refused(&put(&[("content-md5", &md5(b"other"))]), 400, "InvalidDigest");
    assert!(s3.objects("lake").is_empty());
    assert_eq!(put(&[(SUM, &crc64(b"body"))]).status, 200);
}

#[test]
fn encryption_class_and_tags_are_confirmed_or_dropped_without_a_word() {
    let asked = [
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "alias/lake"),
        ("x-amz-storage-class", "STANDARD_IA"),
        ("x-amz-tagging", "a=b"),
    ];
    let put = |quirks: &str| {
        let s3 = with_quirks(quirks);
        let put = Caller::of(&s3).call("PUT", "/lake/k", &asked, b"x").unwrap();
        (
            put.header(asked[0].0).map(str::to_owned),
            put.header(asked[1].0).map(str::to_owned),
            s3.object("lake", "k").unwrap(),
        )
    };
    let (sse, key, object) = put("");
    assert_eq!(sse.as_deref(), Some("aws:kms"));
    assert_eq!(key.as_deref(), Some("arn:aws:kms:us-east-1:111122223333:key/alias/lake"));
    assert_eq!((object.storage_class.as_deref(), object.tags.as_deref()), (Some("STANDARD_IA"), Some("a=b")));
    let (sse, key, object) = put("ignore-sse,ignore-storage-class,ignore-tags");
    assert_eq!((sse, key, object.sse, object.storage_class, object.tags), (None, None, None, None, None));
    assert_eq!(object.etag, hex_md5(b"x"));
}

#[test]
fn too_many_requests_at_the_same_time_are_told_to_slow_down() {
    let s3 = with_quirks("throttle-above=2");
    let caller = Caller::of(&s3);
    let put = |key: &str| caller.call("PUT", &format!("/lake/{key}"), &[], b"x").unwrap();
    let wait_for = |in_flight: usize| {
        while s3.in_flight() != in_flight {
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    assert_eq!(put("before").status, 200);
    // Their bodies never come.
    let held: Vec<TcpStream> = (0..2)
        .map(|_| {
            let mut stream = TcpStream::connect(s3.endpoint_url().strip_prefix("http://").unwrap()).unwrap();
            stream.write_all(b"PUT /lake/held HTTP/1.1\r\nHost: lake\r\nContent-Length: 1\r\n\r\n").unwrap();
            stream
        })
        .collect();
    wait_for(2);
    refused(&put("above"), 503, "SlowDown");
    drop(held);
    wait_for(0);
    assert_eq!(put("after").status, 200);
    assert_eq!(s3.objects("lake").len(), 2);
}

#[test]
fn a_server_below_a_path_takes_any_other_path_for_a_bucket() {
    let config = S3Config::new("lake");
    let buckets = vec!["lake".into(), "s3lake".into()];
    let s3 = S3Server::start(S3Config { base_path: "/s3".into(), buckets, ..config }).unwrap();
    assert!(s3.endpoint_url().ends_with("/s3"));
    let caller = Caller::of(&s3);
    assert_eq!(caller.call("PUT", "/s3/lake/a/b", &[], b"x").unwrap().status, 200);
    assert_eq!(s3.objects("lake")[0].key, "a/b");
    assert_eq!(caller.call("PUT", "/s3lake/a/b", &[], b"y").unwrap().status, 200);
    assert_eq!(s3.objects("s3lake")[0].key, "a/b");
    refused(&caller.call("PUT", "/s4/lake/k", &[], b"x").unwrap(), 404, "NoSuchBucket");
}

#[test]
fn a_bucket_can_be_named_by_the_host() {
    let s3 = S3Server::start(S3Config { domain: Some("s3.localtest".into()), ..S3Config::new("lake") }).unwrap();
    let caller = Caller::of(&s3);
    let put = |host: &str, target: &str| caller.call("PUT", target, &[("host", host)], b"x").unwrap();
    assert_eq!(put("lake.s3.localtest:9000", "/a/b").status, 200);
    assert_eq!(put("s3.localtest", "/lake/c").status, 200);
    assert_eq!(s3.objects("lake").iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["a/b", "c"]);
    refused(&put("pond.s3.localtest", "/a/b"), 404, "NoSuchBucket");
    refused(&put("lake.elsewhere", "/a/b"), 404, "NoSuchBucket");
}

#[test]
fn versions_have_ids_and_another_id_is_not_found() {
    let s3 = S3Server::start(S3Config { versioned: true, ..S3Config::new("lake") }).unwrap();
    let caller = Caller::of(&s3);
    let put = || caller.call("PUT", "/lake/k", &[], b"x").unwrap().header("x-amz-version-id").unwrap().to_owned();
    let (first, second) = (put(), put());
    assert_ne!(first, second);
    assert_eq!(s3.object("lake", "k").unwrap().version_id.as_ref(), Some(&second));
    let head = |version: &str| caller.call("HEAD", &format!("/lake/k?versionId={version}"), &[], b"").unwrap();
    assert_eq!(head(&second).header("x-amz-version-id"), Some(second.as_str()));
    assert_eq!(head(&first).status, 404);
}

#[test]
fn an_object_can_be_replaced_behind_its_clients_back() {
    let s3 = with_quirks("");
    let caller = Caller::of(&s3);
    let etag = caller.call("PUT", "/lake/k", &[], b"mine").unwrap().header("etag").unwrap().to_owned();
    s3.put_object_with_checksum("lake", "k", b"hers", Some("CRC32")).unwrap();
    let head = |headers: &[(&str, &str)]| caller.call("HEAD", "/lake/k", headers, b"").unwrap();
    let seen = head(&[("x-amz-checksum-mode", "ENABLED")]);
    assert_eq!((seen.status, seen.header(SUM)), (200, None));
    assert!(seen.header("x-amz-checksum-crc32").is_some());
    assert_eq!(head(&[("if-match", &etag)]).status, 412);
    assert_eq!(head(&[("if-match", seen.header("etag").unwrap())]).status, 200);
    assert!(s3.delete_object_directly("lake", "k"));
    assert_eq!(head(&[]).status, 404);
}

#[test]
fn a_request_as_proxies_send_it_is_understood() {
    let s3 = with_quirks("");
    let caller = Caller::of(&s3);
    let (signed, _) = caller.sign("HEAD", "/lake", &[], &crate::signer::sha256(b""));
    let answer = caller.send("HEAD", "http://lake.example:9000/lake", &signed, b"").unwrap();
    assert_eq!(answer.status, 200);
}

#[test]
fn a_proxy_leads_any_host_here() {
    let s3 = S3Server::start(S3Config { domain: Some("s3.localtest".into()), ..S3Config::new("lake") }).unwrap();
    let proxy = Proxy::start(&s3.endpoint_url()).unwrap();
    let caller = Caller { endpoint: proxy.url(), ..Caller::of(&s3) };
    let (signed, _) = caller.sign("PUT", "/a", &[("host", "lake.s3.localtest")], &crate::signer::sha256(b"x"));
    let put = caller.send("PUT", "http://lake.s3.localtest/a", &signed, b"x").unwrap();
    assert_eq!(put.status, 200);
    assert_eq!(s3.objects("lake")[0].key, "a");
    assert_eq!(proxy.asked(), ["PUT http://lake.s3.localtest/a"]);
    let mut tunnel = TcpStream::connect(proxy.url().strip_prefix("http://").unwrap()).unwrap();
    tunnel.write_all(b"CONNECT lake.s3.localtest:443 HTTP/1.1\r\nHost: lake.s3.localtest\r\n\r\n").unwrap();
    tunnel.write_all(b"GET /a HTTP/1.1\r\nHost: lake.s3.localtest\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    tunnel.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\r\n\r\nHTTP/1.1 403 "), "{answer}");
    assert_eq!(proxy.asked()[1], "CONNECT lake.s3.localtest:443");
}
