//! Days of which nothing can be owed any more, so that a ledger of ten years is not read every day: `.amp/done.jsonl`. Losing it costs time.

use std::collections::HashMap;
use std::path::PathBuf;

use amp_core::disk::DiskError;
use amp_core::jsonl;
use amp_core::ledger::{LedgerPositions, Owner};
use amp_core::stage::Staging;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// A line: while the day's files of the ledger stand there, all its hours are final.
#[derive(Debug, Serialize, Deserialize)]
struct DoneDay {
    day: NaiveDate,
    owner: Owner,
    positions: LedgerPositions,
}

/// The days that are done, of one owner.
pub struct DoneDays {
    path: PathBuf,
    owner: Option<Owner>,
    days: HashMap<NaiveDate, LedgerPositions>,
    additions: Vec<DoneDay>,
}

impl DoneDays {
    /// Those noted so far of `owner`; without one, none.
    ///
    /// # Errors
    /// When they cannot be read; a damaged line is no error.
    pub fn read(staging: &Staging, owner: Option<Owner>) -> Result<Self, DiskError> {
        let path = staging.state_dir().join("done.jsonl");
        let mut days = HashMap::new();
        if owner.is_some() {
            jsonl::read(&path, |line: DoneDay| {
                if Some(&line.owner) == owner.as_ref() {
                    days.insert(line.day, line.positions);
                }
            })?;
        }
        Ok(Self { path, owner, days, additions: Vec::new() })
    }

    /// Whether `day` was done and the ledger says nothing new of it.
    pub fn contains(&self, day: NaiveDate, positions: LedgerPositions) -> bool {
        self.days.get(&day) == Some(&positions)
    }

    /// Takes in a day of which all hours were final when its files stood there.
    pub fn add(&mut self, day: NaiveDate, positions: LedgerPositions) {
        if let Some(owner) = &self.owner {
            self.additions.push(DoneDay { day, owner: owner.clone(), positions });
        }
    }

    /// Writes down what was taken in.
    pub fn write(&self) -> Result<(), DiskError> {
        if self.additions.is_empty() { Ok(()) } else { jsonl::append(&self.path, &self.additions) }
    }
}
