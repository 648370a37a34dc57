//! Large files.

use std::fs;

use amp_sandbox::s3::{Quirks, S3Op};

use crate::support::{BUCKET, FILES, Lab, begin, ended, events, noise};

const LARGE: [&str; 2] = ["--multipart-threshold", "5MiB"];

/// A laboratory with a file of six parts, and what is in it.
fn large() -> (Lab, Vec<u8>) {
    let lab = Lab::new();
    let bytes = noise((40 << 20) + 3);
    lab.stage(FILES[0], &bytes);
    (lab, bytes)
}

fn journal(lab: &Lab) -> String {
    fs::read_to_string(lab.extracted().join(".amp/uploads.jsonl")).unwrap_or_default()
}

#[test]
fn a_large_file_goes_in_parts_under_one_checksum() {
    for (word, kind) in [("crc64nvme", "FULL_OBJECT"), ("crc32c", "FULL_OBJECT"), ("sha256", "COMPOSITE")] {
        let (lab, bytes) = large();
        let ended = lab.run(&[&LARGE[..], &["--checksum", word, "--storage-class", "STANDARD_IA"]].concat());
        assert_eq!(ended.counts(), (0, [1, 1, 0, 0, 1]), "{word}: {ended:?}");
        assert_eq!(ended.document()["bytes_uploaded"], bytes.len());
        let object = lab.server.object(BUCKET, FILES[0]).unwrap();
        assert_eq!((object.parts, object.checksum_type.as_deref()), (Some(6), Some(kind)));
        assert_eq!(object.content_type.as_deref(), Some("application/x-ndjson"));
        assert_eq!(object.storage_class.as_deref(), Some("STANDARD_IA"));
        assert!(lab.object(FILES[0]).unwrap() == bytes);
        assert_eq!(lab.loads()[0]["proof"], "checksum");
        let complete = &lab.requests(S3Op::CompleteMultipartUpload)[0];
        let checksum = complete.header(&format!("x-amz-checksum-{word}"));
        assert_eq!(
            complete.header("x-amz-checksum-type").is_some(),
            checksum.is_some(),
            "{word}: Garage refuses the one alone"
        );
        for part in lab.requests(S3Op::UploadPart) {
            assert_eq!(part.header("x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"));
            assert!(part.header(&format!("x-amz-checksum-{word}")).is_some());
        }
        assert_eq!(journal(&lab), "");
    }
}

#[test]
fn parts_and_small_files_share_the_permits() {
    let (lab, _) = large();
    lab.copy_in("small.json", b"{}\n");
    lab.rule("op=UploadPart:delay=50ms");
    assert_eq!(lab.run(&[&LARGE[..], &["--concurrency", "2"]].concat()).counts(), (0, [2, 2, 0, 0, 2]));
    assert_eq!(lab.server.max_in_flight(), 2);
    let (lab, _) = large();
    assert_eq!(lab.run(&[&LARGE[..], &["--concurrency", "1"]].concat()).code, Some(0));
}

#[test]
fn a_part_that_fails_for_a_while_is_sent_again() {
    for fault in ["status=500", "reset=1000000", "lost-reply", "wrong-checksum", "status=400,code=BadDigest"] {
        let (lab, bytes) = large();
        lab.rule(&format!("op=UploadPart,nth=2-3:{fault}"));
        let ended = lab.run(&LARGE);
        assert_eq!(ended.counts(), (0, [1, 1, 0, 0, 1]), "{fault}: {ended:?}");
        assert_eq!(ended.document()["retries"], 2, "{fault}");
        assert!(lab.object(FILES[0]).unwrap() == bytes);
    }
}

#[test]
fn an_upload_that_fails_is_aborted() {
    for fault in [
        "op=UploadPart,nth=3-:status=500",
        "op=UploadPart,nth=2:status=400,code=InvalidArgument",
        "op=CompleteMultipartUpload:status=500",
        "op=CompleteMultipartUpload:error-in-200",
        "op=CompleteMultipartUpload:status=400,code=InvalidPart",
    ] {
        let (lab, _) = large();
        lab.rule(fault);
        let ended = lab.run(&[&LARGE[..], &["--max-retries", "1"]].concat());
        assert!(matches!(ended.code, Some(1 | 75)), "{fault}: {ended:?}");
        assert!(lab.server.open_uploads(BUCKET).is_empty(), "{fault}");
        assert_eq!((lab.left().len(), lab.object(FILES[0])), (1, None), "{fault}");
        assert_eq!(journal(&lab), "", "{fault}");
    }
}

#[test]
fn an_error_within_a_success_is_tried_again() {
    let (lab, _) = large();
    lab.rule("op=CompleteMultipartUpload,nth=1:error-in-200");
    assert_eq!(lab.run(&LARGE).counts(), (0, [1, 1, 0, 0, 1]));
}

#[test]
fn a_lost_answer_to_the_last_step_is_made_good_by_looking() {
    let (lab, bytes) = large();
    lab.rule("op=CompleteMultipartUpload,nth=1:lost-reply");
    let ended = lab.run(&LARGE);
    assert_eq!(ended.counts(), (0, [1, 1, 0, 0, 1]), "{ended:?}");
    assert!(lab.object(FILES[0]).unwrap() == bytes);
}

#[test]
fn a_lost_answer_to_the_first_step_leaves_no_orphan() {
    let (lab, _) = large();
    lab.rule("op=CreateMultipartUpload,nth=1:lost-reply");
    assert_eq!(lab.run(&LARGE).counts(), (0, [1, 1, 0, 0, 1]));
    assert!(lab.server.open_uploads(BUCKET).is_empty());
    assert_eq!(journal(&lab), "");
}

#[test]
fn an_upload_that_may_have_been_begun_is_looked_for_by_the_next_run() {
    let (lab, _) = large();
    lab.rule("op=CreateMultipartUpload,nth=1:lost-reply");
    lab.rule("op=CreateMultipartUpload,nth=2-:status=500");
    assert_eq!(lab.run(&[&LARGE[..], &["--max-retries", "1"]].concat()).code, Some(75));
    assert_eq!(lab.server.open_uploads(BUCKET).len(), 1);
    lab.server.clear_rules();
    assert_eq!(lab.run(&LARGE).code, Some(0));
    assert!(lab.server.open_uploads(BUCKET).is_empty());
    assert_eq!(journal(&lab), "");
}

#[test]
fn what_a_killed_run_left_open_is_aborted_by_the_next() {
    let (lab, bytes) = large();
    lab.rule("op=UploadPart,nth=2-:stall");
    let run = begin(lab.command(&LARGE));
    lab.wait_for(S3Op::UploadPart);
    run.signal("KILL").unwrap();
    run.wait().unwrap();
    assert_eq!(lab.server.open_uploads(BUCKET).len(), 1);
    assert!(journal(&lab).contains("\"open\""));
    lab.server.clear_rules();
    assert_eq!(lab.run(&LARGE).counts(), (0, [1, 1, 0, 0, 1]));
    assert!(lab.server.open_uploads(BUCKET).is_empty());
    assert!(lab.object(FILES[0]).unwrap() == bytes);
    assert_eq!(journal(&lab), "");
}

/// A laboratory with an upload that a killed run left open, and the file gone.
fn left_open() -> Lab {
    let lab = Lab::with(|config| config.buckets.push("pond".into()));
    lab.stage(FILES[0], &noise((40 << 20) + 3));
    lab.rule("op=UploadPart,nth=2-:stall");
    let run = begin(lab.command(&LARGE));
    lab.wait_for(S3Op::UploadPart);
    run.signal("KILL").unwrap();
    run.wait().unwrap();
    lab.server.clear_rules();
    fs::remove_file(lab.extracted().join(FILES[0])).unwrap();
    assert_eq!(lab.server.open_uploads(BUCKET).len(), 1);
    lab
}

#[test]
fn what_a_killed_run_left_open_is_aborted_though_there_is_nothing_to_load() {
    let lab = left_open();
    let ended = lab.run(&[]);
    assert_eq!((ended.code, &ended.document()["outcome"]), (Some(0), &"empty".into()), "{ended:?}");
    assert!(lab.server.open_uploads(BUCKET).is_empty());
    let asked = lab.server.requests().len();
    assert_eq!(lab.run(&[]).code, Some(0));
    assert_eq!(lab.server.requests().len(), asked, "nothing is open any more");
}

#[test]
fn what_a_killed_run_left_open_is_aborted_in_its_bucket() {
    let lab = left_open();
    let ended = lab.run(&["--bucket", "pond"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(lab.server.open_uploads(BUCKET).is_empty());
    assert_eq!(journal(&lab), "");
}

#[test]
fn what_a_killed_run_left_open_at_another_endpoint_is_named() {
    let lab = left_open();
    let other = Lab::new();
    lab.copy_in("small.json", b"{}\n");
    let ended = lab.run(&["--endpoint-url", &other.server.endpoint_url()]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains(FILES[0]) && ended.stderr.contains("remains there"), "{}", ended.stderr);
    assert_eq!(lab.run(&[]).code, Some(0));
    assert!(lab.server.open_uploads(BUCKET).is_empty());
}

#[test]
fn an_answer_that_is_not_s3s_is_named_and_leaves_nothing_open() {
    let lab = Lab::quirky("wrong-create-root".parse().unwrap());
    let bytes = noise(6 << 20);
    lab.stage(FILES[0], &bytes);
    let ended = lab.run(&LARGE);
    assert_eq!(ended.counts(), (1, [1, 0, 0, 1, 0]), "{ended:?}");
    let error = ended.error(0);
    assert!(error.contains("`InitiateMultipartUpload`") && error.contains("--multipart-threshold"), "{error}");
    assert!(lab.server.open_uploads(BUCKET).is_empty());
    assert_eq!(journal(&lab), "");
    assert_eq!(lab.run(&["--multipart-threshold", "5GiB"]).counts(), (0, [1, 1, 0, 0, 1]));
    // Where it cannot be aborted, the next run looks for it.
    lab.stage(FILES[0], &bytes);
    lab.rule("op=AbortMultipartUpload:status=500");
    assert!(lab.run(&LARGE).error(0).contains("may be open"));
    assert_eq!(lab.server.open_uploads(BUCKET).len(), 1);
    lab.server.clear_rules();
    assert_eq!(lab.run(&["--multipart-threshold", "5GiB"]).code, Some(0));
    assert!(lab.server.open_uploads(BUCKET).is_empty());
}

#[test]
fn an_abort_that_fails_is_made_up_for_by_the_next_run() {
    let (lab, _) = large();
    lab.rule("op=UploadPart:status=400,code=InvalidArgument");
    lab.rule("op=AbortMultipartUpload:status=400,code=InvalidArgument");
    let ended = lab.run(&LARGE);
    assert!(ended.stderr.contains("could not be aborted"), "{ended:?}");
    assert_eq!(lab.server.open_uploads(BUCKET).len(), 1);
    lab.server.clear_rules();
    assert_eq!(lab.run(&LARGE).code, Some(0));
    assert!(lab.server.open_uploads(BUCKET).is_empty());
}

#[test]
fn a_stop_aborts_what_is_under_way() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let (lab, bytes) = large();
        lab.rule("op=UploadPart:stall");
        let run = begin(lab.command(&LARGE));
        lab.wait_for(S3Op::UploadPart);
        run.signal(name).unwrap();
        let ended = ended(run);
        assert_eq!(ended.counts(), (code, [1, 0, 0, 0, 0]), "{ended:?}");
        assert_eq!(ended.document()["outcome"], "interrupted");
        assert!(lab.server.open_uploads(BUCKET).is_empty());
        assert!(fs::read(lab.extracted().join(FILES[0])).unwrap() == bytes);
    }
}

#[test]
fn a_server_without_checksums_takes_large_files_too() {
    for quirks in
        [Quirks { ignore_checksums: true, ..Quirks::default() }, Quirks { echo_checksums: true, ..Quirks::default() }]
    {
        let lab = Lab::quirky(quirks);
        let bytes = noise(20 << 20);
        lab.stage(FILES[0], &bytes);
        let ended = lab.run(&LARGE);
        assert_eq!(ended.counts(), (0, [1, 1, 0, 0, 1]), "{quirks:?} {ended:?}");
        assert!(lab.object(FILES[0]).unwrap() == bytes);
    }
}

#[test]
fn a_large_file_made_by_hand_is_loaded_too() {
    for checksum in ["crc64nvme", "sha256"] {
        let lab = Lab::new();
        let bytes = noise(20 << 20);
        lab.copy_in("by hand.json", &bytes);
        lab.copy_in("small.json", &events("x"));
        assert_eq!(lab.run(&[&LARGE[..], &["--checksum", checksum]].concat()).counts(), (0, [2, 2, 0, 0, 2]));
        assert!(lab.object("by hand.json").unwrap() == bytes);
    }
}
