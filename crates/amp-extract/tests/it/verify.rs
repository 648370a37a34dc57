//! `--verify`: the window is exported again and compared with the ledger, and nothing else is done.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{DAY, HOUR, Lab, one_hour, whole_day};

const VERIFY: [&str; 3] = ["--verify", "--date", DAY];

/// A laboratory whose day was fetched.
fn fetched() -> Lab {
    let lab = Lab::new();
    lab.run(&["--date", DAY]).exits(0);
    lab
}

/// Every file below a directory and what it holds.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

fn counts(document: &Value) -> [usize; 5] {
    let verified = &document["verified"];
    let count = |name: &str| verified[name].as_u64().unwrap() as usize;
    let listed = |name: &str| verified[name].as_array().unwrap().len();
    [count("checked"), count("same_bytes"), count("same_rows"), listed("different"), listed("not_verified")]
}

#[test]
fn what_is_unchanged_has_the_same_bytes_and_nothing_is_staged_or_recorded() {
    let lab = fetched();
    let before = contents(&lab.path("extracted_data"));
    let document = lab.run(&VERIFY).exits(0);
    assert_eq!(counts(&document), [24, 24, 0, 0, 0]);
    assert_eq!((&document["outcome"], &document["hours"]["asked"]), (&json!("complete"), &json!(24)));
    assert_eq!((&document["hours"]["extracted"], &document["files"]), (&json!(0), &json!(0)));
    assert_eq!(contents(&lab.path("extracted_data")), before);
    lab.assert_clean();
    assert_eq!(lab.asked(), [whole_day(DAY), whole_day(DAY)]);
}

#[test]
fn rows_that_are_otherwise_arranged_are_the_same() {
    let lab = fetched();
    lab.rule(":recut=2");
    assert_eq!(counts(&lab.run(&VERIFY).exits(0)), [24, 0, 24, 0, 0]);
}

#[test]
fn rows_that_came_or_went_are_counted_and_end_with_1() {
    for (rule, expected) in [(":rows=+5", [3, 8, 0, 5]), (":rows=-1", [3, 2, 1, 0]), (":no-data", [3, 0, 3, 0])] {
        let lab = fetched();
        lab.rule(rule);
        let before = contents(&lab.path("extracted_data"));
        let ran = lab.run(&["--verify", "--start", HOUR, "--end", HOUR]);
        let document = ran.exits(1);
        assert_eq!(counts(&document), [1, 0, 0, 1, 0], "{rule}");
        let [recorded, now, gone, come] = expected;
        let different =
            json!([{"hour": HOUR, "rows_recorded": recorded, "rows_now": now, "rows_gone": gone, "rows_come": come}]);
        assert_eq!(document["verified"]["different"], different, "{rule}");
        ran.says(&["rows differ: 3 recorded"]);
        assert_eq!(contents(&lab.path("extracted_data")), before);
    }
}

#[test]
fn an_hour_that_was_never_fetched_is_not_verified_and_not_requested() {
    let lab = Lab::new();
    lab.run(&["--start", HOUR, "--end", HOUR]).exits(0);
    let ran = lab.run(&["--verify", "--start", HOUR, "--end", "2025-11-06T05"]);
    assert_eq!(counts(&ran.exits(1)), [2, 1, 0, 0, 1]);
    ran.says(&["2025-11-06T05: not verified: no run with a key of this project fetched it"]);
    let hour = one_hour(HOUR.parse().unwrap());
    assert_eq!(lab.asked(), [hour.clone(), hour]);
}

#[test]
fn what_an_earlier_version_recorded_is_compared_by_its_bytes() {
    let lab = fetched();
    let path = lab.path("extracted_data/.amp/hours/2025-11-06.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let mut without = String::new();
    for (number, part) in text.split(",\"rows\":\"").enumerate() {
        without.push_str(if number == 0 { part } else { &part[17..] });
    }
    assert!(text.len() > without.len() && !without.contains("rows"), "{without}");
    fs::write(&path, without).unwrap();
    assert_eq!(counts(&lab.run(&VERIFY).exits(0)), [24, 24, 0, 0, 0]);
    lab.rule(":recut=2");
    let ran = lab.run(&VERIFY);
    assert_eq!(counts(&ran.exits(1)), [24, 0, 0, 0, 24]);
    ran.says(&["rows cannot be compared: an earlier version recorded the hour"]);
}

#[test]
fn a_window_that_is_too_large_is_verified_in_halves_that_are_not_recorded() {
    let lab = fetched();
    let before = contents(&lab.path("extracted_data"));
    lab.rule("window=2025-11-06:status=400");
    let document = lab.run(&VERIFY).exits(0);
    assert_eq!((counts(&document), &document["splits"]), ([24, 24, 0, 0, 0], &json!(1)));
    assert_eq!(contents(&lab.path("extracted_data")), before);
}

#[test]
fn an_hour_that_cannot_be_fetched_is_a_failure_and_is_not_recorded() {
    let lab = fetched();
    let before = contents(&lab.path("extracted_data"));
    lab.rule(":status=500");
    let document = lab.run(&[&VERIFY[..], &["--max-retries", "1"]].concat()).exits(75);
    assert_eq!((&document["hours"]["failed"], counts(&document)), (&json!(24), [0; 5]));
    assert_eq!(contents(&lab.path("extracted_data")), before);
    lab.assert_clean();
}

#[test]
fn people_see_a_line_an_hour() {
    let lab = fetched();
    lab.rule("times=1:rows=+5");
    let verify = || lab.for_people(&["--verify", "--start", HOUR, "--end", HOUR]).run();
    let ran = verify();
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    ran.says(&["error: 2025-11-06T04: rows differ: 3 recorded, 8 now; at least 0 gone, at least 5 come"]);
    assert!(!ran.stdout.contains("rows differ"), "each failure once: {ran:#?}");
    assert!(ran.stdout.contains("1 asked: 0 same, 1 differ or are not verified"), "{ran:#?}");
    assert!(verify().stdout.contains("  2025-11-06T04  same bytes\n"));
}

#[test]
fn its_metrics_are_no_extracts() {
    let lab = fetched();
    lab.command(&VERIFY).args(&["--metrics-file", "verify.prom"]).run().exits(0);
    let page = fs::read_to_string(lab.path("verify.prom")).unwrap();
    assert!(page.contains("amp_extract_verify_last_run_hours{state=\"same_bytes\"} 24"), "{page}");
    assert!(!page.contains("amp_extract_last_run"), "{page}");
}

#[test]
fn it_needs_a_window_and_goes_with_nothing_that_changes_or_only_looks() {
    let lab = Lab::new();
    assert_eq!(lab.run(&["--verify"]).code, Some(2));
    for other in ["--force", "--accept-missing", "--status", "--dry-run", "--check"] {
        assert_eq!(lab.run(&["--verify", "--date", DAY, other]).code, Some(2), "{other}");
    }
    assert!(lab.asked().is_empty());
}
