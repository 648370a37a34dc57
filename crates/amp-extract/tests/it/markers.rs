//! The day from which on every day is owed, when a clock was wrong: none is lost, and none is owed that nobody wanted.

use crate::support::{Lab, faketime, whole_day};

/// What a call asks for.
#[track_caller]
fn asked_by(lab: &Lab, call: impl FnOnce()) -> Vec<String> {
    let before = lab.asked().len();
    call();
    let mut asked = lab.asked().split_off(before);
    asked.sort();
    asked
}

fn days(days: &[&str]) -> Vec<String> {
    days.iter().map(|day| whole_day(day)).collect()
}

#[test]
fn a_clock_that_was_weeks_behind_for_a_call_makes_no_other_day_owed() {
    let Some(library) = faketime() else { return };
    let lab = Lab::new();
    lab.at(&library, "2025-11-07 03:15:00", &[]).run().exits(0);
    lab.at(&library, "2025-11-08 03:15:00", &[]);
    // Twice, for the first of them might leave something behind that only the second acts upon.
    for time in ["2025-10-18 03:15:00", "2025-10-20 03:15:00"] {
        lab.with_clock(&library, time, &[]).run().exits(0);
    }
    let asked = asked_by(&lab, || drop(lab.at(&library, "2025-11-08 03:20:00", &[]).run().exits(0)));
    assert_eq!(asked, days(&["2025-11-07"]));
    lab.at(&library, "2025-11-08 03:25:00", &["--status"]).run().exits(0)["owed_older"].as_array().unwrap().is_empty();
}

#[test]
fn a_clock_behind_that_meets_no_answer_moves_nothing_either() {
    let Some(library) = faketime() else { return };
    let lab = Lab::new();
    lab.at(&library, "2025-11-07 03:15:00", &[]).run().exits(0);
    lab.rule(":status=503");
    for time in ["2025-10-18 03:15:00", "2025-10-20 03:15:00"] {
        lab.with_clock(&library, time, &["--max-retries", "0"]).run().exits(75);
    }
    lab.server.clear_rules();
    let document = lab.at(&library, "2025-11-08 03:20:00", &[]).run().exits(1);
    let named: Vec<_> = document["failures"].as_array().unwrap().iter().map(|failure| &failure["start"]).collect();
    assert_eq!(named, ["2025-10-17T00", "2025-10-19T00"], "the two days that it asked for and did not get");
    assert_eq!(document["requests"], 1);
}

#[test]
fn a_first_call_with_a_clock_far_behind_owes_no_ages() {
    let Some(library) = faketime() else { return };
    let lab = Lab::new();
    lab.at(&library, "2025-11-07 03:15:00", &[]);
    lab.with_clock(&library, "2025-08-01 03:15:00", &[]).run().exits(0);
    let asked = asked_by(&lab, || drop(lab.at(&library, "2025-11-09 03:15:00", &[]).run().exits(0)));
    assert_eq!(asked, days(&["2025-11-06", "2025-11-07", "2025-11-08"]), "from the day before the call was made");
}

#[test]
fn a_first_call_with_a_clock_far_ahead_loses_no_day() {
    let Some(library) = faketime() else { return };
    let lab = Lab::new();
    lab.at(&library, "2025-11-07 03:15:00", &[]);
    lab.with_clock(&library, "2026-01-20 03:15:00", &[]).run();
    let asked = asked_by(&lab, || drop(lab.at(&library, "2025-11-09 03:15:00", &[]).run().exits(0)));
    assert_eq!(asked, days(&["2025-11-06", "2025-11-07", "2025-11-08"]), "from the day before the call was made");
}

#[test]
fn a_first_call_with_a_clock_ahead_that_met_no_answer_is_set_right_by_the_next() {
    let Some(library) = faketime() else { return };
    let lab = Lab::faulty(&["times=1:status=503"]);
    lab.at(&library, "2025-11-07 03:15:00", &[]);
    lab.with_clock(&library, "2026-01-20 03:15:00", &["--max-retries", "0"]).run().exits(75);
    lab.at(&library, "2025-11-08 03:15:00", &[]).run().exits(0);
    // This day's call is not made.
    let asked = asked_by(&lab, || drop(lab.at(&library, "2025-11-10 03:15:00", &[]).run().exits(0)));
    assert_eq!(asked, days(&["2025-11-08", "2025-11-09"]));
}

#[test]
fn a_first_call_by_a_clock_without_a_battery_owes_from_the_day_that_amplitude_tells() {
    let Some(library) = faketime() else { return };
    let lab = Lab::faulty(&["times=1:no-data"]);
    lab.at(&library, "2025-11-07 03:15:00", &[]);
    lab.with_clock(&library, "1970-01-02 00:10:00", &[]).run().exits(0);
    let asked = asked_by(&lab, || drop(lab.at(&library, "2025-11-09 03:15:00", &[]).run().exits(0)));
    assert_eq!(asked, days(&["2025-11-06", "2025-11-07", "2025-11-08"]));
}
