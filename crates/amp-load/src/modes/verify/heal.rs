//! What brings a lost object back: its hour is fetched again, or the manifest is written again.

use std::fmt;

use amp_core::disk::DiskError;
use amp_core::ledger::{HourIndex, Ledger, LoadRecord, LostRecord, Owners, Partition};
use amp_core::name::EventFileName;
use chrono::Utc;

use crate::manifest::ManifestJournal;

/// What is done, or to be done, about an object that is missing or different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cure {
    /// It is recorded as lost.
    Recorded { is_manifest: bool },
    /// `--heal` would record it.
    Possible { is_manifest: bool },
    /// Its file's name has no hour to be fetched again.
    NoHour,
    /// The hour in its file's name came without the file when it was last fetched, or never came.
    NotOfItsHour,
}

impl fmt::Display for Cure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recorded { is_manifest: false } => {
                "it is recorded as lost: the next amp-extract fetches its hour again (or names it, where it is older than --repair-days), \
                 then amp-load uploads it"
            }
            Self::Recorded { is_manifest: true } => {
                "it is recorded as lost: the next amp-load with --manifest-prefix writes it again"
            }
            Self::Possible { is_manifest: false } => {
                "`amp-load --verify --heal` records it as lost, so that the next amp-extract fetches its hour again"
            }
            Self::Possible { is_manifest: true } => {
                "`amp-load --verify --heal` records it as lost, so that the next amp-load writes it again"
            }
            Self::NoHour => "it cannot be fetched again, for its file's name has no hour: copy the file in and load it again",
            Self::NotOfItsHour => {
                "it cannot be fetched again, for amp-extract did not make its file, or its hour has other files since: copy the file in and \
                 load it again"
            }
        })
    }
}

/// Records lost objects, or says what would.
#[derive(Debug)]
pub(super) struct Healer {
    ledger: Ledger,
    journal: ManifestJournal,
    records: bool,
    /// The hours that were looked at last: what is lost is mostly of the same day.
    hours: Option<(Partition, HourIndex)>,
}

impl Healer {
    /// For the objects of `ledger` and `journal`, to which it adds if it `records`: then amp-load's lock must be held.
    pub(super) fn new(ledger: Ledger, journal: ManifestJournal, records: bool) -> Self {
        Self { ledger, journal, records, hours: None }
    }

    /// What brings the object of `load` back, done as far as it is to be done. Blocks on the disk.
    ///
    /// # Errors
    /// When the ledger cannot be read or written.
    pub(super) fn cure(&mut self, load: &LoadRecord, is_manifest: bool, is_lost: bool) -> Result<Cure, DiskError> {
        if is_lost {
            return Ok(Cure::Recorded { is_manifest });
        }
        if !is_manifest {
            if EventFileName::parse(&load.file).is_none() {
                return Ok(Cure::NoHour);
            }
            if !self.is_of_its_hour(&load.file)? {
                return Ok(Cure::NotOfItsHour);
            }
        }
        if !self.records {
            return Ok(Cure::Possible { is_manifest });
        }
        let lost = LostRecord::of(load, Utc::now());
        if is_manifest {
            self.journal.append_lost(lost)?
        } else {
            self.ledger.append_lost(&[lost])?
        }
        Ok(Cure::Recorded { is_manifest })
    }

    fn is_of_its_hour(&mut self, file: &str) -> Result<bool, DiskError> {
        let partition = Partition::of_file(file);
        let known = match self.hours.take().filter(|(known, _)| *known == partition) {
            Some(known) => known,
            None => (partition, self.ledger.hours(partition, &Owners::read(&self.ledger)?)?),
        };
        Ok(self.hours.insert(known).1.is_part_of_an_hour(file))
    }
}
