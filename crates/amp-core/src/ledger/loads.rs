//! The load records of a partition one by one: a day may have a hundred thousand, so who reads them keeps where they are instead of what they say.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::{Ledger, LoadLine, LoadRecord, Partition};
use crate::disk::{DiskContext, DiskError};
use crate::jsonl::read_checked;

/// Where a line is in its file, until the file is replaced: a merge with lines of other machines does so, under the lock of all who load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinePosition {
    offset: u64,
    bytes: usize,
}

/// Reads load records of one partition again.
#[derive(Debug)]
pub struct LoadReader {
    path: PathBuf,
    file: File,
}

impl LoadReader {
    /// The record at that position. Who does not hold that lock compares its file with the one that is meant.
    ///
    /// # Errors
    /// When it cannot be read, or is no longer there.
    pub fn read(&self, position: LinePosition) -> Result<LoadRecord, DiskError> {
        let mut line = vec![0; position.bytes];
        let read = self.file.read_exact_at(&mut line, position.offset);
        read.and_then(|()| serde_json::from_slice(&line).map_err(io::Error::from)).context("read", &self.path)
    }
}

impl Ledger {
    /// Gives `take` the load records of a partition, oldest first, and those of lost objects. Nothing is kept.
    ///
    /// # Errors
    /// When a file of the ledger cannot be read; a damaged line is no error.
    pub fn read_loads(
        &self,
        partition: Partition,
        mut take: impl FnMut(LoadLine, LinePosition),
    ) -> Result<(), DiskError> {
        let path = self.loads.join(partition.file_name());
        let take = |offset, line: &[u8]| {
            let position = LinePosition { offset, bytes: line.len() };
            LoadLine::parse(line).map(|line| take(line, position)).is_some()
        };
        read_checked(&path, take).map(drop)
    }

    /// Opens the load records of a partition, to read some of them again.
    ///
    /// # Errors
    /// When there are none, or they cannot be read.
    pub fn load_reader(&self, partition: Partition) -> Result<LoadReader, DiskError> {
        let path = self.loads.join(partition.file_name());
        let file = File::open(&path).context("open", &path)?;
        Ok(LoadReader { path, file })
    }
}
