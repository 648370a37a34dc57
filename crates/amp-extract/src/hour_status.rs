//! What became of hours, by the ledger and by what lies in `extracted_data/`.

use std::collections::{BTreeMap, HashSet};

use amp_core::checksum::Digest;
use amp_core::disk::DiskError;
use amp_core::hour::Hour;
use amp_core::ledger::{FileRecord, HourIndex, HourState, Ledger, LedgerPositions, Owner, Owners, Partition};
use amp_core::stage::Staging;
use amp_core::window::HourWindow;
use chrono::NaiveDate;

/// What became of an hour. The later in this order, the more it needs attention.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum HourStatus {
    /// No run asked for it.
    NeverAsked,
    /// Amplitude had nothing of it.
    NoData,
    /// It was given up by name.
    Accepted,
    /// Every file of it is in S3.
    Loaded,
    /// Every file of it is staged or in S3.
    Staged,
    /// It was fetched before Amplitude had all of it.
    Unsettled,
    /// A run asked, and ended without an answer.
    Unanswered,
    /// It was not got when it was last asked for.
    Failed,
    /// This file of it was staged and is gone without having been loaded.
    Vanished(String),
}

impl HourStatus {
    /// Whether there is nothing more to fetch.
    pub fn is_done(&self) -> bool {
        self.is_final() || *self == Self::Staged
    }

    /// Whether nothing but a new line of the ledger can change it.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::NoData | Self::Accepted | Self::Loaded)
    }
}

/// What the ledger and the directory know, read a day at a time and once.
pub struct HourStatusReader<'a> {
    staging: &'a Staging,
    ledger: &'a Ledger,
    owners: &'a Owners,
    owner: Option<Owner>,
    hours: BTreeMap<NaiveDate, HourIndex>,
    loaded: BTreeMap<Partition, HashSet<(String, Digest)>>,
}

impl<'a> HourStatusReader<'a> {
    /// About the hours of `owner`, or of all together without one. Nothing is read yet.
    pub fn new(staging: &'a Staging, ledger: &'a Ledger, owners: &'a Owners, owner: Option<Owner>) -> Self {
        Self { staging, ledger, owners, owner, hours: BTreeMap::new(), loaded: BTreeMap::new() }
    }

    /// Whose hours it is about; `None`: everyone's.
    pub fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    /// What is known of sources.
    pub fn owners(&self) -> &'a Owners {
        self.owners
    }

    /// The days of which the ledger knows hours, in order.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn days(&self) -> Result<Vec<NaiveDate>, DiskError> {
        self.ledger.days()
    }

    /// How far the ledger of a day has come. Nothing is read.
    ///
    /// # Errors
    /// When the files cannot be looked at.
    pub fn positions(&self, day: NaiveDate) -> Result<LedgerPositions, DiskError> {
        self.ledger.positions(Partition::Day(day))
    }

    /// Whether no file of the day's hours has its loads noted elsewhere, under another day or none.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn rests_on_itself(&mut self, day: NaiveDate) -> Result<bool, DiskError> {
        let index = self.index(day)?;
        let files =
            HourWindow::day(day).hours().flat_map(|hour| index.states(hour)).flat_map(|(_, state)| match state {
                HourState::Fetched { files, .. } => files,
                _ => &[],
            });
        Ok(files.into_iter().all(|file| Partition::of_file(&file.name) == Partition::Day(day)))
    }

    /// Lets go of what was read of a day.
    pub fn forget(&mut self, day: NaiveDate) {
        self.hours.remove(&day);
        self.loaded.remove(&Partition::Day(day));
    }

    /// What the ledger says of a day, whoever asked.
    ///
    /// # Errors
    /// When it cannot be read. Damaged lines are no error, here and below.
    pub fn index(&mut self, day: NaiveDate) -> Result<&HourIndex, DiskError> {
        if !self.hours.contains_key(&day) {
            self.hours.insert(day, self.ledger.hours(Partition::Day(day), self.owners)?);
        }
        Ok(&self.hours[&day])
    }

    /// What became of `hour`; where that differs from owner to owner, what needs most attention.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn status(&mut self, hour: Hour) -> Result<HourStatus, DiskError> {
        let owners: Vec<Owner> = match &self.owner {
            Some(owner) => vec![owner.clone()],
            None => self.index(hour.date())?.states(hour).map(|(owner, _)| owner.clone()).collect(),
        };
        owners.iter().try_fold(HourStatus::NeverAsked, |worst, owner| Ok(worst.max(self.status_for(hour, owner)?)))
    }

    fn status_for(&mut self, hour: Hour, owner: &Owner) -> Result<HourStatus, DiskError> {
        let files = match self.index(hour.date())?.state(hour, owner) {
            HourState::NeverAsked => return Ok(HourStatus::NeverAsked),
            HourState::Unanswered => return Ok(HourStatus::Unanswered),
            HourState::Accepted => return Ok(HourStatus::Accepted),
            HourState::Failed(_) => return Ok(HourStatus::Failed),
            HourState::Fetched { settled: false, .. } => return Ok(HourStatus::Unsettled),
            HourState::Fetched { files: [], .. } => return Ok(HourStatus::NoData),
            HourState::Fetched { files, .. } => files.to_vec(),
        };
        let mut status = HourStatus::Loaded;
        for file in files {
            status = status.max(self.status_of_file(file)?);
            if !status.is_done() {
                break;
            }
        }
        Ok(status)
    }

    fn status_of_file(&mut self, file: FileRecord) -> Result<HourStatus, DiskError> {
        // In this order: amp-load notes a file as loaded before it deletes it, so one of the two looks finds it.
        let is_staged = self.staging.holds(&file);
        let partition = Partition::of_file(&file.name);
        let wanted = (file.name, file.digest);
        if self.loaded.get(&partition).is_some_and(|loaded| loaded.contains(&wanted)) {
            return Ok(HourStatus::Loaded);
        }
        if !is_staged || !self.loaded.contains_key(&partition) {
            // Not read yet, or the file was loaded after it was read.
            let loaded = self.ledger.loaded_digests(partition)?;
            let is_loaded = loaded.contains(&wanted);
            self.loaded.insert(partition, loaded);
            if is_loaded {
                return Ok(HourStatus::Loaded);
            }
        }
        Ok(if is_staged { HourStatus::Staged } else { HourStatus::Vanished(wanted.0) })
    }
}
