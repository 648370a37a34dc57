//! Manifests of whole days: when they come, what they say, and when they stay away.

use std::fs;
use std::io::Write;

use amp_core::checksum::Digester;
use amp_core::hour::Hour;
use amp_core::ledger::{FileRecord, HourRecord, Ledger, Partition, Source};
use amp_core::name::MemberName;
use amp_core::secret::Secret;
use amp_core::stage::Staging;
use amp_core::window::HourWindow;
use amp_sandbox::s3::S3Op;
use chrono::Utc;
use serde_json::Value;

use crate::support::{BUCKET, FILES, Lab, begin, end, events, signal};

const DAY: &str = "2025-11-06";
const KEY: &str = "_manifests/2025-11-06.json";
const ON: [&str; 2] = ["--manifest-prefix", "_manifests"];

fn source(key: &str) -> Source {
    Source::new("amplitude.com", &Secret::new(key.into()))
}

fn hours(first: u32, last: u32) -> HourWindow {
    let hour = |hour: u32| Hour::parse(&format!("{DAY}T{hour:02}")).unwrap();
    HourWindow::new(hour(first), hour(last)).unwrap()
}

impl Lab {
    /// Notes that hours are about to be fetched.
    fn ask(&self, window: HourWindow) {
        let record = HourRecord::Asked { at: Utc::now(), window, source: source("key") };
        Ledger::of(&Staging::open(&self.extracted()).unwrap()).note(window.start().date(), &record).unwrap();
    }

    /// Fetches hours as amp-extract does: asked, staged, published, noted.
    fn fetch(&self, window: HourWindow, files: &[(&str, &[u8])]) {
        self.ask(window);
        let staging = Staging::open(&self.extracted()).unwrap();
        let (ledger, day) = (Ledger::of(&staging), window.start().date());
        let sealed: Vec<_> = files
            .iter()
            .map(|(name, bytes)| {
                let mut partial = staging.partial().unwrap();
                partial.write_all(bytes).unwrap();
                let mut digester = Digester::default();
                digester.update(bytes);
                let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
                partial.seal(&MemberName::from_path(name).unwrap(), digester.digest(), lines).unwrap()
            })
            .collect();
        let files: Vec<_> = sealed.iter().map(|file| file.record().clone()).collect();
        ledger.note(day, &HourRecord::Staging { at: Utc::now(), files: files.clone() }).unwrap();
        staging.publish(sealed).unwrap();
        let fetched = HourRecord::Fetched {
            at: Utc::now(),
            window,
            source: source("key"),
            requested_at: Utc::now(),
            unsettled: vec![],
            no_data: vec![],
            files,
        };
        ledger.note(day, &fetched).unwrap();
    }

    fn fetch_all(&self, window: HourWindow) {
        let files = FILES.map(|name| (name, events(name)));
        self.fetch(window, &files.each_ref().map(|(name, bytes)| (*name, bytes.as_slice())));
    }

    /// The files of the ledger's day.
    fn fetched_files(&self) -> Vec<FileRecord> {
        let day = hours(0, 0).start().date();
        let known = Ledger::of(&Staging::at(&self.extracted())).hours(Partition::Day(day)).unwrap();
        FILES.iter().flat_map(|name| known.digests(name).to_vec()).collect()
    }

    fn manifest(&self) -> Option<Value> {
        self.object(KEY).map(|bytes| serde_json::from_slice(&bytes).unwrap())
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
    assert_eq!((&said["totals"]["files"], &said["totals"]["lines"]), (&3.into(), &60.into()));
    assert_eq!((&said["totals"]["hours_with_data"], &said["totals"]["hours_without_data"]), (&2.into(), &22.into()));
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
}

#[test]
fn without_the_setting_there_is_none_and_it_may_come_from_the_environment() {
    let lab = whole();
    assert_eq!(lab.run(&[]).document()["manifests"], 0);
    assert!(lab.manifest().is_none());
    let mut command = lab.command(&["--checksum", "sha256"]);
    command.env("AMP_MANIFEST_PREFIX", "_manifests/");
    let ended = end(command);
    assert_eq!((&ended.document()["manifests"], ended.code), (&1.into(), Some(0)), "{ended:?}");
    assert_eq!(lab.server.object(BUCKET, KEY).unwrap().checksum_algorithm.as_deref(), Some("SHA256"));
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
fn a_file_that_was_not_loaded_holds_the_manifest_back() {
    let lab = whole();
    lab.rule("op=PutObject,key=_0#0:status=400,code=Nope");
    let ended = lab.run(&[&ON[..], &["-v"]].concat());
    assert_eq!(ended.counts(), (1, [3, 2, 0, 1, 2]));
    assert!(lab.puts() == 0 && ended.stderr.contains(&format!("{} is not loaded yet", FILES[0])), "{}", ended.stderr);
    fs::remove_file(lab.extracted().join(FILES[0])).unwrap();
    lab.server.clear_rules();
    assert_eq!((lab.run(&ON).code, lab.puts()), (Some(0), 0), "a file that vanished");
}

#[test]
fn a_day_without_data_gets_one_although_there_is_nothing_to_load() {
    let lab = Lab::new();
    lab.fetch(hours(0, 23), &[]);
    let mut command = lab.bare(&ON);
    command.envs(lab.server.env(BUCKET));
    let ended = end(command);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "nothing to load, 1 manifest put\n"), "{ended:?}");
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
fn a_put_that_fails_once_is_tried_again() {
    let lab = whole();
    lab.rule("op=PutObject,key=_manifests,nth=1:status=503,code=SlowDown");
    let ended = lab.run(&ON);
    assert_eq!((ended.code, &ended.document()["manifests"], lab.puts()), (Some(0), &1.into(), 2));
}

#[test]
fn a_put_that_fails_for_good_is_a_failure_and_the_next_runs_task() {
    for rule in ["status=500", "wrong-checksum", "lost-reply", "drop-body", "truncate"] {
        let lab = whole();
        lab.rule(&format!("op=PutObject,key=_manifests:{rule}"));
        let ended = lab.run(&[&ON[..], &["--max-retries", "1"]].concat());
        assert_eq!(ended.counts(), (1, [3, 3, 0, 0, 3]), "{rule}: {ended:?}");
        let failure = &ended.document()["failures"][0];
        assert_eq!((&failure["file"], &failure["key"]), (&"2025-11-06.json".into(), &KEY.into()), "{rule}");
        assert!(ended.error(0).contains("next run") && !ended.error(0).contains("file stays"), "{rule}: {ended:?}");
        assert_eq!((&ended.document()["manifests"], &ended.document()["outcome"]), (&0.into(), &"partial".into()));
        lab.server.clear_rules();
        let ended = lab.run(&ON);
        assert_eq!((ended.code, &ended.document()["manifests"]), (Some(0), &1.into()), "{rule}: {ended:?}");
        assert!(lab.manifest().is_some());
    }
}

#[test]
fn a_run_killed_before_the_put_leaves_it_to_the_next() {
    for stopped_by in ["KILL", "TERM"] {
        let lab = whole();
        lab.rule("op=PutObject,key=_manifests:stall");
        let mut run = begin(lab.command(&ON));
        crate::support::wait_until(|| lab.puts() > 0);
        assert!(lab.left().is_empty(), "it comes after everything else");
        signal(run.id(), stopped_by);
        run.wait().unwrap();
        lab.server.clear_rules();
        let ended = lab.run(&ON);
        assert_eq!((ended.counts(), &ended.document()["manifests"]), ((0, [0; 5]), &1.into()), "{ended:?}");
        assert!(lab.manifest().is_some());
    }
}

#[test]
fn a_server_that_is_down_is_not_asked_for_every_day() {
    let lab = Lab::new();
    for day in 1..=30 {
        let hour = |hour: u32| Hour::parse(&format!("2025-10-{day:02}T{hour:02}")).unwrap();
        lab.fetch(HourWindow::new(hour(0), hour(23)).unwrap(), &[]);
    }
    for day in 1..=30 {
        let hour = |hour: u32| Hour::parse(&format!("2025-09-{day:02}T{hour:02}")).unwrap();
        lab.fetch(HourWindow::new(hour(0), hour(23)).unwrap(), &[]);
    }
    lab.rule("op=PutObject:status=500");
    let ended = lab.run(&[&ON[..], &["--max-retries", "0", "--concurrency", "1"]].concat());
    assert_eq!((ended.code, &ended.document()["outcome"]), (Some(75), &"failed".into()), "{ended:?}");
    assert!(lab.puts() < 40 && ended.stderr.contains("were not tried"), "{}", lab.puts());
    lab.server.clear_rules();
    assert_eq!(lab.run(&ON).document()["manifests"], 60);
}

#[test]
fn every_source_that_delivered_must_be_done() {
    let lab = whole();
    let staging = Staging::open(&lab.extracted()).unwrap();
    let other = |window| HourRecord::Asked { at: Utc::now(), window, source: source("other key") };
    let note = |record| Ledger::of(&staging).note(hours(0, 0).start().date(), &record).unwrap();
    note(other(hours(0, 23)));
    assert_eq!(lab.run(&ON).document()["manifests"], 1, "that key may be wrong: it brought nothing");
    let mut files = lab.fetched_files();
    files.iter_mut().for_each(|file| file.name = file.name.replacen('7', "8", 1));
    note(HourRecord::Fetched {
        at: Utc::now(),
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
fn what_was_loaded_elsewhere_has_no_manifest_here() {
    let lab = Lab::with(|config| config.buckets.push("pond".into()));
    lab.fetch_all(hours(0, 23));
    lab.run(&["--bucket", "pond"]);
    let ended = lab.run(&[&ON[..], &["-v"]].concat());
    assert!(ended.code == Some(0) && lab.puts() == 0 && ended.stderr.contains("s3://pond/"), "{ended:?}");
    assert_eq!(lab.run(&[&ON[..], &["--bucket", "pond"]].concat()).document()["manifests"], 1);
}

#[test]
fn what_was_accepted_is_in_it_as_it_was_loaded() {
    let lab = whole();
    fs::write(lab.extracted().join(FILES[0]), b"{}\n").unwrap();
    assert_eq!(lab.run(&[&ON[..], &["--accept-modified"]].concat()).code, Some(0));
    let said = lab.manifest().unwrap();
    assert_eq!((&said["files"][0]["bytes"], &said["files"][0]["lines"]), (&3.into(), &Value::Null));
}

#[test]
fn manifests_among_the_data_are_warned_about() {
    let lab = whole();
    for (args, warned) in [
        (&["--manifest-prefix", "manifests"][..], true),
        (&["--manifest-prefix", "raw/manifests", "--prefix", "raw/"], true),
        (&["--manifest-prefix", "manifests", "--prefix", "raw/"], false),
        (&["--manifest-prefix", "_manifests"], false),
    ] {
        let ended = lab.run(&[args, &["--dry-run"]].concat());
        assert_eq!(ended.stderr.contains("would read them as events"), warned, "{args:?}: {}", ended.stderr);
    }
    assert!(lab.run(&["--manifest-prefix", "manifests"]).stderr.contains("`_manifests/`"));
}

#[test]
fn a_manifest_never_takes_the_place_of_data() {
    let lab = whole();
    lab.copy_in("2025-11-06.json", b"{}\n");
    let ended = lab.run(&["--manifest-prefix", "raw", "--prefix", "raw/"]);
    assert_eq!((ended.code, lab.count(S3Op::PutObject)), (Some(2), 0), "{ended:?}");
    assert!(ended.error(0).contains("raw/2025-11-06.json"), "{ended:?}");
    lab.run(&["--prefix", "raw/"]);
    let ended = lab.run(&["--manifest-prefix", "raw", "--prefix", "raw/"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.error(0).contains("2025-11-06.json"), "{ended:?}");
    assert_eq!(lab.object("raw/2025-11-06.json").unwrap(), b"{}\n");
}

#[test]
fn keys_that_days_share_are_refused() {
    let lab = whole();
    let ended = lab.run(&[&ON[..], &["--key-template", "{hour}-{part}.{ext}"]].concat());
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.error(0).contains("--manifest-prefix") && ended.error(0).contains("{date}"), "{ended:?}");
}

#[test]
fn a_dry_run_names_the_manifests_to_come_without_network() {
    let lab = whole();
    let ended = lab.run(&[&ON[..], &["--dry-run"]].concat());
    assert_eq!((ended.code, &ended.document()["planned_manifests"]), (Some(0), &serde_json::json!([KEY])), "{ended:?}");
    assert_eq!(ended.document()["manifests"], 0);
    let mut command = lab.bare(&[&ON[..], &["--dry-run"]].concat());
    command.envs(lab.server.env(BUCKET));
    let text = end(command).stdout;
    assert!(text.contains(&format!("manifest -> s3://{BUCKET}/{KEY}\n")), "{text}");
    assert!(text.contains("3 files would be uploaded and 1 manifest put"), "{text}");
    assert!(lab.server.requests().is_empty() && !lab.extracted().join(".amp/manifests.jsonl").exists());
    fs::write(lab.extracted().join(FILES[0]), b"{}\n").unwrap();
    let ended = lab.run(&[&ON[..], &["--dry-run"]].concat());
    assert!(ended.document()["planned_manifests"].is_null(), "the file would not be loaded: {ended:?}");
}

#[test]
fn a_verification_compares_manifests_too() {
    let lab = whole();
    lab.run(&ON);
    let ended = lab.run(&["--verify"]);
    assert_eq!((ended.code, &ended.document()["verified"]["checked"]), (Some(0), &4.into()));
    lab.server.put_object_directly(BUCKET, KEY, b"{}").unwrap();
    assert_eq!(lab.run(&["--verify"]).document()["verified"]["different"][0], KEY);
    lab.server.delete_object_directly(BUCKET, KEY);
    let ended = lab.run(&["--verify"]);
    assert_eq!((ended.code, &ended.document()["verified"]["missing"][0]), (Some(1), &KEY.into()));
    assert!(ended.error(0).contains(".amp/manifests.jsonl"), "{ended:?}");
    fs::write(lab.extracted().join(".amp/manifests.jsonl"), "").unwrap();
    assert_eq!(lab.run(&ON).document()["manifests"], 1);
    assert_eq!(lab.run(&["--verify"]).code, Some(0));
}

#[test]
fn the_profiles_endpoint_is_known_before_there_is_anything_to_load() {
    let lab = whole();
    fs::create_dir(lab.path(".aws")).unwrap();
    fs::write(lab.path(".aws/config"), format!("[default]\nendpoint_url = {}\n", lab.server.endpoint_url())).unwrap();
    let run = |args: &[&str]| {
        let mut command = lab.command(args);
        command.env_remove("AWS_ENDPOINT_URL_S3");
        end(command)
    };
    lab.rule("op=PutObject,key=_manifests,times=1:status=400,code=Nope");
    assert_eq!(run(&ON).code, Some(1));
    assert_eq!(run(&ON).document()["manifests"], 1);
    let asked = lab.server.requests().len();
    assert_eq!((run(&ON).code, lab.server.requests().len()), (Some(0), asked));
}

#[test]
fn who_may_not_put_manifests_is_refused_once() {
    let lab = whole();
    let next = Hour::parse("2025-11-07T00").unwrap();
    lab.fetch(HourWindow::new(next, next.plus(23)).unwrap(), &[]);
    lab.rule("op=PutObject,key=_manifests:status=403,code=AccessDenied");
    let ended = lab.run(&[&ON[..], &["--concurrency", "1"]].concat());
    assert_eq!(ended.counts(), (3, [3, 3, 0, 0, 3]), "{ended:?}");
    assert!(lab.left().is_empty() && lab.puts() == 1);
}
