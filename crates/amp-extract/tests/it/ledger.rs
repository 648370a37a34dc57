//! What is done is not fetched again, and what is not done is.

use std::fs;

use crate::support::{DAY, HOUR, Lab, hours, this_hour, wait_until};

const FILE: &str = "100011471_2025-11-06_4#0.json";

#[test]
fn hours_that_are_done_are_skipped_with_a_line_that_says_so() {
    let lab = Lab::new();
    lab.run(&["--date", DAY]).exits(0);
    let ran = lab.command(&["--date", DAY, "-v"]).run();
    let document = ran.exits(0);
    assert_eq!(lab.server.requests().len(), 1);
    assert_eq!(hours(&document), [24, 0, 0, 24, 0, 0]);
    assert_eq!((&document["outcome"], &document["requests"]), (&"complete".into(), &0.into()));
    ran.says(&["2025-11-06T00..2025-11-06T23", "skipped", "--force"]);
    let table = lab.for_people(&["--date", DAY]).run();
    assert!(table.stdout.contains("skipped") && table.stdout.contains("--force"), "{}", table.stdout);
}

#[test]
fn force_fetches_again_what_is_done_and_replaces_what_changed() {
    let lab = Lab::new();
    lab.run(&["--date", DAY]).exits(0);
    let other = amp_sandbox::events::Dataset::new(8).parts_per_hour(1).events_per_part(3);
    lab.server.set_dataset(other.clone());
    let document = lab.run(&["--date", DAY, "--force"]).exits(0);
    assert_eq!(hours(&document), [24, 24, 0, 0, 0, 0]);
    assert_eq!(lab.server.requests().len(), 2);
    assert_eq!(lab.staged()[FILE], other.bytes_of(HOUR.parse().unwrap(), 0));
}

#[test]
fn a_part_that_a_later_export_of_the_hour_lacks_is_named() {
    let parts = |parts| amp_sandbox::events::Dataset::new(8).parts_per_hour(parts).events_per_part(3);
    let lab = Lab::with(|config| config.dataset = parts(2));
    lab.run(&["--start", HOUR, "--end", HOUR]).exits(0);
    lab.server.set_dataset(parts(1));
    let ran = lab.run(&["--start", HOUR, "--end", HOUR, "--force"]);
    ran.exits(0);
    ran.says(&["100011471_2025-11-06_4#1.json", "may be duplicated"]);
    assert_eq!(lab.staged().len(), 2, "nothing is deleted on a guess");
}

#[test]
fn what_was_loaded_in_its_place_by_leave_is_not_fetched_again() {
    let lab = Lab::new();
    lab.run(&["--date", DAY]).exits(0);
    lab.load(FILE);
    let path = lab.path("extracted_data/.amp/loads/2025-11-06.jsonl");
    let mut record: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    record["in_place_of"] = serde_json::json!([{"bytes": record["bytes"], "crc64nvme": record["crc64nvme"]}]);
    record["bytes"] = 1.into();
    fs::write(&path, format!("{record}\n")).unwrap();
    let document = lab.run(&["--date", DAY]).exits(0);
    assert_eq!(hours(&document), [24, 0, 0, 24, 0, 0]);
}

#[test]
fn an_hour_that_has_no_data_is_done_too() {
    let lab = Lab::with(|config| config.dataset = config.dataset.clone().only("2025-11-01".parse().unwrap()));
    lab.run(&["--date", DAY]).exits(0);
    let document = lab.run(&["--date", DAY]).exits(0);
    assert_eq!(hours(&document), [24, 0, 0, 24, 0, 0]);
}

#[test]
fn a_staged_file_that_vanished_is_fetched_again() {
    let lab = Lab::new();
    lab.run(&["--date", DAY]).exits(0);
    fs::remove_file(lab.path("extracted_data").join(FILE)).unwrap();
    let ran = lab.run(&["--date", DAY]);
    assert_eq!(hours(&ran.exits(0)), [24, 1, 0, 23, 0, 0]);
    assert_eq!(lab.asked()[1..], ["20251106T04-20251106T04"]);
    ran.says(&[FILE, "gone"]);
    lab.assert_staged(&[DAY]);
}

#[test]
fn a_file_that_was_loaded_is_not_fetched_again() {
    let lab = Lab::new();
    lab.run(&["--date", DAY]).exits(0);
    lab.load(FILE);
    let document = lab.run(&["--date", DAY]).exits(0);
    assert_eq!(hours(&document), [24, 0, 0, 24, 0, 0]);
    assert_eq!(lab.server.requests().len(), 1);
}

#[test]
fn a_record_of_other_bytes_under_the_same_name_does_not_make_an_hour_done() {
    let lab = Lab::new();
    lab.run(&["--date", DAY]).exits(0);
    lab.load(FILE);
    let loads = lab.path("extracted_data/.amp/loads/2025-11-06.jsonl");
    let record = fs::read_to_string(&loads).unwrap();
    let bytes = format!("\"bytes\":{}", lab.dataset.bytes_of(HOUR.parse().unwrap(), 0).len());
    assert!(record.contains(&bytes), "{record}");
    fs::write(&loads, record.replace(&bytes, "\"bytes\":1")).unwrap();
    assert_eq!(hours(&lab.run(&["--date", DAY]).exits(0)), [24, 1, 0, 23, 0, 0]);
}

#[test]
fn one_file_of_an_hour_loaded_and_the_other_vanished_makes_the_hour_not_done() {
    let lab = Lab::with(|config| config.dataset = config.dataset.clone().parts_per_hour(2));
    lab.run(&["--start", HOUR, "--end", HOUR]).exits(0);
    lab.load(FILE);
    fs::remove_file(lab.path("extracted_data/100011471_2025-11-06_4#1.json")).unwrap();
    assert_eq!(lab.run(&["--start", HOUR, "--end", HOUR]).exits(0)["requests"], 1);
}

#[test]
fn an_hour_of_another_project_is_not_done() {
    let lab = Lab::new();
    lab.run(&["--start", HOUR, "--end", HOUR]).exits(0);
    let ran = lab.command(&["--start", HOUR, "--end", HOUR]).env("AMP_API_KEY", "another").run();
    ran.exits(3);
    assert_eq!(lab.server.requests().len(), 2);
}

#[test]
fn hours_fetched_before_they_settled_are_staged_and_reported_and_not_done() {
    let lab = Lab::new();
    let hour = this_hour();
    let (start, end) = (hour.plus(-4).to_string(), hour.to_string());
    let ran = lab.run(&["--start", &start, "--end", &end]);
    let document = ran.exits(0);
    assert_eq!(hours(&document), [5, 5, 0, 0, 0, 3]);
    ran.says(&["warning: ", &format!("{}..{end}", hour.plus(-2)), "not yet settled"]);
    lab.assert_staged(&[&format!("{start}..{end}")]);
    let again = lab.run(&["--start", &start, "--end", &end]).exits(0);
    assert_eq!(hours(&again), [5, 3, 0, 2, 0, 3]);
}

#[test]
fn an_hour_of_which_an_unsettled_look_found_nothing_is_not_done() {
    let lab = Lab::with(|config| config.dataset = config.dataset.clone().only("2025-11-01".parse().unwrap()));
    let hour = this_hour().to_string();
    let document = lab.run(&["--start", &hour, "--end", &hour]).exits(0);
    assert_eq!(hours(&document), [1, 0, 1, 0, 0, 1]);
    assert_eq!(lab.run(&["--start", &hour, "--end", &hour]).exits(0)["requests"], 1);
}

#[test]
fn a_ledger_line_cut_short_by_a_crash_costs_no_more_than_its_own_hours() {
    let lab = Lab::new();
    lab.run(&["--start", "2025-11-06T00", "--end", "2025-11-06T03"]).exits(0);
    lab.run(&["--start", HOUR, "--end", HOUR]).exits(0);
    let path = lab.path("extracted_data/.amp/hours/2025-11-06.jsonl");
    let text = fs::read(&path).unwrap();
    fs::write(&path, &text[..text.len() - 20]).unwrap();
    let ran = lab.run(&["--start", "2025-11-06T00", "--end", HOUR]);
    assert_eq!(hours(&ran.exits(0)), [5, 1, 0, 4, 0, 0]);
    ran.says(&["warning: ", "2025-11-06.jsonl", "damaged"]);
    let again = lab.run(&["--start", "2025-11-06T00", "--end", HOUR]).exits(0);
    assert_eq!(hours(&again)[3], 5, "what was noted behind the torn line is read");
    lab.assert_staged(&["2025-11-06T00..2025-11-06T04"]);
}

#[test]
fn a_line_of_a_newer_version_is_said_to_be_one_in_every_file() {
    for file in ["hours/2025-11-06.jsonl", "loads/2025-11-06.jsonl", "sources.jsonl"] {
        let lab = Lab::new();
        lab.run(&["--start", HOUR, "--end", HOUR]).exits(0);
        let file = format!("extracted_data/.amp/{file}");
        let text = fs::read_to_string(lab.path(&file)).unwrap_or_default();
        lab.write(&file, text + "{\"kind\":\"archived\",\"at\":\"2025-11-07T00:00:00Z\",\"shelf\":3}\n");
        let ran = lab.run(&["--start", HOUR, "--end", HOUR]);
        assert_eq!(hours(&ran.exits(0)), [1, 0, 0, 1, 0, 0], "the other lines count");
        ran.says(&["warning: ", &file, "is of a newer version (kind `archived`)"]).does_not_say(&["damaged"]);
    }
}

#[test]
fn a_ledger_of_rubbish_costs_a_fetch_and_no_data() {
    let lab = Lab::new();
    lab.run(&["--start", HOUR, "--end", HOUR]).exits(0);
    lab.write("extracted_data/.amp/hours/2025-11-06.jsonl", b"\xff\x00{}\n[1,2]\n{\"kind\":\"new\"}\n");
    assert_eq!(hours(&lab.run(&["--start", HOUR, "--end", HOUR]).exits(0)), [1, 1, 0, 0, 0, 0]);
    lab.assert_staged(&[HOUR]);
}

#[test]
fn what_was_asked_for_is_on_record_before_the_answer_comes() {
    let lab = Lab::faulty(&[":stall"]);
    let running = lab.command(&["--date", DAY]).spawn();
    wait_until("the request", || !lab.server.requests().is_empty());
    running.signal("KILL");
    running.wait();
    let ledger = fs::read_to_string(lab.path("extracted_data/.amp/hours/2025-11-06.jsonl")).unwrap();
    assert!(ledger.contains("\"asked\""), "{ledger}");
}
