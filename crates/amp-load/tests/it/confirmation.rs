//! Nothing is deleted without proof, whatever the server is like.

use amp_sandbox::s3::{Quirks, S3Op};
use serde_json::Value;

use crate::support::{FILES, Lab, events, noise};

fn quirky(quirks: Quirks) -> Lab {
    let lab = Lab::quirky(quirks);
    lab.stage_all();
    lab
}

fn proofs(lab: &Lab) -> Vec<Value> {
    lab.loads().iter().map(|load| load["proof"].clone()).collect()
}

#[test]
fn another_checksum_in_the_answer_leaves_the_file() {
    let lab = Lab::staged();
    lab.rule("op=PutObject,key=_0#0:wrong-checksum");
    let ended = lab.run(&[]);
    assert_eq!(ended.counts(), (1, [3, 2, 0, 1, 2]));
    assert!(ended.error(0).contains("CRC64NVME"), "{ended:?}");
    assert_eq!(lab.count(S3Op::PutObject), 2 + 11, "sent again within the retries");
    assert_eq!(lab.left(), [FILES[0]]);
}

#[test]
fn a_checksum_that_is_not_in_the_answer_is_not_taken_for_checked() {
    let lab = Lab::staged();
    lab.rule("op=PutObject:no-checksum");
    assert_eq!(lab.run(&[]).counts(), (0, [3, 3, 0, 0, 3]));
    assert_eq!(lab.count(S3Op::HeadObject), 3);
    assert!(proofs(&lab).iter().all(|proof| proof == "etag"));
}

#[test]
fn a_foreign_server_that_answers_with_checksums_is_asked_once_whether_it_keeps_them() {
    let lab = Lab::staged();
    assert_eq!(lab.run(&[]).code, Some(0));
    assert_eq!(lab.count(S3Op::HeadObject), 1);
}

#[test]
fn a_server_without_checksums_is_believed_by_its_md5() {
    let lab = quirky(Quirks { ignore_checksums: true, ..Quirks::default() });
    let ended = lab.run(&[]);
    assert_eq!(ended.counts(), (0, [3, 3, 0, 0, 3]));
    assert!(proofs(&lab).iter().all(|proof| proof == "etag"));
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
}

#[test]
fn an_md5_that_is_none_of_the_file_leaves_it() {
    let lab = quirky(Quirks { ignore_checksums: true, random_etag: true, ..Quirks::default() });
    let ended = lab.run(&[]);
    assert_eq!(ended.counts(), (1, [3, 0, 0, 3, 0]));
    assert!(ended.error(0).contains("MD5"), "{ended:?}");
    assert_eq!(lab.left(), FILES);
}

#[test]
fn what_a_server_tells_nothing_of_is_read_back() {
    let lab = quirky(Quirks { ignore_checksums: true, no_md5_etag: true, ..Quirks::default() });
    let ended = lab.run(&[]);
    assert_eq!(ended.counts(), (0, [3, 3, 0, 0, 3]));
    assert!(proofs(&lab).iter().all(|proof| proof == "read_back"));
    assert_eq!(lab.count(S3Op::GetObject), 3);
}

/// What the bucket holds is what was staged, and each record tells the object's ETag.
fn all_whole(lab: &Lab) {
    FILES.iter().for_each(|name| assert_eq!(lab.object(name), Some(events(name)), "{name}"));
    assert!(lab.loads().iter().all(|load| load["etag"].is_string()), "{:?}", lab.loads());
}

#[test]
fn a_byte_that_flips_on_its_way_is_sent_again_whatever_the_server_checks() {
    let opaque = Quirks { ignore_checksums: true, no_md5_etag: true, ..Quirks::default() };
    for quirks in ["rgw".parse().unwrap(), "rclone".parse().unwrap(), "echo-checksums".parse().unwrap(), opaque] {
        let lab = quirky(quirks);
        lab.rule("op=PutObject,nth=2:flip=100");
        let ended = lab.run(&[]);
        assert_eq!(ended.counts(), (0, [3, 3, 0, 0, 3]), "{quirks:?} {ended:?}");
        assert_eq!(lab.count(S3Op::PutObject), 4, "{quirks:?}");
        all_whole(&lab);
    }
}

#[test]
fn a_part_that_flips_on_its_way_is_noticed_by_the_md5_of_the_parts_md5s() {
    let lab = Lab::quirky("rgw".parse().unwrap());
    let bytes = noise(17 << 20);
    lab.stage(FILES[0], &bytes);
    lab.rule("op=UploadPart,nth=2:flip=100");
    let ended = lab.run(&["--multipart-threshold", "1MiB"]);
    assert_eq!(ended.counts(), (0, [1, 1, 0, 0, 1]), "{ended:?}");
    assert!(lab.object(FILES[0]) == Some(bytes), "it is damaged");
    assert_eq!(proofs(&lab), ["etag"]);
    assert!(lab.loads()[0]["etag"].as_str().unwrap().ends_with("-3"));
}

#[test]
fn the_version_of_an_object_is_recorded() {
    let lab = Lab::with(|config| config.versioned = true);
    lab.stage_all();
    assert_eq!(lab.run(&[]).code, Some(0));
    assert!(lab.loads().iter().all(|load| load["version_id"].is_string()), "{:?}", lab.loads());
    all_whole(&lab);
}

#[test]
fn an_echo_is_no_proof() {
    let lab = quirky(Quirks { echo_checksums: true, ..Quirks::default() });
    assert_eq!(lab.run(&[]).counts(), (0, [3, 3, 0, 0, 3]));
    assert!(proofs(&lab).iter().all(|proof| proof == "etag"));
}

#[test]
fn a_server_that_throws_the_body_away_deletes_no_file() {
    for echo_checksums in [false, true] {
        let lab = quirky(Quirks { echo_checksums, ..Quirks::default() });
        lab.rule("op=PutObject:drop-body");
        let ended = lab.run(&[]);
        assert_eq!(ended.counts(), (1, [3, 0, 0, 3, 0]), "{ended:?}");
        assert_eq!(lab.left(), FILES);
    }
}

#[test]
fn a_server_that_keeps_half_deletes_no_file() {
    for quirks in [
        Quirks::default(),
        Quirks { ignore_checksums: true, ..Quirks::default() },
        Quirks { echo_checksums: true, ..Quirks::default() },
        Quirks { ignore_checksums: true, no_md5_etag: true, ..Quirks::default() },
    ] {
        let lab = quirky(quirks);
        lab.rule("op=PutObject:truncate");
        assert_eq!(lab.run(&[]).counts(), (1, [3, 0, 0, 3, 0]), "{quirks:?}");
        assert_eq!(lab.left(), FILES);
    }
}

#[test]
fn who_may_not_ask_is_confirmed_by_the_answers_md5() {
    let lab = quirky(Quirks { head_object_denied: true, ignore_checksums: true, ..Quirks::default() });
    assert_eq!(lab.run(&[]).counts(), (0, [3, 3, 0, 0, 3]));
    assert!(proofs(&lab).iter().all(|proof| proof == "etag"));
}

#[test]
fn who_may_not_ask_and_gets_no_proof_keeps_the_file() {
    let lab =
        quirky(Quirks { head_object_denied: true, ignore_checksums: true, no_md5_etag: true, ..Quirks::default() });
    lab.rule("op=GetObject:status=403,code=AccessDenied");
    let ended = lab.run(&[]);
    assert_eq!(ended.counts(), (1, [3, 0, 0, 3, 0]));
    assert!(ended.error(0).contains("s3:GetObject"), "{ended:?}");
}

#[test]
fn the_etag_of_an_object_encrypted_with_kms_is_not_taken_for_its_md5() {
    let lab = quirky(Quirks { ignore_checksums: true, ..Quirks::default() });
    assert_eq!(lab.run(&["--sse", "aws:kms"]).counts(), (0, [3, 3, 0, 0, 3]));
    assert!(proofs(&lab).iter().all(|proof| proof == "read_back"));
}

#[test]
fn a_question_that_fails_leaves_the_file_for_the_next_run() {
    let lab = Lab::staged();
    lab.rule("op=PutObject:no-checksum");
    lab.rule("op=HeadObject,key=_0#0:status=500");
    let ended = lab.run(&["--max-retries", "1"]);
    assert_eq!(ended.counts(), (1, [3, 2, 0, 1, 2]));
    assert_eq!(lab.left(), [FILES[0]]);
}
