//! The days of one owner of which nothing can be owed any more, by `.amp/done.jsonl`.

use std::collections::HashMap;
use std::path::PathBuf;

use amp_core::disk::DiskError;
use amp_core::ledger::{DoneDay, LedgerPositions, Owner, append_done_days, done_days};
use amp_core::stage::Staging;
use chrono::NaiveDate;

/// The days that are done, of one owner.
pub struct DoneDays {
    state_dir: PathBuf,
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
        let state_dir = staging.state_dir();
        let mut days = HashMap::new();
        if owner.is_some() {
            done_days(&state_dir, |line| {
                if Some(&line.owner) == owner.as_ref() {
                    days.insert(line.day, line.positions);
                }
            })?;
        }
        Ok(Self { state_dir, owner, days, additions: Vec::new() })
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
        append_done_days(&self.state_dir, &self.additions)
    }
}
