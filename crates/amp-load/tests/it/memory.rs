//! How much memory a day of very many files takes.

use std::fs;

use amp_core::checksum::Digester;
use amp_core::hour::Hour;
use amp_core::ledger::{FileRecord, HourRecord, Ledger, LoadRecord, SourceId};
use amp_core::receipt::{Algorithm, Checksum, Proof};
use amp_core::stage::Staging;
use amp_core::window::HourWindow;
use chrono::{NaiveDate, Utc};
use serde_json::Value;

use crate::support::{BUCKET, Lab, MEMORY};

const FILES: usize = 100_000;
/// Of which so many are still staged.
const STAGED: usize = 48;

/// A day of so many files of a line each, as one request brought them; most are loaded, and their records say so.
fn day_of_many(lab: &Lab) {
    let staging = Staging::open(&lab.extracted()).unwrap();
    let day = NaiveDate::from_ymd_opt(2025, 11, 6).unwrap();
    let record = |number: usize| {
        let name = format!("100011471_{day}_{}#{}.json", number % 24, number / 24);
        let line = format!("{{\"event_id\":{number}}}\n");
        let mut digester = Digester::default();
        digester.update(line.as_bytes());
        if number < STAGED {
            fs::write(lab.extracted().join(&name), &line).unwrap();
        }
        let dates = serde_json::from_str("{\"2025-11-06\":1}").unwrap();
        let rows = serde_json::from_str("\"7271b0d6ee26200c\"").unwrap();
        FileRecord { name, digest: digester.digest(), lines: 1, dates: Some(dates), rows: Some(rows), identity: None }
    };
    let files: Vec<FileRecord> = (0..FILES).map(record).collect();
    let ledger = Ledger::at(&staging.state_dir());
    let (time, window) = (Utc::now(), HourWindow::day(day));
    let loads: Vec<LoadRecord> = files[STAGED..]
        .iter()
        .map(|file| LoadRecord {
            time,
            file: file.name.clone(),
            digest: file.digest,
            bucket: BUCKET.to_owned(),
            key: file.name.clone(),
            endpoint: Some(lab.server.endpoint_url()),
            checksum: Checksum { algorithm: Algorithm::Crc64nvme, value: file.digest.crc64nvme.to_string() },
            proof: Proof::Checksum,
            etag: Some("d41d8cd98f00b204e9800998ecf8427e".to_owned()),
            version_id: None,
            in_place_of: vec![],
        })
        .collect();
    ledger.append_loads(&loads).unwrap();
    let staged = files.iter().cloned().map(|file| FileRecord { dates: None, rows: None, ..file }).collect();
    ledger.append(day, &HourRecord::Staging { time, window: Some(window), files: staged }).unwrap();
    let requested_at = Hour::first_of(day).plus(72).start();
    let (source, no_hours) = (SourceId::from_text("0123456789ab"), Vec::new);
    let fetched =
        HourRecord::Fetched { time, window, source, requested_at, unsettled: no_hours(), no_data: no_hours(), files };
    ledger.append(day, &fetched).unwrap();
}

#[test]
fn a_day_of_100_000_files_is_loaded_in_64_mib() {
    let lab = Lab::new();
    day_of_many(&lab);
    let ended = lab.run(&[]);
    assert_eq!(ended.counts(), (0, [48, 48, 0, 0, 48]), "{}", ended.stderr);
    assert!(ended.peak_bytes <= MEMORY, "{} MiB", ended.peak_bytes >> 20);
}

/// Not yet in the 64 MiB of everything else: what is known of the hours takes half of it.
#[test]
fn the_manifest_of_a_day_of_100_000_files_is_made_in_128_mib() {
    let lab = Lab::new();
    day_of_many(&lab);
    let ended = lab.run(&["--manifest-prefix", "_manifests"]);
    assert_eq!(ended.counts(), (0, [48, 48, 0, 0, 48]), "{}", ended.stderr);
    let manifest: Value = serde_json::from_slice(&lab.object("_manifests/2025-11-06.json").unwrap()).unwrap();
    assert_eq!(manifest["totals"]["files"], FILES);
    assert_eq!(manifest["dates"]["2025-11-06"], FILES);
    assert!(ended.peak_bytes <= 2 * MEMORY, "{} MiB", ended.peak_bytes >> 20);
}
