//! Disks that refuse.

use std::fs;

use amp_sandbox::tools::SmallDisk;

use amp_sandbox::export::Framing;

use crate::support::{DAY, HOUR, Lab, this_hour};

const ALONE: [&str; 4] = ["--start", HOUR, "--end", HOUR];

#[test]
fn a_directory_that_is_a_file_or_cannot_be_made_is_told_before_anything_is_asked() {
    for (flag, name) in [("--extracted-dir", "extracted_data"), ("--download-dir", "downloaded_data")] {
        let lab = Lab::new();
        lab.write(name, "a file");
        let ran = lab.run(&ALONE);
        let document = ran.exits(2);
        assert!(document["failures"][0]["error"].as_str().unwrap().contains(name), "{document}");
        ran.says(&["error: ", name, "directory"]);
        assert_eq!(fs::read(lab.path(name)).unwrap(), b"a file");
        let ran = lab.run(&[&ALONE[..], &[flag, "/proc/nowhere"]].concat());
        ran.exits(2);
        ran.says(&["/proc/nowhere"]);
        assert_eq!(lab.asked(), [""; 0]);
    }
}

#[test]
fn a_directory_without_permission_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let lab = Lab::new();
    fs::create_dir(lab.path("extracted_data")).unwrap();
    fs::set_permissions(lab.path("extracted_data"), fs::Permissions::from_mode(0o500)).unwrap();
    let mut run = lab.command(&ALONE);
    if fs::write(lab.path("extracted_data/try"), "").is_ok() {
        // Root may write everywhere, but for this.
        run = run.wrapped(&["setpriv", "--bounding-set=-dac_override"]);
    }
    let ran = run.run();
    ran.exits(2);
    ran.says(&["extracted_data", "Permission denied", "owner"]);
}

#[test]
fn a_ledger_that_cannot_be_written_is_temporary_and_nothing_is_requested() {
    use std::os::unix::fs::PermissionsExt;
    let lab = Lab::new();
    fs::create_dir_all(lab.path("extracted_data/.amp/hours")).unwrap();
    let ledger = lab.path("extracted_data/.amp/hours/2025-11-06.jsonl");
    fs::write(&ledger, "").unwrap();
    fs::set_permissions(&ledger, fs::Permissions::from_mode(0o400)).unwrap();
    let mut run = lab.command(&ALONE);
    if fs::OpenOptions::new().append(true).open(&ledger).is_ok() {
        // Root may write everywhere, but for this.
        run = run.wrapped(&["setpriv", "--bounding-set=-dac_override"]);
    }
    let ran = run.run();
    ran.exits(75);
    ran.says(&["2025-11-06.jsonl", "Permission denied"]);
    assert_eq!(lab.asked(), [""; 0]);
}

#[test]
fn a_write_that_the_disk_refuses_leaves_nothing_and_the_next_run_needs_no_download() {
    let lab = Lab::with(|config| config.dataset = config.dataset.clone().events_per_part(400));
    let size = lab.expected(&[HOUR]).values().next().unwrap().len();
    assert!(size > 160 * 1024, "{size}");
    // No file over 100 KiB (200 blocks of 512 bytes): the archive fits, its file does not. Without the trap the system would kill the run.
    let ran = lab.command(&ALONE).after("trap '' XFSZ; ulimit -f 200").run();
    let document = ran.exits(1);
    assert_eq!((&document["outcome"], &document["requests"]), (&"failed".into(), &1.into()));
    ran.says(&["error: ", HOUR, "cannot write extracted_data"]);
    assert!(lab.staged_names().is_empty());
    lab.assert_no_partials();
    assert_eq!(lab.run(&ALONE).exits(0)["requests"], 0);
    lab.assert_staged(&[HOUR]);
}

#[test]
fn an_archive_that_no_later_run_can_use_is_not_kept_on_a_full_disk() {
    let lab = Lab::with(|config| config.dataset = config.dataset.clone().events_per_part(400));
    let hour = this_hour().to_string();
    let ran = lab.command(&["--start", &hour, "--end", &hour]).after("trap '' XFSZ; ulimit -f 200").run();
    ran.exits(1);
    ran.says(&["cannot write extracted_data"]);
    lab.assert_clean();
}

#[test]
fn a_write_of_gzip_that_the_disk_refuses_is_no_fault_of_the_archive() {
    let lab = Lab::with(|config| {
        config.dataset = config.dataset.clone().events_per_part(400);
        // The member is larger than the archive.
        config.layout.gzip_level = 0;
    });
    let ran = lab.command(&ALONE).args(&["--format", "json.gz"]).after("trap '' XFSZ; ulimit -f 200").run();
    assert_eq!(ran.exits(1)["requests"], 1);
    ran.says(&["cannot write extracted_data", "File too large"]);
    assert!(lab.staged_names().is_empty());
    lab.assert_no_partials();
    assert_eq!(lab.names("downloaded_data").len(), 1);
}

#[test]
fn a_download_that_the_disk_refuses_leaves_nothing() {
    let lab = Lab::with(|config| config.dataset = config.dataset.clone().events_per_part(400));
    let ran = lab.command(&ALONE).after("trap '' XFSZ; ulimit -f 20").run();
    assert!(matches!(ran.code, Some(1 | 75)), "{ran:#?}");
    ran.says(&["error: ", "downloaded_data"]);
    lab.assert_clean();
    lab.run(&ALONE).exits(0);
    lab.assert_staged(&[HOUR]);
}

#[test]
fn a_disk_that_fills_up_midway_is_told_and_freed_and_the_next_run_with_room_completes() {
    let lab = Lab::with(|config| config.dataset = config.dataset.clone().events_per_part(700));
    // The limit leaves 5 % of what is free, which must be more than one buffer of the head start, half of whose disk may be full by then.
    let Some(disk) = SmallDisk::mount(&lab.path("extracted_data"), "16m") else { return };
    let total: usize = lab.expected(&[DAY]).values().map(Vec::len).sum();
    assert!(total > 20 << 20, "{total}");

    // The default limit sees it coming; with a higher one the disk is really full. Either way nothing of it stays.
    for (args, words) in [
        (&[][..], ["extracted_data` is full", "make room"]),
        (&["--max-unpacked", "1G"], ["No space left", "make room"]),
    ] {
        let ran = lab.run(&[&["--date", DAY], args].concat());
        ran.exits(1);
        ran.says(&words).says(&["error: ", "2025-11-06T00..2025-11-06T23"]);
        assert!(lab.staged_names().is_empty());
        lab.assert_no_partials();
    }
    assert_eq!(lab.server.requests().len(), 1, "the archive is kept for the run with room");

    // A fault of the disk is no reason to lose what fits.
    disk.resize("64m");
    assert_eq!(lab.run(&["--date", DAY]).exits(0)["requests"], 0);
    lab.assert_staged(&[DAY]);
}

#[test]
fn a_download_leaves_a_part_of_the_disk_free_and_no_further_window_is_asked_for() {
    let lab = Lab::with(|config| {
        config.dataset = config.dataset.clone().events_per_part(2000);
        config.framing = Framing::Chunked;
        config.layout.gzip_level = 0;
    });
    let Some(_disk) = SmallDisk::mount(&lab.path("downloaded_data"), "8m") else { return };
    let ran = lab.run(&["--start", "2025-11-01", "--end", DAY, "--parallel", "1"]);
    let document = ran.exits(1);
    assert_eq!(document["outcome"], "failed");
    assert!(document["requests"].as_u64().unwrap() < 4, "{document}");
    ran.says(&["downloaded_data` is full", "MiB usable", "make room", "no further window"]);
    assert!(document["bytes_downloaded"].as_u64().unwrap() < 8 << 20, "{document}");
    lab.assert_clean();
}

#[test]
fn a_download_that_is_too_large_for_the_disk_is_not_begun() {
    let lab = Lab::with(|config| {
        config.dataset = config.dataset.clone().events_per_part(2000);
        config.layout.gzip_level = 0;
    });
    let Some(_disk) = SmallDisk::mount(&lab.path("downloaded_data"), "8m") else { return };
    let ran = lab.run(&["--date", DAY]);
    assert_eq!(ran.exits(1)["bytes_downloaded"], 0);
    ran.says(&["downloaded_data` is full: 7.6 MiB usable", "MiB needed"]);
    lab.assert_clean();
}
