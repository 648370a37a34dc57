//! The call without a window heals what earlier runs missed.

use amp_core::hour::Hour;
use amp_core::ledger::{HourRecord, Ledger, SourceId, SourceRecord};
use amp_core::secret::Secret;
use amp_core::stage::Staging;
use amp_core::window::HourWindow;

use crate::support::{Lab, days_ago, hours, wait_until, whole_day};

/// A laboratory whose first run missed hour 04 of the day so many days ago.
fn missed(days: i64, status: u16) -> (Lab, String) {
    let day = days_ago(days);
    let lab = Lab::faulty(&[&format!("hour={day}T04:status={status}")]);
    lab.run(&["--date", &day, "--max-retries", "0"]).exits(1);
    lab.server.clear_rules();
    (lab, day)
}

/// What the next call without a window asks for, save yesterday.
fn repaired(lab: &Lab, args: &[&str]) -> Vec<String> {
    asked_by(lab, args, 0)
}

/// The same of a call that leaves something owed.
fn repaired_and_owing(lab: &Lab, args: &[&str]) -> Vec<String> {
    asked_by(lab, args, 1)
}

fn asked_by(lab: &Lab, args: &[&str], code: i32) -> Vec<String> {
    let before = lab.server.requests().len();
    lab.run(args).exits(code);
    let yesterday = whole_day(&days_ago(1));
    let mut asked = lab.asked().split_off(before);
    asked.retain(|window| *window != yesterday);
    asked.sort();
    asked
}

fn hour_four(day: &str) -> String {
    let day = day.replace('-', "");
    format!("{day}T04-{day}T04")
}

#[test]
fn the_default_call_also_fetches_what_an_earlier_run_asked_for_and_did_not_get() {
    for status in [400, 504] {
        let (lab, day) = missed(3, status);
        let document = lab.run(&[]).exits(0);
        assert_eq!(document["window"]["start"], format!("{}T00", days_ago(1)));
        assert_eq!(hours(&document), [25, 25, 0, 0, 0, 0]);
        lab.assert_staged(&[&day, &days_ago(1)]);
        let document = lab.run(&[]).exits(0);
        assert_eq!(document["requests"], 0, "it is whole now");
    }
}

#[test]
fn hours_that_nobody_wanted_are_not_asked_for() {
    let (lab, day) = missed(3, 400);
    assert_eq!(repaired(&lab, &[]), [hour_four(&day)]);
    lab.assert_staged(&[&day, &days_ago(1)]);
}

#[test]
fn repair_reaches_back_seven_days_unless_told_otherwise() {
    let (lab, day) = missed(7, 400);
    assert_eq!(repaired(&lab, &[]), [hour_four(&day)]);
    let (lab, day) = missed(8, 400);
    assert_eq!(repaired_and_owing(&lab, &[]), [""; 0]);
    assert_eq!(repaired(&lab, &["--repair-days", "8"]), [hour_four(&day)]);
}

#[test]
fn repair_can_be_turned_off_and_a_named_window_is_not_widened_by_it() {
    let (lab, day) = missed(3, 400);
    assert_eq!(repaired_and_owing(&lab, &["--repair-days", "0"]), [""; 0]);
    assert_eq!(repaired(&lab, &["--date", &days_ago(2)]), [whole_day(&days_ago(2))]);
    assert_eq!(repaired(&lab, &[]), [hour_four(&day)]);
}

#[test]
fn a_run_that_was_killed_is_made_good_by_the_next_default_call() {
    let day = days_ago(4);
    let lab = Lab::faulty(&[":stall"]);
    let running = lab.command(&["--date", &day]).spawn();
    wait_until("the request", || !lab.server.requests().is_empty());
    running.signal("KILL");
    assert_eq!(running.wait().code, None);
    lab.server.clear_rules();
    assert_eq!(repaired(&lab, &[]), [whole_day(&day)]);
    lab.assert_staged(&[&day, &days_ago(1)]);
}

#[test]
fn an_hour_that_was_fetched_before_it_settled_is_fetched_again() {
    let lab = Lab::new();
    let day = days_ago(2);
    let hour = Hour::parse(&format!("{day}T04")).unwrap();
    let staging = Staging::open(&lab.path("extracted_data")).unwrap();
    let record = HourRecord::Fetched {
        time: hour.settled_at(),
        window: HourWindow::single(hour),
        source: SourceId::new("127.0.0.1", &Secret::new(lab.server.api_key().into())),
        requested_at: hour.start(),
        unsettled: vec![hour],
        no_data: vec![hour],
        files: Vec::new(),
    };
    let ledger = Ledger::at(&staging.state_dir());
    ledger.append(hour.date(), &record).unwrap();
    let HourRecord::Fetched { time, source, .. } = record else { unreachable!() };
    let host = Some("127.0.0.1".to_owned());
    ledger.append_sources(&[SourceRecord { time, source, host, project: None, owed_from: None }]).unwrap();
    assert_eq!(repaired(&lab, &[]), [hour_four(&day)]);
    lab.assert_staged(&[&format!("{day}T04"), &days_ago(1)]);
}

#[test]
fn a_staged_file_that_vanished_without_being_loaded_is_repaired() {
    let day = days_ago(3);
    let lab = Lab::new();
    lab.run(&["--date", &day]).exits(0);
    std::fs::remove_file(lab.path(&format!("extracted_data/100011471_{day}_4#0.json"))).unwrap();
    assert_eq!(repaired(&lab, &[]), [hour_four(&day)]);
    lab.assert_staged(&[&day, &days_ago(1)]);
}

#[test]
fn a_repair_that_fails_again_does_not_keep_yesterday_from_coming() {
    let (lab, day) = missed(3, 400);
    lab.rule(&format!("hour={day}T04:status=400"));
    let document = lab.run(&[]).exits(1);
    assert_eq!(document["outcome"], "partial");
    assert_eq!(hours(&document), [25, 24, 0, 0, 1, 0]);
    lab.server.clear_rules();
    assert_eq!(repaired(&lab, &[]), [hour_four(&day)], "and it is tried again the next day");
}

#[test]
fn what_a_refused_key_missed_is_repaired_once_the_key_is_right() {
    let day = days_ago(3);
    let lab = Lab::new();
    lab.command(&["--date", &day]).env("AMP_API_KEY", "wrong").run().exits(3);
    assert_eq!(repaired(&lab, &[]), [whole_day(&day)]);
}

#[test]
fn a_dry_run_tells_what_would_be_repaired() {
    let (lab, day) = missed(3, 400);
    let ran = lab.run(&["--dry-run", "-v"]);
    let document = ran.exits(0);
    let planned = document["planned"].as_array().unwrap();
    assert_eq!(planned.len(), 2);
    assert_eq!(planned[0]["start"], format!("{day}T04"));
    ran.says(&["repair"]);
}
