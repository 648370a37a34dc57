//! Which hours to ask for: those of the window and those to be repaired, less what is done.

use std::collections::{BTreeMap, HashSet};

use amp_core::checksum::Digest;
use amp_core::disk::DiskError;
use amp_core::hour::Hour;
use amp_core::ledger::{FileRecord, HourRecord, HourState, KnownHours, Ledger, Partition, Source};
use amp_core::stage::Staging;
use amp_core::window::{HourWindow, runs};
use chrono::{DateTime, Days, NaiveDate, Utc};

use crate::settings::Settings;

/// What a run will ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What to ask for, a request each, none over the change of a UTC day.
    pub requests: Vec<HourWindow>,
    /// Hours of the window that are done.
    pub skipped: Vec<HourWindow>,
    /// Hours outside the window that an earlier run asked for and did not get, or not settled.
    pub repaired: Vec<HourWindow>,
}

impl Plan {
    /// Plans the hours of `window` and, before and beside it, those of the last `repair_days` that are to be repaired.
    ///
    /// # Errors
    /// When the ledger cannot be read. Damaged lines are no error.
    pub fn make(
        window: HourWindow,
        settings: &Settings,
        now: DateTime<Utc>,
        staging: &Staging,
        ledger: &Ledger,
    ) -> Result<Self, DiskError> {
        let source = settings.source();
        let mut known = Known { staging, ledger, source, hours: BTreeMap::new(), loaded: BTreeMap::new() };
        let mut plan = Self { requests: Vec::new(), skipped: Vec::new(), repaired: Vec::new() };
        plan.repaired = runs(known.missed(window, settings.repair_days, now)?);
        let mut wanted: Vec<HourWindow> = plan.repaired.iter().flat_map(|run| run.days()).collect();
        for day in window.days() {
            let mut done = HashSet::new();
            if !settings.force {
                for hour in day.hours() {
                    if known.is_done(hour)? {
                        done.insert(hour);
                    }
                }
            }
            plan.skipped.extend(runs(day.hours().filter(|hour| done.contains(hour))));
            wanted.extend(runs(day.hours().filter(|hour| !done.contains(hour))));
        }
        wanted.sort_unstable_by_key(|run| run.start());
        for run in wanted {
            let splits = known.of(run.start().date())?.splits().to_vec();
            pieces(run, &splits, &mut plan.requests);
        }
        Ok(plan)
    }

    /// Says on the log what is planned.
    pub fn tell(&self) {
        for run in &self.skipped {
            tracing::info!("{run}: done by an earlier run, skipped (--force fetches it again)");
        }
        for run in &self.repaired {
            tracing::info!("{run}: an earlier run did not get it settled and whole, repairing");
        }
    }

    /// Notes in the ledger what is about to be asked for, so that it is repaired if this run does not live to get it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn note(&self, ledger: &Ledger, source: &Source, at: DateTime<Utc>) -> Result<(), DiskError> {
        let asked = |window| HourRecord::Asked { at, window, source: source.clone() };
        self.requests.iter().try_for_each(|request| ledger.note(request.start().date(), &asked(*request)))
    }

    /// Hours that the run is about, done ones included.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.skipped_hours() + self.requests.iter().map(|request| request.count()).sum::<u64>()
    }

    /// Hours of the window that are done.
    #[must_use]
    pub fn skipped_hours(&self) -> u64 {
        self.skipped.iter().map(|run| run.count()).sum()
    }
}

/// Halves a window until no piece holds a window that is known to need splitting.
fn pieces(window: HourWindow, splits: &[HourWindow], into: &mut Vec<HourWindow>) {
    match window.halves() {
        Some((left, right)) if splits.iter().any(|split| window.covers(*split)) => {
            pieces(left, splits, into);
            pieces(right, splits, into);
        }
        _ => into.push(window),
    }
}

/// What the ledger and the directory know, read a day at a time and once.
struct Known<'a> {
    staging: &'a Staging,
    ledger: &'a Ledger,
    source: Source,
    hours: BTreeMap<NaiveDate, KnownHours>,
    loaded: BTreeMap<Partition, HashSet<(String, Digest)>>,
}

impl Known<'_> {
    fn of(&mut self, day: NaiveDate) -> Result<&KnownHours, DiskError> {
        if !self.hours.contains_key(&day) {
            self.hours.insert(day, self.ledger.hours(Partition::Day(day))?);
        }
        Ok(&self.hours[&day])
    }

    /// Whether the hour was fetched when settled and each of its files is still staged or known to be loaded.
    fn is_done(&mut self, hour: Hour) -> Result<bool, DiskError> {
        let source = self.source.clone();
        let known = self.of(hour.date())?;
        let HourState::Fetched { settled: true, files } = known.state(hour, &source) else { return Ok(false) };
        let files = files.to_vec();
        for file in files {
            if !self.is_kept(&file)? {
                tracing::warn!("{hour}: `{}` was staged and is gone without having been loaded", file.name);
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_kept(&mut self, file: &FileRecord) -> Result<bool, DiskError> {
        // In this order: amp-load notes a file as loaded before it deletes it, so one of the two looks finds it.
        if self.staging.holds(&file.name) {
            return Ok(true);
        }
        let partition = Partition::of_file(&file.name);
        let wanted = (file.name.clone(), file.digest);
        let is_loaded = |loaded: &HashSet<_>| loaded.contains(&wanted);
        if self.loaded.get(&partition).is_some_and(is_loaded) {
            return Ok(true);
        }
        // Not read yet, or the file was loaded after it was read.
        let loaded = self.ledger.loaded(partition)?;
        let found = is_loaded(&loaded);
        self.loaded.insert(partition, loaded);
        Ok(found)
    }

    /// Settled hours of the last `days` days, those of `window` excepted, that some run asked for and that are not done.
    fn missed(&mut self, window: HourWindow, days: u32, now: DateTime<Utc>) -> Result<Vec<Hour>, DiskError> {
        let mut hours = Vec::new();
        let today = now.date_naive();
        for back in (0..=u64::from(days)).rev().filter(|_| days > 0) {
            let Some(day) = today.checked_sub_days(Days::new(back)) else { continue };
            let source = self.source.clone();
            let known = self.of(day)?;
            let damaged = known.damaged() > 0;
            // What was missed with another key counts too, and so does its "no data": the key may have been wrong and mended since.
            let is_missing = |state| !matches!(state, HourState::Fetched { settled: true, files: [_, ..] });
            let asked = |hour: &Hour| {
                damaged || known.states(*hour).any(|(whose, state)| *whose == source || is_missing(state))
            };
            let candidates: Vec<_> = HourWindow::day(day).hours().filter(asked).collect();
            for hour in candidates {
                if !window.contains(hour) && hour.settled_at() <= now && !self.is_done(hour)? {
                    hours.push(hour);
                }
            }
        }
        Ok(hours)
    }
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
