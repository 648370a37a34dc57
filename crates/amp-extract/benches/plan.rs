//! What to ask for, of a year: windows cut to days and shards, and every hour looked up in the ledger.
#![expect(clippy::unwrap_used, reason = "nothing from outside reaches it")]

use std::collections::HashSet;

use amp_core::archive::Format;
use amp_core::checksum::Digest;
use amp_core::hour::Hour;
use amp_core::ledger::{FileRecord, HourRecord, Ledger, LoadRecord, Owners};
use amp_core::receipt::{Algorithm, Checksum, Proof};
use amp_core::secret::Secret;
use amp_core::stage::Staging;
use amp_core::window::{HourWindow, WindowSpec};
use amp_extract::Settings;
use amp_extract::plan::{Planner, Scope};
use chrono::{DateTime, Utc};
use divan::Bencher;
use divan::counter::ItemsCount;

const DAYS: u64 = 365;
const SHARDS: u32 = 100;

fn main() {
    divan::main();
}

fn now() -> DateTime<Utc> {
    "2025-11-07T12:00:00Z".parse().unwrap()
}

fn year() -> HourWindow {
    WindowSpec::last("365d").unwrap().resolve(now(), None).unwrap().window.unwrap()
}

fn settings() -> Settings {
    Settings {
        window: Some(year()),
        truncated: false,
        daily: false,
        shard: None,
        repair_days: 0,
        force: false,
        accept_missing: false,
        verify: false,
        any_404_is_empty: false,
        base_url: "http://127.0.0.1".parse().unwrap(),
        api_key: Secret::new("key".into()),
        secret_key: Secret::new("secret".into()),
        download_dir: "downloaded_data".into(),
        lacks_key: false,
        status: false,
        html: false,
        fail: false,
        keep_archives: false,
        format: Format::Json,
        threads: 1,
        parallel: 1,
        max_staged: None,
        max_unpacked: None,
        max_ratio: 250,
    }
}

fn file(hour: Hour) -> FileRecord {
    FileRecord {
        name: format!("100011471_{}_{}#0.json", hour.date(), hour.of_day()),
        digest: Digest { bytes: 1 << 20, ..Digest::default() },
        lines: 1500,
        dates: None,
        rows: None,
        identity: None,
    }
}

fn load(file: FileRecord) -> LoadRecord {
    LoadRecord {
        time: now(),
        key: format!("events/{}", file.name),
        file: file.name,
        digest: file.digest,
        bucket: "lake".into(),
        endpoint: None,
        checksum: Checksum { algorithm: Algorithm::Crc64nvme, value: file.digest.crc64nvme.to_string() },
        proof: Proof::Checksum,
        etag: None,
        version_id: None,
        in_place_of: Vec::new(),
    }
}

/// A ledger in which every hour of the year was asked for, got and loaded.
fn full(ledger: &Ledger, settings: &Settings) {
    for day in year().days() {
        let files: Vec<_> = day.hours().map(file).collect();
        let (time, source, date) = (now(), settings.source(), day.start().date());
        ledger.append(date, &HourRecord::Asked { time, window: day, source: source.clone() }).unwrap();
        ledger.append(date, &HourRecord::Staging { time, window: None, files: files.clone() }).unwrap();
        let fetched = HourRecord::Fetched {
            time,
            window: day,
            source,
            requested_at: time,
            unsettled: Vec::new(),
            no_data: Vec::new(),
            files: files.clone(),
        };
        ledger.append(date, &fetched).unwrap();
        ledger.append_loads(&files.into_iter().map(load).collect::<Vec<_>>()).unwrap();
    }
}

/// All hours of the year are done; items are hours.
#[divan::bench(max_time = 5)]
fn plan_a_year(bencher: Bencher<'_, '_>) {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let staging = Staging::open(dir.path()).unwrap();
    let (ledger, settings) = (Ledger::at(&staging.state_dir()), settings());
    full(&ledger, &settings);
    bencher.counter(ItemsCount::new(DAYS * 24)).bench_local(|| {
        let owners = Owners::read(&ledger).unwrap();
        let planner = Planner { settings: &settings, started: now(), staging: &staging, ledger: &ledger };
        let (plan, _) = planner.plan(year(), &owners, &HashSet::new(), Scope::All).unwrap();
        assert_eq!((plan.requests.len(), plan.skipped_hours()), (0, DAYS * 24));
        plan
    });
}

/// The year in 100 shards, each cut to days; items are days and pieces of them.
#[divan::bench]
fn shards_of_a_year(bencher: Bencher<'_, '_>) {
    let shards: Vec<_> = (1..=SHARDS).map(|number| format!("{number}/{SHARDS}").parse().unwrap()).collect();
    let days =
        || shards.iter().filter_map(|shard| year().shard(*shard)).map(|slice| slice.days().count()).sum::<usize>();
    bencher.counter(ItemsCount::new(days())).bench_local(days);
}
