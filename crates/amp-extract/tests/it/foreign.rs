//! Archives that are not, or not wholly, of the window that was asked for. None makes an hour done that it does not hold.

use std::fs;

use amp_sandbox::archive::{ArchiveBuilder, gzip};

use crate::support::{DAY, HOUR, Lab, hours};

const BEFORE: &str = "2025-11-05";
const ALONE: [&str; 4] = ["--start", HOUR, "--end", HOUR];

fn serve(lab: &Lab, window: &str, archive: Vec<u8>) {
    lab.server.set_archive(Some(window.parse().unwrap()), archive);
}

fn archive_of(lab: &Lab, window: &str) -> Vec<u8> {
    lab.server.archive_bytes(window.parse().unwrap()).unwrap().unwrap()
}

fn undated(events: &str) -> Vec<u8> {
    ArchiveBuilder::new().file("1/events.json.gz", gzip(events.as_bytes())).build()
}

#[test]
fn the_archive_of_another_window_is_fetched_again_and_never_staged() {
    let lab = Lab::new();
    lab.run(&["--date", BEFORE]).exits(0);
    // As a cache answers that ignores the query.
    let other = ArchiveBuilder::new().file("1/100011471_2025-11-05_9#0.json.gz", gzip(b"{}\n"));
    serve(&lab, DAY, other.build());
    let ran = lab.run(&["--date", DAY, "--max-retries", "2"]);
    let document = ran.exits(1);
    assert_eq!(hours(&document), [24, 0, 0, 0, 24, 0]);
    assert_eq!((&document["requests"], &document["outcome"]), (&3.into(), &"failed".into()));
    ran.says(&["error: ", "not of this window", "100011471_2025-11-05_9#0.json"]);
    lab.assert_staged(&[BEFORE]);

    serve(&lab, DAY, archive_of(&Lab::new(), DAY));
    lab.run(&["--date", DAY]).exits(0);
    lab.assert_staged(&[BEFORE, DAY]);
}

#[test]
fn an_archive_that_was_left_under_another_windows_name_is_downloaded_anew() {
    let lab = Lab::new();
    lab.run(&["--date", BEFORE, "--keep-archives"]).exits(0);
    let path = |day: &str| lab.path(&format!("downloaded_data/amplitude_{day}T00_{day}T23.zip"));
    fs::rename(path("20251105"), path("20251106")).unwrap();
    let ran = lab.run(&["--date", DAY]);
    let document = ran.exits(0);
    assert_eq!((&document["requests"], &document["retries"]), (&1.into(), &0.into()));
    ran.says(&["warning: ", "not of this window", "downloading it anew"]);
    lab.assert_staged(&[BEFORE, DAY]);
}

#[test]
fn a_name_without_an_hour_is_not_taken_by_another_window_with_other_bytes() {
    let lab = Lab::new();
    serve(&lab, BEFORE, undated("{\"a\":1}\n"));
    serve(&lab, DAY, undated("{\"b\":1}\n"));
    lab.run(&["--date", BEFORE]).exits(0);
    let ran = lab.run(&["--date", DAY]);
    let document = ran.exits(1);
    assert_eq!((hours(&document), &document["requests"]), ([24, 0, 0, 0, 24, 0], &1.into()));
    ran.says(&["error: ", "`events.json`", "2025-11-05T00..2025-11-05T23", "no hour"]);
    assert_eq!(lab.staged()["events.json"], b"{\"a\":1}\n");
    assert_eq!(hours(&lab.run(&["--date", BEFORE]).exits(0)), [24, 0, 0, 24, 0, 0], "it is done as before");

    // The same window may bring other bytes, and another window the same.
    serve(&lab, BEFORE, undated("{\"a\":2}\n"));
    lab.run(&["--date", BEFORE, "--force"]).exits(0);
    assert_eq!(lab.staged()["events.json"], b"{\"a\":2}\n");
}

#[test]
fn a_staged_file_with_other_bytes_than_its_record_makes_its_hour_not_done() {
    let lab = Lab::new();
    lab.run(&ALONE).exits(0);
    let path = lab.path("extracted_data").join(&lab.staged_names()[0]);
    let bytes = fs::read(&path).unwrap();
    // Copied back, as from a backup, it is the file still.
    fs::remove_file(&path).unwrap();
    fs::write(&path, &bytes).unwrap();
    assert_eq!(lab.run(&ALONE).exits(0)["requests"], 0);
    fs::write(&path, vec![b'x'; bytes.len()]).unwrap();
    assert_eq!(lab.run(&ALONE).exits(0)["requests"], 1);
    lab.assert_staged(&[HOUR]);
}

#[test]
fn members_of_unknown_kinds_leave_the_hours_without_files_open() {
    let lab = Lab::new();
    let known = ArchiveBuilder::new().file("1/100011471_2025-11-06_4#0.json.gz", gzip(b"{}\n"));
    for kind in ["json.zst", "ndjson.gz", "avro", "json.gz.enc"] {
        let archive = known.clone().file(format!("1/100011471_2025-11-06_5#0.{kind}"), "?").build();
        serve(&lab, "2025-11-06T03..2025-11-06T05", archive);
        let window = ["--start", "2025-11-06T03", "--end", "2025-11-06T05"];
        let ran = lab.run(&[&window[..], &["--force"]].concat());
        let document = ran.exits(1);
        assert_eq!((hours(&document), &document["outcome"]), ([3, 1, 0, 0, 2, 0], &"partial".into()), "{kind}");
        ran.says(&["warning: ", kind, "skipped", "error: 2025-11-06T03 ", "error: 2025-11-06T05 ", "unknown kinds"]);
        // What is not done is asked for again, and what is done is not.
        let before = lab.asked().len();
        lab.run(&[&window[..], &["--parallel", "1"]].concat()).exits(0);
        assert_eq!(lab.asked()[before..], ["20251106T03-20251106T03", "20251106T05-20251106T05"]);
        fs::remove_dir_all(lab.path("extracted_data")).unwrap();
    }
}

#[test]
fn an_hour_of_which_an_entry_is_of_an_unknown_kind_is_not_done() {
    let lab = Lab::new();
    let known = ArchiveBuilder::new().file("1/100011471_2025-11-06_4#0.json.gz", gzip(b"{}\n"));
    for kind in ["json.zst", "avro", "PARQUET"] {
        let archive = known.clone().file(format!("1/100011471_2025-11-06_4#1.{kind}"), "?").build();
        serve(&lab, HOUR, archive);
        let ran = lab.run(&[&ALONE[..], &["--force"]].concat());
        let document = ran.exits(1);
        assert_eq!(hours(&document), [1, 0, 0, 0, 1, 0], "{kind}");
        ran.says(&["warning: ", kind, "skipped", "error: 2025-11-06T04 ", "unknown kind"]);
        assert_eq!(lab.staged_names(), ["100011471_2025-11-06_4#0.json"], "what is known is staged all the same");
        assert_eq!(lab.run(&ALONE).exits(1)["requests"], 1, "it is asked for again");
    }
}

#[test]
fn endings_are_known_in_any_case() {
    let archive = ArchiveBuilder::new()
        .file("1/100011471_2025-11-06_4#0.JSON.GZ", gzip(b"{}\n"))
        .file("1/100011471_2025-11-06_4#1.Json", "{}\n")
        .file("more.ZIP", ArchiveBuilder::new().file("100011471_2025-11-06_4#2.json", "{}\n").build());
    let lab = Lab::serving(archive.build());
    assert_eq!(lab.run(&ALONE).exits(0)["files"], 3);
    let names = [0, 1, 2].map(|part| format!("100011471_2025-11-06_4#{part}.json"));
    assert_eq!(lab.staged_names(), names);
}

#[test]
fn an_hour_keeps_the_form_in_which_it_was_staged() {
    for (first, then) in [("json", "json.gz"), ("json.gz", "json")] {
        let lab = Lab::new();
        lab.run(&["--start", HOUR, "--end", HOUR, "--format", first]).exits(0);
        let names = lab.staged_names();
        assert!(names[0].ends_with(&format!("#0.{first}")), "{names:?}");
        // The other hours of the day had none.
        lab.run(&["--date", DAY, "--force", "--format", then]).exits(0);
        let all = lab.staged_names();
        assert_eq!(all.len(), 24, "none stands twice: {all:?}");
        assert!(all.contains(&names[0]));
        assert_eq!(all.iter().filter(|name| name.ends_with(&format!("#0.{then}"))).count(), 23);
    }
}
