//! Days of which nothing can be owed any more, so that a ledger of ten years is not read every day: `.amp/done.jsonl`. Losing it costs time.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::{LedgerPositions, Owner};
use crate::disk::DiskError;
use crate::jsonl::{append, read};

/// A line: while the day's files of the ledger stand there, all its hours are final. Of a day without files, no positions: they were not
/// brought here from the state in the bucket, by which the day is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoneDay {
    /// The day of UTC.
    pub day: NaiveDate,
    /// Whose hours.
    pub owner: Owner,
    /// How far the day's files had come.
    pub positions: LedgerPositions,
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("done.jsonl")
}

/// Gives `take` each line, oldest first.
///
/// # Errors
/// When the file cannot be read; a damaged line is no error.
pub fn done_days(state_dir: &Path, take: impl FnMut(DoneDay)) -> Result<(), DiskError> {
    read(&path(state_dir), take).map(drop)
}

/// Adds lines, for the holder of amp-extract's lock.
///
/// # Errors
/// When they cannot be written.
pub fn append_done_days(state_dir: &Path, days: &[DoneDay]) -> Result<(), DiskError> {
    if days.is_empty() { Ok(()) } else { append(&path(state_dir), days) }
}
