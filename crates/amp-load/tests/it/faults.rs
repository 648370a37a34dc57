//! A network and a server that fail.

use amp_sandbox::s3::S3Op;

use crate::support::{FILES, Lab, MEMORY, events};

#[test]
fn what_passes_is_tried_again() {
    for fault in [
        "status=500",
        "status=503,code=SlowDown",
        "status=503,code=SlowDown,retry-after=0",
        "status=400,code=RequestTimeout",
        "status=400,code=BadDigest",
        "status=409,code=ConditionalRequestConflict",
        "status=429",
        "reset",
        "reset=100",
        "lost-reply",
    ] {
        let lab = Lab::staged();
        lab.rule(&format!("op=PutObject,key=_9#1,nth=1-3:{fault}"));
        let ended = lab.run(&[]);
        assert_eq!(ended.counts(), (0, [3, 3, 0, 0, 3]), "{fault}: {ended:?}");
        assert_eq!(ended.document()["retries"], 3, "{fault}");
        assert_eq!(lab.object(FILES[2]).unwrap(), events(FILES[2]));
    }
}

#[test]
fn a_body_cut_in_the_middle_is_sent_again_from_its_beginning() {
    let lab = Lab::new();
    let bytes = crate::support::noise(5 << 20);
    lab.stage(FILES[0], &bytes);
    lab.rule("op=PutObject,nth=1:reset=3000000");
    assert_eq!(lab.run(&[]).counts(), (0, [1, 1, 0, 0, 1]));
    assert_eq!(lab.object(FILES[0]).unwrap(), bytes);
}

#[test]
fn one_file_that_fails_for_ever_does_not_stop_the_others() {
    let lab = Lab::staged();
    lab.rule("op=PutObject,key=_0#0:status=500");
    let ended = lab.run(&["--max-retries", "2"]);
    assert_eq!(ended.counts(), (1, [3, 2, 0, 1, 2]));
    assert_eq!(ended.document()["failures"][0]["key"], FILES[0]);
    assert!(ended.error(0).contains("500"), "{ended:?}");
    assert_eq!(lab.requests(S3Op::PutObject).iter().filter(|put| put.key == FILES[0]).count(), 3);
    assert_eq!(lab.left(), [FILES[0]]);
}

#[test]
fn when_all_fail_for_reasons_that_pass_it_is_temporary() {
    let lab = Lab::staged();
    lab.rule("op=PutObject:status=503,code=SlowDown");
    let ended = lab.run(&["--max-retries", "1"]);
    assert_eq!(ended.counts(), (75, [3, 0, 0, 3, 0]));
    assert_eq!(ended.document()["outcome"], "failed");
}

#[test]
fn a_bucket_check_that_fails_for_reasons_that_pass_is_tried_again() {
    let lab = Lab::staged();
    lab.rule("op=HeadBucket,nth=1-2:status=503");
    assert_eq!(lab.run(&[]).counts(), (0, [3, 3, 0, 0, 3]));
    let lab = Lab::staged();
    lab.rule("op=HeadBucket:status=503");
    let ended = lab.run(&["--max-retries", "1"]);
    assert_eq!(ended.counts(), (75, [3, 0, 0, 0, 0]));
    assert_eq!(lab.count(S3Op::PutObject), 0);
}

#[test]
fn a_file_that_the_server_rejects_fails_alone_and_at_once() {
    let lab = Lab::staged();
    lab.rule("op=PutObject,key=_0#0:status=400,code=InvalidArgument");
    let ended = lab.run(&[]);
    assert_eq!(ended.counts(), (1, [3, 2, 0, 1, 2]));
    assert_eq!(ended.document()["retries"], 0);
    assert!(ended.error(0).contains("InvalidArgument"), "{ended:?}");
}

#[test]
fn credentials_that_expire_midway_end_the_run() {
    let lab = Lab::new();
    for number in 0..40 {
        lab.copy_in(&format!("{number:02}.json"), b"{}\n");
    }
    lab.rule("op=PutObject,nth=4-:status=400,code=ExpiredToken");
    let ended = lab.run(&["--concurrency", "1"]);
    assert_eq!(ended.counts(), (3, [40, 3, 0, 1, 3]));
    assert!(ended.error(0).contains("ExpiredToken") && ended.error(0).contains("renew"), "{ended:?}");
    assert_eq!((lab.count(S3Op::PutObject), lab.left().len()), (4, 37));
}

#[test]
fn a_permission_that_is_lacking_ends_the_run() {
    let lab = Lab::staged();
    lab.rule("op=PutObject:status=403,code=AccessDenied");
    let ended = lab.run(&["--concurrency", "1"]);
    assert_eq!(ended.code, Some(3));
    assert!(ended.error(0).contains("s3:PutObject"), "{ended:?}");
    assert_eq!(lab.count(S3Op::PutObject), 1);
}

#[test]
fn a_server_that_falls_silent_is_timed_out_and_asked_again() {
    let lab = Lab::staged();
    lab.rule("op=PutObject,nth=1:stall");
    let ended = lab.run(&["--read-timeout", "300ms"]);
    assert_eq!(ended.counts(), (0, [3, 3, 0, 0, 3]), "{ended:?}");
    assert!(lab.logs().contains("--read-timeout"), "{}", lab.logs());
}

#[test]
fn a_server_that_is_silent_for_ever_is_a_temporary_failure() {
    let lab = Lab::staged();
    lab.rule("op=HeadBucket:stall");
    assert_eq!(lab.run(&["--read-timeout", "100ms", "--max-retries", "1"]).code, Some(75));
}

#[test]
fn a_server_that_is_down_is_not_asked_for_each_of_many_files() {
    let lab = Lab::new();
    for part in 0..200 {
        lab.stage(&format!("100011471_2025-11-06_1#{part}.json"), b"{}\n");
    }
    lab.rule("op=PutObject:status=500");
    let ended = lab.run(&["--concurrency", "2", "--max-retries", "0"]);
    assert_eq!(ended.counts(), (75, [200, 0, 0, 200, 0]));
    let asked = lab.server.requests().iter().filter(|request| request.op == S3Op::PutObject).count();
    assert!((32..60).contains(&asked), "{asked}");
    lab.server.clear_rules();
    assert_eq!(lab.run(&[]).counts(), (0, [200, 200, 0, 0, 200]));
}

#[test]
fn an_answer_that_echoes_what_was_sent_is_blanked() {
    let lab = Lab::staged();
    let secret = lab.server.config().secret_key.clone();
    lab.rule(&format!("op=PutObject:status=400,code=Bad {secret} AWS4-HMAC-SHA256 Credential=x Signature=abcdef"));
    let ended = lab.run(&["-vv"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let all = format!("{}{}{}", ended.stdout, ended.stderr, lab.logs());
    assert!(all.contains("Bad *** AWS4-HMAC-SHA256"), "{all}");
    assert!(!all.contains(&secret) && !all.contains("Signature"), "{all}");
}

#[test]
fn each_request_and_its_status_stand_in_the_log() {
    let lab = Lab::staged();
    lab.rule("op=PutObject,nth=1:status=503");
    lab.run(&[]);
    let log = lab.logs();
    for line in ["HeadBucket s3://lake/: done", ": HTTP 503", "retrying in", "PutObject s3://lake/"] {
        assert!(log.contains(line), "{line} in {log}");
    }
}

#[test]
fn an_answer_without_an_end_is_cut_off_and_costs_no_memory() {
    for (op, status, flags) in [
        ("PutObject", "", &[][..]),
        ("PutObject", "=503", &[]),
        ("CreateMultipartUpload", "", &["--multipart-threshold", "5MiB"]),
        ("CompleteMultipartUpload", "", &["--multipart-threshold", "5MiB"]),
    ] {
        let lab = Lab::new();
        lab.stage(FILES[0], &crate::support::noise(6 << 20));
        lab.rule(&format!("op={op}:endless{status}"));
        let ended = lab.run(&[&["--max-retries", "1", "--read-timeout", "5s"], flags].concat());
        assert_eq!(ended.counts(), (75, [1, 0, 0, 1, 0]), "{op}{status}: {ended:?}");
        assert!(ended.error(0).contains("larger than 1 MiB"), "{op}{status}: {ended:?}");
        assert!(ended.peak_bytes < MEMORY, "{op}{status}: {} bytes", ended.peak_bytes);
        assert_eq!(lab.left(), [FILES[0]]);
    }
}

#[test]
fn a_bucket_that_answers_without_an_end_is_not_listened_to() {
    let lab = Lab::staged();
    lab.rule("op=HeadBucket:status=400");
    lab.rule("op=ListObjectsV2:endless");
    let ended = lab.run(&["--max-retries", "1", "--read-timeout", "5s"]);
    assert_eq!(ended.code, Some(75), "{ended:?}");
    assert!(ended.error(0).contains("larger than 1 MiB"), "{ended:?}");
    assert!(ended.peak_bytes < MEMORY, "{} bytes", ended.peak_bytes);
}

#[test]
fn an_object_that_is_read_back_may_be_larger_than_an_answer() {
    let lab = Lab::new();
    let bytes = crate::support::noise(3 << 20);
    lab.stage(FILES[0], &bytes);
    lab.rule("op=HeadObject:no-checksum");
    lab.rule("op=PutObject:no-etag");
    assert_eq!(lab.run(&[]).counts(), (0, [1, 1, 0, 0, 1]));
    assert_eq!(lab.object(FILES[0]).unwrap(), bytes);
}
