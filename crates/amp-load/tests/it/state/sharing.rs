//! Machines that share a day, at the same moment or one after the other.

use std::fs;

use amp_core::ledger::{Ledger, Owners};
use amp_sandbox::s3::S3Op;

use super::{ON, RESTORE};
use crate::manifests::hours;
use crate::support::{FILES, Lab, begin, ended, events};

const BOTH: [&str; 4] = ["--state-prefix", "_state", "--manifest-prefix", "_manifests"];
const MANIFEST: &str = "_manifests/2025-11-06.json";

/// Two machines with half a day each.
fn halves() -> (Lab, Lab) {
    let first = Lab::new();
    let second = first.another_machine();
    first.fetch(hours(0, 8), &[(FILES[0], &events(FILES[0]))]);
    second.fetch(hours(9, 23), &[(FILES[1], &events(FILES[1])), (FILES[2], &events(FILES[2]))]);
    (first, second)
}

#[test]
fn who_loads_last_puts_the_manifest_of_a_day_that_two_machines_fetched() {
    let (first, second) = halves();
    let ended = first.run(&BOTH);
    assert_eq!((ended.code, &ended.document()["manifests"]), (Some(0), &0.into()), "{ended:?}");
    let ended = second.run(&BOTH);
    assert_eq!((ended.code, &ended.document()["manifests"]), (Some(0), &1.into()), "{ended:?}");
    let manifest: serde_json::Value = serde_json::from_slice(&first.object(MANIFEST).unwrap()).unwrap();
    assert_eq!((&manifest["totals"]["files"], &manifest["totals"]["lines"]), (&3.into(), &60.into()));
    // The next machine finds one object that says it all, and has nothing to do.
    let third = first.another_machine();
    assert_eq!(third.restore().restored()[0], 1);
    let from = first.server.requests().len();
    let ended = third.run(&BOTH);
    assert_eq!((ended.code, first.server.requests().len()), (Some(0), from), "{ended:?}");
}

#[test]
fn two_machines_that_load_at_the_same_moment_disturb_nobody() {
    let (first, second) = halves();
    let running = [&first, &second].map(|lab| begin(lab.command(&BOTH)));
    let manifests: u64 = running
        .map(ended)
        .into_iter()
        .map(|ended| {
            assert_eq!(ended.code, Some(0), "{ended:?}");
            ended.document()["manifests"].as_u64().unwrap()
        })
        .sum();
    assert!(manifests >= 1, "each puts its own state before it looks for the other's");
    let third = first.another_machine();
    third.restore();
    third.run(&BOTH);
    first.restore();
    assert_eq!(first.known(), third.known());
    assert_eq!(first.day_keys().len(), 1, "{:?}", first.day_keys());
}

#[test]
fn machines_that_find_the_same_said_twice_keep_the_same_object() {
    let (first, second) = halves();
    first.run(&ON);
    second.run(&ON);
    for lab in [&first, &second] {
        lab.restore();
    }
    for lab in [&first, &second] {
        assert_eq!(lab.run(&ON).state()["put"], 1);
    }
    let twice = first.day_keys();
    assert_eq!(twice.len(), 2, "{twice:?}");
    // Each reads another one first.
    let readers: Vec<Lab> = twice
        .iter()
        .map(|slow| {
            let reader = first.another_machine();
            first.rule(&format!("op=GetObject,key={slow},times=1:delay=500ms"));
            reader.restore();
            reader
        })
        .collect();
    for reader in &readers {
        reader.run(&ON);
    }
    assert_eq!(first.day_keys(), twice[..1], "the last one must not be deleted");
}

#[test]
fn a_restore_alone_puts_the_manifest() {
    let (first, second) = halves();
    first.run(&ON);
    second.run(&ON);
    let third = first.another_machine();
    let ended = third.run(&[&RESTORE[..], &["--manifest-prefix", "_manifests"]].concat());
    assert_eq!((ended.code, &ended.document()["manifests"]), (Some(0), &1.into()), "{ended:?}");
    assert!(first.object(MANIFEST).is_some());
    assert_eq!(first.another_machine().run(&BOTH).document()["manifests"], 0);
    let fourth = first.another_machine();
    let ended = fourth.run(&[&RESTORE[..], &["--manifest-prefix", "_manifests"]].concat());
    assert_eq!(ended.document()["manifests"], 0, "it knows that the manifest is there");
}

#[test]
fn while_amp_extract_is_at_work_others_are_not_merged() {
    let (first, second) = halves();
    first.run(&BOTH);
    let _lock = amp_core::stage::Staging::open(&second.extracted()).unwrap().lock("extract").unwrap();
    let ended = second.run(&[&BOTH[..], &["-v"]].concat());
    assert_eq!((ended.code, &ended.document()["manifests"]), (Some(0), &0.into()));
    assert!(ended.stderr.contains("amp-extract is at work"), "{}", ended.stderr);
}

#[test]
fn an_object_that_another_machine_folds_meanwhile_is_found_where_it_went() {
    let (first, second) = halves();
    first.run(&ON);
    second.run(&ON);
    // As if it were gone between the list and the read.
    first.rule("op=GetObject,key=_state/days,times=1:status=404,code=NoSuchKey");
    let third = first.another_machine();
    assert_eq!(third.restore().restored()[0], 1);
    assert_eq!(third.known().len(), first.known().len() + second.known().len());
    assert_eq!(first.count(S3Op::ListObjectsV2), 2);
}

#[test]
fn what_is_gone_from_the_bucket_is_put_again_by_a_machine_that_knows_it() {
    let lab = super::loaded();
    for key in lab.day_keys() {
        lab.server.delete_object_directly(crate::support::BUCKET, &format!("_state/{key}"));
    }
    lab.restore();
    assert_eq!(lab.run(&ON).state()["put"], 1);
    assert_eq!(lab.another_machine().restore().restored(), [1, 6, 0, 0]);
}

#[test]
fn a_ledger_that_was_lost_is_read_again_although_the_journal_has_it() {
    let lab = super::loaded();
    let known = lab.known();
    fs::remove_dir_all(lab.extracted().join(".amp/hours")).unwrap();
    assert_eq!(lab.restore().restored()[0], 1);
    assert_eq!(lab.known(), known);
}

#[test]
fn the_first_day_that_is_owed_outlives_any_one_object() {
    let lab = Lab::new();
    let staging = amp_core::stage::Staging::open(&lab.extracted()).unwrap();
    let record = amp_core::ledger::SourceRecord {
        time: chrono::Utc::now(),
        source: crate::manifests::source("key"),
        host: Some("h".into()),
        project: Some("7".into()),
        owed_from: Some("2025-10-01".parse().unwrap()),
    };
    Ledger::at(&staging.state_dir()).append_sources(&[record]).unwrap();
    lab.fetch_all(hours(0, 23));
    lab.run(&ON);
    let keys = lab.state_keys();
    assert_eq!(keys.len(), 3, "a day, the marker, the summary: {keys:?}");
    for lost in keys.iter().filter(|key| *key != "state.json") {
        let key = format!("_state/{lost}");
        let bytes = lab.object(&key).unwrap();
        lab.server.delete_object_directly(crate::support::BUCKET, &key);
        let other = lab.another_machine();
        other.restore();
        let ledger = Ledger::at(&other.extracted().join(".amp"));
        let markers: Vec<_> = Owners::read(&ledger).unwrap().markers().map(|(.., day)| day.to_string()).collect();
        assert_eq!(markers, ["2025-10-01"], "{lost}");
        lab.server.put_object_directly(crate::support::BUCKET, &key, &bytes).unwrap();
    }
}
