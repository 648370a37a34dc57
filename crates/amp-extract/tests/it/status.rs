//! `--status`: what it knows of each hour.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use amp_sandbox::time::Hour;
use serde_json::{Value, json};

use crate::run::Ran;
use crate::support::{DAY, HOUR, Lab, days_ago, this_hour, wait_until};

pub(crate) fn status(lab: &Lab, args: &[&str]) -> Ran {
    lab.command(&["--status"]).args(args).run()
}

/// The states of a day of the document.
fn day<'a>(document: &'a Value, day: &str) -> Vec<Option<&'a str>> {
    let days = document["days"].as_array().unwrap();
    let found = days.iter().find(|found| found["day"] == day).unwrap_or_else(|| panic!("no {day}: {document}"));
    found["hours"].as_array().unwrap().iter().map(Value::as_str).collect()
}

fn state(document: &Value, hour: Hour) -> &str {
    day(document, &hour.date().to_string())[usize::try_from(hour.hour_of_day()).unwrap()].unwrap()
}

pub(crate) fn total(document: &Value, state: &str) -> u64 {
    document["totals"][state].as_u64().unwrap()
}

fn name(day: &str, hour: u32, part: u32) -> String {
    format!("100011471_{day}_{hour}#{part}.json")
}

/// Two parts an hour.
fn parted() -> Lab {
    Lab::with(|config| config.dataset = config.dataset.clone().parts_per_hour(2))
}

#[test]
fn an_hour_is_loaded_if_all_its_files_are_and_staged_if_they_are_staged_or_loaded() {
    let lab = parted();
    lab.run(&["--date", DAY]).exits(0);
    for part in [0, 1] {
        lab.load(&name(DAY, 0, part));
        lab.note_load(&name(DAY, 5, part));
    }
    lab.load(&name(DAY, 1, 0));
    lab.remove(&name(DAY, 2, 1));
    lab.load(&name(DAY, 3, 0));
    lab.remove(&name(DAY, 3, 1));
    let document = status(&lab, &["--date", DAY]).exits(0);
    let states: Vec<_> = day(&document, DAY).into_iter().take(6).flatten().collect();
    assert_eq!(states, ["loaded", "staged", "vanished", "vanished", "staged", "loaded"]);
    let table = lab.for_people(&["--status", "--date", DAY]).run();
    assert!(table.stdout.contains("2025-11-06  LSVVSL SSSSSS SSSSSS SSSSSS\n"), "{}", table.stdout);
}

#[test]
fn what_failed_has_no_data_was_never_answered_and_is_unsettled_is_told_apart() {
    let (failed, hour) = (days_ago(4), this_hour());
    let lab = Lab::with(|config| {
        let empty = format!("{}T04", days_ago(3)).parse().unwrap();
        config.dataset = config.dataset.clone().without_hour(empty);
    });
    lab.rule(&format!("hour={failed}T05:status=400"));
    lab.run(&["--date", &failed]).exits(1);
    let empty = format!("{}T04", days_ago(3));
    lab.run(&["--start", &empty, "--end", &empty]).exits(0);
    let hung = format!("{}T06", days_ago(3));
    lab.rule(&format!("hour={hung}:stall"));
    let asked = lab.asked().len();
    let running = lab.command(&["--start", &hung, "--end", &hung]).spawn();
    wait_until("the request", || lab.asked().len() > asked);
    running.signal("KILL");
    running.wait();
    lab.run(&["--start", &hour.plus(-4).to_string(), "--end", &hour.to_string()]).exits(0);

    let document = status(&lab, &[]).exits(0);
    let mut expected = vec![Some("staged"); 24];
    expected[5] = Some("failed");
    assert_eq!(day(&document, &failed), expected, "a day that was halved until only one hour failed");
    assert_eq!(state(&document, empty.parse().unwrap()), "no_data");
    assert_eq!(state(&document, hung.parse().unwrap()), "asked");
    let around: Vec<_> = (-5..=0).map(|n| state(&document, hour.plus(n))).collect();
    assert_eq!(around, ["never_asked", "staged", "staged", "unsettled", "unsettled", "unsettled"]);
    let counted = ["staged", "failed", "no_data", "asked", "unsettled"].map(|state| total(&document, state));
    assert_eq!(counted, [25, 1, 1, 1, 3]);
    assert!(
        day(&document, &hour.date().to_string()).iter().flatten().count()
            == usize::try_from(hour.hour_of_day()).unwrap() + 1
    );
}

#[test]
fn the_window_is_the_last_thirty_days_with_today_from_the_first_day_known_unless_one_is_named() {
    let lab = Lab::new();
    let hour = this_hour();
    let window = |args: &[&str]| {
        let document = status(&lab, args).exits(0);
        let text = |end: &str| document["window"][end].as_str().unwrap().to_owned();
        (text("start"), text("end"), document["days"].as_array().unwrap().len())
    };
    assert_eq!(window(&[]), (format!("{}T00", days_ago(1)), hour.to_string(), 2));
    lab.run(&["--start", &format!("{}T04", days_ago(5)), "--end", &format!("{}T04", days_ago(5))]).exits(0);
    assert_eq!(window(&[]), (format!("{}T00", days_ago(5)), hour.to_string(), 6));
    lab.run(&["--date", &days_ago(35)]).exits(0);
    assert_eq!(window(&[]), (format!("{}T00", days_ago(29)), hour.to_string(), 30));
    assert_eq!(window(&["--last", "2d"]), (format!("{}T00", days_ago(2)), format!("{}T23", days_ago(1)), 2));
    assert_eq!(window(&["--date", DAY]), (format!("{DAY}T00"), format!("{DAY}T23"), 1));
    assert_eq!(window(&["--start", "2025-11-05T22", "--end", HOUR]), ("2025-11-05T22".into(), HOUR.into(), 2));
    assert_eq!(window(&["--date", DAY, "--shard", "2/3"]), (format!("{DAY}T08"), format!("{DAY}T15"), 1));
    let ran = status(&lab, &["--date", &hour.date().to_string()]);
    ran.exits(0);
    if hour.hour_of_day() < 23 {
        ran.says(&["future"]);
    }
}

#[test]
fn it_tells_the_requests_that_the_next_run_without_a_window_makes() {
    let failed = days_ago(3);
    let lab = Lab::faulty(&[&format!("hour={failed}T04:status=400")]);
    lab.run(&["--date", &failed]).exits(1);
    lab.run(&["--start", &format!("{}T00", days_ago(1)), "--end", &format!("{}T11", days_ago(1))]).exits(0);
    lab.server.clear_rules();
    // Also where the picture is of another window.
    for args in [&[][..], &["--date", DAY]] {
        let next = status(&lab, args).exits(0)["next"]["requests"].take();
        assert_eq!(next, lab.run(&["--dry-run"]).exits(0)["planned"]);
        assert_eq!(next[0], json!({"start": format!("{failed}T04"), "end": format!("{failed}T04")}));
        assert_eq!(next[1]["start"], format!("{}T12", days_ago(1)));
    }
    let only_yesterday = status(&lab, &["--repair-days", "0"]).exits(0);
    assert_eq!(only_yesterday["next"]["requests"].as_array().unwrap().len(), 1);
    lab.run(&[]).exits(0);
    assert_eq!(status(&lab, &[]).exits(0)["next"]["requests"], json!([]));
}

#[test]
fn hours_of_another_key_are_not_shown_as_this_ones_and_without_a_key_all_are() {
    let lab = Lab::new();
    lab.run(&["--date", DAY]).exits(0);
    lab.command(&["--start", HOUR, "--end", HOUR]).env("AMP_API_KEY", "another").run().exits(3);
    let look = |key: Option<&str>| {
        let run = lab.command(&["--status", "--date", DAY]).without("AMP_SECRET_KEY");
        let run = if let Some(key) = key { run.env("AMP_API_KEY", key) } else { run.without("AMP_API_KEY") };
        let document = run.run().exits(0);
        (["staged", "failed", "never_asked"].map(|state| total(&document, state)), document)
    };
    let (totals, own) = look(Some(lab.server.api_key()));
    assert_eq!((totals, &own["hours_of_others"]), ([24, 0, 0], &0.into()));
    let (totals, anothers) = look(Some("another"));
    assert_eq!((totals, &anothers["hours_of_others"]), ([0, 1, 23], &23.into()));
    let (totals, all) = look(None);
    assert_eq!(totals, [23, 1, 0], "what needs most attention");
    assert!(own["source"].is_string() && own["source"] != anothers["source"] && all["source"].is_null());
}

#[test]
fn without_a_ledger_it_says_so_and_leaves_no_trace() {
    let lab = Lab::new();
    let ran = lab.bare(&["--status"]).run();
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:#?}");
    assert!(ran.stdout.contains("No run has requested anything yet"), "{}", ran.stdout);
    assert!(ran.stdout.contains(&format!("{}T00..", days_ago(1))), "the next run's request: {}", ran.stdout);
    assert!(lab.names(".").is_empty(), "{:?}", lab.names("."));
    let document = lab.bare(&["--status", "--output", "json"]).run().exits(0);
    assert_eq!(total(&document, "never_asked"), 24 + u64::from(this_hour().hour_of_day()) + 1);
}

/// Every file below a directory, with its size and when it was changed.
fn traces(dir: &Path, into: &mut BTreeMap<String, (u64, std::time::SystemTime)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let (path, metadata) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
        into.insert(path.display().to_string(), (metadata.len(), metadata.modified().unwrap()));
        if metadata.is_dir() {
            traces(&path, into);
        }
    }
}

#[test]
fn what_an_earlier_run_downloaded_is_told_apart_from_what_is_requested() {
    let lab = Lab::new();
    let day = days_ago(1);
    lab.run(&["--date", &day, "--keep-archives"]).exits(0);
    let window = json!({"start": format!("{day}T00"), "end": format!("{day}T23")});
    let (next, planned) = (
        || status(&lab, &[]).exits(0)["next"].take(),
        |args: &[&str]| {
            let mut document = lab.command(&["--dry-run"]).args(args).run().exits(0);
            (document["planned"].take(), document["archives"].take())
        },
    );
    assert_eq!(next(), json!({"requests": [], "archives": []}), "it is staged");
    lab.staged_names().iter().for_each(|name| lab.remove(name));
    assert_eq!(next(), json!({"requests": [], "archives": [window]}));
    assert_eq!(planned(&[]), (json!([]), json!([window])));
    assert_eq!(planned(&["--force"]), (json!([window]), json!(null)));
    let shown = lab.for_people(&["--status"]).run().stdout;
    assert!(shown.contains("would request nothing") && shown.contains(&format!("  {day}T00..{day}T23")), "{shown}");
    let another = lab.command(&["--status"]).env("AMP_API_KEY", "another").run().exits(0)["next"].take();
    assert_eq!(another, json!({"requests": [window], "archives": []}), "an archive of another source");
    assert_eq!(lab.run(&[]).exits(0)["requests"], 0, "as announced");
    lab.staged_names().iter().for_each(|name| lab.remove(name));
    lab.write(&format!("downloaded_data/amplitude_{0}T00_{0}T23.zip", day.replace('-', "")), "damaged");
    assert_eq!(next(), json!({"requests": [window], "archives": []}));
}

#[test]
fn it_changes_nothing_and_waits_for_no_run() {
    let lab = Lab::new();
    lab.run(&["--date", DAY]).exits(0);
    let traces = || {
        let mut found = BTreeMap::new();
        traces(&lab.path("."), &mut found);
        found
    };
    let before = traces();
    status(&lab, &[]).exits(0);
    assert_eq!(traces(), before, "no log either");
    lab.rule(":stall");
    let running = lab.command(&["--date", DAY, "--force"]).spawn();
    wait_until("the request", || lab.asked().len() == 2);
    assert_eq!(total(&status(&lab, &["--date", DAY]).exits(0), "asked"), 24);
    running.signal("KILL");
    running.wait();
}

#[test]
fn a_damaged_line_is_told_with_its_file_and_number_and_the_rest_is_shown() {
    let lab = Lab::new();
    lab.run(&["--date", DAY]).exits(0);
    let path = "extracted_data/.amp/hours/2025-11-06.jsonl";
    let text = fs::read_to_string(lab.path(path)).unwrap();
    lab.write(path, text.replacen("{\"kind\":\"asked\"", "{\"kind\":\"as", 1));
    let ran = status(&lab, &["--date", DAY]);
    let document = ran.exits(0);
    ran.says(&["warning: ", path, "line 1"]);
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:#?}");
    assert_eq!((total(&document, "staged"), &document["damaged_lines"]), (24, &1.into()));
    let ran = lab.for_people(&["--status", "--date", DAY, "-qq"]).run();
    assert!(ran.stdout.contains("Damaged lines") && ran.stderr.is_empty(), "{ran:#?}");
    // So is one that can be read and makes no sense: no request is for more than a day.
    lab.write(path, text.replacen("\"end\":\"2025-11-06", "\"end\":\"2025-11-07", 1));
    let ran = status(&lab, &["--date", DAY]);
    assert_eq!(ran.exits(0)["damaged_lines"], 1);
    ran.says(&["warning: ", path, "line 1"]);
}
