//! Events by the date of their `event_time`, as the ledger records them.

use std::collections::BTreeMap;
use std::fs;

use amp_sandbox::events::Dataset;
use serde_json::Value;

use crate::support::{DAY, Lab};

#[test]
fn the_ledger_records_how_many_events_of_each_file_are_of_which_date() {
    for format in ["json", "json.gz"] {
        let lab = Lab::with(|config| config.dataset = Dataset::new(7).parts_per_hour(2).events_per_part(400));
        lab.run(&["--date", DAY, "--format", format]).exits(0);
        let ledger = fs::read_to_string(lab.path(&format!("extracted_data/.amp/hours/{DAY}.jsonl"))).unwrap();
        let lines: Vec<Value> = ledger.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let files_of =
            |kind: &str| lines.iter().find(|line| line["kind"] == kind).unwrap()["files"].as_array().unwrap();
        assert!(files_of("staging").iter().all(|file| file.get("dates").is_none()), "it would be there twice");
        let mut late = 0;
        let expected = lab.expected(&[DAY]);
        assert_eq!(files_of("fetched").len(), expected.len());
        for file in files_of("fetched") {
            let events = &expected[file["name"].as_str().unwrap().trim_end_matches(".gz")];
            let mut dates = BTreeMap::<String, u64>::new();
            for line in std::str::from_utf8(events).unwrap().lines() {
                let event: Value = serde_json::from_str(line).unwrap();
                *dates.entry(event["event_time"].as_str().unwrap()[..10].to_owned()).or_default() += 1;
            }
            late += dates.iter().filter(|(date, _)| *date != DAY).map(|(_, events)| events).sum::<u64>();
            assert_eq!(file["dates"], serde_json::json!(dates), "{file}");
        }
        assert!(late > 0, "the events of the sandbox are not all of the day on which they arrived");
    }
}
