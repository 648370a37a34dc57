//! Comparing earlier loads with the bucket.

use std::fs;

use amp_sandbox::s3::{Quirks, S3Op};

use crate::support::{BUCKET, FILES, Lab, end, events};

fn loaded() -> Lab {
    let lab = Lab::staged();
    assert_eq!(lab.run(&[]).code, Some(0));
    lab
}

#[test]
fn objects_that_are_as_they_were_loaded_are_fine() {
    let lab = loaded();
    lab.copy_in("new.json", b"{}\n");
    let ended = lab.run(&["--verify"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let document = ended.document();
    assert_eq!(document["outcome"], "complete");
    assert_eq!(
        document["verified"].to_string(),
        r#"{"checked":3,"different":[],"healed":0,"missing":[],"not_verified":0,"read":0}"#
    );
    assert_eq!(lab.left(), ["new.json"]);
    assert_eq!(lab.count(S3Op::PutObject), 3);
}

#[test]
fn objects_that_are_gone_or_different_are_named() {
    let lab = loaded();
    lab.server.delete_object_directly(BUCKET, FILES[0]);
    let mut other = events(FILES[1]);
    other.push(b'\n');
    lab.server.put_object_directly(BUCKET, FILES[1], &other).unwrap();
    let ended = lab.run(&["--verify"]);
    assert_eq!(ended.code, Some(1));
    let document = ended.document();
    assert_eq!(document["outcome"], "partial");
    assert_eq!(document["verified"]["checked"], 3);
    assert_eq!(document["verified"]["missing"][0], FILES[0]);
    assert_eq!(document["verified"]["different"][0], FILES[1]);
    assert!(ended.stderr.contains(FILES[0]) && ended.stderr.contains(FILES[1]), "{}", ended.stderr);
}

#[test]
fn the_newest_load_of_a_key_counts() {
    let lab = loaded();
    lab.stage(FILES[0], b"{\"again\":1}\n");
    lab.run(&[]);
    assert_eq!(lab.run(&["--verify"]).document()["verified"]["checked"], 3);
    assert_eq!(lab.run(&["--verify"]).code, Some(0));
}

#[test]
fn only_the_days_and_the_bucket_asked_for_are_compared() {
    let lab = Lab::with(|config| config.buckets.push("pond".into()));
    lab.stage_all();
    lab.run(&[]);
    let nothing = lab.run(&["--verify", "--bucket", "pond"]);
    assert_eq!((nothing.code, &nothing.document()["outcome"]), (Some(0), &"empty".into()));
    let path = lab.extracted().join(".amp/loads/2025-11-06.jsonl");
    let elsewhere = fs::read_to_string(&path).unwrap().replace("127.0.0.1", "localhost");
    fs::write(&path, elsewhere).unwrap();
    assert_eq!(lab.run(&["--verify"]).document()["verified"]["checked"], 3, "under another name of the server");
    let old = fs::read_to_string(&path).unwrap().replace("\"at\":\"20", "\"at\":\"19");
    fs::write(&path, old).unwrap();
    assert_eq!(lab.run(&["--verify"]).document()["verified"]["checked"], 0);
}

#[test]
fn a_server_without_checksums_is_compared_by_its_etag() {
    let lab = Lab::quirky(Quirks { ignore_checksums: true, ..Quirks::default() });
    lab.stage_all();
    lab.run(&[]);
    let ended = lab.run(&["--verify"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let other: Vec<u8> = events(FILES[0]).iter().rev().copied().collect();
    lab.server.put_object_directly(BUCKET, FILES[0], &other).unwrap();
    let ended = lab.run(&["--verify"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.document()["verified"]["different"][0], FILES[0]);
}

#[test]
fn a_replacement_of_the_same_size_with_another_checksum_is_different() {
    let lab = loaded();
    let other: Vec<u8> = events(FILES[0]).iter().rev().copied().collect();
    lab.server.put_object_with_checksum(BUCKET, FILES[0], &other, Some("CRC32")).unwrap();
    let ended = lab.run(&["--verify"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.document()["verified"]["different"][0], FILES[0]);
}

/// A laboratory of a server without checksums, whose load records tell no ETag either.
fn incomparable() -> Lab {
    let lab = Lab::quirky(Quirks { ignore_checksums: true, ..Quirks::default() });
    lab.stage_all();
    lab.run(&[]);
    let path = lab.extracted().join(".amp/loads/2025-11-06.jsonl");
    let lines = fs::read_to_string(&path).unwrap();
    let of_before = lines.lines().map(|line| {
        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
        record.as_object_mut().unwrap().remove("etag").unwrap();
        record["proof"] = "size".into();
        format!("{record}\n")
    });
    fs::write(&path, of_before.collect::<String>()).unwrap();
    lab
}

#[test]
fn what_cannot_be_compared_is_not_verified_until_it_is_read() {
    let lab = incomparable();
    let ended = lab.run(&["--verify"]);
    assert_eq!((ended.code, &ended.document()["verified"]["not_verified"]), (Some(1), &3.into()), "{ended:?}");
    assert!(ended.error(0).contains("not verified"), "{ended:?}");
    let read = lab.run(&["--verify", "--read-data"]);
    assert_eq!(read.code, Some(0), "{read:?}");
    assert_eq!(
        (&read.document()["verified"]["not_verified"], &read.document()["verified"]["read"]),
        (&0.into(), &3.into())
    );
    lab.server.put_object_directly(BUCKET, FILES[1], &events(FILES[0])).unwrap();
    let ended = lab.run(&["--verify", "--read-data=100"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.document()["verified"]["different"].to_string(), format!("[{:?}]", FILES[1]));
}

#[test]
fn a_byte_that_changed_on_the_servers_disk_is_seen_by_reading_alone() {
    let lab = Lab::staged();
    lab.rule("op=PutObject,key=_9#0:damage=30");
    assert_eq!(lab.run(&[]).code, Some(0));
    assert_eq!(lab.run(&["--verify"]).code, Some(0), "what the server tells is of the right bytes");
    let ended = lab.run(&["--verify", "--read-data"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.document()["verified"]["different"][0], FILES[1]);
}

#[test]
fn a_sample_of_the_objects_is_read_and_the_others_are_compared() {
    let lab = loaded();
    let ended = lab.run(&["--verify", "--read-data=40"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let verified = ended.document()["verified"].clone();
    assert_eq!((&verified["checked"], &verified["read"]), (&3.into(), &2.into()));
    assert_eq!((lab.count(S3Op::GetObject), lab.count(S3Op::HeadObject)), (2, 2), "one HeadObject is of the load");
    for (words, named) in [(&["--read-data=0", "--verify"], "whole number"), (&["--read-data=101", "--verify"], "101")]
    {
        let ended = lab.run(words);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.error(0).contains(named), "{ended:?}");
    }
}

#[test]
fn objects_that_may_not_be_read_are_a_refusal_with_advice() {
    let lab = loaded();
    lab.rule("op=GetObject:status=403,code=AccessDenied");
    let ended = lab.run(&["--verify", "--read-data"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.error(0).contains("s3:GetObject"), "{ended:?}");
    lab.server.clear_rules();
    lab.rule("op=GetObject,key=_0#0:status=403,code=InvalidObjectState");
    let ended = lab.run(&["--verify", "--read-data"]);
    assert_eq!((ended.code, &ended.document()["verified"]["read"]), (Some(1), &2.into()), "{ended:?}");
}

#[test]
fn the_bucket_and_the_keys_are_checked_first() {
    let lab = loaded();
    assert_eq!(lab.run(&["--verify", "--bucket", "pond"]).code, Some(3));
    let mut command = lab.command(&["--verify"]);
    command.env("AWS_SECRET_KEY", "wrong");
    assert_eq!(end(command).code, Some(3));
}

#[test]
fn an_object_that_cannot_be_asked_for_is_a_failure() {
    let lab = loaded();
    lab.rule("op=HeadObject,key=_0#0:status=500");
    let ended = lab.run(&["--verify", "--max-retries", "1"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.document()["verified"]["checked"], 2);
    assert!(ended.error(0).contains("could not be compared"), "{ended:?}");
}

#[test]
fn objects_that_may_not_be_asked_for_are_a_refusal_with_advice() {
    let lab = loaded();
    lab.rule("op=HeadObject:status=403,code=AccessDenied");
    let ended = lab.run(&["--verify"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.error(0).contains("s3:GetObject"), "{ended:?}");
}

#[test]
fn a_result_for_people_names_what_is_missing() {
    let lab = loaded();
    lab.server.delete_object_directly(BUCKET, FILES[2]);
    let mut command = lab.bare(&["--verify"]);
    command.envs(lab.server.env(BUCKET));
    let ended = end(command);
    assert_eq!(ended.code, Some(1));
    assert_eq!((ended.stdout + &ended.stderr).matches(FILES[2]).count(), 1, "each failure once: {}", ended.stderr);
}

#[test]
fn a_dry_run_says_what_would_be_compared() {
    let lab = loaded();
    let asked = lab.server.requests().len();
    let ended = lab.run(&["--verify", "--dry-run"]);
    assert_eq!((ended.code, &ended.document()["planned"][2]["key"]), (Some(0), &FILES[2].into()));
    assert_eq!(lab.server.requests().len(), asked);
}
