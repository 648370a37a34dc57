//! The ledger: whatever became of its files, every line that is whole counts, and the next one can be read.

use std::fs;
use std::path::Path;

use amp_core::checksum::Digest;
use amp_core::hour::Hour;
use amp_core::jsonl;
use amp_core::ledger::{
    FileIdentity, FileRecord, HourRecord, HourState, Ledger, LoadLine, LoadRecord, Owner, Owners, Partition, SourceId,
};
use amp_core::receipt::{Algorithm, Checksum, Proof};
use amp_core::secret::Secret;
use amp_core::stage::Staging;
use amp_core::window::HourWindow;
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::script::{Script, scratch};

const NAMES: [&str; 4] = ["1_2025-11-06_0#0.json", "1_2025-11-06_7#1.json.gz", "1_2025-11-05_23#0.json", "odd.json"];

fn day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2025, 11, 6).unwrap_or_default()
}

/// Bytes as they come, as either file.
pub(crate) fn any_bytes(bytes: &[u8]) {
    hours(bytes, 0);
    loads(bytes, 0);
}

/// A ledger as the programs write it, with other lines in between and bytes changed as the input says.
pub(crate) fn built(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let of_hours = script.byte() & 1 == 0;
    let (mut text, mut whole) = (Vec::new(), 0);
    let count = script.byte() % 12;
    for n in 0..count {
        let how = script.byte();
        if how.is_multiple_of(8) {
            text.extend(script.run().iter().filter(|byte| **byte != b'\n'));
            text.push(b'\n');
            continue;
        }
        let mut line = if of_hours { json(&hour_record(&mut script)) } else { json(&load_record(&mut script)) };
        match how % 8 {
            1 => drop(script.damage(&mut line, 1)),
            2 => line.truncate(script.word() % line.len()),
            _ => whole += 1,
        }
        line.retain(|byte| *byte != b'\n');
        text.extend_from_slice(&line);
        // A crash may cut the last line short, or its newline.
        if n + 1 < count || how & 0x80 == 0 {
            text.push(b'\n');
        }
    }
    if of_hours { hours(&text, whole) } else { loads(&text, whole) }
}

fn json(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).unwrap()
}

fn time(script: &mut Script<'_>) -> DateTime<Utc> {
    DateTime::from_timestamp(i64::try_from(script.word()).unwrap_or_default() * 60, 0).unwrap_or_default()
}

fn source(script: &mut Script<'_>) -> SourceId {
    SourceId::new("amplitude.com", &Secret::new(script.one_of(&["one", "two"]).to_owned()))
}

fn window(script: &mut Script<'_>) -> HourWindow {
    let (a, b) = (i64::from(script.byte() % 24), i64::from(script.byte() % 24));
    let hour = |n| Hour::first_of(day()).plus(n);
    HourWindow::new(hour(a.min(b)), hour(a.max(b))).unwrap()
}

fn digest(script: &mut Script<'_>) -> Digest {
    Digest { bytes: script.word() as u64, ..Digest::default() }
}

fn files(script: &mut Script<'_>) -> Vec<FileRecord> {
    (0..script.byte() % 4)
        .map(|_| FileRecord {
            name: script.one_of(&NAMES).to_owned(),
            digest: digest(script),
            lines: u64::from(script.byte()),
            dates: None,
            rows: None,
            identity: (script.byte() & 1 == 0).then_some(FileIdentity { inode: 7, mtime: -1 }),
        })
        .collect()
}

fn hour_record(script: &mut Script<'_>) -> HourRecord {
    let (time, window) = (time(script), window(script));
    match script.byte() % 5 {
        0 => HourRecord::Asked { time, window, source: source(script) },
        1 => HourRecord::Staging { time, window: None, files: files(script) },
        2 => HourRecord::Fetched {
            time,
            window,
            source: source(script),
            requested_at: time,
            unsettled: window.hours().take(usize::from(script.byte() % 3)).collect(),
            no_data: vec![],
            files: files(script),
        },
        3 => HourRecord::Split { time, window, status: 400 },
        _ => HourRecord::Failed {
            time,
            window,
            source: source(script),
            error: String::from_utf8_lossy(script.run()).into_owned(),
        },
    }
}

fn load_record(script: &mut Script<'_>) -> LoadRecord {
    LoadRecord {
        time: time(script),
        file: NAMES[0].to_owned(),
        digest: digest(script),
        bucket: script.one_of(&["lake", "sea"]).to_owned(),
        key: String::from_utf8_lossy(script.run()).into_owned(),
        endpoint: (script.byte() & 1 == 0).then(|| "https://minio.example".to_owned()),
        checksum: Checksum { algorithm: Algorithm::Crc64nvme, value: "AAAAAAAAAAA=".to_owned() },
        proof: Proof::Checksum,
        etag: None,
        version_id: None,
        in_place_of: (0..script.byte() % 3).map(|_| digest(script)).collect(),
    }
}

/// Every line as a reader of single lines sees it: the records in order, and how many lines are neither record nor blank.
fn line_by_line<T: DeserializeOwned>(bytes: &[u8]) -> (Vec<T>, u64) {
    let (mut records, mut damaged) = (Vec::new(), 0);
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        match serde_json::from_slice(line) {
            Ok(record) => records.push(record),
            Err(_) => damaged += 1,
        }
    }
    (records, damaged)
}

/// Reads the file and compares it with what its lines say one by one; `whole` of them are known to be undamaged.
fn read_all<T: DeserializeOwned + PartialEq + std::fmt::Debug>(path: &Path, whole: usize) -> (Vec<T>, u64) {
    let mut records: Vec<T> = Vec::new();
    let damaged = jsonl::read(path, |record| records.push(record)).unwrap();
    let (by_line, damaged_by_line) = line_by_line(&fs::read(path).unwrap());
    assert_eq!((&records, damaged), (&by_line, damaged_by_line));
    assert!(records.len() >= whole, "{} of {whole} whole lines count", records.len());
    (records, damaged)
}

fn hours(bytes: &[u8], whole: usize) {
    let dir = scratch();
    let ledger = Ledger::at(&Staging::open(dir.path()).unwrap().state_dir());
    let path = dir.path().join(".amp/hours/2025-11-06.jsonl");
    fs::create_dir(dir.path().join(".amp/hours")).unwrap();
    fs::write(&path, bytes).unwrap();
    let (records, damaged) = read_all::<HourRecord>(&path, whole);
    assert!(ledger.hours(Partition::Day(day()), &Owners::default()).unwrap().damaged() >= damaged);

    let window = HourWindow::single(Hour::first_of(day()));
    let source = SourceId::new("amplitude.com", &Secret::new("three".to_owned()));
    let record = HourRecord::Asked { time: DateTime::UNIX_EPOCH, window, source: source.clone() };
    ledger.append(day(), &record).unwrap();
    let (after, damaged_after) = read_all::<HourRecord>(&path, whole + 1);
    assert_eq!((&after[..records.len()], &after[records.len()..]), (&records[..], &[record][..]));
    assert_eq!(damaged_after, damaged);
    let known = ledger.hours(Partition::Day(day()), &Owners::default()).unwrap();
    assert_eq!(known.state(window.start(), &Owner::Source(source)), HourState::Unanswered);
}

fn loads(bytes: &[u8], whole: usize) {
    let dir = scratch();
    let ledger = Ledger::at(&Staging::open(dir.path()).unwrap().state_dir());
    let path = dir.path().join(".amp/loads/2025-11-06.jsonl");
    fs::create_dir(dir.path().join(".amp/loads")).unwrap();
    fs::write(&path, bytes).unwrap();
    let (records, damaged) = read_all::<LoadRecord>(&path, whole);
    let loaded = ledger.loaded_digests(Partition::Day(day())).unwrap();
    let is_lost = |line: &[u8]| matches!(LoadLine::parse(line), Some(LoadLine::Lost(_)));
    let any_lost = bytes.split(|byte| *byte == b'\n').any(is_lost);
    assert!(any_lost || records.iter().all(|record| loaded.contains(&(record.file.clone(), record.digest))));

    let record = LoadRecord { time: DateTime::UNIX_EPOCH, ..load_record(&mut Script::new(&[])) };
    ledger.append_loads(std::slice::from_ref(&record)).unwrap();
    let (after, damaged_after) = read_all::<LoadRecord>(&path, whole + 1);
    assert_eq!((&after[..records.len()], &after[records.len()..]), (&records[..], std::slice::from_ref(&record)));
    assert_eq!(damaged_after, damaged);
    let (newest, _) = ledger.latest_loads(|_| true).unwrap();
    assert!(newest.iter().any(|one| one.record == record && !one.is_lost));
    assert!(newest.iter().all(|one| after.contains(&one.record)));
}
