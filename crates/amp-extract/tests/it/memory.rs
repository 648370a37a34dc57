//! How much memory a day of very many files takes.

use std::fs;
use std::os::unix::fs::MetadataExt;

use amp_core::checksum::Digester;
use amp_core::hour::Hour;
use amp_core::ledger::{FileIdentity, FileRecord, HourRecord, Ledger, SourceId};
use amp_core::secret::Secret;
use amp_core::stage::Staging;
use amp_core::window::HourWindow;
use chrono::{NaiveDate, Utc};

use crate::support::{DAY, Lab};

const FILES: usize = 100_000;

/// A day of so many files of a line each, all of them staged.
fn day_of_many(lab: &Lab) {
    let dir = lab.path("extracted_data");
    let staging = Staging::open(&dir).unwrap();
    let day: NaiveDate = DAY.parse().unwrap();
    let line = b"{}\n";
    let record = |number: usize| {
        let name = format!("100011471_{day}_{}#{}.json", number % 24, number / 24);
        fs::write(dir.join(&name), line).unwrap();
        let found = fs::metadata(dir.join(&name)).unwrap();
        let identity = FileIdentity { inode: found.ino(), mtime: found.mtime() * 1_000_000_000 + found.mtime_nsec() };
        FileRecord {
            name,
            digest: Digester::digest_of(line),
            lines: 1,
            dates: serde_json::from_str(&format!("{{\"{day}\":1}}")).unwrap(),
            rows: serde_json::from_str("\"7271b0d6ee26200c\"").unwrap(),
            identity: Some(identity),
        }
    };
    let files: Vec<FileRecord> = (0..FILES).map(record).collect();
    let ledger = Ledger::at(&staging.state_dir());
    let (time, window) = (Utc::now(), HourWindow::day(day));
    let staged = files.iter().cloned().map(|file| FileRecord { dates: None, rows: None, ..file }).collect();
    ledger.append(day, &HourRecord::Staging { time, window: Some(window), files: staged }).unwrap();
    let source = SourceId::new("127.0.0.1", &Secret::new(lab.server.api_key().into()));
    let (requested_at, none) = (Hour::first_of(day).plus(72).start(), Vec::new);
    let fetched = HourRecord::Fetched { time, window, source, requested_at, unsettled: none(), no_data: none(), files };
    ledger.append(day, &fetched).unwrap();
}

#[test]
fn a_day_of_100_000_staged_files_is_planned_and_shown_in_64_mib() {
    let lab = Lab::new();
    day_of_many(&lab);
    for args in [&["--date", DAY][..], &["--dry-run", "--date", DAY], &["--status"]] {
        let ran = lab.run(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {ran:#?}");
        assert!(ran.peak_bytes < 64 << 20, "{args:?}: {} MiB", ran.peak_bytes >> 20);
    }
    assert_eq!(lab.asked(), [""; 0]);
}
