//! The journal of manifests, `.amp/manifests.jsonl`: what was put where, and how far the ledger had come.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use amp_core::checksum::Digest;
use amp_core::disk::DiskError;
use amp_core::hour::parse_date;
use amp_core::jsonl::read_parsed;
use amp_core::ledger::{LatestLoad, LedgerPositions, LineSet, LoadRecord, LostRecord, ObjectRef};
use amp_core::reserve::Reserve;
use amp_core::stage::Staging;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::loads::Destination;

/// A line of the journal: S3 confirmed this manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ManifestRecord {
    /// When, where and what.
    #[serde(flatten)]
    pub(super) load: LoadRecord,
    /// How far the ledger of its day had come when it was made; none where it rests on other days' ledgers too.
    #[serde(default, rename = "marks", skip_serializing_if = "Option::is_none")]
    pub(super) positions: Option<LedgerPositions>,
}

/// The journal. Lines are added by the holder of amp-load's lock alone.
#[derive(Debug)]
pub(crate) struct ManifestJournal {
    path: PathBuf,
    reserve: Reserve,
    newest: Mutex<BTreeMap<ObjectRef, Known>>,
}

/// The newest record of a manifest, and whether its object was lost since.
#[derive(Debug)]
struct Known {
    line: ManifestRecord,
    is_lost: bool,
}

/// A line of the file. One of a lost manifest lacks what every [`ManifestRecord`] has, so that versions which do not know it skip it as damaged.
enum JournalLine {
    Put(ManifestRecord),
    Lost(LostRecord),
}

impl JournalLine {
    fn parse(line: &[u8]) -> Option<Self> {
        let put = serde_json::from_slice(line).map(Self::Put);
        put.or_else(|_| serde_json::from_slice(line).map(Self::Lost)).ok()
    }
}

impl ManifestJournal {
    /// Reads the journal of `staging`.
    ///
    /// # Errors
    /// When the disk refuses; a damaged line is no error: its manifest is put again.
    pub(crate) fn open(staging: &Staging) -> Result<Self, DiskError> {
        let reserve = Reserve::at(&staging.state_dir());
        let path = staging.state_dir().join("manifests.jsonl");
        let mut newest: BTreeMap<ObjectRef, Known> = BTreeMap::new();
        read_parsed(&path, JournalLine::parse, |line| match line {
            JournalLine::Put(line) => drop(newest.insert(line.load.object(), Known { line, is_lost: false })),
            JournalLine::Lost(lost) => {
                if let Some(known) = newest.get_mut(&lost.object()) {
                    known.is_lost = true;
                }
            }
        })?;
        Ok(Self { path, reserve, newest: Mutex::new(newest) })
    }

    /// The newest record of each manifest.
    pub(crate) fn records(&self) -> Vec<LatestLoad> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.values().map(|known| LatestLoad { record: known.line.load.clone(), is_lost: known.is_lost }).collect()
    }

    /// The newest record of each manifest of each day, as other machines may have it: without how far the ledger here had come.
    pub(crate) fn lines(&self) -> BTreeMap<NaiveDate, LineSet> {
        let mut lines: BTreeMap<NaiveDate, LineSet> = BTreeMap::new();
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        for Known { line, .. } in newest.values().filter(|known| !known.is_lost) {
            let day = line.load.file.strip_suffix(".json").and_then(|day| parse_date(day).ok());
            if let (Some(day), Ok(text)) = (day, serde_json::to_string(&line.load)) {
                lines.entry(day).or_default().insert(&text);
            }
        }
        lines
    }

    /// Adds the lines of other machines that are newer than those here, and waits until they are on disk.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(crate) fn merge<'a>(&self, lines: impl Iterator<Item = &'a str>) -> Result<(), DiskError> {
        let mut records: Vec<ManifestRecord> = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
        records.sort_by_key(|record| record.load.time);
        for record in records {
            let known = self
                .newest
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(&record.load.object())
                .map(|known| known.line.load.time);
            if known.is_none_or(|known| known < record.load.time) {
                self.append(record)?;
            }
        }
        Ok(())
    }

    /// Asks of the record of a manifest that is in the bucket, as far as is known.
    fn with<T>(&self, to: &Destination, key: &str, ask: impl FnOnce(&ManifestRecord) -> T) -> Option<T> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.get(&to.object(key)).filter(|known| !known.is_lost).map(|known| ask(&known.line))
    }

    /// Whether the manifest of that key was made when the ledger had come exactly so far.
    pub(super) fn is_current(&self, to: &Destination, key: &str, positions: LedgerPositions) -> bool {
        self.with(to, key, |line| line.positions == Some(positions)).unwrap_or(false)
    }

    /// The line of the manifest of that key if it has exactly that content.
    pub(super) fn same(&self, to: &Destination, key: &str, content: Digest) -> Option<ManifestRecord> {
        self.with(to, key, |line| (line.load.digest == content).then(|| line.clone())).flatten()
    }

    /// Adds a line and waits until it is on disk.
    pub(super) fn append(&self, line: ManifestRecord) -> Result<(), DiskError> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        self.reserve.append(&self.path, std::slice::from_ref(&line))?;
        newest.insert(line.load.object(), Known { line, is_lost: false });
        Ok(())
    }

    /// Notes that a manifest is not in the bucket as it was put, so that the next run puts it again, and waits until that is on disk.
    pub(crate) fn append_lost(&self, lost: LostRecord) -> Result<(), DiskError> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        self.reserve.append(&self.path, std::slice::from_ref(&lost))?;
        if let Some(known) = newest.get_mut(&lost.object()) {
            known.is_lost = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_keys_on_disk_stay_what_they_were() {
        let line = r#"{"at":"2026-11-25T16:26:10.487927473Z","file":"2025-11-06.json","bytes":5674,"crc64nvme":"X8kupzEx0Lo=","bucket":"lake","key":"_m/2025-11-06.json","endpoint":"http://x","checksum":{"algorithm":"crc64nvme","value":"X8kupzEx0Lo="},"proof":"checksum","marks":{"hours":{"bytes":14037,"mtime":1795623968219388490},"loads":null}}"#;
        let record: ManifestRecord = serde_json::from_str(line).unwrap();
        assert_eq!(record.positions.unwrap().hours.unwrap().bytes, 14037);
        assert_eq!(serde_json::to_string(&record).unwrap(), line);
    }
}
