//! Manifests of whole days: when they come, what they say, and when they stay away.

mod failures;
mod projects;
mod showing;

use std::fs;
use std::io::Write;
use std::path::Path;

use amp_core::checksum::Digester;
use amp_core::event_dates::EventCounter;
use amp_core::hour::Hour;
use amp_core::ledger::{FileRecord, HourRecord, Ledger, Owners, Partition, SourceId};
use amp_core::name::EntryName;
use amp_core::secret::Secret;
use amp_core::stage::Staging;
use amp_core::window::HourWindow;
use amp_sandbox::s3::S3Op;
use amp_sandbox::schema;
use chrono::Utc;
use serde_json::Value;

use crate::support::{BUCKET, FILES, Lab, begin, end, ended, events, wait_until};

const DAY: &str = "2025-11-06";
const KEY: &str = "_manifests/2025-11-06.json";
const ON: [&str; 2] = ["--manifest-prefix", "_manifests"];

pub(crate) fn source(key: &str) -> SourceId {
    SourceId::new("amplitude.com", &Secret::new(key.into()))
}

pub(crate) fn hours(first: u32, last: u32) -> HourWindow {
    let hour = |hour: u32| Hour::parse(&format!("{DAY}T{hour:02}")).unwrap();
    HourWindow::new(hour(first), hour(last)).unwrap()
}

impl Lab {
    /// Notes that hours are about to be fetched.
    pub(crate) fn ask(&self, window: HourWindow) {
        let record = HourRecord::Asked { time: Utc::now(), window, source: source("key") };
        Ledger::at(&Staging::open(&self.extracted()).unwrap().state_dir())
            .append(window.start().date(), &record)
            .unwrap();
    }

    /// Fetches hours as amp-extract does: asked, staged, published, noted.
    pub(crate) fn fetch(&self, window: HourWindow, files: &[(&str, &[u8])]) {
        self.ask(window);
        self.fetch_with("key", &self.extracted(), window, files);
    }

    /// The same with this key, into this directory.
    fn fetch_with(&self, key: &str, dir: &Path, window: HourWindow, files: &[(&str, &[u8])]) {
        let staging = Staging::open(dir).unwrap();
        let (ledger, day) = (Ledger::at(&staging.state_dir()), window.start().date());
        let sealed: Vec<_> = files
            .iter()
            .map(|(name, bytes)| {
                let mut partial = staging.partial().unwrap();
                partial.write_all(bytes).unwrap();
                let (mut digester, mut events) = (Digester::default(), EventCounter::default());
                digester.update(bytes);
                events.update(bytes);
                let (lines, dates) = events.finish();
                partial.seal(&EntryName::from_path(name).unwrap(), digester.digest(), lines, Some(dates), None).unwrap()
            })
            .collect();
        let files: Vec<_> = sealed.iter().map(|file| file.record().clone()).collect();
        ledger.append(day, &HourRecord::Staging { time: Utc::now(), window: None, files: files.clone() }).unwrap();
        staging.publish(sealed).unwrap();
        let fetched = HourRecord::Fetched {
            time: Utc::now(),
            window,
            source: source(key),
            requested_at: Utc::now(),
            unsettled: vec![],
            no_data: vec![],
            files,
        };
        ledger.append(day, &fetched).unwrap();
    }

    pub(crate) fn fetch_all(&self, window: HourWindow) {
        let files = FILES.map(|name| (name, events(name)));
        self.fetch(window, &files.each_ref().map(|(name, bytes)| (*name, bytes.as_slice())));
    }

    /// The files of the ledger's day.
    fn fetched_files(&self) -> Vec<FileRecord> {
        let day = hours(0, 0).start().date();
        let known = Ledger::at(&Staging::existing(&self.extracted()).state_dir())
            .hours(Partition::Day(day), &Owners::default())
            .unwrap();
        FILES.iter().flat_map(|name| known.digests(name).to_vec()).collect()
    }

    fn manifest(&self) -> Option<Value> {
        let manifest = self.object(KEY).map(|bytes| serde_json::from_slice(&bytes).unwrap())?;
        assert_eq!(schema::departure(&manifest), None, "{manifest:#}");
        Some(manifest)
    }

    /// How often a manifest came.
    fn puts(&self) -> usize {
        self.requests(S3Op::PutObject).iter().filter(|request| request.key.contains("_manifests/")).count()
    }
}

/// A laboratory with a whole day, not loaded yet.
fn whole() -> Lab {
    let lab = Lab::new();
    lab.fetch_all(hours(0, 23));
    lab
}

#[test]
fn a_day_that_becomes_whole_while_it_is_followed_gets_its_manifest_before_the_end() {
    let lab = Lab::new();
    let at_work = Staging::open(&lab.extracted()).unwrap().lock("extract").unwrap();
    let run = begin(lab.command(&[&ON[..], &["--follow"]].concat()));
    lab.fetch(hours(0, 11), &[(FILES[0], &events(FILES[0]))]);
    wait_until(|| lab.object(FILES[0]).is_some());
    lab.fetch(hours(12, 23), &[("7_2025-11-06_20#0.json", b"{}\n")]);
    wait_until(|| lab.object("7_2025-11-06_20#0.json").is_some());
    // The day may have been noted as fetched only after its last file was loaded: then the next round sees it.
    lab.copy_in("other.json", b"{}\n");
    wait_until(|| lab.manifest().is_some());
    // A repaired hour changes it.
    lab.fetch(hours(20, 20), &[("7_2025-11-06_20#0.json", b"{}\n{}\n")]);
    drop(at_work);
    let ended = ended(run);
    assert_eq!((ended.counts().0, lab.puts(), &ended.document()["manifests"]), (0, 2, &2.into()), "{ended:?}");
    assert_eq!(lab.manifest().unwrap()["totals"]["lines"], 22);
}

#[test]
fn a_whole_day_gets_its_manifest_after_its_files() {
    let lab = whole();
    let ended = lab.run(&[&ON[..], &["--storage-class", "STANDARD_IA", "--sse", "AES256"]].concat());
    assert_eq!(ended.counts(), (0, [3, 3, 0, 0, 3]), "{ended:?}");
    assert_eq!((&ended.document()["manifests"], &ended.document()["outcome"]), (&1.into(), &"complete".into()));
    let puts = lab.requests(S3Op::PutObject);
    assert_eq!((puts.len(), puts[3].key.as_str()), (4, KEY));
    assert!(puts[3].header("x-amz-checksum-crc64nvme").is_some());
    let object = lab.server.object(BUCKET, KEY).unwrap();
    assert_eq!(object.content_type.as_deref(), Some("application/json"));
    assert_eq!((object.storage_class.as_deref(), object.sse.as_deref()), (Some("STANDARD_IA"), Some("AES256")));

    let said = lab.manifest().unwrap();
    let stored = lab.server.object(BUCKET, FILES[1]).unwrap();
    assert_eq!(said["date"], DAY);
    assert_eq!((&said["files"][1]["key"], &said["files"][1]["lines"]), (&FILES[1].into(), &20.into()));
    assert_eq!(said["files"][1]["crc64nvme"].as_str(), stored.checksum.as_deref());
    assert_eq!(said["files"][1]["bytes"], stored.bytes);
    assert_eq!((&said["files"][1]["proof"], &said["files"][1]["etag"]), (&"checksum".into(), &stored.etag.into()));
    assert_eq!((&said["totals"]["files"], &said["totals"]["lines"]), (&3.into(), &60.into()));
    assert_eq!((&said["totals"]["hours_with_data"], &said["totals"]["hours_without_data"]), (&2.into(), &22.into()));
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
}

#[test]
fn a_day_that_lacks_an_hour_waits_for_its_repair() {
    let lab = Lab::new();
    lab.ask(hours(0, 23));
    lab.fetch_all(hours(0, 22));
    let ended = lab.run(&[&ON[..], &["-v"]].concat());
    assert_eq!(ended.counts(), (0, [3, 3, 0, 0, 3]));
    assert!(ended.stderr.contains("no manifest yet") && ended.stderr.contains("2025-11-06T23"), "{}", ended.stderr);
    assert_eq!((lab.puts(), &ended.document()["manifests"]), (0, &0.into()));
    lab.fetch(hours(23, 23), &[]);
    let ended = lab.run(&ON);
    assert_eq!((ended.counts(), &ended.document()["manifests"]), ((0, [0; 5]), &1.into()));
    assert_eq!(lab.manifest().unwrap()["totals"]["files"], 3);
}

#[test]
fn an_unchanged_day_is_put_once_and_asks_nobody() {
    let lab = whole();
    lab.run(&ON);
    let (asked, journal) = (lab.server.requests().len(), lab.extracted().join(".amp/manifests.jsonl"));
    let ended = lab.run(&ON);
    assert_eq!((ended.code, &ended.document()["outcome"]), (Some(0), &"empty".into()));
    assert_eq!(lab.server.requests().len(), asked, "no network");
    assert_eq!(fs::read_to_string(&journal).unwrap().lines().count(), 1);
    // Fetched again, but the same.
    lab.fetch_all(hours(0, 23));
    assert_eq!(lab.run(&ON).counts(), (0, [3, 3, 0, 0, 3]));
    lab.copy_in("by hand.json", b"{}\n");
    assert_eq!(lab.run(&ON).counts(), (0, [1, 1, 0, 0, 1]));
    assert_eq!(lab.puts(), 1);
    assert_eq!(fs::read_to_string(&journal).unwrap().lines().count(), 2);
    let ledger = lab.extracted().join(".amp/hours/2025-11-06.jsonl");
    let found = fs::metadata(&ledger).unwrap();
    fs::write(&ledger, "x".repeat(usize::try_from(found.len()).unwrap())).unwrap();
    fs::File::open(&ledger).unwrap().set_modified(found.modified().unwrap()).unwrap();
    let stderr = lab.run(&[&ON[..], &["-v"]].concat()).stderr;
    assert!(!stderr.contains("damaged") && !stderr.contains("no manifest yet"), "it is not read again: {stderr}");
}

#[test]
fn a_day_fetched_by_force_gets_a_new_one_if_it_changed() {
    let lab = whole();
    lab.run(&ON);
    lab.fetch(hours(9, 9), &[(FILES[1], b"{\"new\":1}\n")]);
    assert_eq!(lab.run(&ON).counts(), (0, [1, 1, 0, 0, 1]));
    assert_eq!(lab.puts(), 2);
    let said = lab.manifest().unwrap();
    assert_eq!(
        (&said["totals"]["files"], &said["files"][1]["bytes"]),
        (&2.into(), &10.into()),
        "the newest parts only"
    );
}

#[test]
fn a_day_being_fetched_again_keeps_the_manifest_it_has() {
    let lab = whole();
    lab.run(&ON);
    lab.ask(hours(9, 9));
    lab.stage(FILES[1], b"{\"new\":1}\n");
    let ended = lab.run(&[&ON[..], &["-v"]].concat());
    assert_eq!((ended.counts(), lab.puts()), ((0, [1, 1, 0, 0, 1]), 1));
    assert!(ended.stderr.contains("2025-11-06T09"), "{}", ended.stderr);
}

#[test]
fn a_day_without_data_gets_one_although_there_is_nothing_to_load() {
    let lab = Lab::new();
    lab.fetch(hours(0, 23), &[]);
    let mut command = lab.bare(&ON);
    command.envs(lab.server.env(BUCKET));
    let ended = end(command);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), format!("nothing to load in {}, 1 manifest put\n", lab.extracted().display()).as_str()),
        "{ended:?}"
    );
    let said = lab.manifest().unwrap();
    assert_eq!((&said["totals"]["hours_without_data"], &said["totals"]["files"]), (&24.into(), &0.into()));
    let ended = lab.run(&ON);
    assert_eq!((ended.counts(), &ended.document()["manifests"], lab.puts()), ((0, [0; 5]), &0.into(), 1));
}

#[test]
fn nothing_known_is_nothing_to_do() {
    let lab = Lab::new();
    let ended = lab.run(&ON);
    assert_eq!((ended.counts(), &ended.document()["outcome"]), ((0, [0; 5]), &"empty".into()));
    assert!(lab.server.requests().is_empty() && !lab.extracted().exists());
}

#[test]
fn every_source_that_delivered_must_be_done() {
    let lab = whole();
    let staging = Staging::open(&lab.extracted()).unwrap();
    let other = |window| HourRecord::Asked { time: Utc::now(), window, source: source("other key") };
    let note = |record| Ledger::at(&staging.state_dir()).append(hours(0, 0).start().date(), &record).unwrap();
    note(other(hours(0, 23)));
    assert_eq!(lab.run(&ON).document()["manifests"], 1, "that key may be wrong: it brought nothing");
    let mut files = lab.fetched_files();
    files.iter_mut().for_each(|file| file.name = file.name.replacen('7', "8", 1));
    note(HourRecord::Fetched {
        time: Utc::now(),
        window: hours(0, 9),
        source: source("other key"),
        requested_at: Utc::now(),
        unsettled: vec![],
        no_data: vec![],
        files,
    });
    let ended = lab.run(&[&ON[..], &["-v"]].concat());
    let whose = source("other key");
    assert!(ended.stderr.contains("2025-11-06T10") && ended.stderr.contains(whose.as_str()), "{}", ended.stderr);
    assert_eq!(lab.puts(), 1);
}

#[test]
fn what_was_accepted_is_in_it_as_it_was_loaded() {
    let lab = whole();
    fs::write(lab.extracted().join(FILES[0]), b"{}\n").unwrap();
    assert_eq!(lab.run(&[&ON[..], &["--accept-modified"]].concat()).code, Some(0));
    let said = lab.manifest().unwrap();
    assert_eq!((&said["files"][0]["bytes"], &said["files"][0]["lines"]), (&3.into(), &Value::Null));
}
