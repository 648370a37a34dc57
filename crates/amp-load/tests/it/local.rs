//! Files that are not what they were.

use std::fs::{self, OpenOptions};
use std::io::Write;

use amp_sandbox::s3::S3Op;

use crate::support::{FILES, Lab, begin, ended, events, noise};

#[test]
fn a_file_that_changed_since_it_was_unpacked_is_not_uploaded_unless_asked() {
    let lab = Lab::staged();
    let path = lab.extracted().join(FILES[1]);
    let mut bytes = events(FILES[1]);
    bytes[3] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let ended = lab.run(&[]);
    assert_eq!(ended.counts(), (1, [3, 2, 0, 1, 2]));
    assert!(ended.error(0).contains("changed since it was unpacked"), "{ended:?}");
    assert!(ended.error(0).contains("--accept-modified"));
    assert_eq!(lab.object(FILES[1]), None);
    assert_eq!(lab.run(&["--accept-modified"]).counts(), (0, [1, 1, 0, 0, 1]));
    assert_eq!(lab.object(FILES[1]).unwrap(), bytes);
}

#[test]
fn a_file_that_was_only_touched_is_the_same_file() {
    let lab = Lab::staged();
    let bytes = events(FILES[0]);
    fs::write(lab.extracted().join(FILES[0]), &bytes).unwrap();
    assert_eq!(lab.run(&[]).counts(), (0, [3, 3, 0, 0, 3]));
}

#[test]
fn bytes_that_rot_under_an_unchanged_stamp_are_noticed_as_they_are_sent() {
    for (size, threshold) in [(300_000, "64MiB"), (40 << 20, "16MiB")] {
        let lab = Lab::new();
        let bytes = noise(size);
        lab.stage(FILES[0], &bytes);
        let path = lab.extracted().join(FILES[0]);
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        let mut file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all(&[bytes[0] ^ 1]).unwrap();
        file.set_modified(before).unwrap();
        drop(file);
        let ended = lab.run(&["--multipart-threshold", threshold]);
        assert_eq!(ended.counts(), (1, [1, 0, 0, 1, 0]));
        assert!(ended.error(0).contains("changed since it was unpacked"), "{ended:?}");
        assert_eq!(lab.object(FILES[0]), None);
        assert!(lab.server.open_uploads("lake").is_empty());
        assert_eq!(ended.document()["retries"], 0);
        let accepted = lab.run(&["--multipart-threshold", threshold, "--accept-modified"]);
        assert_eq!(accepted.counts(), (0, [1, 1, 0, 0, 1]));
    }
}

#[test]
fn a_file_replaced_while_it_was_uploaded_stays_for_the_next_run() {
    let lab = Lab::new();
    lab.stage(FILES[0], &events(FILES[0]));
    lab.rule("op=PutObject,nth=1:delay=1s");
    let run = begin(lab.command(&["-v"]));
    lab.wait_for(S3Op::PutObject);
    lab.stage(FILES[0], b"{\"new\":1}\n");
    let ended = ended(run);
    assert_eq!(ended.counts(), (0, [1, 1, 0, 0, 0]), "{ended:?}");
    assert!(ended.stderr.contains("replaced meanwhile"), "{}", ended.stderr);
    assert_eq!(lab.object(FILES[0]).unwrap(), events(FILES[0]));
    assert_eq!(lab.run(&[]).counts(), (0, [1, 1, 0, 0, 1]));
    assert_eq!(lab.object(FILES[0]).unwrap(), b"{\"new\":1}\n");
}

#[test]
fn a_file_that_grows_while_it_is_uploaded_is_not_taken_for_whole() {
    let lab = Lab::new();
    lab.copy_in("grows.json", &noise(16 << 20));
    lab.rule("op=PutObject:delay=1s");
    let run = begin(lab.command(&[]));
    lab.wait_for(S3Op::PutObject);
    OpenOptions::new().append(true).open(lab.extracted().join("grows.json")).unwrap().write_all(b"more").unwrap();
    let ended = ended(run);
    assert_eq!(ended.counts(), (1, [1, 0, 0, 1, 0]), "{ended:?}");
    assert!(ended.error(0).contains("changed while"), "{ended:?}");
    assert_eq!(lab.object("grows.json"), None);
}

#[test]
fn links_are_left_alone() {
    let lab = Lab::staged();
    fs::write(lab.path("elsewhere"), "x").unwrap();
    std::os::unix::fs::symlink(lab.path("elsewhere"), lab.extracted().join("link.json")).unwrap();
    let ended = lab.run(&[]);
    assert_eq!(ended.counts(), (0, [3, 3, 0, 0, 3]));
    assert!(ended.stderr.contains("link.json"));
}

#[test]
fn what_cannot_be_noted_is_not_deleted() {
    let lab = Lab::staged();
    // It reads as a file that is not there, and cannot be made.
    let loads = lab.extracted().join(".amp/loads");
    fs::create_dir(&loads).unwrap();
    std::os::unix::fs::symlink(lab.path("missing/day"), loads.join("2025-11-06.jsonl")).unwrap();
    let ended = lab.run(&[]);
    assert_eq!(ended.counts(), (1, [3, 0, 0, 3, 0]));
    assert!(ended.error(0).contains("the ledger could not be written"), "{ended:?}");
    assert_eq!(lab.left(), FILES);
}

#[test]
fn a_link_to_a_volume_that_is_not_mounted_is_not_an_empty_directory() {
    let lab = Lab::new();
    std::os::unix::fs::symlink("/not/mounted", lab.extracted()).unwrap();
    for args in [&[][..], &["--dry-run"]] {
        let ended = lab.run(args);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("is a symbolic link to `/not/mounted`, which does not exist"), "{ended:?}");
    }
}
