//! Every way to name a window, and what is asked for then.

use amp_sandbox::time::Window;
use serde_json::Value;

use crate::support::{DAY, Lab, Ran, days_ago, hours, one_hour, this_hour, whole_day};

fn plan(lab: &Lab, args: &[&str]) -> Ran {
    lab.bare(args).args(&["--dry-run", "--output", "json"]).run()
}

fn windows(document: &Value) -> Vec<String> {
    let text = |window: &Value, end: &str| window[end].as_str().unwrap().to_owned();
    let planned = document["planned"].as_array().unwrap().iter();
    planned.map(|window| format!("{}..{}", text(window, "start"), text(window, "end"))).collect()
}

fn planned(lab: &Lab, args: &[&str]) -> Vec<String> {
    windows(&plan(lab, args).exits(0))
}

#[test]
fn each_way_to_name_a_window_means_its_hours_of_utc_both_ends_included() {
    let lab = Lab::new();
    let hour = this_hour();
    let day = |back: i64| Window::day(hour.plus(-24 * back).date()).to_string();
    let settled = hour.plus(-3);
    let cases: &[(&[&str], Vec<String>)] = &[
        (&[], vec![day(1)]),
        (&["--date", DAY], vec!["2025-11-06T00..2025-11-06T23".into()]),
        (&["--start", DAY, "--end", DAY], vec!["2025-11-06T00..2025-11-06T23".into()]),
        (&["--start", "2025-11-06T05", "--end", "20251106T07"], vec!["2025-11-06T05..2025-11-06T07".into()]),
        (&["--start", "20251106T05", "--end", DAY], vec!["2025-11-06T05..2025-11-06T23".into()]),
        (&["--start", "2025-11-06T05", "--end", "2025-11-06T05"], vec!["2025-11-06T05..2025-11-06T05".into()]),
        (&["--date", "2024-02-29"], vec!["2024-02-29T00..2024-02-29T23".into()]),
        (&["--last", "1d"], vec![day(1)]),
        (&["--last", "3d"], vec![day(3), day(2), day(1)]),
        (&["--last", "2w"], (1..=14).rev().map(day).collect()),
        (&["--last", "1h"], vec![format!("{settled}..{settled}")]),
    ];
    for (args, expected) in cases {
        assert_eq!(planned(&lab, args), *expected, "{args:?}");
    }
    let document = plan(&lab, &["--last", "12h"]).exits(0);
    assert_eq!(document["window"]["start"], settled.plus(-11).to_string());
    assert_eq!(document["window"]["end"], settled.to_string());
    assert_eq!(hours(&document)[0], 12);
}

#[test]
fn a_window_longer_than_a_day_is_asked_for_day_by_day() {
    let lab = Lab::new();
    let document = lab.run(&["--start", "2025-10-31T22", "--end", "2025-11-02T01"]).exits(0);
    let mut asked = lab.asked();
    asked.sort();
    assert_eq!(asked, ["20251031T22-20251031T23", "20251101T00-20251101T23", "20251102T00-20251102T01"]);
    assert_eq!(document["requests"], 3);
    assert_eq!(hours(&document), [28, 28, 0, 0, 0, 0]);
    lab.assert_staged(&["2025-10-31T22..2025-11-02T01"]);
}

#[test]
fn the_call_without_a_window_fetches_yesterday() {
    let lab = Lab::new();
    let yesterday = days_ago(1);
    lab.run(&[]).exits(0);
    // The last hours of a day are not settled in the first ones of the next.
    assert_eq!(lab.asked(), [whole_day(&yesterday)]);
    lab.assert_staged(&[&yesterday]);
}

#[test]
fn a_window_that_reaches_into_the_future_is_cut_at_the_current_hour_with_a_warning() {
    let lab = Lab::new();
    let hour = this_hour();
    let (start, end) = (hour.to_string(), hour.plus(30).to_string());
    let ran = lab.run(&["--start", &start, "--end", &end]);
    let document = ran.exits(0);
    assert_eq!(lab.asked(), [one_hour(hour)]);
    assert_eq!(document["window"]["end"], hour.to_string());
    ran.says(&["warning", "future"]);
    // A dry run warns as well, and a window that is not cut does not.
    plan(&lab, &["--start", &start, "--end", &end]).says(&["warning", "future"]);
    plan(&lab, &["--date", DAY]).does_not_say(&["future"]);
}

#[test]
fn a_window_wholly_in_the_future_or_reversed_or_unreadable_is_a_settings_error() {
    let lab = Lab::new();
    let tomorrow = days_ago(-1);
    for (args, word) in [
        (&["--date", &tomorrow] as &[&str], "future"),
        (&["--start", "2025-11-07", "--end", "2025-11-06"], "after the end"),
        (&["--start", "2025-11-06T05", "--end", "2025-11-06T04"], "after the end"),
        (&["--date", "2025-02-29"], "2025-02-29"),
        (&["--date", "06.11.2025"], "06.11.2025"),
        (&["--start", "2025-11-06T24", "--end", DAY], "2025-11-06T24"),
        (&["--start", "2025-11-06T5", "--end", DAY], "2025-11-06T5"),
        (&["--start", DAY], "--end"),
        (&["--end", DAY], "--start"),
        (&["--date", DAY, "--last", "3d"], "give one of them"),
        (&["--date", DAY, "--start", DAY, "--end", DAY], "give one of them"),
        (&["--last", "0d"], "0d"),
        (&["--last", "3"], "`3`"),
        (&["--last", "3m"], "3m"),
        (&["--last=-3d"], "--last"),
        (&["--date", DAY, "--shard", "0/6"], "0/6"),
        (&["--date", DAY, "--shard", "7/6"], "7/6"),
        (&["--date", DAY, "--shard", "1/0"], "1/0"),
        (&["--date", DAY, "--shard", "half"], "half"),
        (&["--repair-days=-1"], "--repair-days"),
    ] {
        let ran = lab.run(args);
        let document = ran.exits(2);
        assert_eq!(document["outcome"], "failed");
        assert!(document["failures"].as_array().is_some_and(|failures| !failures.is_empty()), "{args:?}");
        ran.says(&[word]);
    }
    assert_eq!(lab.asked(), [""; 0]);
    assert!(!lab.path("extracted_data").exists(), "nothing is done with settings that are wrong");
}

#[test]
fn the_shards_of_a_window_cover_it_exactly_and_nearly_equally() {
    let lab = Lab::new();
    for (args, count, of) in [
        (["--start", "2025-11-05T07", "--end", "2025-11-06T19"], 37, 5),
        (["--last", "2d", "--repair-days", "0"], 48, 3),
    ] {
        let mut all = Vec::new();
        let mut sizes = Vec::new();
        for number in 1..=of {
            let shard = format!("{number}/{of}");
            let windows = planned(&lab, &[&args[..], &["--shard", &shard]].concat());
            let hours: Vec<_> = windows.iter().flat_map(|w| w.parse::<Window>().unwrap().hours()).collect();
            sizes.push(hours.len());
            all.extend(hours);
        }
        assert_eq!(all.len(), count);
        assert!(all.windows(2).all(|two| two[0].plus(1) == two[1]), "{all:?}");
        assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
    }
}

#[test]
fn a_shard_of_more_slices_than_hours_may_have_nothing_to_do_and_that_is_success() {
    let lab = Lab::new();
    let args = ["--start", "2025-11-06T04", "--end", "2025-11-06T05", "--shard"];
    let documents = ["1/4", "2/4", "3/4", "4/4"].map(|shard| lab.run(&[&args[..], &[shard]].concat()).exits(0));
    assert_eq!(documents.iter().map(|document| hours(document)[0]).sum::<u64>(), 2);
    assert!(documents.iter().any(|document| document["outcome"] == "empty"));
    lab.assert_staged(&["2025-11-06T04..2025-11-06T05"]);
}

#[test]
fn a_dry_run_tells_its_requests_and_needs_neither_keys_nor_network_nor_leaves_a_trace() {
    let lab = Lab::new();
    let ran = lab.bare(&["--start", "2025-11-05T22", "--end", DAY, "--dry-run"]).run();
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    for request in ["start=20251105T22&end=20251105T23", "start=20251106T00&end=20251106T23"] {
        assert!(ran.stdout.contains(request), "{}", ran.stdout);
    }
    assert!(lab.names(".").is_empty(), "{:?}", lab.names("."));
    lab.run(&["--date", DAY, "--dry-run"]).exits(0);
    assert_eq!(lab.asked(), [""; 0]);
}

#[test]
fn a_dry_run_leaves_out_what_is_done_unless_forced() {
    let lab = Lab::new();
    lab.run(&["--start", "2025-11-06T00", "--end", "2025-11-06T11"]).exits(0);
    let before = lab.server.requests().len();
    assert_eq!(windows(&lab.run(&["--date", DAY, "--dry-run"]).exits(0)), ["2025-11-06T12..2025-11-06T23"]);
    let forced = windows(&lab.run(&["--date", DAY, "--dry-run", "--force"]).exits(0));
    assert_eq!(forced, ["2025-11-06T00..2025-11-06T23"]);
    assert_eq!(lab.server.requests().len(), before);
}

#[test]
fn a_dry_run_without_the_key_takes_the_hours_of_all_keys_together_and_says_so() {
    let lab = Lab::new();
    lab.run(&["--start", "2025-11-06T00", "--end", "2025-11-06T11"]).exits(0);
    let ran = plan(&lab, &["--date", DAY]);
    assert_eq!(windows(&ran.exits(0)), ["2025-11-06T12..2025-11-06T23"]);
    ran.says(&["warning: ", "AMP_API_KEY is not set"]);
}

#[test]
fn yesterday_is_that_of_utc_whatever_the_time_zone() {
    let lab = Lab::new();
    let yesterday = days_ago(1);
    for zone in ["Pacific/Kiritimati", "Pacific/Pago_Pago", "America/New_York", "<+14>-14", "<-12>12"] {
        let document = lab.bare(&["--dry-run", "--output", "json"]).env("TZ", zone).run().exits(0);
        assert_eq!(windows(&document), [format!("{yesterday}T00..{yesterday}T23")], "{zone}");
    }
}
