//! The state in the bucket: what is put, what another machine learns from it, and what becomes of it when it is stale, lost or damaged.

mod disasters;
mod refusals;
mod seaweedfs;
mod sharing;

use std::fs;

use amp_core::ledger::{DoneDay, Ledger, LedgerPositions, Owners, Partition, SourceRecord, append_done_days};
use amp_core::stage::Staging;
use amp_sandbox::s3::S3Op;
use chrono::Utc;
use serde_json::Value;

use crate::manifests::{hours, source};
use crate::support::{BUCKET, Ended, FILES, Lab};

const ON: [&str; 2] = ["--state-prefix", "_state"];
const RESTORE: [&str; 5] = ["--restore", "--state-prefix", "_state", "--days", "3650"];

impl Lab {
    /// The keys below the state prefix, without it.
    fn state_keys(&self) -> Vec<String> {
        let objects = self.server.objects(BUCKET).into_iter();
        objects.filter_map(|object| object.key.strip_prefix("_state/").map(str::to_owned)).collect()
    }

    /// The keys of the objects of the day.
    fn day_keys(&self) -> Vec<String> {
        self.state_keys().into_iter().filter(|key| key.starts_with("days/")).collect()
    }

    /// What the ledger here says of the day, without what means something on one machine alone.
    fn known(&self) -> Vec<String> {
        let ledger = Ledger::at(&self.extracted().join(".amp"));
        let lines = ledger.lines(Partition::named("2025-11-06").unwrap()).unwrap();
        lines.hours.portable().chain(lines.loads.portable()).map(str::to_owned).collect()
    }

    fn restore(&self) -> Ended {
        self.run(&RESTORE)
    }

    /// How often state objects were asked for since the `from`th request, by operation.
    fn asked(&self, from: usize) -> Vec<(S3Op, String)> {
        let requests = self.server.requests().into_iter().skip(from);
        requests
            .filter(|request| request.key.starts_with("_state/") || request.op == S3Op::ListObjectsV2)
            .map(|request| (request.op, request.key))
            .collect()
    }
}

impl Ended {
    fn state(&self) -> Value {
        self.document()["state"].clone()
    }

    /// Days read, new lines, objects not read and objects of others.
    fn restored(&self) -> [u64; 4] {
        let restored = &self.state()["restored"];
        ["days", "lines", "unread", "foreign"].map(|name| restored[name].as_u64().unwrap_or_else(|| panic!("{self:?}")))
    }
}

/// A laboratory whose machine loaded a whole day and put its state.
fn loaded() -> Lab {
    let lab = Lab::new();
    lab.fetch_all(hours(0, 23));
    let ended = lab.run(&ON);
    assert_eq!(ended.counts(), (0, [3, 3, 0, 0, 3]), "{ended:?}");
    assert_eq!(ended.state().to_string(), r#"{"deleted":0,"put":1}"#);
    lab
}

#[test]
fn an_empty_disk_learns_what_another_machine_did() {
    let lab = loaded();
    let keys = lab.state_keys();
    assert!(keys[0].starts_with("days/2025-11-06/") && keys[1..] == ["state.json"], "{keys:?}");
    let other = lab.another_machine();
    let ended = other.restore();
    assert_eq!((ended.code, ended.restored()), (Some(0), [1, 6, 0, 0]), "{ended:?}");
    assert_eq!(other.known(), lab.known());
    let ledger = Ledger::at(&other.extracted().join(".amp"));
    let loaded = ledger.loaded_digests(Partition::named("2025-11-06").unwrap()).unwrap();
    assert_eq!(loaded.len(), FILES.len());
    // Once more, nothing new comes and no object is read again.
    let from = lab.server.requests().len();
    let ended = other.restore();
    assert_eq!((ended.restored(), &ended.document()["outcome"]), ([0; 4], &"empty".into()));
    assert_eq!(lab.asked(from).into_iter().map(|(op, _)| op).collect::<Vec<_>>(), [S3Op::ListObjectsV2]);
}

#[test]
fn state_is_put_once_and_confirmed_like_data() {
    let lab = Lab::new();
    lab.fetch_all(hours(0, 23));
    lab.run(&[&ON[..], &["--storage-class", "GLACIER", "--sse", "AES256"]].concat());
    let put: Vec<_> = lab.requests(S3Op::PutObject).into_iter().filter(|put| put.key.starts_with("_state/")).collect();
    assert_eq!(put.len(), 2, "the marker and the day");
    assert!(put.iter().all(|put| put.header("x-amz-checksum-crc64nvme").is_some()));
    let object = lab.server.object(BUCKET, &put[1].key).unwrap();
    assert_eq!(
        (object.storage_class.as_deref(), object.sse.as_deref()),
        (None, Some("AES256")),
        "it is read again soon"
    );
    let from = lab.server.requests().len();
    assert_eq!(lab.run(&ON).counts(), (0, [0; 5]));
    assert_eq!(lab.server.requests().len(), from, "nothing is new: no network");
}

#[test]
fn no_event_no_key_and_nothing_of_one_machine_alone_is_in_it() {
    let lab = loaded();
    let text: String = lab
        .day_keys()
        .iter()
        .map(|key| String::from_utf8(lab.object(&format!("_state/{key}")).unwrap()).unwrap())
        .collect();
    for secret in ["SANDBOXACCESSKEY", "sandbox/secret", "\"file\":\\\"", "inode", "mtime", "marks", "uploads"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    assert_eq!(text.lines().count(), 6);
}

#[test]
fn what_failed_upload_left_undone_is_not_done_elsewhere() {
    let lab = Lab::new();
    lab.fetch_all(hours(0, 23));
    lab.rule("op=PutObject,key=_9#1:status=400,code=EntityTooLarge");
    assert_eq!(lab.run(&ON).counts(), (1, [3, 2, 0, 1, 2]));
    let other = lab.another_machine();
    other.restore();
    let ledger = Ledger::at(&other.extracted().join(".amp"));
    let loaded = ledger.loaded_digests(Partition::named("2025-11-06").unwrap()).unwrap();
    assert!(!loaded.iter().any(|(file, _)| file == FILES[2]), "it vanished there, and is fetched again");
}

#[test]
fn state_that_could_not_be_put_is_put_by_the_next_run() {
    let lab = Lab::new();
    lab.fetch_all(hours(0, 23));
    lab.rule("op=PutObject,key=_state/days,times=2:status=503");
    let ended = lab.run(&[&ON[..], &["--max-retries", "1"]].concat());
    assert_eq!(ended.counts(), (1, [3, 3, 0, 0, 3]), "{ended:?}");
    assert!(ended.error(0).contains("the state of this run is not in the bucket"), "{ended:?}");
    assert!(lab.day_keys().is_empty());
    let ended = lab.run(&ON);
    assert_eq!((ended.code, &ended.state()["put"]), (Some(0), &1.into()), "{ended:?}");
    assert_eq!(lab.another_machine().restore().restored(), [1, 6, 0, 0]);
}

#[test]
fn a_newer_object_takes_the_place_of_those_whose_lines_it_has() {
    let lab = loaded();
    let first = lab.day_keys();
    lab.ask(hours(9, 9));
    lab.rule("op=PutObject,key=_state/days,times=1:status=400,code=EntityTooLarge");
    assert_eq!(lab.run(&ON).code, Some(1));
    assert_eq!(lab.day_keys(), first, "nothing is deleted before its lines are elsewhere");
    let ended = lab.run(&ON);
    assert_eq!(ended.state().to_string(), r#"{"deleted":1,"put":1}"#);
    let second = lab.day_keys();
    assert!(second.len() == 1 && second != first);
    let other = lab.another_machine();
    other.restore();
    assert_eq!(other.known(), lab.known());
}

#[test]
fn restoring_loses_no_line_that_is_here() {
    let lab = loaded();
    let other = lab.another_machine();
    other.ask(hours(5, 5));
    other.copy_in(".amp/hours/2025-11-05.jsonl", b"{\"kind\":\"fetc\n");
    let before = other.known();
    other.restore();
    let after = other.known();
    assert!(before.iter().chain(&lab.known()).all(|line| after.contains(line)));
    assert_eq!(fs::read(other.extracted().join(".amp/hours/2025-11-05.jsonl")).unwrap(), b"{\"kind\":\"fetc\n");
    // Both then know the same, and the objects of both are folded into one.
    let ended = other.run(&ON);
    assert_eq!(ended.state().to_string(), r#"{"deleted":1,"put":1}"#, "{ended:?}");
    lab.restore();
    assert_eq!(lab.known(), after);
}

#[test]
fn a_day_that_is_done_is_not_read_when_it_is_old_and_one_that_is_not_is() {
    let lab = loaded();
    let staging = Staging::open(&lab.extracted()).unwrap();
    let ledger = Ledger::at(&staging.state_dir());
    let owned = SourceRecord {
        time: Utc::now(),
        source: source("key"),
        host: Some("h".into()),
        project: Some("7".into()),
        owed_from: Some("2025-11-06".parse().unwrap()),
    };
    ledger.append_sources(&[owned]).unwrap();
    let day = Partition::named("2025-11-06").unwrap();
    let owner = Owners::read(&ledger).unwrap().owner_of(&source("key"));
    let done =
        DoneDay { day: "2025-11-06".parse().unwrap(), owner: owner.clone(), positions: ledger.positions(day).unwrap() };
    append_done_days(&staging.state_dir(), &[done]).unwrap();
    assert_eq!(lab.run(&ON).state()["put"], 1, "the summary");

    // Of the last 35 days there is none.
    let other = lab.another_machine();
    let ended = other.run(&["--restore", "--state-prefix", "_state"]);
    assert_eq!(ended.restored(), [0, 1, 0, 0], "the source alone: {ended:?}");
    let found = fs::read_to_string(other.extracted().join(".amp/done.jsonl")).unwrap();
    let found: DoneDay = serde_json::from_str(&found).unwrap();
    assert_eq!((found.owner, found.positions), (owner, LedgerPositions::default()));
    let from = lab.server.requests().len();
    assert_eq!(other.run(&ON).state(), Value::Null, "it has nothing to add");
    assert_eq!(lab.server.requests().len(), from);

    // Something happens to the day on a third machine: from then on it is read.
    let third = lab.another_machine();
    third.ask(hours(9, 9));
    third.run(&ON);
    let ended = lab.another_machine().run(&["--restore", "--state-prefix", "_state"]);
    assert_eq!(ended.restored()[0], 1, "{ended:?}");
}
