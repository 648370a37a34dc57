//! How an archive is unpacked, and what all threads at work on it share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::error::{ArchiveError, Limit};
use super::limits::{Limits, Volume};
use crate::hour::Hour;
use crate::name::{EntryName, EventFileName};
use crate::progress::Transfer;
use crate::stage::Staging;

/// In which form events are staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Unpacked newline-JSON.
    Json,
    /// The entry's own gzip bytes, verified.
    JsonGz,
}

/// In which form the files of each hour are staged.
#[derive(Debug, Clone)]
pub struct Formats {
    /// Where nothing else is known.
    pub default: Format,
    /// Of hours whose files are known in one form: another would stand beside it, not in its place.
    pub hours: HashMap<Hour, Format>,
}

impl Formats {
    /// In which form the file of an entry of that name is staged.
    pub fn of(&self, entry: &EntryName) -> Format {
        let hour = EventFileName::parse(entry.as_str()).map(|name| name.hour);
        hour.and_then(|hour| self.hours.get(&hour)).copied().unwrap_or(self.default)
    }
}

impl From<Format> for Formats {
    fn from(default: Format) -> Self {
        Self { default, hours: HashMap::new() }
    }
}

/// How to unpack an archive.
pub struct Unpacking<'a> {
    /// Where the files will be staged.
    pub staging: &'a Staging,
    /// In which form.
    pub formats: &'a Formats,
    /// What the archive may unpack to at most.
    pub limits: Limits,
    /// How many entries are unpacked at the same time; at least one.
    pub threads: usize,
    /// Told of the archive's bytes as they are read, and of its entries.
    pub transfer: &'a dyn Transfer,
    /// Set from outside to stop.
    pub cancelled: &'a AtomicBool,
}

/// What all threads of one unpacking share.
pub(super) struct Shared<'a> {
    pub(super) how: &'a Unpacking<'a>,
    /// So far, for an archive that is still arriving.
    archive_bytes: &'a AtomicU64,
    volume: &'a Volume,
    /// What others have of the same archive.
    other_volumes: Vec<&'a Volume>,
    pub(super) failed: AtomicBool,
}

impl<'a> Shared<'a> {
    pub(super) fn new(
        how: &'a Unpacking<'a>,
        archive_bytes: &'a AtomicU64,
        volume: &'a Volume,
        other_volumes: impl IntoIterator<Item = &'a Volume>,
    ) -> Self {
        Self {
            how,
            archive_bytes,
            volume,
            other_volumes: other_volumes.into_iter().collect(),
            failed: AtomicBool::new(false),
        }
    }

    /// Whether what is still done would be in vain.
    pub(super) fn is_ending(&self) -> bool {
        self.how.cancelled.load(Ordering::Relaxed) || self.failed.load(Ordering::Relaxed)
    }

    /// Counts bytes that came out of an entry and stops at the limits, at a cancellation and when another thread failed.
    pub(super) fn account(&self, inflated: u64, written: u64) -> Result<(), ArchiveError> {
        if self.is_ending() {
            return Err(ArchiveError::Cancelled);
        }
        let Limits { max_unpacked, max_ratio } = self.how.limits;
        self.volume.add(inflated, written);
        let all = |count: fn(&Volume) -> &AtomicU64| {
            self.other_volumes
                .iter()
                .chain([&self.volume])
                .map(|volume| count(volume).load(Ordering::Relaxed))
                .sum::<u64>()
        };
        let archive_bytes = self.archive_bytes.load(Ordering::Relaxed);
        if all(|volume| &volume.inflated) > archive_bytes.saturating_mul(max_ratio) {
            return Err(ArchiveError::TooMuch(Limit::Ratio { max_ratio, archive_bytes }));
        }
        if all(|volume| &volume.written) > max_unpacked {
            return Err(ArchiveError::TooMuch(Limit::Unpacked { max_unpacked }));
        }
        Ok(())
    }
}
