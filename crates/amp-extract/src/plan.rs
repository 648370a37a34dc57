//! Which hours to ask for: those of the window and those that are owed, less what is done.

use std::collections::HashSet;

use amp_core::disk::DiskError;
use amp_core::hour::Hour;
use amp_core::ledger::{HourRecord, Ledger, Owners, SourceId};
use amp_core::stage::Staging;
use amp_core::window::{HourWindow, contiguous};
use chrono::{DateTime, Utc};

use crate::done_days::DoneDays;
use crate::hour_status::{HourStatus, HourStatusReader};
use crate::owed::{Owed, name_older};
use crate::settings::Settings;

/// What a plan takes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The window alone.
    Window,
    /// What is owed too, if no window was named.
    All,
}

/// What a plan is made of, besides the window.
#[derive(Clone, Copy)]
pub struct Planner<'a> {
    /// The settings of the run.
    pub settings: &'a Settings,
    /// When it began.
    pub started: DateTime<Utc>,
    /// Where staged files lie.
    pub staging: &'a Staging,
    /// What is known of hours.
    pub ledger: &'a Ledger,
}

impl Planner<'_> {
    /// What is to be asked for, by what the ledger knows of this key's project; without a key, of all. Hours that the run was about `already`
    /// are left out.
    ///
    /// # Errors
    /// When the ledger cannot be read. Damaged lines are no error.
    pub fn plan(
        &self,
        window: HourWindow,
        owners: &Owners,
        already: &HashSet<Hour>,
        scope: Scope,
    ) -> Result<(Plan, DoneDays), DiskError> {
        let owner = (!self.settings.lacks_key).then(|| owners.owner_of(&self.settings.source()));
        self.plan_by(&mut HourStatusReader::new(self.staging, self.ledger, owners, owner), window, already, scope)
    }

    /// The same by what `reader` has read and reads.
    ///
    /// # Errors
    /// When the ledger cannot be read. Damaged lines are no error.
    pub fn plan_by(
        &self,
        reader: &mut HourStatusReader<'_>,
        window: HourWindow,
        already: &HashSet<Hour>,
        scope: Scope,
    ) -> Result<(Plan, DoneDays), DiskError> {
        let mut done = DoneDays::read(self.staging, reader.owner().cloned())?;
        let owed = match scope == Scope::All && (self.settings.daily || self.settings.status) {
            true => Owed::find(self.settings, self.started, reader, &mut done)?,
            false => Owed::default(),
        };
        Ok((Plan::make(window, &owed, self.settings, already, reader)?, done))
    }
}

/// What a run will ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What to ask for, a request each, none over the change of a UTC day.
    pub requests: Vec<HourWindow>,
    /// Hours of the window that are done.
    pub skipped: Vec<HourWindow>,
    /// Hours outside the window that are owed.
    pub repaired: Vec<HourWindow>,
    /// Hours that are owed and lie before the repair days: nobody asks for them until they are named.
    pub older: Vec<HourWindow>,
}

impl Plan {
    /// Plans the hours of `window` and, before and beside it, those that are `owed`. Hours that the run was about `already` are left out.
    ///
    /// # Errors
    /// When the ledger cannot be read. Damaged lines are no error.
    pub fn make(
        window: HourWindow,
        owed: &Owed,
        settings: &Settings,
        already: &HashSet<Hour>,
        reader: &mut HourStatusReader<'_>,
    ) -> Result<Self, DiskError> {
        let is_new = |hour: &Hour| !already.contains(hour);
        let beside = owed.within_reach.iter().copied().filter(|hour| !window.contains(*hour));
        let repaired: Vec<Hour> = beside.filter(is_new).collect();
        for hour in &repaired {
            is_done(*hour, reader)?;
        }
        let mut plan = Self {
            requests: Vec::new(),
            skipped: Vec::new(),
            repaired: contiguous(repaired),
            older: contiguous(owed.older.iter().copied()),
        };
        let mut wanted: Vec<HourWindow> = plan.repaired.iter().flat_map(|window| window.days()).collect();
        for day in window.days() {
            let mut done = HashSet::new();
            if !settings.force {
                for hour in day.hours().filter(is_new) {
                    if is_done(hour, reader)? {
                        done.insert(hour);
                    }
                }
            }
            plan.skipped.extend(contiguous(day.hours().filter(|hour| done.contains(hour))));
            wanted.extend(contiguous(day.hours().filter(|hour| is_new(hour) && !done.contains(hour))));
        }
        wanted.sort_unstable_by_key(|window| window.start());
        for window in wanted {
            let splits = reader.index(window.start().date())?.splits().to_vec();
            pieces(window, &splits, &mut plan.requests);
        }
        Ok(plan)
    }

    /// The hours that the plan is about.
    pub fn hours(&self) -> impl Iterator<Item = Hour> {
        self.requests.iter().chain(&self.skipped).flat_map(|window| window.hours())
    }

    /// Says on the log what is planned.
    pub fn log(&self) {
        for window in &self.skipped {
            tracing::info!("{window}: done by an earlier run, skipped (--force fetches it again)");
        }
        for window in &self.repaired {
            tracing::info!("{window}: owed, no earlier run got it settled and whole: repairing");
        }
        for (_, told) in name_older(&self.older) {
            told.warn();
        }
    }

    /// Notes in the ledger what is about to be asked for, so that it is repaired if this run does not live to get it.
    pub fn append_to(&self, ledger: &Ledger, source: &SourceId, time: DateTime<Utc>) -> Result<(), DiskError> {
        let asked = |window| HourRecord::Asked { time, window, source: source.clone() };
        self.requests.iter().try_for_each(|request| ledger.append(request.start().date(), &asked(*request)))
    }

    /// Hours that the run is about, done ones included.
    pub fn asked(&self) -> u64 {
        self.skipped_hours() + self.requests.iter().map(|request| request.count()).sum::<u64>()
    }

    /// Hours of the window that are done.
    pub fn skipped_hours(&self) -> u64 {
        self.skipped.iter().map(|window| window.count()).sum()
    }
}

/// Halves a window until no piece holds a window that is known to need splitting.
pub(crate) fn pieces(window: HourWindow, splits: &[HourWindow], into: &mut Vec<HourWindow>) {
    match window.halves() {
        Some((left, right)) if splits.iter().any(|split| window.covers(*split)) => {
            pieces(left, splits, into);
            pieces(right, splits, into);
        }
        _ => into.push(window),
    }
}

/// Whether there is nothing more to fetch of an hour.
fn is_done(hour: Hour, reader: &mut HourStatusReader<'_>) -> Result<bool, DiskError> {
    let status = reader.status(hour)?;
    if let HourStatus::Vanished(file) = &status {
        tracing::warn!("{hour}: `{file}` was staged and is gone without having been loaded");
    }
    Ok(status.is_done())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: &str, end: &str) -> HourWindow {
        HourWindow::new(Hour::parse(start).unwrap(), Hour::parse(end).unwrap()).unwrap()
    }

    #[test]
    fn a_window_that_had_to_be_split_is_not_tried_whole_again() {
        let day = window("2025-11-06T00", "2025-11-06T23");
        let split = |splits: &[HourWindow]| {
            let mut into = Vec::new();
            pieces(day, splits, &mut into);
            into.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(split(&[]), ["2025-11-06T00..2025-11-06T23"]);
        assert_eq!(split(&[day]), ["2025-11-06T00..2025-11-06T11", "2025-11-06T12..2025-11-06T23"]);
        let deep = window("2025-11-06T12", "2025-11-06T17");
        assert_eq!(
            split(&[day, deep]),
            [
                "2025-11-06T00..2025-11-06T11",
                "2025-11-06T12..2025-11-06T14",
                "2025-11-06T15..2025-11-06T17",
                "2025-11-06T18..2025-11-06T23"
            ]
        );
    }
}
