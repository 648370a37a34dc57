//! `--max-staged`: no more is fetched than an amp-load makes room for. Its part is played by whoever holds its lock and deletes files.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use amp_core::lock::RunLock;
use amp_core::stage::Staging;

use crate::support::{Lab, Running, faketime, hours, wait_until};

const DAYS: [&str; 4] = ["--start", "2025-11-01", "--end", "2025-11-06"];
/// Files of a day.
const A_DAY: usize = 24;

/// An amp-load at work, until it is dropped.
fn loading(lab: &Lab) -> RunLock {
    Staging::open(&lab.path("extracted_data")).unwrap().lock("load").unwrap()
}

fn clear(lab: &Lab) {
    lab.staged_names().iter().for_each(|name| fs::remove_file(lab.path("extracted_data").join(name)).unwrap());
}

/// A run that may have a byte staged, after it staged the days that it began together.
fn waiting(lab: &Lab, args: &[&str]) -> Running {
    let running = lab.command(&[&DAYS[..], &["--parallel", "1", "--max-staged", "1"], args].concat()).spawn();
    wait_until("two days, one for each lane", || lab.staged_names().len() == 2 * A_DAY);
    running
}

fn bytes(lab: &Lab) -> u64 {
    Staging::existing(&lab.path("extracted_data")).bytes_staged().unwrap()
}

#[test]
fn the_next_day_waits_until_amp_load_has_made_room() {
    let lab = Lab::new();
    let _at_work = loading(&lab);
    let running = waiting(&lab, &[]);
    for days in 2..6 {
        thread::sleep(Duration::from_millis(100));
        assert_eq!(lab.server.requests().len(), days);
        clear(&lab);
        wait_until("the next day", || lab.staged_names().len() == A_DAY);
    }
    let document = running.wait().exits(0);
    assert_eq!(hours(&document), [144, 144, 0, 0, 0, 0]);
    let log = &lab.logs()[0].1;
    assert_eq!(log.matches("each further day waits until amp-load has made room").count(), 1, "{log}");
}

#[test]
fn without_an_amp_load_it_ends_with_1_and_leaves_the_hours_open() {
    let Some(library) = faketime() else { return };
    let lab = Lab::new();
    let command = lab.command(&[&DAYS[..], &["--parallel", "1", "--max-staged", "1k"]].concat());
    // A minute passes in three seconds.
    let ran = command.env("LD_PRELOAD", library).env("FAKETIME", "+0 x20").env("NO_FAKE_STAT", "1").run();
    let document = ran.exits(1);
    assert_eq!((&document["outcome"], hours(&document)), (&"partial".into(), [144, 48, 0, 0, 0, 0]));
    assert_eq!(document["hours"]["unfinished"], 96);
    assert_eq!(document["failures"].as_array().unwrap().len(), 1);
    let error = document["failures"][0]["error"].as_str().unwrap();
    assert!(error.contains("--max-staged (1.0 KiB)") && error.contains("`amp-load --follow`"), "{error}");
    lab.assert_clean();
    lab.run(&DAYS).exits(0);
    lab.assert_staged(&["2025-11-01..2025-11-06"]);
}

#[test]
fn an_amp_load_that_begins_a_little_later_counts() {
    let lab = Lab::new();
    let mut running = waiting(&lab, &["--read-timeout", "2s"]);
    wait_until("the warning", || running.stderr().contains("no amp-load is at work: waiting 60s for one"));
    // It is not to blame for the time before.
    thread::sleep(Duration::from_millis(2500));
    let _at_work = loading(&lab);
    thread::sleep(Duration::from_millis(700));
    while !running.is_over() {
        clear(&lab);
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(hours(&running.wait().exits(0))[1], 144);
}

#[test]
fn an_amp_load_that_makes_no_room_ends_it() {
    let lab = Lab::new();
    let _at_work = loading(&lab);
    let document = waiting(&lab, &["--read-timeout", "1s"]).wait().exits(1);
    assert_eq!(document["hours"]["unfinished"], 96);
    let error = document["failures"][0]["error"].as_str().unwrap();
    assert!(error.contains("the amp-load at work made no room for 1 s"), "{error}");
}

#[test]
fn an_amp_load_that_makes_room_slowly_is_waited_for() {
    let lab = Lab::new();
    let _at_work = loading(&lab);
    let mut running = waiting(&lab, &["--read-timeout", "2s"]);
    // Longer than that in all, and never that long without a file less.
    for name in lab.staged_names().iter().take(30) {
        thread::sleep(Duration::from_millis(100));
        fs::remove_file(lab.path("extracted_data").join(name)).unwrap();
    }
    while !running.is_over() {
        clear(&lab);
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(hours(&running.wait().exits(0))[1], 144);
}

#[test]
fn a_signal_ends_the_wait() {
    let lab = Lab::new();
    let _at_work = loading(&lab);
    let running = waiting(&lab, &[]);
    running.signal("TERM");
    let document = running.wait().exits(143);
    assert_eq!((&document["outcome"], hours(&document)[1]), (&"interrupted".into(), 48));
}

#[test]
fn no_more_than_the_limit_and_a_day_is_ever_staged_however_many_are_under_way() {
    let lab = Lab::new();
    lab.run(&["--date", "2025-10-31"]).exits(0);
    // No day is a tenth larger than another.
    let day = bytes(&lab);
    clear(&lab);
    let _at_work = loading(&lab);
    let (limit, over) = (5 * day, AtomicBool::new(false));
    let days = ["--start", "2025-10-01", "--end", "2025-10-20", "--parallel", "4", "--max-staged", &limit.to_string()];
    let mut running = lab.command(&days).spawn();
    let most = thread::scope(|scope| {
        let sampling = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = most.max(bytes(&lab));
            }
            most
        });
        while !running.is_over() {
            // No more room than it has to.
            if bytes(&lab) > limit {
                fs::remove_file(lab.path("extracted_data").join(&lab.staged_names()[0])).unwrap();
            }
            thread::sleep(Duration::from_millis(5));
        }
        over.store(true, Ordering::Relaxed);
        sampling.join().unwrap()
    });
    assert_eq!(hours(&running.wait().exits(0))[1], 480);
    assert!(most <= limit + day * 11 / 10, "{most} bytes with a limit of {limit} and {day} a day");
    assert!(most > limit, "it held back more than it had to: {most} bytes with a limit of {limit}");
}
