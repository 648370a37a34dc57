//! From the first call without a window on, every day is owed, whatever became of the call that should have fetched it.

use std::fs;
use std::process::Command;

use amp_sandbox::tools;

use crate::run::Run;
use crate::support::{Lab, days_ago, faketime, hours, wait_until, whole_day};

const FIRST: &str = "2025-11-07 03:15:00";
const DAYS: [&str; 3] = ["2025-11-06", "2025-11-07", "2025-11-08"];

/// What becomes of the second of three daily calls. Once the third is over, nothing may be missing.
#[track_caller]
fn recovers_from(trouble: impl FnOnce(&Lab, Run)) {
    let Some(library) = faketime() else { return };
    let lab = Lab::new();
    lab.at(&library, FIRST, &[]).run().exits(0);
    trouble(&lab, lab.at(&library, "2025-11-08 03:15:00", &["--max-retries", "0"]));
    lab.server.clear_rules();
    let document = lab.at(&library, "2025-11-09 03:15:00", &[]).run().exits(0);
    assert_eq!(hours(&document)[1], 48, "{document}");
    lab.assert_staged(&DAYS);
    let document = lab.at(&library, "2025-11-09 03:15:00", &[]).run().exits(0);
    assert_eq!(document["requests"], 0);
}

#[test]
fn a_call_that_a_backfill_turned_away() {
    recovers_from(|lab, call| {
        let lock = fs::File::options().write(true).open(lab.path("extracted_data/.amp/extract.lock")).unwrap();
        lock.try_lock().unwrap();
        call.run().exits(75);
    });
}

#[test]
fn a_call_that_could_write_nothing() {
    recovers_from(|lab, call| {
        let ran = call.after("trap '' XFSZ; ulimit -f 0").run();
        assert!(ran.code != Some(0), "{ran:#?}");
        assert_eq!(lab.staged().len(), 24);
    });
}

#[test]
fn a_call_that_met_a_full_disk() {
    let Some(library) = faketime() else { return };
    let lab = Lab::new();
    let disk = lab.path("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "none"]).arg(&disk).output();
    if !tools::has("mount", mounted.is_ok_and(|mounted| mounted.status.success())) {
        return;
    }
    let at = |time| {
        let dirs = ["--extracted-dir", "disk/extracted", "--download-dir", "disk/downloads", "--max-retries", "0"];
        lab.at(&library, time, &dirs).run()
    };
    at(FIRST).exits(0);
    let filled = fs::write(disk.join("filler"), vec![1; 8 << 20]);
    assert!(filled.is_err(), "the disk was not full");
    let ran = at("2025-11-08 03:15:00");
    fs::remove_file(disk.join("filler")).unwrap();
    let last = at("2025-11-09 03:15:00");
    let staged = lab.names("disk/extracted").len();
    Command::new("umount").arg("-l").arg(&disk).status().unwrap();
    assert!(ran.code != Some(0), "{ran:#?}");
    last.exits(0);
    assert_eq!(staged, 72);
}

#[test]
fn a_call_that_was_killed_at_once() {
    for signal in ["KILL", "TERM"] {
        recovers_from(|lab, call| {
            lab.rule(":stall");
            let running = call.spawn();
            running.signal(signal);
            let ran = running.wait();
            assert!(ran.code != Some(0), "{ran:#?}");
        });
    }
}

#[test]
fn a_call_by_a_clock_that_was_a_day_behind() {
    recovers_from(|lab, _| {
        let library = faketime().unwrap();
        let document = lab.with_clock(&library, FIRST, &[]).run().exits(0);
        assert_eq!(document["requests"], 0);
    });
}

#[test]
fn a_call_by_a_clock_without_a_battery() {
    recovers_from(|lab, _| {
        lab.rule(":no-data");
        let library = faketime().unwrap();
        lab.with_clock(&library, "1970-01-01 00:10:00", &[]).run().exits(0);
    });
}

#[test]
fn a_call_with_a_bad_setting() {
    recovers_from(|_, call| {
        call.env("AMP_FORMAT", "xml").run().exits(2);
    });
}

#[test]
fn no_call_at_all_for_the_machine_was_off() {
    recovers_from(|_, _| {});
}

#[test]
fn a_call_that_another_turned_away_which_hung() {
    let Some(library) = faketime() else { return };
    let lab = Lab::faulty(&["req=1:stall"]);
    let hung = lab.at(&library, FIRST, &[]).spawn();
    wait_until("the request", || lab.asked().len() == 1);
    lab.at(&library, "2025-11-08 03:15:00", &[]).run().exits(75);
    hung.signal("KILL");
    hung.wait();
    lab.at(&library, "2025-11-09 03:15:00", &[]).run().exits(0);
    lab.assert_staged(&DAYS);
}

#[test]
fn the_very_first_call_wants_its_day_even_if_it_is_turned_away() {
    let Some(library) = faketime() else { return };
    let lab = Lab::new();
    lab.write("extracted_data/.amp/extract.lock", "");
    let lock = fs::File::options().write(true).open(lab.path("extracted_data/.amp/extract.lock")).unwrap();
    lock.try_lock().unwrap();
    lab.at(&library, FIRST, &[]).run().exits(75);
    drop(lock);
    lab.at(&library, "2025-11-08 03:15:00", &[]).run().exits(0);
    lab.assert_staged(&["2025-11-06", "2025-11-07"]);
}

#[test]
fn two_projects_in_one_directory_and_one_minute_lose_nothing() {
    let Some(library) = faketime() else { return };
    let lab = Lab::new();
    let other = lab.dataset.clone().project(2);
    lab.server.add_project(other.clone(), "key-2", "secret-2");
    let at = |time: &str, key: Option<&str>| {
        let run = lab.at(&library, time, &[]);
        key.map_or_else(
            || lab.at(&library, time, &[]),
            |key| run.env("AMP_API_KEY", key).env("AMP_SECRET_KEY", "secret-2"),
        )
    };
    for day in 7..=10 {
        let time = format!("2025-11-{day:02} 03:15:00");
        let both = [at(&time, None).spawn(), at(&time, Some("key-2")).spawn()];
        for running in both {
            assert!(matches!(running.wait().code, Some(0 | 75)));
        }
    }
    at("2025-11-11 03:15:00", None).run().exits(0);
    at("2025-11-11 03:15:00", Some("key-2")).run().exits(0);
    let window = "2025-11-06..2025-11-10".parse().unwrap();
    for dataset in [&lab.dataset, &other] {
        for (hour, part) in dataset.files_in(window) {
            let name = dataset.member_name(hour, part).trim_end_matches(".gz").to_owned();
            assert_eq!(lab.staged().get(&name), Some(&dataset.bytes_of(hour, part)), "{name}");
        }
    }
}

#[test]
fn a_day_fetched_by_hand_makes_no_other_day_owed() {
    let lab = Lab::new();
    lab.run(&["--date", &days_ago(3)]).exits(0);
    lab.run(&[]).exits(0);
    assert_eq!(lab.asked(), [whole_day(&days_ago(3)), whole_day(&days_ago(1))]);
}

#[test]
fn what_is_owed_and_older_than_the_repair_days_is_named_until_it_is_fetched_or_given_up() {
    let Some(library) = faketime() else { return };
    let lab = Lab::new();
    let at = |time: &str, args: &[&str]| lab.at(&library, time, args).run();
    at(FIRST, &[]).exits(0);
    lab.rule(":status=503");
    for day in 8..=16 {
        let ran = at(&format!("2025-11-{day:02} 03:15:00"), &["--max-retries", "0"]);
        assert!(matches!(ran.code, Some(1 | 75)), "{ran:#?}");
    }
    lab.server.clear_rules();
    let ran = at("2025-11-18 03:15:00", &["--metrics-file", "amp.prom"]);
    let document = ran.exits(1);
    let metrics = std::fs::read_to_string(lab.path("amp.prom")).unwrap();
    assert!(metrics.contains("\namp_extract_last_run_overdue_hourly_exports 96\n"), "{metrics}");
    assert_eq!((&document["outcome"], hours(&document)[1]), (&"partial".into(), 7 * 24));
    let named = &document["failures"];
    assert_eq!((&named[0]["start"], &named[0]["end"]), (&"2025-11-07T00".into(), &"2025-11-10T23".into()));
    assert_eq!(named.as_array().unwrap().len(), 1);
    ran.says(&[
        "warning: ",
        "2025-11-07T00..2025-11-10T23",
        "--start 2025-11-07T00 --end 2025-11-10T23",
        "--accept-missing",
    ]);
    let shown = at("2025-11-19 02:15:00", &["--status"]).exits(0);
    assert_eq!(shown["owed_older"][0]["end"], "2025-11-10T23", "{shown}");
    at("2025-11-19 03:15:00", &[]).exits(1);
    at("2025-11-19 04:15:00", &["--start", "2025-11-07", "--end", "2025-11-08"]).exits(0);
    at("2025-11-19 04:15:00", &["--start", "2025-11-09", "--end", "2025-11-10", "--accept-missing"]).exits(0);
    at("2025-11-20 03:15:00", &[]).exits(0);
    assert_eq!(lab.staged().len(), 12 * 24);
}

#[test]
fn ten_windows_are_named_and_the_rest_counted() {
    let Some(library) = faketime() else { return };
    let lab = Lab::new();
    let at = |time: &str, args: &[&str]| lab.at(&library, time, args).run();
    at(FIRST, &[]).exits(0);
    for day in 1..=12 {
        let hour = format!("2025-10-{:02}T04", 2 * day);
        lab.rule(&format!("hour={hour}:status=400"));
        at(FIRST, &["--start", &hour, "--end", &hour]).exits(1);
    }
    let ran = at(FIRST, &[]);
    let failures = ran.exits(1)["failures"].take();
    assert_eq!(failures.as_array().unwrap().len(), 11);
    ran.says(&["2025-10-02T04", "2025-10-20T04", "2 more windows since 2025-10-22T04"])
        .does_not_say(&["2025-10-24T04"]);
}

#[test]
fn hours_that_are_given_up_are_named_no_more_and_still_fetched_by_name() {
    let Some(library) = faketime() else { return };
    let lab = Lab::faulty(&["hour=2025-11-06T04:status=400"]);
    let at = |time: &str, args: &[&str]| lab.at(&library, time, args).run();
    at(FIRST, &[]).exits(1);
    let later = "2025-11-07 12:00:00";
    at(later, &["--accept-missing"]).exits(2);
    let asked = lab.asked().len();
    let ran = at(later, &["--date", "2025-11-06", "--accept-missing"]);
    let document = ran.exits(0);
    assert_eq!((hours(&document), &document["hours"]["accepted"]), ([24, 0, 0, 23, 0, 0], &1.into()));
    assert_eq!(document["outcome"], "complete");
    ran.says(&["2025-11-06T04", "given up"]);
    assert_eq!(at(later, &[]).exits(0)["requests"], 0);
    assert_eq!(lab.asked().len(), asked);
    let shown = at(later, &["--status", "--date", "2025-11-06"]).exits(0);
    assert_eq!(shown["totals"]["accepted"], 1);
    // Hours that are not settled are not missing.
    let document = at(later, &["--date", "2025-11-07", "--accept-missing"]).exits(0);
    assert_eq!(document["hours"]["accepted"], 10);
    lab.server.clear_rules();
    let document = at(later, &["--date", "2025-11-06", "--force"]).exits(0);
    assert_eq!(hours(&document)[1], 24);
    let shown = at(later, &["--status", "--date", "2025-11-06"]).exits(0);
    assert_eq!(shown["totals"]["accepted"], 0);
}

#[test]
fn the_next_call_is_told_as_it_will_be_and_what_is_not_loaded_fails_if_wanted() {
    let Some(library) = faketime() else { return };
    let lab = Lab::new();
    let at = |time: &str, args: &[&str]| lab.at(&library, time, args).run();
    at(FIRST, &[]).exits(0);
    let later = "2025-11-10 03:15:00";
    let next = at(later, &["--status"]).exits(0)["next"]["requests"].take();
    assert_eq!(next, at(later, &["--dry-run"]).exits(0)["planned"]);
    assert_eq!(next.as_array().unwrap().len(), 3, "days that no call asked for are owed: {next}");
    at(later, &[]).exits(0);
    let document = at(later, &["--status", "--fail"]).exits(1);
    assert_eq!(
        (&document["window"]["start"], &document["not_loaded"]),
        (&"2025-11-06T00".into(), &(4 * 24 + 1).into())
    );
    lab.staged_names().iter().for_each(|name| lab.load(name));
    at(later, &["--status", "--fail"]).exits(1);
    at(later, &["--status", "--fail", "--start", "2025-11-06", "--end", "2025-11-09"]).exits(0);
}

#[test]
fn a_day_of_which_all_is_loaded_is_not_read_again_until_its_ledger_grows() {
    let Some(library) = faketime() else { return };
    let lab = Lab::new();
    let at = |time: &str| lab.at(&library, time, &["--repair-days", "1"]).run();
    at(FIRST).exits(0);
    lab.staged_names().iter().for_each(|name| lab.load(name));
    at("2025-11-08 03:15:00").exits(0);
    // Whether it is read shows by what is damaged in it.
    let path = lab.path("extracted_data/.amp/hours/2025-11-06.jsonl");
    let (text, changed) = (fs::read_to_string(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
    fs::write(&path, text.replacen("{\"kind\":\"asked\"", "[\"kind\":\"asked\"", 1)).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(changed).unwrap();
    at("2025-11-08 03:16:00").does_not_say(&["damaged"]).exits(0);
    fs::write(&path, format!("{}\n", fs::read_to_string(&path).unwrap())).unwrap();
    at("2025-11-08 03:17:00").says(&["damaged"]).exits(0);
}

#[test]
fn a_sharded_call_without_a_window_owes_its_slice_of_each_day() {
    let Some(library) = faketime() else { return };
    let lab = Lab::new();
    lab.at(&library, FIRST, &["--shard", "2/3"]).run().exits(0);
    lab.at(&library, "2025-11-09 03:15:00", &["--shard", "2/3"]).run().exits(0);
    let slice = |day: &str| format!("202511{day}T08-202511{day}T15");
    let mut asked = lab.asked();
    asked.sort();
    assert_eq!(asked, [slice("06"), slice("07"), slice("08")]);
}
