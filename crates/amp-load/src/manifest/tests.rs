use amp_core::checksum::{Digest, Digester};
use amp_core::ledger::{HourRecord, Ledger, LoadRecord, LostRecord, Owners, Partition, SourceId, SourceRecord};
use amp_core::receipt::{Algorithm, Checksum, Proof};
use amp_core::secret::Secret;
use amp_core::stage::Staging;
use chrono::{DateTime, Utc};
use tempfile::TempDir;

use super::*;
use crate::key::KeyTemplate;

const AT: DateTime<Utc> = DateTime::UNIX_EPOCH;
const FIRST: &str = "7_2025-11-06_9#0.json";
const SECOND: &str = "7_2025-11-06_9#1.json";

fn day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2025, 11, 6).unwrap()
}

fn digest(text: &str) -> Digest {
    let mut digester = Digester::default();
    digester.update(text.as_bytes());
    digester.digest()
}

fn file(name: &str, text: &str) -> FileRecord {
    FileRecord { name: name.into(), digest: digest(text), lines: 2, dates: None, rows: None, identity: None }
}

fn load(name: &str, text: &str) -> LoadRecord {
    LoadRecord {
        time: AT,
        file: name.into(),
        digest: digest(text),
        bucket: "lake".into(),
        key: format!("raw/{name}"),
        endpoint: None,
        checksum: Checksum { algorithm: Algorithm::Sha256, value: "x".into() },
        proof: Proof::Checksum,
        etag: None,
        version_id: None,
        in_place_of: vec![],
    }
}

/// A ledger under one key after another.
struct Book {
    _dir: TempDir,
    ledger: Ledger,
}

impl Book {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(&Staging::open(dir.path()).unwrap().state_dir());
        Self { _dir: dir, ledger }
    }

    fn source(key: &str) -> SourceId {
        SourceId::new("amplitude.com", &Secret::new(key.into()))
    }

    fn window(first: u32, last: u32) -> HourWindow {
        let hour = |hour| Hour::of_date(day(), hour).unwrap();
        HourWindow::new(hour(first), hour(last)).unwrap()
    }

    fn asked(&self, key: &str, hours: (u32, u32)) {
        let window = Self::window(hours.0, hours.1);
        self.ledger.append(day(), &HourRecord::Asked { time: AT, window, source: Self::source(key) }).unwrap();
    }

    fn fetched(&self, key: &str, hours: (u32, u32), unsettled: &[u32], files: Vec<FileRecord>) {
        let unsettled = unsettled.iter().map(|hour| Hour::of_date(day(), *hour).unwrap()).collect();
        let (window, source) = (Self::window(hours.0, hours.1), Self::source(key));
        let record =
            HourRecord::Fetched { time: AT, window, source, requested_at: AT, unsettled, no_data: vec![], files };
        self.ledger.append(day(), &record).unwrap();
    }

    fn whole(&self) -> Result<CompleteDay, Incomplete> {
        CompleteDay::of(
            &ManifestId { day: day(), project: None },
            &self.ledger.hours(Partition::Day(day()), &Owners::read(&self.ledger).unwrap()).unwrap(),
        )
    }

    fn said(&self, loads: &[LoadRecord], template: &str) -> Result<serde_json::Value, Incomplete> {
        let book = Self::new();
        let other = &book.ledger;
        other.append_loads(loads).unwrap();
        let keys = KeyTemplate::parse("raw/", template).unwrap();
        let to = Destination { bucket: "lake".into(), endpoint: None, keys };
        let mut listing = Listing::of(self.whole()?, &to, "_manifests/2025-11-06.json")?;
        listing.read(other, Partition::Day(day())).unwrap();
        match listing.lacks(other).unwrap() {
            Some(why) => Err(why),
            None => Ok(serde_json::to_value(listing.manifest(other).unwrap()).unwrap()),
        }
    }
}

fn why<T: std::fmt::Debug>(result: Result<T, Incomplete>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_manifest_says_what_the_day_holds_and_nothing_of_the_run() {
    let book = Book::new();
    book.fetched("a", (0, 23), &[], vec![file(SECOND, "{}\n"), file(FIRST, "")]);
    let (etag, version_id) = (Some("e-2".into()), Some("v1".into()));
    let second = LoadRecord { proof: Proof::Etag, etag, version_id, ..load(SECOND, "{}\n") };
    let said = book.said(&[load(FIRST, ""), second], "{file}").unwrap();
    assert_eq!((&said["version"], &said["date"], &said["bucket"]), (&1.into(), &"2025-11-06".into(), &"lake".into()));
    assert_eq!(said["hours"].as_array().unwrap().len(), 24);
    assert_eq!(said["hours"][8].to_string(), r#"{"data":false,"hour":"2025-11-06T08"}"#);
    assert_eq!(said["hours"][9]["data"], true);
    let crc = digest("{}\n").crc64nvme.to_string();
    assert_eq!(
        said["files"][1],
        serde_json::json!({"key": format!("raw/{SECOND}"), "bytes": 3, "lines": 2, "crc64nvme": crc,
            "proof": "etag", "etag": "e-2", "version_id": "v1"})
    );
    assert_eq!(said["files"][0]["proof"], "checksum");
    assert!(said["files"][0].get("etag").is_none() && said["files"][0].get("version_id").is_none());
    let totals =
        serde_json::json!({"files": 2, "bytes": 3, "lines": 4, "hours_with_data": 1, "hours_without_data": 23});
    assert_eq!(said["totals"], totals);
}

#[test]
fn events_by_date_add_up_where_they_are_known_of_every_file() {
    let book = Book::new();
    let dated = |name, dates: &str| FileRecord { dates: serde_json::from_str(dates).unwrap(), ..file(name, "1") };
    let both = [load(FIRST, "1"), load(SECOND, "1")];
    let first = dated(FIRST, r#"{"2025-11-05":1,"2025-11-06":1}"#);
    book.fetched("a", (0, 23), &[], vec![first.clone(), dated(SECOND, r#"{"2025-11-06":1,"unknown":1}"#)]);
    let said = book.said(&both, "{file}").unwrap();
    assert_eq!(said["dates"], serde_json::json!({"2025-11-05": 1, "2025-11-06": 2, "unknown": 1}));
    let accepted = LoadRecord { in_place_of: vec![digest("1")], ..load(FIRST, "changed") };
    assert!(book.said(&[accepted, both[1].clone()], "{file}").unwrap().get("dates").is_none());
    book.fetched("a", (9, 9), &[], vec![first, file(SECOND, "1")]);
    assert!(book.said(&both, "{file}").unwrap().get("dates").is_none(), "an earlier version fetched one of them");
    let empty = Book::new();
    empty.fetched("a", (0, 23), &[], vec![]);
    assert_eq!(empty.said(&[], "{file}").unwrap()["dates"], serde_json::json!({}));
}

#[test]
fn every_hour_must_be_done() {
    let book = Book::new();
    assert_eq!(book.whole().unwrap_err(), Incomplete::Unknown);
    book.asked("a", (0, 23));
    book.fetched("a", (0, 22), &[3], vec![file(FIRST, "")]);
    assert!(why(book.whole()).contains("2025-11-06T03") && why(book.whole()).contains("settled"));
    book.fetched("a", (3, 3), &[], vec![]);
    assert!(why(book.whole()).contains("2025-11-06T23") && why(book.whole()).contains("requested"));
    let failed = HourRecord::Failed {
        time: AT,
        window: Book::window(23, 23),
        source: Book::source("a"),
        error: "HTTP 400".into(),
    };
    book.ledger.append(day(), &failed).unwrap();
    assert!(why(book.whole()).contains("HTTP 400"));
    book.ledger.append(day(), &HourRecord::Split { time: AT, window: Book::window(0, 23), status: 504 }).unwrap();
    book.fetched("a", (23, 23), &[], vec![]);
    assert_eq!(book.whole().unwrap().files.len(), 1);
    book.asked("a", (9, 9));
    assert!(why(book.whole()).contains("2025-11-06T09"), "an hour that is asked for again is not done");
}

#[test]
fn each_source_that_delivered_must_be_done_and_no_other() {
    let book = Book::new();
    book.asked("wrong key", (0, 23));
    book.fetched("a", (0, 23), &[], vec![file(FIRST, "")]);
    assert!(book.whole().is_ok());
    book.fetched("b", (9, 9), &[], vec![file("8_2025-11-06_9#0.json", "")]);
    assert!(why(book.whole()).contains("no run has requested"), "{}", why(book.whole()));
    book.fetched("b", (0, 8), &[], vec![]);
    book.fetched("b", (10, 23), &[], vec![]);
    assert_eq!(book.whole().unwrap().files.len(), 2);
    book.asked("b", (9, 9));
    assert!(book.whole().is_err(), "it has delivered, whatever becomes of it now");
}

#[test]
fn a_day_without_data_needs_one_source_that_is_done() {
    let book = Book::new();
    book.asked("a", (0, 23));
    book.fetched("b", (0, 22), &[], vec![]);
    assert!(book.whole().is_err());
    book.fetched("b", (23, 23), &[], vec![]);
    let said = book.said(&[], "{file}").unwrap();
    assert_eq!((&said["files"], &said["totals"]["hours_without_data"]), (&serde_json::json!([]), &24.into()));
    assert_eq!(said["totals"]["lines"], 0);
}

#[test]
fn a_day_without_data_needs_the_source_that_was_asked_last() {
    let book = Book::new();
    book.fetched("wrong region", (0, 23), &[], vec![]);
    assert!(book.whole().is_ok());
    book.asked("a", (0, 23));
    assert!(why(book.whole()).contains("has not arrived yet"), "{}", why(book.whole()));
    book.fetched("a", (0, 23), &[], vec![]);
    assert!(book.whole().is_ok());
}

#[test]
fn only_the_newest_fetch_counts() {
    let book = Book::new();
    book.fetched("a", (0, 23), &[], vec![file(FIRST, "1"), file(SECOND, "2")]);
    book.fetched("a", (9, 9), &[], vec![file(FIRST, "3")]);
    let old = [load(FIRST, "1"), load(SECOND, "2")];
    assert_eq!(book.said(&old, "{file}").unwrap_err(), Incomplete::Unloaded(FIRST.into()));
    let said = book.said(&[&old[..], &[load(FIRST, "3")]].concat(), "{file}").unwrap();
    assert_eq!((said["files"].as_array().unwrap().len(), &said["files"][0]["bytes"]), (1, &1.into()));
}

#[test]
fn a_file_under_publication_is_nobodys() {
    let book = Book::new();
    book.fetched("a", (0, 23), &[], vec![file(FIRST, "1")]);
    book.ledger.append(day(), &HourRecord::Staging { time: AT, window: None, files: vec![file(FIRST, "2")] }).unwrap();
    assert_eq!(book.whole().unwrap_err(), Incomplete::Replaced(FIRST.into()));
}

#[test]
fn what_was_accepted_is_listed_as_it_is_and_its_lines_are_unknown() {
    let book = Book::new();
    book.fetched("a", (0, 23), &[], vec![file(FIRST, "1"), file(SECOND, "2")]);
    let accepted = LoadRecord { in_place_of: vec![digest("1")], ..load(FIRST, "changed") };
    let said = book.said(&[accepted, load(SECOND, "2")], "{file}").unwrap();
    assert_eq!((&said["files"][0]["bytes"], &said["files"][0]["lines"]), (&7.into(), &serde_json::Value::Null));
    assert_eq!((&said["totals"]["bytes"], &said["totals"]["lines"]), (&8.into(), &serde_json::Value::Null));
}

#[test]
fn what_was_last_loaded_elsewhere_or_overwritten_is_not_confirmed_here() {
    let book = Book::new();
    book.fetched("a", (0, 23), &[], vec![file(FIRST, "1")]);
    for elsewhere in [
        LoadRecord { bucket: "pond".into(), ..load(FIRST, "1") },
        LoadRecord { endpoint: Some("http://minio".into()), ..load(FIRST, "1") },
        LoadRecord { key: FIRST.into(), ..load(FIRST, "1") },
    ] {
        let said = book.said(&[load(FIRST, "1"), elsewhere.clone()], "{file}");
        assert!(why(said).contains(&elsewhere.key), "{elsewhere:?}");
        assert!(book.said(&[elsewhere, load(FIRST, "1")], "{file}").is_ok());
    }
    let hand = LoadRecord { key: format!("raw/{FIRST}"), ..load("7_2025-11-06_10#0.json", "x") };
    assert!(why(book.said(&[load(FIRST, "1"), hand], "{file}")).contains("7_2025-11-06_10#0.json"));
}

impl Book {
    /// Notes that `key` is one of the project of all files here.
    fn of_project(&self, key: &str) {
        let (source, project) = (Self::source(key), Some("7".to_owned()));
        let record = SourceRecord { time: AT, source, host: Some("amplitude.com".into()), project, owed_from: None };
        self.ledger.append_sources(&[record]).unwrap();
    }
}

#[test]
fn another_key_of_the_project_makes_whole_what_one_that_is_gone_left() {
    let book = Book::new();
    book.fetched("gone", (0, 9), &[], vec![file(FIRST, "")]);
    book.asked("gone", (10, 23));
    book.fetched("new", (10, 23), &[], vec![file("7_2025-11-06_11#0.json", "")]);
    assert!(why(book.whole()).contains("hour 2025-11-06T"));
    ["gone", "new"].iter().for_each(|key| book.of_project(key));
    assert_eq!(book.whole().unwrap().files.len(), 2);
}

#[test]
fn a_key_that_never_delivered_does_not_hold_back_the_empty_day_of_a_project() {
    let book = Book::new();
    book.fetched("right", (0, 23), &[], vec![]);
    book.asked("wrong", (0, 23));
    assert!(why(book.whole()).contains("requested and has not arrived yet"));
    book.of_project("right");
    assert!(book.whole().is_ok());
}

#[test]
fn hours_that_were_given_up_leave_the_day_without_a_manifest() {
    let book = Book::new();
    book.fetched("a", (0, 22), &[], vec![file(FIRST, "")]);
    let window = Book::window(23, 23);
    book.ledger.append(day(), &HourRecord::Accepted { time: AT, window, source: Book::source("a") }).unwrap();
    assert!(why(book.whole()).contains("hour 2025-11-06T23 of source"), "{}", why(book.whole()));
    assert!(why(book.whole()).contains("given up by name"));
}

#[test]
fn a_loss_in_another_bucket_frees_no_key_of_a_manifest_here() {
    let book = Book::new();
    book.fetched("a", (0, 23), &[], vec![]);
    let manifest = "_manifests/2025-11-06.json";
    let of_data = LoadRecord { key: manifest.into(), ..load(FIRST, "") };
    let elsewhere = LoadRecord { bucket: "pond".into(), ..of_data.clone() };
    book.ledger.append_loads(&[of_data.clone(), elsewhere.clone()]).unwrap();
    let to = Destination { bucket: "lake".into(), endpoint: None, keys: KeyTemplate::parse("raw/", "{file}").unwrap() };
    let taken_by = || {
        let mut listing = Listing::of(book.whole().unwrap(), &to, manifest).unwrap();
        listing.read(&book.ledger, Partition::Day(day())).unwrap();
        listing.taken_by
    };
    book.ledger.append_lost(&[LostRecord::of(&elsewhere, AT)]).unwrap();
    assert_eq!(taken_by().as_deref(), Some(FIRST));
    book.ledger.append_lost(&[LostRecord::of(&of_data, AT)]).unwrap();
    assert_eq!(taken_by(), None);
}
