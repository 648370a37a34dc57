//! Bounds on what an archive may unpack to.

use amp_sandbox::archive::{ArchiveBuilder, MemberSpec, gzip, zeros_bomb, zeros_gzip};

use crate::support::{HOUR, Lab, Ran};

const ALONE: [&str; 4] = ["--start", HOUR, "--end", HOUR];

fn run(lab: &Lab, args: &[&str]) -> Ran {
    lab.run(&[&ALONE[..], args].concat())
}

/// About 200 kB that pack fourfold or so.
fn packed() -> Lab {
    let lab = Lab::with(|config| config.dataset = config.dataset.clone().events_per_part(300));
    assert!(lab.expected(&[HOUR]).values().all(|bytes| bytes.len() > 150_000));
    lab
}

#[track_caller]
fn refused(lab: &Lab, args: &[&str], words: &[&str]) {
    let ran = run(lab, args);
    let document = ran.exits(1);
    assert_eq!(document["requests"], 1, "another download would not help");
    ran.says(words).says(&["error: ", HOUR]);
    assert!(lab.staged_names().is_empty());
    lab.assert_no_partials();
}

#[test]
fn an_archive_that_unpacks_to_too_many_bytes_fails_with_the_limits_name() {
    let lab = packed();
    refused(&lab, &["--max-unpacked", "64K"], &["--max-unpacked", "65536"]);
    // With room it goes, without another download.
    assert_eq!(run(&lab, &["--max-unpacked", "1M"]).exits(0)["requests"], 0);
    assert_eq!(lab.staged_names().len(), 1);
    lab.assert_clean();
}

#[test]
fn an_archive_that_unpacks_to_too_many_times_its_size_fails_with_the_limits_name() {
    refused(&packed(), &["--max-ratio", "2"], &["--max-ratio", "2 times"]);
    run(&packed(), &["--max-ratio", "20"]).exits(0);
}

#[test]
fn a_bomb_fails_at_the_default_limits() {
    // 4 GiB of zeros in 4 MiB, packed once; packed again they are smaller still.
    let once = ArchiveBuilder::new().member(MemberSpec::new("1/1_2025-11-06_4#0.json.gz", zeros_gzip(4)).stored());
    refused(&Lab::serving(once.build()), &[], &["--max-ratio", "250 times"]);
    refused(&Lab::serving(zeros_bomb(1)), &[], &["--max-ratio", "250 times"]);
    refused(&Lab::serving(zeros_bomb(1)), &["--format", "json.gz"], &["--max-ratio"]);
}

#[test]
fn a_bomb_within_a_zip_within_fails_too() {
    let lab = Lab::serving(ArchiveBuilder::new().file("a.zip", zeros_bomb(1)).build());
    refused(&lab, &[], &["--max-ratio"]);
}

#[test]
fn the_limits_count_all_members_together() {
    let mut archive = ArchiveBuilder::new();
    for part in 0..8 {
        archive = archive.file(format!("1_2025-11-06_4#{part}.json.gz"), gzip(&vec![b'x'; 10_000]));
    }
    refused(&Lab::serving(archive.build()), &["--max-unpacked", "70000", "--threads", "1"], &["--max-unpacked"]);
}

#[test]
fn limits_that_make_no_sense_are_settings_errors() {
    let lab = Lab::new();
    for (flag, value) in [
        ("--max-unpacked", "much"),
        ("--max-ratio", "0"),
        ("--max-ratio", "-1"),
        ("--max-unpacked", "1X"),
        ("--repair-days", "4294967295"),
    ] {
        let ran = run(&lab, &[&format!("{flag}={value}")]);
        ran.exits(2);
        ran.says(&[flag, value]);
    }
}
