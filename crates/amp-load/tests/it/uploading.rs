//! What is sent, and what is left behind.

use std::fs;

use amp_sandbox::s3::S3Op;

use crate::support::{BUCKET, FILES, Lab, events};

#[test]
fn every_file_becomes_an_object_and_is_deleted_and_recorded() {
    let lab = Lab::staged();
    lab.copy_in("by hand.json", b"{}\n");
    lab.copy_in("empty.json", b"");
    assert_eq!(lab.run(&[]).counts(), (0, [5, 5, 0, 0, 5]));
    for name in FILES {
        assert_eq!(lab.object(name).unwrap(), events(name));
    }
    assert_eq!(lab.object("by hand.json").unwrap(), b"{}\n");
    assert_eq!(lab.object("empty.json").unwrap(), b"");
    assert!(lab.left().is_empty());
    let loads = lab.loads();
    assert_eq!(loads.len(), 5);
    assert!(loads.iter().all(|load| load["proof"] == "checksum" && load["bucket"] == BUCKET), "{loads:?}");
}

#[test]
fn bodies_are_plain_and_their_checksum_is_a_header() {
    let lab = Lab::staged();
    lab.run(&[]);
    for request in lab.requests(S3Op::PutObject) {
        assert_eq!(request.header("x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"));
        assert_eq!(request.header("content-encoding"), None);
        assert_eq!(request.header("x-amz-trailer"), None);
        assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
        assert!(request.header("x-amz-checksum-crc64nvme").is_some());
        assert_eq!(request.header("content-length").unwrap(), request.body_bytes.to_string());
    }
}

#[test]
fn what_s3_has_of_the_file_is_said_in_its_checksum() {
    for (word, name) in [("crc32c", "CRC32C"), ("sha256", "SHA256"), ("crc64nvme", "CRC64NVME")] {
        let lab = Lab::staged();
        assert_eq!(lab.run(&["--checksum", word]).counts(), (0, [3, 3, 0, 0, 3]));
        let object = lab.server.object(BUCKET, FILES[0]).unwrap();
        assert_eq!(object.checksum_algorithm.as_deref(), Some(name));
        assert_eq!(lab.loads()[0]["checksum"]["algorithm"], word);
    }
}

#[test]
fn gzipped_files_stay_gzipped_and_are_called_so() {
    let lab = Lab::new();
    let bytes = [0x1f, 0x8b, 8, 0, 1, 2, 3];
    lab.stage("7_2025-11-06_9#0.json.gz", &bytes);
    assert_eq!(lab.run(&[]).code, Some(0));
    let object = lab.server.object(BUCKET, "7_2025-11-06_9#0.json.gz").unwrap();
    assert_eq!(object.content_type.as_deref(), Some("application/gzip"));
    assert_eq!(object.content_encoding, None);
    assert_eq!(lab.object("7_2025-11-06_9#0.json.gz").unwrap(), bytes);
}

#[test]
fn objects_are_stored_as_asked() {
    let lab = Lab::staged();
    lab.run(&["--storage-class", "STANDARD_IA", "--sse", "aws:kms", "--sse-kms-key-id", "alias/lake"]);
    let object = lab.server.object(BUCKET, FILES[0]).unwrap();
    assert_eq!(object.storage_class.as_deref(), Some("STANDARD_IA"));
    assert_eq!((object.sse.as_deref(), object.kms_key_id.as_deref()), (Some("aws:kms"), Some("alias/lake")));
    assert!(lab.left().is_empty());
}

#[test]
fn kept_files_stay_and_are_recorded() {
    let lab = Lab::staged();
    assert_eq!(lab.run(&["--keep-local"]).counts(), (0, [3, 3, 0, 0, 0]));
    assert_eq!(lab.left(), FILES);
    assert_eq!(lab.loads().len(), 3);
}

#[test]
fn many_files_go_at_once_but_no_more_than_allowed() {
    let lab = Lab::new();
    for number in 0..60 {
        lab.copy_in(&format!("{number}.json"), &events(&number.to_string()));
    }
    lab.rule("op=PutObject:delay=20ms");
    assert_eq!(lab.run(&["--concurrency", "5"]).counts(), (0, [60, 60, 0, 0, 60]));
    let most = lab.server.max_in_flight();
    assert!((2..=5).contains(&most), "{most}");
}

#[test]
fn two_directories_one_name_do_not_disturb_what_lies_below() {
    let lab = Lab::staged();
    fs::create_dir(lab.extracted().join("sub")).unwrap();
    fs::write(lab.extracted().join("sub/7_2025-11-06_1#0.json"), "x").unwrap();
    assert_eq!(lab.run(&[]).counts(), (0, [3, 3, 0, 0, 3]));
    assert!(lab.extracted().join("sub/7_2025-11-06_1#0.json").exists());
}
