//! Windows that are too large: halved, down to the hour, and remembered.

use amp_sandbox::export::Limit;

use crate::support::{DAY, HOUR, Lab, hours};

fn at_most(hours: u64) -> Limit {
    Limit { hours: Some(hours), ..Limit::default() }
}

#[test]
fn a_window_that_is_too_large_is_halved_until_it_goes() {
    let lab = Lab::with(|config| config.too_large = at_most(6));
    let ran = lab.run(&["--date", DAY]);
    let document = ran.exits(0);
    assert_eq!(document["outcome"], "complete");
    assert_eq!((&document["splits"], &document["retries"], &document["requests"]), (&3.into(), &0.into(), &7.into()));
    assert_eq!(hours(&document), [24, 24, 0, 0, 0, 0]);
    let asked: Vec<_> = lab.server.requests().iter().map(|request| request.window.unwrap().to_string()).collect();
    assert_eq!(
        asked[..3],
        ["2025-11-06T00..2025-11-06T23", "2025-11-06T00..2025-11-06T11", "2025-11-06T00..2025-11-06T05"]
    );
    ran.says(&["split into 2025-11-06T00..2025-11-06T11 and 2025-11-06T12..2025-11-06T23"]);
    lab.assert_staged(&[DAY]);
}

#[test]
fn a_window_that_times_out_is_halved_once_the_retries_are_used_up() {
    let lab = Lab::with(|config| config.too_slow = at_most(12));
    let document = lab.run(&["--date", DAY, "--max-retries", "2"]).exits(0);
    assert_eq!((&document["splits"], &document["retries"], &document["requests"]), (&1.into(), &2.into(), &5.into()));
    lab.assert_staged(&[DAY]);
}

#[test]
fn other_server_errors_do_not_split() {
    let lab = Lab::faulty(&[":status=503"]);
    let document = lab.run(&["--date", DAY, "--max-retries", "1"]).exits(75);
    assert_eq!((&document["splits"], &document["requests"]), (&0.into(), &2.into()));
}

#[test]
fn an_impossible_hour_is_passed_by_and_reported_and_the_rest_delivered() {
    for (status, exit) in [(400, 1), (504, 1)] {
        let lab = Lab::faulty(&[&format!("hour={HOUR}:status={status}")]);
        let ran = lab.run(&["--date", DAY, "--max-retries", "0"]);
        let document = ran.exits(exit);
        assert_eq!(document["outcome"], "partial");
        assert_eq!(hours(&document), [24, 23, 0, 0, 1, 0]);
        let failures = document["failures"].as_array().unwrap();
        assert_eq!(failures.len(), 1);
        assert_eq!((&failures[0]["start"], &failures[0]["end"]), (&HOUR.into(), &HOUR.into()));
        lab.assert_staged(&["2025-11-06T00..2025-11-06T03", "2025-11-06T05..2025-11-06T23"]);
    }
}

#[test]
fn an_hour_that_is_too_large_fails_and_points_to_amplitudes_own_export() {
    let lab = Lab::faulty(&[":status=400"]);
    let ran = lab.run(&["--start", HOUR, "--end", HOUR]);
    let document = ran.exits(1);
    assert_eq!((&document["requests"], &document["splits"]), (&1.into(), &0.into()));
    assert!(document["failures"][0]["error"].as_str().unwrap().contains("S3 export"), "{document}");
    ran.says(&["4 GB", "S3 export", HOUR]);
}

#[test]
fn every_hour_too_large_ends_after_each_was_asked_for_alone() {
    let lab = Lab::faulty(&[":status=400"]);
    let document = lab.run(&["--start", "2025-11-06T00", "--end", "2025-11-06T04"]).exits(1);
    assert_eq!((&document["requests"], &document["splits"]), (&9.into(), &4.into()));
    assert_eq!(document["outcome"], "failed");
    assert_eq!(document["failures"].as_array().unwrap().len(), 5);
}

#[test]
fn the_next_run_does_not_try_a_window_whole_that_had_to_be_split() {
    let lab = Lab::with(|config| config.too_large = at_most(6));
    lab.run(&["--date", DAY]).exits(0);
    let before = lab.server.requests().len();
    let document = lab.run(&["--date", DAY, "--force"]).exits(0);
    assert_eq!((&document["splits"], &document["requests"]), (&0.into(), &4.into()));
    assert!(lab.server.requests()[before..].iter().all(|request| request.status == 200));
}

#[test]
fn the_next_run_asks_for_nothing_but_the_hour_that_failed() {
    let lab = Lab::faulty(&[&format!("hour={HOUR}:status=400")]);
    lab.run(&["--date", DAY]).exits(1);
    let before = lab.server.requests().len();
    lab.server.clear_rules();
    let document = lab.run(&["--date", DAY]).exits(0);
    assert_eq!(lab.asked()[before..], ["20251106T04-20251106T04"]);
    assert_eq!(hours(&document), [24, 1, 0, 23, 0, 0]);
    lab.assert_staged(&[DAY]);
}

#[test]
fn a_day_whose_halves_both_time_out_is_not_cut_further_in_the_same_run() {
    let lab = Lab::faulty(&[":status=504"]);
    let ran = lab.run(&["--date", DAY, "--max-retries", "1"]);
    let document = ran.exits(75);
    assert_eq!((&document["requests"], &document["splits"]), (&6.into(), &1.into()));
    assert_eq!(hours(&document), [24, 0, 0, 0, 24, 0]);
    ran.says(&["error: ", "after 2 tries", "the next run tries smaller windows"]);

    // It begins where this one ended.
    let before = lab.asked().len();
    lab.server.clear_rules();
    lab.run(&["--date", DAY, "--parallel", "1"]).exits(0);
    assert_eq!(lab.asked()[before], "20251106T00-20251106T05");
    lab.assert_staged(&[DAY]);
}

#[test]
fn a_timeout_is_not_waited_out_but_split() {
    let lab = Lab::with(|config| config.too_slow = at_most(12));
    let document = lab.run(&["--date", DAY, "--max-retries", "0", "--retry-for", "24h"]).exits(0);
    assert_eq!((&document["requests"], &document["retries"]), (&3.into(), &0.into()));
}
