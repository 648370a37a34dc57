//! Of the ledger as a whole; long because its rules are many and each has its own test.

use chrono::{DateTime, Utc};

use super::*;
use crate::hour::Hour;
use crate::jsonl::newer_kind;
use crate::receipt::{Algorithm, Checksum, Proof};
use crate::secret::Secret;
use crate::window::HourWindow;

fn hour(text: &str) -> Hour {
    Hour::parse(text).unwrap()
}

fn window(start: &str, end: &str) -> HourWindow {
    HourWindow::new(hour(start), hour(end)).unwrap()
}

fn file(name: &str, bytes: u64) -> FileRecord {
    let digest = Digest { bytes, ..Digest::default() };
    FileRecord {
        name: name.into(),
        digest,
        lines: 1,
        dates: None,
        rows: None,
        identity: Some(FileIdentity { inode: 7, mtime: -1 }),
    }
}

fn source() -> SourceId {
    SourceId::new("amplitude.com", &Secret::new("key".into()))
}

fn owner() -> Owner {
    Owner::Source(source())
}

fn time() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

fn fetched(window: HourWindow, unsettled: Vec<Hour>, files: Vec<FileRecord>) -> HourRecord {
    HourRecord::Fetched {
        time: time(),
        window,
        source: source(),
        requested_at: time(),
        unsettled,
        no_data: vec![],
        files,
    }
}

fn ledger() -> (tempfile::TempDir, Ledger, NaiveDate) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::at(&dir.path().join(".amp"));
    (dir, ledger, NaiveDate::from_ymd_opt(2025, 11, 6).unwrap())
}

fn names(files: &[FileRecord]) -> Vec<&str> {
    files.iter().map(|file| file.name.as_str()).collect()
}

#[test]
fn an_hour_is_what_its_last_record_says() {
    let (_dir, ledger, day) = ledger();
    let all = window("2025-11-06T00", "2025-11-06T03");
    ledger.append(day, &HourRecord::Asked { time: time(), window: all, source: source() }).unwrap();
    let files = vec![file("1_2025-11-06_0#0.json", 1), file("odd.json", 2)];
    ledger.append(day, &fetched(window("2025-11-06T00", "2025-11-06T01"), vec![hour("2025-11-06T01")], files)).unwrap();
    let failed = window("2025-11-06T02", "2025-11-06T02");
    ledger
        .append(day, &HourRecord::Failed { time: time(), window: failed, source: source(), error: "HTTP 500".into() })
        .unwrap();

    let index = ledger.hours(Partition::Day(day), &Owners::default()).unwrap();
    let HourState::Fetched { settled: true, files } = index.state(hour("2025-11-06T00"), &owner()) else { panic!() };
    assert_eq!(names(files), ["1_2025-11-06_0#0.json", "odd.json"]);
    let HourState::Fetched { settled: false, files } = index.state(hour("2025-11-06T01"), &owner()) else { panic!() };
    assert_eq!(names(files), ["odd.json"]);
    assert_eq!(index.state(hour("2025-11-06T02"), &owner()), HourState::Failed("HTTP 500"));
    assert_eq!(index.state(hour("2025-11-06T03"), &owner()), HourState::Unanswered);
    assert_eq!(index.state(hour("2025-11-06T04"), &owner()), HourState::NeverAsked);
}

#[test]
fn an_hour_of_another_project_is_another_hour_and_its_key_is_not_told() {
    let (dir, ledger, day) = ledger();
    let one = window("2025-11-06T00", "2025-11-06T00");
    ledger.append(day, &fetched(one, vec![], vec![])).unwrap();
    let index = ledger.hours(Partition::Day(day), &Owners::default()).unwrap();
    let other = SourceId::new("amplitude.com", &Secret::new("other key".into()));
    assert_eq!(index.state(one.start(), &Owner::Source(other)), HourState::NeverAsked);
    assert_eq!(index.states(one.start()).count(), 1);
    assert!(!fs::read_to_string(dir.path().join(".amp/hours/2025-11-06.jsonl")).unwrap().contains("key\""));
}

#[test]
fn a_publication_under_way_leaves_both_digests_valid_and_its_end_one() {
    let (_dir, ledger, day) = ledger();
    let (old, new) = (file("1_2025-11-06_0#0.json", 1), file("1_2025-11-06_0#0.json", 2));
    let one = window("2025-11-06T00", "2025-11-06T00");
    let digests =
        || ledger.hours(Partition::Day(day), &Owners::default()).unwrap().digests("1_2025-11-06_0#0.json").to_vec();
    ledger.append(day, &fetched(one, vec![], vec![old.clone()])).unwrap();
    ledger.append(day, &HourRecord::Staging { time: time(), window: None, files: vec![new.clone()] }).unwrap();
    assert_eq!(digests(), [old, new.clone()]);
    ledger.append(day, &fetched(one, vec![], vec![new.clone()])).unwrap();
    assert_eq!(digests(), [new]);
}

#[test]
fn a_file_of_another_day_is_found_by_its_name() {
    let (_dir, ledger, day) = ledger();
    let strays = vec![file("1_2025-11-05_23#0.json", 1), file("odd.json", 2)];
    ledger.append(day, &HourRecord::Staging { time: time(), window: None, files: strays.clone() }).unwrap();
    for stray in strays {
        let index = ledger.hours(Partition::of_file(&stray.name), &Owners::default()).unwrap();
        assert_eq!(index.digests(&stray.name), [stray]);
    }
}

#[test]
fn a_record_about_very_many_files_is_lines_of_few_and_says_the_same() {
    let (dir, ledger, day) = ledger();
    let all = window("2025-11-06T00", "2025-11-06T03");
    let names = |number: usize| format!("1_2025-11-06_{}#{}.json", number % 3, number / 3);
    let files: Vec<FileRecord> = (0..2_500).map(|number| file(&names(number), number as u64)).collect();
    ledger.append(day, &HourRecord::Staging { time: time(), window: Some(all), files: files.clone() }).unwrap();
    ledger.append(day, &fetched(all, vec![hour("2025-11-06T01")], files.clone())).unwrap();
    let text = fs::read_to_string(dir.path().join(".amp/hours/2025-11-06.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 3 + 4);
    let index = ledger.hours(Partition::Day(day), &Owners::default()).unwrap();
    let of = |start| match index.state(hour(start), &owner()) {
        HourState::Fetched { settled, files } => (settled, files.len()),
        other => panic!("{other:?}"),
    };
    let hours = ["2025-11-06T00", "2025-11-06T01", "2025-11-06T02", "2025-11-06T03"];
    assert_eq!(hours.map(of), [(true, 834), (false, 833), (true, 833), (true, 0)]);
    let known = ledger.files(Partition::Day(day)).unwrap();
    for file in &files {
        assert_eq!(index.digests(&file.name), std::slice::from_ref(file));
        assert_eq!(known.versions(&file.name), [UnpackedFile::from(file)]);
    }
}

#[test]
fn a_file_that_is_being_replaced_may_be_either() {
    let (_dir, ledger, day) = ledger();
    let one = window("2025-11-06T00", "2025-11-06T00");
    let [old, new] = [1, 2].map(|bytes| file("1_2025-11-06_0#0.json", bytes));
    let staging = |file: &FileRecord| HourRecord::Staging { time: time(), window: None, files: vec![file.clone()] };
    let versions = || ledger.files(Partition::Day(day)).unwrap().versions(&old.name).to_vec();
    ledger.append(day, &fetched(one, vec![], vec![old.clone()])).unwrap();
    ledger.append(day, &staging(&new)).unwrap();
    assert_eq!(versions(), [&old, &new].map(UnpackedFile::from));
    ledger.append(day, &fetched(one, vec![], vec![new.clone()])).unwrap();
    assert_eq!(versions(), [UnpackedFile::from(&new)]);
}

#[test]
fn a_torn_or_damaged_line_costs_itself_alone() {
    let (dir, ledger, day) = ledger();
    let path = dir.path().join(".amp/hours/2025-11-06.jsonl");
    let asked = |text| HourRecord::Asked { time: time(), window: window(text, text), source: source() };
    ledger.append(day, &asked("2025-11-06T00")).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"\xff\x00 not json\n\n{\"kind\":\"asked\",\"at\":\"2025-");
    fs::write(&path, bytes).unwrap();
    ledger.append(day, &asked("2025-11-06T01")).unwrap();
    let index = ledger.hours(Partition::Day(day), &Owners::default()).unwrap();
    assert_eq!(index.damaged(), 2);
    assert_eq!(index.state(hour("2025-11-06T00"), &owner()), HourState::Unanswered);
    assert_eq!(index.state(hour("2025-11-06T01"), &owner()), HourState::Unanswered);
}

#[test]
fn every_kind_of_line_that_this_version_writes_is_one_that_it_knows() {
    let all = HourWindow::day(window("2025-11-06T00", "2025-11-06T00").start().date());
    let hours = [
        HourRecord::Asked { time: time(), window: all, source: source() },
        HourRecord::Staging { time: time(), window: None, files: vec![] },
        fetched(all, vec![], vec![]),
        HourRecord::Split { time: time(), window: all, status: 504 },
        HourRecord::Failed { time: time(), window: all, source: source(), error: String::new() },
        HourRecord::Accepted { time: time(), window: all, source: source() },
    ];
    for record in &hours {
        match record {
            // Whoever adds a kind adds a record of it above.
            HourRecord::Asked { .. }
            | HourRecord::Staging { .. }
            | HourRecord::Fetched { .. }
            | HourRecord::Split { .. }
            | HourRecord::Failed { .. }
            | HourRecord::Accepted { .. } => {}
        }
        assert_eq!(newer_kind(&serde_json::to_vec(record).unwrap()), None, "{record:?}");
    }
    assert_eq!(newer_kind(br#"{"kind":"lost"}"#), None);
    assert_eq!(newer_kind(br#"{"kind":"blessed"}"#).as_deref(), Some("blessed"));
}

#[test]
fn a_line_about_more_than_a_day_is_damaged() {
    let (_dir, ledger, day) = ledger();
    let over_midnight = window("2025-11-06T23", "2025-11-07T00");
    ledger.append(day, &HourRecord::Asked { time: time(), window: over_midnight, source: source() }).unwrap();
    let index = ledger.hours(Partition::Day(day), &Owners::default()).unwrap();
    assert_eq!((index.damaged(), index.hours.len()), (1, 0));
}

#[test]
fn a_line_about_ages_is_damaged_and_costs_no_memory() {
    let (_dir, ledger, day) = ledger();
    let ages = window("0001-01-01T00", "9999-12-31T23");
    ledger.append(day, &HourRecord::Asked { time: time(), window: ages, source: source() }).unwrap();
    let index = ledger.hours(Partition::Day(day), &Owners::default()).unwrap();
    assert_eq!((index.damaged(), index.hours.len()), (1, 0));
}

#[test]
fn a_window_that_leaves_its_day_is_damage() {
    let (dir, ledger, day) = ledger();
    let path = dir.path().join(".amp/hours/2025-11-06.jsonl");
    ledger.append(day, &fetched(window("2025-11-06T00", "2025-11-06T03"), vec![], vec![file("odd.json", 1)])).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    for (whole, flipped) in [("\"end\":\"2", "\"end\":\"9"), ("\"start\":\"2", "\"start\":\"0")] {
        fs::write(&path, text.replacen(whole, flipped, 1)).unwrap();
        let index = ledger.hours(Partition::Day(day), &Owners::default()).unwrap();
        assert_eq!(index.damaged(), 1);
        assert_eq!(index.state(hour("2025-11-06T00"), &owner()), HourState::NeverAsked);
    }
}

#[test]
fn days_are_those_with_hours_and_a_mark_moves_with_every_line() {
    let (dir, ledger, day) = ledger();
    assert_eq!(ledger.days().unwrap(), []);
    let nothing = ledger.positions(Partition::Day(day)).unwrap();
    assert_eq!(nothing, LedgerPositions { hours: None, loads: None });
    let one = window("2025-11-06T00", "2025-11-06T00");
    ledger.append(day, &fetched(one, vec![], vec![])).unwrap();
    ledger.append(day, &HourRecord::Staging { time: time(), window: None, files: vec![file("odd.json", 2)] }).unwrap();
    fs::write(dir.path().join(".amp/hours/notes.txt"), "x").unwrap();
    assert_eq!(ledger.days().unwrap(), [day], "what is undated or foreign is no day");
    let before = ledger.positions(Partition::Day(day)).unwrap();
    assert!(before.hours.is_some() && before.loads.is_none());
    ledger.append(day, &fetched(one, vec![], vec![])).unwrap();
    assert_ne!(ledger.positions(Partition::Day(day)).unwrap(), before);
}

#[test]
fn loads_are_found_by_file_and_by_object() {
    let (_dir, ledger, day) = ledger();
    let load = |file: &str, bytes, seconds| LoadRecord {
        time: time() + chrono::TimeDelta::seconds(seconds),
        file: file.into(),
        digest: Digest { bytes, ..Digest::default() },
        bucket: "lake".into(),
        key: file.into(),
        endpoint: None,
        checksum: Checksum { algorithm: Algorithm::Crc64nvme, value: "AAAAAAAAAAA=".into() },
        proof: Proof::Checksum,
        etag: None,
        version_id: None,
        in_place_of: vec![Digest { bytes: bytes + 100, ..Digest::default() }],
    };
    ledger.append_loads(&[load("1_2025-11-06_0#0.json", 1, 0), load("odd.json", 5, 1)]).unwrap();
    ledger.append_loads(&[load("1_2025-11-06_0#0.json", 2, 2)]).unwrap();
    let loaded = ledger.loaded_digests(Partition::Day(day)).unwrap();
    assert!(loaded.contains(&("1_2025-11-06_0#0.json".into(), Digest { bytes: 2, ..Digest::default() })));
    assert!(!loaded.contains(&("odd.json".into(), Digest { bytes: 5, ..Digest::default() })));
    let replaced = ("1_2025-11-06_0#0.json".into(), Digest { bytes: 102, ..Digest::default() });
    assert!(loaded.contains(&replaced), "the operator accepted other bytes in its place");
    let (all, damaged) = ledger.latest_loads(|_| true).unwrap();
    assert_eq!((all.len(), all[0].record.digest.bytes, damaged), (2, 2, 0));
    assert_eq!(ledger.latest_loads(|record| record.time > time() + chrono::TimeDelta::seconds(1)).unwrap().0.len(), 1);
}

#[test]
fn a_lost_object_is_known_as_such_until_its_file_is_loaded_again() {
    let (_dir, ledger, day) = ledger();
    let file = "1_2025-11-06_0#0.json";
    let load = |file: &str, key: &str| LoadRecord {
        time: time(),
        file: file.into(),
        digest: Digest { bytes: 1, ..Digest::default() },
        bucket: "lake".into(),
        key: key.into(),
        endpoint: None,
        checksum: Checksum { algorithm: Algorithm::Crc64nvme, value: "AAAAAAAAAAA=".into() },
        proof: Proof::Checksum,
        etag: None,
        version_id: None,
        in_place_of: vec![Digest { bytes: 2, ..Digest::default() }],
    };
    let known = |ledger: &Ledger| {
        let partition = Partition::Day(day);
        let (latest, damaged) = ledger.latest_loads(|_| true).unwrap();
        let mut records = 0;
        ledger.read_loads(partition, |line, _| records += usize::from(matches!(line, LoadLine::Loaded(_)))).unwrap();
        let objects: Vec<_> = latest.into_iter().map(|load| (load.record.key, load.is_lost)).collect();
        (ledger.loaded_digests(partition).unwrap().len(), records, objects, damaged)
    };
    let other = load("1_2025-11-06_1#0.json", "other");
    ledger.append_loads(&[load(file, "a"), other.clone()]).unwrap();
    ledger.append_lost(&[LostRecord::of(&load(file, "a"), time())]).unwrap();
    assert_eq!(known(&ledger), (2, 2, vec![("a".into(), true), ("other".into(), false)], 0));
    ledger.append_loads(&[load(file, "b")]).unwrap();
    assert_eq!(known(&ledger), (4, 3, vec![("b".into(), false), ("other".into(), false)], 0));
    let mut newest = None;
    ledger.read_loads(Partition::Day(day), |_, position| newest = Some(position)).unwrap();
    let again = ledger.load_reader(Partition::Day(day)).unwrap().read(newest.unwrap()).unwrap();
    assert_eq!(again, load(file, "b"));
    let line = r#"{"kind":"lost","at":"2025-11-07T00:00:00Z","file":"a.json","bucket":"lake","key":"a"}"#;
    let Some(LoadLine::Lost(lost)) = LoadLine::parse(line.as_bytes()) else { panic!("not read: {line}") };
    assert_eq!(serde_json::to_string(&lost).unwrap(), line);
    assert!(
        serde_json::from_str::<LoadRecord>(line).is_err(),
        "versions that do not know it must not take it for a load"
    );
}

/// Lines as earlier versions wrote them: a ledger outlives the program that made it.
#[test]
fn the_keys_on_disk_are_those_of_earlier_versions() {
    for line in [
        r#"{"kind":"asked","at":"2025-11-07T00:00:00Z","start":"2025-11-06T00","end":"2025-11-06T03","source":"0123456789ab"}"#,
        r#"{"kind":"staging","at":"2025-11-07T00:00:00Z","files":[{"name":"a.json","bytes":5,"crc64nvme":"AAAAAAAAAAA=","lines":1,"inode":7,"mtime":1}]}"#,
        r#"{"kind":"fetched","at":"2025-11-07T00:00:00Z","start":"2025-11-06T00","end":"2025-11-06T01","source":"0123456789ab","requested_at":"2025-11-07T00:00:00Z","unsettled":["2025-11-06T01"],"no_data":["2025-11-06T00"],"files":[]}"#,
        r#"{"kind":"split","at":"2025-11-07T00:00:00Z","start":"2025-11-06T00","end":"2025-11-06T03","status":400}"#,
        r#"{"kind":"staging","at":"2025-11-07T00:00:00Z","window":{"start":"2025-11-06T00","end":"2025-11-06T03"},"files":[]}"#,
        r#"{"kind":"accepted","at":"2025-11-07T00:00:00Z","start":"2025-11-06T00","end":"2025-11-06T03","source":"0123456789ab"}"#,
        r#"{"kind":"failed","at":"2025-11-07T00:00:00Z","start":"2025-11-06T00","end":"2025-11-06T03","source":"0123456789ab","error":"HTTP 500"}"#,
    ] {
        let record: HourRecord = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&record).unwrap(), line);
    }
    let line = r#"{"at":"2025-11-07T00:00:00Z","file":"a.json","bytes":5,"crc64nvme":"AAAAAAAAAAA=","bucket":"lake","key":"k","endpoint":"http://127.0.0.1:9000/","checksum":{"algorithm":"crc64nvme","value":"AAAAAAAAAAA="},"proof":"checksum"}"#;
    let record: LoadRecord = serde_json::from_str(line).unwrap();
    assert_eq!(serde_json::to_string(&record).unwrap(), line);
    let line = r#"{"at":"2025-11-07T00:00:00Z","source":"0123456789ab","host":"amplitude.com","project":"7","owed_from":"2025-11-06"}"#;
    let record: SourceRecord = serde_json::from_str(line).unwrap();
    assert_eq!(serde_json::to_string(&record).unwrap(), line);
    let line = r#"{"hours":{"bytes":5,"mtime":-1},"loads":null}"#;
    let positions: LedgerPositions = serde_json::from_str(line).unwrap();
    assert_eq!(serde_json::to_string(&positions).unwrap(), line);
}

fn noted(key: &str, host: Option<&str>, project: Option<&str>) -> SourceRecord {
    let source = SourceId::new("amplitude.com", &Secret::new(key.into()));
    SourceRecord {
        time: time(),
        source,
        host: host.map(str::to_owned),
        project: project.map(str::to_owned),
        owed_from: None,
    }
}

#[test]
fn hours_of_a_project_are_one_whichever_of_its_keys_asked_and_the_last_line_wins() {
    let (_dir, ledger, day) = ledger();
    let all = window("2025-11-06T00", "2025-11-06T01");
    let [old, new] = ["old", "new"].map(|key| noted(key, Some("amplitude.com"), None).source);
    ledger
        .append(day, &HourRecord::Failed { time: time(), window: all, source: old.clone(), error: "x".into() })
        .unwrap();
    let one = window("2025-11-06T00", "2025-11-06T00");
    ledger.append(day, &HourRecord::Asked { time: time(), window: one, source: new.clone() }).unwrap();
    for record in
        [noted("old", Some("amplitude.com"), None), noted("old", None, Some("7")), noted("new", None, Some("7"))]
    {
        ledger.append_sources(&[record]).unwrap();
    }
    let owners = Owners::read(&ledger).unwrap();
    let owner = owners.owner_of(&new);
    assert_eq!(owner.to_string(), "project 7 of amplitude.com", "the only host that is known of the project");
    assert_eq!(owners.owner_of(&old), owner);
    let index = ledger.hours(Partition::Day(day), &owners).unwrap();
    assert_eq!(index.state(hour("2025-11-06T00"), &owner), HourState::Unanswered);
    assert_eq!(index.state(hour("2025-11-06T01"), &owner), HourState::Failed("x"));
    assert_eq!(index.states(hour("2025-11-06T00")).count(), 1);
}

#[test]
fn the_same_project_of_another_host_is_another_owner() {
    let mut owners = Owners::default();
    let records = [noted("a", Some("eu"), Some("7")), noted("b", Some("us"), Some("7")), noted("c", None, Some("7"))];
    records.iter().for_each(|record| owners.apply(record.clone()));
    let whose: std::collections::BTreeSet<_> = records.iter().map(|record| owners.owner_of(&record.source)).collect();
    assert_eq!(whose.len(), 3, "nobody can tell to which of the two the third belongs");
}

#[test]
fn what_a_key_wanted_that_delivered_nothing_falls_to_the_next_project_that_gets_a_marker() {
    let mut owners = Owners::default();
    let marked = |key, project| SourceRecord {
        owed_from: Some(NaiveDate::from_ymd_opt(2025, 11, 6).unwrap()),
        ..noted(key, Some("h"), project)
    };
    let wrong = noted("wrong", Some("h"), None).source;
    let of = |project: &str| Owner::Project { host: "h".to_owned(), project: project.to_owned() };
    owners.apply(marked("a", Some("1")));
    owners.apply(noted("wrong", Some("h"), None));
    assert!(!owners.falls_to(&wrong, &of("1")), "it was there before");
    assert!(owners.falls_to(&wrong, &of("2")), "the next, so far");
    owners.apply(marked("b", None));
    owners.apply(noted("b", None, Some("2")));
    assert!(owners.falls_to(&wrong, &of("2")));
    owners.apply(marked("c", Some("3")));
    assert!(owners.falls_to(&wrong, &of("2")) && !owners.falls_to(&wrong, &of("3")));
    assert!(!owners.falls_to(&wrong, &Owner::Source(wrong.clone())), "to a project alone");
    assert!(!owners.falls_to(&noted("a", None, None).source, &of("2")), "that one delivered");
}

#[test]
fn a_scan_finds_the_projects_and_days_of_a_ledger_without_sources() {
    let (_dir, ledger, day) = ledger();
    let one = window("2025-11-06T00", "2025-11-06T00");
    ledger.append(day, &fetched(one, vec![], vec![file("odd.json", 1), file("7_2025-11-06_0#0.json", 1)])).unwrap();
    let other = noted("other", None, None).source;
    let next = day.succ_opt().unwrap();
    let asked = HourRecord::Asked { time: time(), window: HourWindow::day(next), source: other.clone() };
    ledger.append(next, &asked).unwrap();
    let expected = [
        ScannedSource { source: other, project: None, days: [next].into() },
        ScannedSource { source: source(), project: Some("7".into()), days: [day].into() },
    ];
    assert_eq!(Owners::scan(&ledger).unwrap(), expected);
}

#[test]
fn an_hour_is_empty_since_its_first_settled_look_until_data_come() {
    let (_dir, ledger, day) = ledger();
    let one = window("2025-11-06T00", "2025-11-06T00");
    let at = |time: DateTime<Utc>, files| HourRecord::Fetched {
        time,
        window: one,
        source: source(),
        requested_at: time,
        unsettled: vec![],
        no_data: vec![],
        files,
    };
    let settled = one.start().settled_at();
    let since = || ledger.hours(Partition::Day(day), &Owners::default()).unwrap().empty_since(one.start(), &owner());
    for (hours, files, expected) in [
        (-1, vec![], None),
        (0, vec![], Some(settled)),
        (5, vec![], Some(settled)),
        (6, vec![file("1_2025-11-06_0#0.json", 1)], None),
    ] {
        ledger.append(day, &at(settled + chrono::TimeDelta::hours(hours), files)).unwrap();
        assert_eq!(since(), expected);
    }
}

#[test]
fn runs_that_found_an_hour_empty_are_counted_by_their_asking() {
    let (_dir, ledger, day) = ledger();
    let one = window("2025-11-06T00", "2025-11-06T00");
    let asked = HourRecord::Asked { time: time(), window: one, source: source() };
    let got = |files| HourRecord::Fetched {
        time: time(),
        window: one,
        source: source(),
        requested_at: one.start().settled_at(),
        unsettled: vec![],
        no_data: vec![],
        files,
    };
    let runs = || ledger.hours(Partition::Day(day), &Owners::default()).unwrap().empty_runs(one.start(), &owner());
    let records = [
        (asked.clone(), 0),
        (got(vec![]), 1),
        (got(vec![]), 1),
        (asked, 1),
        (got(vec![]), 2),
        (got(vec![file("1_2025-11-06_0#0.json", 1)]), 0),
    ];
    for (record, expected) in records {
        ledger.append(day, &record).unwrap();
        assert_eq!(runs(), expected, "{record:?}");
    }
}
