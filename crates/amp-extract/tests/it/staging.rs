//! What lies in `extracted_data/` and `downloaded_data/` during and after a run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use amp_core::ledger::SourceId;
use amp_core::secret::Secret;
use amp_sandbox::archive::gzip;
use chrono::{DateTime, Utc};

use crate::support::{DAY, HOUR, Lab, this_hour};

const ALONE: [&str; 4] = ["--start", HOUR, "--end", HOUR];
const ARCHIVE: &str = "amplitude_20251106T04_20251106T04.zip";

fn walk(path: &Path, visit: &mut impl FnMut(&Path, bool, u32)) {
    let metadata = fs::symlink_metadata(path).unwrap();
    visit(path, metadata.is_dir(), metadata.permissions().mode() & 0o777);
    if metadata.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| walk(&entry.unwrap().path(), visit));
    }
}

#[test]
fn directories_and_files_are_open_to_their_owner_alone_whatever_the_umask() {
    let lab = Lab::new();
    lab.command(&["--date", DAY, "--keep-archives"]).after("umask 0").run().exits(0);
    let mut seen = 0;
    for dir in ["extracted_data", "downloaded_data"] {
        walk(&lab.path(dir), &mut |path, is_dir, mode| {
            assert_eq!(mode, if is_dir { 0o700 } else { 0o600 }, "{} {mode:o}", path.display());
            seen += 1;
        });
    }
    assert!(seen > 27, "{seen}");
}

#[test]
fn under_format_json_gz_the_members_bytes_are_staged_as_they_came() {
    let lab = Lab::new();
    let document = lab.run(&["--date", DAY, "--format", "json.gz"]).exits(0);
    assert_eq!((&document["files"], &document["events"]), (&24.into(), &72.into()));
    let archive = lab.server.archive_bytes(DAY.parse().unwrap()).unwrap().unwrap();
    let staged = lab.staged();
    assert_eq!(staged.len(), 24);
    let (mut bytes, mut names) = (0, Vec::new());
    for (name, staged) in &staged {
        // A deflated member would not show itself in the archive: gzip's level is known, so its bytes are.
        let plain = name.strip_suffix(".gz").unwrap();
        assert_eq!(*staged, gzip(&lab.expected(&[DAY])[plain]), "{name}");
        bytes += staged.len();
        names.push(name);
    }
    assert_eq!(document["bytes_extracted"], bytes);
    assert!(!archive.is_empty());
    lab.assert_clean();
}

#[test]
fn under_format_json_gz_a_damaged_member_is_refused_all_the_same() {
    use amp_sandbox::archive::{ArchiveBuilder, gzip_with_wrong_crc};
    let archive = ArchiveBuilder::new().file("1_2025-11-06_4#0.json.gz", gzip_with_wrong_crc(b"{}\n"));
    let lab = Lab::serving(archive.build());
    lab.run(&[&ALONE[..], &["--format", "json.gz", "--max-retries", "0"]].concat()).exits(75);
    assert!(lab.staged_names().is_empty());
    lab.assert_clean();
}

#[test]
fn an_archive_is_deleted_when_its_files_are_staged_unless_it_is_to_be_kept() {
    let lab = Lab::new();
    lab.run(&ALONE).exits(0);
    assert_eq!(lab.names("downloaded_data"), [""; 0]);
    lab.run(&[&ALONE[..], &["--force", "--keep-archives"]].concat()).exits(0);
    assert_eq!(lab.names("downloaded_data"), [ARCHIVE]);
    let kept = fs::read(lab.path("downloaded_data").join(ARCHIVE)).unwrap();
    assert_eq!(Some(kept), lab.server.archive_bytes(HOUR.parse().unwrap()).unwrap());
}

/// An archive of the hour as an earlier run left it, asked for at that time.
fn leave(lab: &Lab, bytes: &[u8], at: SystemTime) {
    lab.write(&format!("downloaded_data/{ARCHIVE}"), bytes);
    let source = SourceId::new("127.0.0.1", &Secret::new(lab.server.api_key().to_owned()));
    let time = DateTime::<Utc>::from(at).to_rfc3339();
    for (name, value) in [("user.amp.source", source.as_str()), ("user.amp.requested_at", &time)] {
        let path = lab.path("downloaded_data").join(ARCHIVE);
        rustix::fs::setxattr(path, name, value.as_bytes(), rustix::fs::XattrFlags::empty()).unwrap();
    }
}

fn whole(lab: &Lab) -> Vec<u8> {
    lab.server.archive_bytes(HOUR.parse().unwrap()).unwrap().unwrap()
}

#[test]
fn a_whole_archive_left_by_an_earlier_run_is_used() {
    let lab = Lab::new();
    leave(&lab, &whole(&lab), SystemTime::now());
    let ran = lab.run(&[&ALONE[..], &["-v"]].concat());
    assert_eq!(ran.exits(0)["requests"], 0);
    ran.says(&[ARCHIVE, "left by an earlier run"]);
    assert!(lab.server.requests().is_empty());
    lab.assert_staged(&[HOUR]);
}

#[test]
fn force_does_not_use_an_archive_that_was_left() {
    let lab = Lab::new();
    leave(&lab, &whole(&lab), SystemTime::now());
    assert_eq!(lab.run(&[&ALONE[..], &["--force"]].concat()).exits(0)["requests"], 1);
    lab.assert_staged(&[HOUR]);
}

#[test]
fn a_damaged_archive_that_was_left_is_downloaded_anew_without_costing_a_retry() {
    let lab = Lab::new();
    let bytes = whole(&lab);
    for damaged in [&bytes[..bytes.len() - 1], &bytes[..0], b"not a zip"] {
        leave(&lab, damaged, SystemTime::now());
        let document = lab.run(&[&ALONE[..], &["--max-retries", "0"]].concat()).exits(0);
        assert_eq!((&document["requests"], &document["retries"]), (&1.into(), &0.into()));
        lab.assert_staged(&[HOUR]);
        fs::remove_dir_all(lab.path("extracted_data")).unwrap();
    }
}

#[test]
fn an_archive_left_from_before_its_hour_settled_is_not_used() {
    let lab = Lab::new();
    // The hour ended at 05:00 UTC, in 1,762,405,200 seconds after 1970.
    let settled = SystemTime::UNIX_EPOCH + Duration::from_secs(1_762_405_200 + 2 * 3600);
    leave(&lab, &whole(&lab), settled - Duration::from_secs(1));
    assert_eq!(lab.run(&ALONE).exits(0)["requests"], 1);
    lab.assert_staged(&[HOUR]);
    fs::remove_dir_all(lab.path("extracted_data")).unwrap();
    leave(&lab, &whole(&lab), settled);
    assert_eq!(lab.run(&ALONE).exits(0)["requests"], 0);
}

#[test]
fn a_kept_archive_of_an_unsettled_hour_does_not_stand_in_for_the_settled_one() {
    let lab = Lab::new();
    let hour = this_hour().to_string();
    for _ in 0..2 {
        assert_eq!(lab.run(&["--start", &hour, "--end", &hour, "--keep-archives"]).exits(0)["requests"], 1);
    }
}

#[test]
fn an_archive_that_was_copied_does_not_pass_for_one_of_now() {
    let lab = Lab::new();
    let hour = this_hour().to_string();
    let window = ["--start", &hour, "--end", &hour, "--keep-archives"];
    lab.run(&window).exits(0);
    let path = lab.path("downloaded_data").join(&lab.names("downloaded_data")[0]);
    // A copy has its own times, and of the attributes what the copying program cared to take along.
    fs::write(lab.path("copy"), fs::read(&path).unwrap()).unwrap();
    fs::rename(lab.path("copy"), &path).unwrap();
    let ran = lab.run(&window);
    assert_eq!(ran.exits(0)["requests"], 1);
    assert_eq!(ran.json()["hours"]["unsettled"], 1);
    let whole_day = lab.path("downloaded_data").join("amplitude_20251106T00_20251106T23.zip");
    fs::copy(&path, whole_day).unwrap();
    let ran = lab.run(&["--date", DAY]);
    assert_eq!(ran.exits(0)["requests"], 1);
    fs::remove_file(&path).unwrap();
    lab.assert_staged(&[&hour, DAY]);
}

#[test]
fn an_archive_that_was_left_goes_once_its_hour_was_fetched_in_another_window() {
    for window in [["2025-11-06T03", HOUR], ["2025-11-06T00", "2025-11-06T23"]] {
        let lab = Lab::new();
        leave(&lab, &whole(&lab), SystemTime::now());
        let args = ["--start", window[0], "--end", window[1]];
        assert_eq!(lab.run(&[&args[..], &["--keep-archives"]].concat()).exits(0)["requests"], 1);
        assert!(lab.names("downloaded_data").contains(&ARCHIVE.to_owned()), "it is to be kept");
        assert_eq!(lab.run(&[&args[..], &["--force"]].concat()).exits(0)["requests"], 1);
        lab.assert_clean();
    }
}

#[test]
fn an_archive_that_was_kept_on_purpose_stays_when_an_hour_of_it_is_fetched_again() {
    let lab = Lab::new();
    lab.run(&["--start", "2025-11-06T03", "--end", HOUR, "--keep-archives"]).exits(0);
    assert_eq!(lab.names("downloaded_data"), [ARCHIVE.replace("T04_", "T03_")]);
    lab.run(&[&ALONE[..], &["--force"]].concat()).exits(0);
    assert_eq!(lab.names("downloaded_data"), [ARCHIVE.replace("T04_", "T03_")]);
}

#[test]
fn an_archive_that_was_left_stays_as_long_as_its_hours_were_not_fetched_otherwise_or_by_its_project() {
    let lab = Lab::new();
    leave(&lab, &whole(&lab), SystemTime::now());
    lab.run(&["--start", "2025-11-06T05", "--end", "2025-11-06T06"]).exits(0);
    lab.rule(":status=503");
    lab.run(&["--start", "2025-11-06T03", "--end", HOUR, "--max-retries", "0"]).exits(75);
    assert_eq!(lab.names("downloaded_data"), [ARCHIVE]);
    lab.server.clear_rules();
    let path = lab.path("downloaded_data").join(ARCHIVE);
    let another = SourceId::new("127.0.0.1", &Secret::new("another".to_owned()));
    rustix::fs::setxattr(&path, "user.amp.source", another.as_str().as_bytes(), rustix::fs::XattrFlags::empty())
        .unwrap();
    lab.run(&["--start", "2025-11-06T03", "--end", HOUR]).exits(0);
    assert_eq!(lab.names("downloaded_data"), [ARCHIVE]);
}

#[test]
fn an_archive_kept_by_a_run_for_another_project_is_not_used() {
    let lab = Lab::new();
    lab.run(&[&ALONE[..], &["--keep-archives"]].concat()).exits(0);
    let ran = lab.command(&ALONE).args(&["--extracted-dir", "elsewhere"]).env("AMP_API_KEY", "another").run();
    ran.exits(3);
    assert!(lab.names("elsewhere").is_empty());
}

#[test]
fn partial_files_of_killed_runs_are_swept_and_files_of_others_are_left_alone() {
    let lab = Lab::new();
    lab.write("extracted_data/.amp/partial/4711-0", "half");
    lab.write("downloaded_data/amplitude_20251106T04_20251106T04.zip.part-4711", "half");
    lab.write("downloaded_data/holiday.zip.part-1", "mine");
    lab.write("extracted_data/mine.json", "{}\n");
    lab.run(&ALONE).exits(0);
    assert_eq!(lab.names("extracted_data/.amp/partial"), [""; 0]);
    assert_eq!(lab.names("downloaded_data"), ["holiday.zip.part-1"]);
    assert_eq!(lab.staged()["mine.json"], b"{}\n");
    assert_eq!(lab.staged_names().len(), 2);
}

#[test]
fn a_download_in_flight_has_another_name() {
    let lab = Lab::faulty(&[":stall=100"]);
    let running = lab.command(&ALONE).spawn();
    crate::support::wait_until("the download", || lab.names("downloaded_data").len() == 1);
    let name = &lab.names("downloaded_data")[0];
    assert!(!name.ends_with(".zip"), "{name}");
    running.signal("KILL");
    running.wait();
}

#[test]
fn any_number_of_members_at_a_time_gives_the_same_files() {
    for threads in ["1", "7", "100"] {
        let lab = Lab::new();
        lab.run(&["--date", DAY, "--threads", threads]).exits(0);
        lab.assert_staged(&[DAY]);
    }
}

#[test]
fn a_link_to_a_volume_that_is_not_mounted_is_said_to_be_one() {
    let words = ["is a symbolic link to `/not/mounted`, which does not exist"];
    for (dir, code) in [("extracted_data", 2), ("downloaded_data", 2), ("logs", 0)] {
        let lab = Lab::new();
        std::os::unix::fs::symlink("/not/mounted", lab.path(dir)).unwrap();
        let ran = lab.run(&["--date", DAY]);
        ran.says(&words).says(&[dir]).exits(code);
        assert_eq!(lab.asked().len(), usize::from(code == 0));
    }
}
