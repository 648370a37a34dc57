//! What must hold after every command, and at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use amp_sandbox::time::Hour;
use serde_json::Value;

use crate::machine::{MANIFESTS, Machine};
use crate::reference::{DAYS, Model, all_days, day, lines};

/// Where rows are, by hour.
type Rows = BTreeMap<Hour, BTreeSet<Vec<u8>>>;

/// What is staged and what is in the bucket, each file of which Amplitude has or had so.
struct Found {
    here: Rows,
    there: BTreeMap<String, Vec<u8>>,
    manifests: Vec<Value>,
}

impl Found {
    fn new(machine: &Machine, model: &Model) -> Self {
        let mut found = Self { here: Rows::new(), there: BTreeMap::new(), manifests: Vec::new() };
        for entry in fs::read_dir(machine.staged()).into_iter().flatten() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name != ".amp" {
                found.take("staged", &name, &fs::read(entry.path()).unwrap(), model);
            }
        }
        for (key, bytes) in machine.objects() {
            if key.starts_with(MANIFESTS) {
                found.manifests.push(serde_json::from_slice(&bytes).unwrap());
            } else {
                found.take("in the bucket", &key, &bytes, model);
                found.there.insert(key, bytes);
            }
        }
        found
    }

    fn take(&mut self, place: &str, name: &str, bytes: &[u8], model: &Model) {
        let contents = model.contents.get(name);
        assert!(contents.is_some_and(|all| all.iter().any(|one| one == bytes)), "{name} {place}: never served so");
        self.here.entry(hour_of(name)).or_default().extend(lines(bytes));
    }

    fn is_complete(&self, hour: Hour, model: &Model) -> bool {
        let missing = |rows: &BTreeSet<Vec<u8>>| !self.here.get(&hour).is_some_and(|here| rows.is_subset(here));
        !model.rows.get(&hour).is_some_and(missing)
    }
}

/// The hour in a name such as `100011471_2025-11-06_9#0.json`.
fn hour_of(name: &str) -> Hour {
    let (date, rest) = name.split_once('_').unwrap().1.split_once('_').unwrap();
    day(date).start.plus(rest.split_once('#').unwrap().0.parse().unwrap())
}

pub(crate) fn after_command(machine: &Machine, model: &Model) {
    let found = Found::new(machine, model);
    for (hour, state) in machine.states(model) {
        match state.as_str() {
            "loaded" | "staged" => assert!(found.is_complete(hour, model), "{hour} is {state}, and rows are missing"),
            "no_data" => {
                let has_rows = model.rows.contains_key(&hour) && !machine.denied.contains(&hour);
                assert!(!has_rows, "{hour} is {state}, and Amplitude never said so");
            }
            // Nobody asked for it to be given up.
            "accepted" => panic!("{hour} is {state}"),
            _ => {}
        }
    }
    for manifest in &found.manifests {
        check_manifest(manifest, &found, machine, model);
    }
}

/// A manifest is of a complete day, and what it lists is there.
fn check_manifest(manifest: &Value, found: &Found, machine: &Machine, model: &Model) {
    let of = manifest["date"].as_str().unwrap();
    for hour in day(of).hours().filter(|hour| !machine.denied.contains(hour)) {
        assert!(found.is_complete(hour, model), "the manifest of {of} is there, and rows of {hour} are missing");
    }
    for file in manifest["files"].as_array().unwrap() {
        let key = file["key"].as_str().unwrap();
        assert!(found.there.contains_key(key), "the manifest of {of} lists {key}, which is not in the bucket");
        // Other bytes may have replaced those that it lists, as long as it has not been written again.
        let size = |bytes: &Vec<u8>| file["bytes"] == bytes.len() && file["lines"] == lines(bytes).len();
        assert!(model.contents[key].iter().any(size), "the manifest of {of} lists {key} as it never was");
    }
}

/// Everything is in the bucket, known to be, and listed.
pub(crate) fn after_finish(machine: &Machine, model: &Model) {
    let mut model = model.clone();
    model.wait(1_000);
    after_command(machine, &model);
    let found = Found::new(machine, &model);
    for (hour, state) in machine.states(&model) {
        let expected = if model.rows.contains_key(&hour) { "loaded" } else { "no_data" };
        let is_denied = machine.denied.contains(&hour) && state == "no_data";
        assert!(state == expected || is_denied, "{hour} is {state} after undisturbed calls");
    }
    for hour in all_days().hours().filter(|hour| !machine.denied.contains(hour)) {
        assert!(found.is_complete(hour, &model), "rows of {hour} are missing after undisturbed calls");
    }
    assert!(fs::read_dir(machine.staged()).unwrap().all(|entry| entry.unwrap().file_name() == ".amp"));
    let days: BTreeSet<&str> = found.manifests.iter().filter_map(|manifest| manifest["date"].as_str()).collect();
    // A clock that was behind had the day before them asked for, too.
    assert!(days.is_superset(&BTreeSet::from(DAYS)), "manifests of {days:?} only");
}
