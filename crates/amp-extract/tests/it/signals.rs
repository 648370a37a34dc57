//! SIGINT and SIGTERM: a clean stop; a second one: at once.

use std::fs;

use amp_sandbox::archive::{ArchiveBuilder, zeros_gzip};

use crate::support::{DAY, HOUR, Lab, Running, hours, wait_until};

fn stalled(lab: &Lab, args: &[&str]) -> Running {
    let running = lab.command(args).spawn();
    wait_until("the request", || lab.server.requests().last().is_some_and(|request| !request.finished));
    running
}

#[test]
fn a_run_that_is_stopped_ends_with_the_signals_code_and_leaves_nothing_partial() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        for stall in [":stall", ":stall=100"] {
            let lab = Lab::faulty(&[stall]);
            let running = stalled(&lab, &["--date", DAY]);
            running.signal(signal);
            let ran = running.wait();
            let document = ran.exits(code);
            assert_eq!(document["outcome"], "interrupted");
            ran.says(&["stopping"]);
            assert!(lab.staged_names().is_empty());
            lab.assert_clean();
            lab.server.clear_rules();
            lab.run(&["--date", DAY]).exits(0);
            lab.assert_staged(&[DAY]);
        }
    }
}

#[test]
fn what_was_staged_before_the_signal_stays_and_is_not_fetched_again() {
    let lab = Lab::faulty(&["date=2025-11-06:stall"]);
    let days = ["--start", "2025-11-05", "--end", "2025-11-07", "--parallel", "1"];
    let running = lab.command(&days).spawn();
    wait_until("the first day", || lab.staged_names().len() == 24 && lab.names("downloaded_data").is_empty());
    wait_until("the second request", || lab.server.requests().len() == 2);
    running.signal("TERM");
    let document = running.wait().exits(143);
    assert_eq!((&document["outcome"], hours(&document)[1]), (&"interrupted".into(), 24));
    lab.assert_staged(&["2025-11-05"]);
    lab.server.clear_rules();
    assert_eq!(hours(&lab.run(&days).exits(0)), [72, 48, 0, 24, 0, 0]);
}

#[test]
fn a_signal_ends_the_wait_before_a_retry() {
    let lab = Lab::faulty(&[":status=503,retry-after=300"]);
    let running = lab.command(&["--date", DAY]).spawn();
    wait_until("the answer", || lab.server.requests().first().is_some_and(|request| request.finished));
    running.signal("INT");
    running.wait().exits(130);
    assert_eq!(lab.server.requests().len(), 1);
}

#[test]
fn a_signal_ends_a_split_without_asking_for_the_other_half() {
    let lab = Lab::faulty(&[&format!("window={DAY}:status=400"), ":stall"]);
    let running = lab.command(&["--date", DAY]).spawn();
    wait_until("the first half", || lab.server.requests().len() == 2);
    running.signal("INT");
    running.wait().exits(130);
    assert_eq!(lab.server.requests().len(), 2);
    lab.assert_clean();
}

#[test]
fn a_signal_ends_the_wait_for_names_that_another_process_holds() {
    let lab = Lab::new();
    lab.write("extracted_data/.amp/names.lock", "");
    // While this is held the run cannot give files their names.
    let held = fs::File::options().write(true).open(lab.path("extracted_data/.amp/names.lock")).unwrap();
    held.lock().unwrap();
    let running = lab.command(&["--start", HOUR, "--end", HOUR]).spawn();
    let record = lab.path("extracted_data/.amp/hours/2025-11-06.jsonl");
    wait_until("the files", || fs::read_to_string(&record).is_ok_and(|text| text.contains("\"staging\"")));
    running.signal("TERM");
    assert_eq!(running.wait().code, Some(143));
    assert!(lab.staged_names().is_empty());
    drop(held);
    lab.run(&["--start", HOUR, "--end", HOUR]).exits(0);
    lab.assert_staged(&[HOUR]);
}

#[test]
fn a_signal_in_the_midst_of_unpacking_keeps_the_archive_and_nothing_half_unpacked() {
    let mut archive = ArchiveBuilder::new();
    let zeros = zeros_gzip(1);
    for part in 0..24 {
        archive = archive.file(format!("1_2025-11-06_4#{part}.json.gz"), zeros.clone());
    }
    let lab = Lab::serving(archive.build());
    // As gzip they are read to the end and take no room.
    let running =
        lab.command(&["--start", HOUR, "--end", HOUR, "--format", "json.gz", "--max-ratio", "4000000000"]).spawn();
    // Files appear while the archive is still arriving, and what has not arrived whole is not kept.
    wait_until("the whole archive", || lab.names("downloaded_data").iter().any(|name| name.ends_with(".zip")));
    wait_until("the partial files", || !lab.names("extracted_data/.amp/partial").is_empty());
    running.signal("TERM");
    assert_eq!(running.wait().exits(143)["outcome"], "interrupted");
    assert!(lab.staged_names().is_empty());
    lab.assert_no_partials();
    assert_eq!(lab.names("downloaded_data"), ["amplitude_20251106T04_20251106T04.zip"]);
}
