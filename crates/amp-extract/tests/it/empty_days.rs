//! A whole day without data right after a day with data is asked for once more before it is believed.

use crate::support::{Lab, faketime, hours, wait_until};

const EMPTY: &str = "2025-11-07";

#[test]
fn an_empty_day_is_believed_when_a_second_run_finds_it_empty() {
    let Some(library) = faketime() else { return };
    let lab = Lab::faulty(&["hour=2025-11-07:no-data"]);
    let at = |day: u32| lab.at(&library, &format!("2025-11-{day:02} 03:15:00"), &[]).run();
    at(7).exits(0);
    let ran = at(8);
    assert_eq!(hours(&ran.exits(0)), [24, 0, 24, 0, 0, 24]);
    ran.says(&["warning: ", EMPTY, "once more"]);
    assert_eq!(hours(&at(9).exits(0)), [48, 24, 24, 0, 0, 0]);
    assert_eq!(hours(&at(10).exits(0)), [24, 24, 0, 0, 0, 0], "and is not asked for again");
    lab.assert_staged(&["2025-11-06", "2025-11-08", "2025-11-09"]);
}

#[test]
fn a_day_that_was_wrongly_said_to_be_empty_comes_with_the_next_run() {
    let Some(library) = faketime() else { return };
    let lab = Lab::faulty(&["hour=2025-11-07,times=1:no-data"]);
    for day in [7, 8, 9] {
        lab.at(&library, &format!("2025-11-{day:02} 03:15:00"), &[]).run().exits(0);
    }
    lab.assert_staged(&["2025-11-06", "2025-11-07", "2025-11-08"]);
}

#[test]
fn also_when_it_came_in_halves() {
    let Some(library) = faketime() else { return };
    let lab = Lab::faulty(&["window=2025-11-07,times=1:status=400", "hour=2025-11-07,times=2:no-data"]);
    let at = |day: u32| lab.at(&library, &format!("2025-11-{day:02} 03:15:00"), &[]).run();
    at(7).exits(0);
    assert_eq!(hours(&at(8).exits(0)), [24, 0, 24, 0, 0, 24]);
    at(9).exits(0);
    lab.assert_staged(&["2025-11-06", "2025-11-07", "2025-11-08"]);
}

#[test]
fn a_day_that_no_later_call_would_ask_for_is_asked_for_twice_in_one_run() {
    for (times, staged) in [(1, &["2025-11-05", "2025-11-06"][..]), (9, &["2025-11-05"][..])] {
        // The day before comes later than the day itself.
        let lab = Lab::faulty(&[&format!("hour=2025-11-06,times={times}:no-data"), "hour=2025-11-05:delay=300ms"]);
        let document = lab.run(&["--start", "2025-11-05", "--end", "2025-11-06"]).exits(0);
        let extracted = 24 * staged.len() as u64;
        assert_eq!(hours(&document), [48, extracted, 48 - extracted, 0, 0, 0]);
        assert_eq!(document["requests"], 3);
        lab.assert_staged(staged);
        assert_eq!(lab.run(&["--date", "2025-11-06"]).exits(0)["requests"], 0);
    }
}

#[test]
fn the_day_after_an_empty_one_and_one_after_a_day_that_nobody_knows_are_believed() {
    let lab = Lab::faulty(&["hour=2025-11-06:no-data", "hour=2025-11-07:no-data"]);
    let document = lab.run(&["--start", "2025-11-06", "--end", "2025-11-07"]).exits(0);
    assert_eq!((hours(&document), &document["requests"]), ([48, 0, 48, 0, 0, 0], &2.into()));
}

#[test]
fn a_day_is_asked_for_once_more_though_the_run_was_killed_before_the_day_before_came() {
    let Some(library) = faketime() else { return };
    let lab = Lab::new();
    let at = |time: &str, args: &[&str]| lab.at(&library, time, args);
    at("2025-11-06 03:15:00", &[]).run().exits(0);
    lab.rule("hour=2025-11-07,times=1:no-data");
    lab.rule("hour=2025-11-06,times=1:stall");
    let running = at("2025-11-08 03:15:00", &["--parallel", "2"]).spawn();
    let ledger = lab.path("extracted_data/.amp/hours/2025-11-07.jsonl");
    wait_until("the empty day in the ledger", || {
        std::fs::read_to_string(&ledger).is_ok_and(|text| text.contains("\"fetched\""))
    });
    running.signal("KILL");
    running.wait();
    at("2025-11-08 04:15:00", &[]).run().exits(0);
    lab.assert_staged(&["2025-11-05", "2025-11-06"]);
    let announced = at("2025-11-09 03:10:00", &["--status"]).run().exits(0)["next"]["requests"].take();
    assert_eq!(announced.as_array().unwrap().len(), 2);
    at("2025-11-09 03:15:00", &[]).run().exits(0);
    lab.assert_staged(&["2025-11-05", "2025-11-06", "2025-11-07", "2025-11-08"]);
}

#[test]
fn a_day_before_that_comes_with_a_later_run_makes_an_empty_day_asked_for_once_more_and_no_oftener() {
    let Some(library) = faketime() else { return };
    let lab = Lab::faulty(&["hour=2025-11-07:no-data", "hour=2025-11-06,times=2:status=503"]);
    let at = |day: u32| lab.at(&library, &format!("2025-11-{day:02} 03:15:00"), &["--max-retries", "0"]).run();
    at(7).exits(75);
    assert_eq!(hours(&at(8).exits(1)), [48, 0, 24, 0, 24, 0]);
    assert_eq!(at(9).exits(0)["requests"], 2);
    assert_eq!(at(10).exits(0)["requests"], 2, "the empty day, once more");
    assert_eq!(at(11).exits(0)["requests"], 1);
    lab.assert_staged(&["2025-11-06", "2025-11-08", "2025-11-09", "2025-11-10"]);
}

#[test]
fn of_an_empty_day_only_the_hour_that_had_not_settled_the_first_time_is_asked_for_a_third_time() {
    let Some(library) = faketime() else { return };
    let lab = Lab::faulty(&["hour=2025-11-06:no-data"]);
    let at = |time: &str| lab.at(&library, time, &[]).run().exits(0);
    at("2025-11-06 03:15:00");
    at("2025-11-07 01:30:00");
    at("2025-11-08 03:15:00");
    let before = lab.asked().len();
    at("2025-11-09 03:15:00");
    let mut asked = lab.asked().split_off(before);
    asked.sort();
    assert_eq!(asked, ["20251106T23-20251106T23", "20251108T00-20251108T23"]);
    assert_eq!(at("2025-11-10 03:15:00")["requests"], 1);
}
