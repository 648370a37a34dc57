//! What becomes of keys that exist.

use amp_sandbox::s3::{Quirks, S3Op};

use crate::support::{BUCKET, FILES, Lab, events};

#[test]
fn by_default_objects_are_replaced() {
    let lab = Lab::staged();
    lab.server.put_object_directly(BUCKET, FILES[0], b"old").unwrap();
    assert_eq!(lab.run(&[]).counts(), (0, [3, 3, 0, 0, 3]));
    assert_eq!(lab.object(FILES[0]).unwrap(), events(FILES[0]));
}

#[test]
fn what_is_there_already_is_skipped_recorded_and_deleted() {
    for checksum in ["crc64nvme", "sha256"] {
        let lab = Lab::staged();
        lab.run(&["--keep-local", "--checksum", checksum]);
        let uploaded = lab.count(S3Op::PutObject);
        let ended = lab.run(&["--if-exists", "skip", "--checksum", checksum]);
        assert_eq!(ended.counts(), (0, [3, 0, 3, 0, 3]), "{ended:?}");
        assert_eq!(lab.count(S3Op::PutObject), uploaded);
        assert_eq!(lab.loads().len(), 6);
        assert!(lab.left().is_empty());
    }
}

#[test]
fn what_is_there_and_differs_is_not_skipped() {
    let lab = Lab::staged();
    let mut other = events(FILES[0]);
    other[5] ^= 1;
    lab.server.put_object_directly(BUCKET, FILES[0], &other).unwrap();
    lab.server.put_object_directly(BUCKET, FILES[1], b"other size").unwrap();
    assert_eq!(lab.run(&["--if-exists", "skip"]).counts(), (0, [3, 3, 0, 0, 3]));
    assert_eq!(lab.object(FILES[0]).unwrap(), events(FILES[0]));
    assert_eq!(lab.object(FILES[1]).unwrap(), events(FILES[1]));
}

#[test]
fn an_object_without_checksum_is_compared_by_md5() {
    let lab = Lab::staged();
    lab.server.put_object_directly(BUCKET, FILES[0], &events(FILES[0])).unwrap();
    assert_eq!(lab.run(&["--if-exists", "skip"]).counts(), (0, [3, 2, 1, 0, 3]));
}

#[test]
fn a_large_object_is_skipped_by_its_checksum_too() {
    for checksum in ["crc64nvme", "crc32c", "sha256"] {
        let lab = Lab::new();
        lab.stage(FILES[0], &crate::support::noise(20 << 20));
        let large = ["--multipart-threshold", "5MiB", "--checksum", checksum];
        lab.run(&[&large[..], &["--keep-local"]].concat());
        let ended = lab.run(&[&large[..], &["--if-exists", "skip"]].concat());
        assert_eq!(ended.counts(), (0, [1, 0, 1, 0, 1]), "{ended:?}");
    }
}

#[test]
fn to_fail_means_that_the_object_and_the_file_both_stay() {
    let lab = Lab::staged();
    lab.server.put_object_directly(BUCKET, FILES[0], b"old").unwrap();
    let ended = lab.run(&["--if-exists", "fail"]);
    assert_eq!(ended.counts(), (1, [3, 2, 0, 1, 2]));
    assert!(ended.error(0).contains("exists"), "{ended:?}");
    assert_eq!(lab.object(FILES[0]).unwrap(), b"old");
    assert_eq!(lab.left(), [FILES[0]]);
}

#[test]
fn one_who_may_not_look_still_replaces_nothing() {
    let lab = Lab::quirky(Quirks { head_object_denied: true, ..Quirks::default() });
    lab.stage_all();
    lab.server.put_object_directly(BUCKET, FILES[0], b"old").unwrap();
    let ended = lab.run(&["--if-exists", "fail"]);
    assert_eq!(ended.counts(), (1, [3, 2, 0, 1, 2]), "{ended:?}");
    assert_eq!(lab.object(FILES[0]).unwrap(), b"old");
}

#[test]
fn an_upload_whose_answer_was_lost_is_not_taken_for_anothers() {
    let lab = Lab::staged();
    lab.rule("op=PutObject,key=_0#0,nth=1:lost-reply");
    assert_eq!(lab.run(&["--if-exists", "fail"]).counts(), (0, [3, 3, 0, 0, 3]));
    let lab = Lab::new();
    lab.stage(FILES[0], &crate::support::noise(20 << 20));
    lab.rule("op=CompleteMultipartUpload,nth=1:lost-reply");
    let ended = lab.run(&["--if-exists", "fail", "--multipart-threshold", "5MiB"]);
    assert_eq!(ended.counts(), (0, [1, 1, 0, 0, 1]), "{ended:?}");
}
