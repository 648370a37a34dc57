//! What was asked of Amplitude, what came of it, and what S3 confirmed: JSON lines below `extracted_data/.amp/`.
//!
//! `hours/DAY.jsonl` is written by amp-extract alone, `loads/DAY.jsonl` by amp-load alone, so they need no lock between them. DAY is the
//! UTC day of the hours or of the file's name, or `undated`. `sources.jsonl`, written by amp-extract too, tells whose hours they are. Lines
//! are only ever appended; a line cut short by a crash is passed over.

mod done;
mod files;
mod index;
mod latest;
mod lines;
mod loads;
mod owners;
mod parse;
mod record;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

pub use self::done::{DoneDay, append_done_days, done_days};
pub use self::files::{FileIndex, UnpackedFile};
pub use self::index::{HourIndex, HourState, PublishedFile, hours_without_files};
pub use self::latest::LatestLoad;
use self::latest::LatestLoads;
pub use self::lines::{LineSet, PartitionLines};
pub use self::loads::{LinePosition, LoadReader};
pub use self::owners::{FIRST_YEAR, Owner, Owners, ScannedSource, SourceRecord, project_of};
pub use self::record::{
    FileIdentity, FileRecord, HourRecord, LoadLine, LoadRecord, LostRecord, ObjectRef, Partition, SourceId,
    WrittenObject,
};
use crate::checksum::Digest;
use crate::disk::{DiskContext, DiskError};
use crate::hour::parse_date;
use crate::jsonl::{append, read_lines, read_parsed, read_sound};
use crate::reserve::Reserve;

/// How far a file of the ledger had come. Lines are only appended: while the position is the same, so is what the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerPosition {
    /// Its size in bytes.
    pub bytes: u64,
    /// When it last changed, in nanoseconds since 1970.
    pub mtime: i64,
}

/// How far a partition had come; a file that is missing has no position.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerPositions {
    /// Of its hours.
    pub hours: Option<LedgerPosition>,
    /// Of its loads.
    pub loads: Option<LedgerPosition>,
}

/// How many files one line is about, unless one hour has more.
const MOST_FILES: usize = 1_000;

/// The ledger of one `extracted_data/`.
#[derive(Debug, Clone)]
pub struct Ledger {
    hours: PathBuf,
    loads: PathBuf,
    sources: PathBuf,
    reserve: Reserve,
}

impl Ledger {
    /// The ledger in the state directory of `extracted_data/`; nothing is read or made yet.
    pub fn at(state_dir: &Path) -> Self {
        Self {
            hours: state_dir.join("hours"),
            loads: state_dir.join("loads"),
            sources: state_dir.join("sources.jsonl"),
            reserve: Reserve::at(state_dir),
        }
    }

    /// Notes `record` and waits until it is on disk. It stands in the partition of `day`; files that belong to another day by their name
    /// are noted there too, so that they are found by it.
    pub fn append(&self, day: NaiveDate, record: &HourRecord) -> Result<(), DiskError> {
        if let HourRecord::Staging { time, window, files } = record {
            let mut strays: BTreeMap<Partition, Vec<FileRecord>> = BTreeMap::new();
            for file in files {
                let partition = Partition::of_file(&file.name);
                if partition != Partition::Day(day) {
                    strays.entry(partition).or_default().push(file.clone());
                }
            }
            for (partition, files) in strays {
                append(
                    &self.hours.join(partition.file_name()),
                    &[HourRecord::Staging { time: *time, window: *window, files }],
                )?;
            }
        }
        append(&self.hours.join(Partition::Day(day).file_name()), &record.in_lines(MOST_FILES))
    }

    /// Notes what became known of sources and waits until it is on disk. Any run may do so at any time, the lock held or not.
    pub fn append_sources(&self, records: &[SourceRecord]) -> Result<(), DiskError> {
        append(&self.sources, records)
    }

    /// Notes files that S3 confirmed and waits until the notes are on disk, in the room kept in reserve where the disk is full.
    ///
    /// # Errors
    /// When a line cannot be written and synced; then nothing may be deleted.
    pub fn append_loads(&self, records: &[LoadRecord]) -> Result<(), DiskError> {
        self.append_by_file(records, |record| &record.file)
    }

    /// Notes objects that were lost and waits until the notes are on disk: their hours are to be fetched again.
    ///
    /// # Errors
    /// When a line cannot be written and synced.
    pub fn append_lost(&self, records: &[LostRecord]) -> Result<(), DiskError> {
        self.append_by_file(records, |record| &record.file)
    }

    fn append_by_file<T: Serialize>(&self, records: &[T], file: impl Fn(&T) -> &str) -> Result<(), DiskError> {
        let mut partitions: BTreeMap<Partition, Vec<&T>> = BTreeMap::new();
        for record in records {
            partitions.entry(Partition::of_file(file(record))).or_default().push(record);
        }
        partitions
            .into_iter()
            .try_for_each(|(partition, records)| self.reserve.append(&self.loads.join(partition.file_name()), &records))
    }

    /// Whether no hour was ever asked for.
    pub fn is_empty(&self) -> Result<bool, DiskError> {
        Ok(files_in(&self.hours)?.is_empty())
    }

    /// What is known of the hours and files of a partition, owner by owner.
    ///
    /// # Errors
    /// When a file of the ledger cannot be read; a damaged line is no error.
    pub fn hours(&self, partition: Partition, owners: &Owners) -> Result<HourIndex, DiskError> {
        let mut index = HourIndex::default();
        index.damaged = self.read_hours(partition, |record| index.apply(record, owners))?;
        Ok(index)
    }

    /// What the files of a partition may hold.
    ///
    /// # Errors
    /// When a file of the ledger cannot be read; a damaged line is no error.
    pub fn files(&self, partition: Partition) -> Result<FileIndex, DiskError> {
        let mut index = FileIndex::default();
        self.read_hours(partition, |record| index.apply(record))?;
        Ok(index)
    }

    fn read_hours(&self, partition: Partition, mut take: impl FnMut(HourRecord)) -> Result<u64, DiskError> {
        read_sound(&self.hours.join(partition.file_name()), |record: HourRecord| {
            let is_sound = record.window().is_none_or(|window| window.days().nth(1).is_none());
            if is_sound {
                take(record);
            }
            is_sound
        })
    }

    /// The files of a partition that S3 confirmed, whichever the bucket, and whose objects were not lost since.
    ///
    /// # Errors
    /// When a file of the ledger cannot be read; a damaged line is no error.
    pub fn loaded_digests(&self, partition: Partition) -> Result<HashSet<(String, Digest)>, DiskError> {
        let mut loaded = HashSet::new();
        read_loads(&self.loads.join(partition.file_name()), |line| match line {
            LoadLine::Loaded(record) => {
                loaded.extend(record.in_place_of.into_iter().map(|digest| (record.file.clone(), digest)));
                loaded.insert((record.file, record.digest));
            }
            LoadLine::Lost(lost) => loaded.retain(|(file, _)| *file != lost.file),
        })?;
        Ok(loaded)
    }

    /// Gives `take` of every load record, partition by partition, which object was written from which file. Nothing is kept: a ledger of years
    /// is read in the memory of a line.
    ///
    /// # Errors
    /// When a file of the ledger cannot be read. A damaged line is no error, and nothing is said of it: every run reads all of them.
    pub fn read_written(&self, mut take: impl FnMut(WrittenObject)) -> Result<(), DiskError> {
        files_in(&self.loads)?.into_iter().try_for_each(|path| {
            read_lines(&path, |line| {
                if let Ok(written) = serde_json::from_slice(line) {
                    take(written);
                }
            })
        })
    }

    /// The days of which hours are known, in order.
    pub fn days(&self) -> Result<Vec<NaiveDate>, DiskError> {
        let day = |path: PathBuf| parse_date(path.file_stem()?.to_str()?).ok();
        Ok(files_in(&self.hours)?.into_iter().filter_map(day).collect())
    }

    /// How far a partition has come, without reading it.
    pub fn positions(&self, partition: Partition) -> Result<LedgerPositions, DiskError> {
        let loads = position(&self.loads.join(partition.file_name()))?;
        Ok(LedgerPositions { hours: self.hours_position(partition)?, loads })
    }

    /// How far the hours of a partition have come, without reading them.
    pub fn hours_position(&self, partition: Partition) -> Result<Option<LedgerPosition>, DiskError> {
        position(&self.hours.join(partition.file_name()))
    }

    /// The newest record of each object, of all partitions, among those that `wanted` takes, and how many lines were damaged.
    ///
    /// # Errors
    /// When a file of the ledger cannot be read; a damaged line is no error.
    pub fn latest_loads(&self, wanted: impl Fn(&LoadRecord) -> bool) -> Result<(Vec<LatestLoad>, u64), DiskError> {
        let mut latest = LatestLoads::default();
        let mut damaged = 0;
        for path in files_in(&self.loads)? {
            damaged += read_loads(&path, |line| match line {
                LoadLine::Loaded(record) if !wanted(&record) => {}
                LoadLine::Loaded(record) => latest.add(record),
                LoadLine::Lost(lost) => latest.mark_lost(&lost),
            })?;
        }
        Ok((latest.into_vec(), damaged))
    }
}

fn read_loads(path: &Path, take: impl FnMut(LoadLine)) -> Result<u64, DiskError> {
    read_parsed(path, LoadLine::parse, take)
}

fn position(path: &Path) -> Result<Option<LedgerPosition>, DiskError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.context("look at", path).map(|found| {
            let mtime = found.mtime().saturating_mul(1_000_000_000).saturating_add(found.mtime_nsec());
            Some(LedgerPosition { bytes: found.len(), mtime })
        }),
    }
}

fn files_in(dir: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context("read", dir)?,
    };
    let mut paths =
        entries.map(|entry| entry.map(|entry| entry.path()).context("read", dir)).collect::<Result<Vec<_>, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.sort_unstable();
    Ok(paths)
}
