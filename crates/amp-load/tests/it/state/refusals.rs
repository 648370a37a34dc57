//! State that is damaged, missing, somebody else's, of another version or not to be reached.

use amp_core::stage::Staging;
use amp_sandbox::s3::Quirks;

use super::{ON, RESTORE, loaded};
use crate::manifests::hours;
use crate::support::{BUCKET, Lab, end};

/// Changes the object of the day.
fn rewrite(lab: &Lab, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let key = format!("_state/{}", lab.day_keys()[0]);
    let bytes = change(lab.object(&key).unwrap());
    lab.server.put_object_directly(BUCKET, &key, &bytes).unwrap();
}

#[test]
fn a_first_run_is_told_from_state_that_was_deleted() {
    let lab = Lab::new();
    let ended = lab.run(&[&RESTORE[..], &["-v"]].concat());
    assert_eq!((ended.code, ended.restored()), (Some(0), [0; 4]), "{ended:?}");
    assert!(ended.stderr.contains("a first run") && !ended.stderr.contains("warning"), "{}", ended.stderr);

    let lab = loaded();
    for key in lab.day_keys() {
        lab.server.delete_object_directly(BUCKET, &format!("_state/{key}"));
    }
    let ended = lab.another_machine().restore();
    assert_eq!((ended.code, ended.restored()), (Some(0), [0; 4]), "{ended:?}");
    assert!(ended.stderr.contains("state was kept below") && ended.stderr.contains("is gone"), "{}", ended.stderr);
}

#[test]
fn a_damaged_object_is_not_believed_in_part() {
    let halves: [fn(Vec<u8>) -> Vec<u8>; 3] = [
        |bytes| bytes[..bytes.len() / 2].to_vec(),
        |bytes| bytes.split_inclusive(|byte| *byte == b'\n').skip(1).flatten().copied().collect(),
        |_| Vec::new(),
    ];
    for damage in halves {
        let lab = loaded();
        rewrite(&lab, damage);
        let other = lab.another_machine();
        let ended = other.restore();
        assert_eq!((ended.code, ended.restored()), (Some(0), [0, 0, 1, 0]), "{ended:?}");
        assert!(ended.stderr.contains("is damaged"), "{}", ended.stderr);
        assert!(other.known().is_empty());
        // What the other machine does then is put beside it, and it stays.
        other.fetch_all(hours(0, 23));
        assert_eq!(other.run(&ON).code, Some(0));
        assert_eq!(lab.day_keys().len(), 2);
    }
}

#[test]
fn files_of_others_are_left_alone_and_named() {
    let lab = loaded();
    for key in ["_state/notes.txt", "_state/days/2025-11-06/copy.jsonl", "_state/days/x.jsonl"] {
        lab.server.put_object_directly(BUCKET, key, b"mine").unwrap();
    }
    let other = lab.another_machine();
    let ended = other.restore();
    assert_eq!(ended.restored(), [1, 6, 0, 3], "{ended:?}");
    assert!(ended.stderr.contains("3 objects below s3://lake/_state/ are not state"), "{}", ended.stderr);
    other.ask(hours(9, 9));
    other.run(&ON);
    assert_eq!(lab.object("_state/days/2025-11-06/copy.jsonl").unwrap(), b"mine");
}

#[test]
fn lines_of_a_newer_version_are_passed_over_and_their_object_stays() {
    let lab = loaded();
    let old = lab.day_keys()[0].clone();
    let mut bytes = lab.object(&format!("_state/{old}")).unwrap();
    bytes.extend_from_slice(b"{\"tides\":{\"at\":\"2025-11-07T01:00:00Z\"}}\n");
    let digest = amp_core::checksum::Digester::digest_of(&bytes);
    let name = format!("_state/days/2025-11-06/00000000000000aa-{:016x}.jsonl", digest.crc64nvme);
    lab.server.put_object_directly(BUCKET, &name, &bytes).unwrap();
    lab.server.delete_object_directly(BUCKET, &format!("_state/{old}"));
    let other = lab.another_machine();
    let ended = other.restore();
    assert_eq!(ended.restored(), [1, 6, 1, 0], "{ended:?}");
    assert!(ended.stderr.contains("newer version"), "{}", ended.stderr);
    other.ask(hours(9, 9));
    assert_eq!(other.run(&ON).state()["deleted"], 0);
    assert!(lab.object(&name).is_some());
}

#[test]
fn without_permission_to_list_the_policy_is_named() {
    let lab = loaded();
    lab.rule("op=ListObjectsV2:status=403,code=AccessDenied");
    let ended = lab.another_machine().restore();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let statement = r#"{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::lake"}"#;
    assert!(ended.error(0).contains(statement), "{ended:?}");
    let lab = Lab::quirky(Quirks { list_denied: true, ..Quirks::default() });
    lab.fetch_all(hours(0, 23));
    assert_eq!(lab.run(&ON).code, Some(0), "putting needs no list");
    assert_eq!(lab.restore().code, Some(3));
}

#[test]
fn without_permission_to_delete_objects_stay() {
    let lab = loaded();
    lab.rule("op=DeleteObject:status=403,code=AccessDenied");
    lab.ask(hours(9, 9));
    let ended = lab.run(&ON);
    assert_eq!((ended.code, ended.state().to_string()), (Some(0), r#"{"deleted":0,"put":1}"#.into()), "{ended:?}");
    assert!(ended.stderr.contains("s3:DeleteObject"), "{}", ended.stderr);
    let other = lab.another_machine();
    other.restore();
    assert_eq!(other.known(), lab.known());
}

#[test]
fn state_among_data_or_manifests_is_refused() {
    let lab = Lab::new();
    for args in [
        &["--state-prefix", "raw/_state", "--prefix", "raw/"][..],
        &["--state-prefix", "raw", "--prefix", "raw/"],
        &["--state-prefix", "state"],
        &["--state-prefix", "_m/state", "--manifest-prefix", "_m"],
        &["--state-prefix", "s3://lake/_state"],
        &["--restore"],
        &["--days", "3"],
        &["--restore", "--verify", "--state-prefix", "_state"],
    ] {
        let ended = lab.run(args);
        assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
    }
    assert!(lab.server.requests().is_empty());
}

#[test]
fn nothing_is_merged_while_another_run_is_at_work() {
    let lab = loaded();
    for program in ["extract", "load"] {
        let other = lab.another_machine();
        let _lock = Staging::open(&other.extracted()).unwrap().lock(program).unwrap();
        assert_eq!(other.restore().code, Some(75), "{program}");
        assert!(other.known().is_empty());
    }
}

#[test]
fn the_result_for_people_says_what_came_back() {
    let lab = loaded();
    let mut command = lab.another_machine().bare(&RESTORE);
    command.envs(lab.server.env(BUCKET));
    let other = tempfile::tempdir().unwrap();
    command.current_dir(other.path());
    let ended = end(command);
    assert!(ended.stdout.contains("  state      1 days read, 6 new lines, 0 objects not read\n"), "{ended:?}");
}
