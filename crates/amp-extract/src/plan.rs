//! Which hours to ask for: those of the window and those to be repaired, less what is done.

use std::collections::HashSet;

use amp_core::disk::DiskError;
use amp_core::hour::Hour;
use amp_core::ledger::{HourRecord, HourState, Ledger, Owner, SourceId};
use amp_core::window::{HourWindow, contiguous};
use chrono::{DateTime, Days, Utc};

use crate::hour_status::{HourStatus, HourStatusReader};
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
        reader: &mut HourStatusReader<'_>,
    ) -> Result<Self, DiskError> {
        let mut plan = Self { requests: Vec::new(), skipped: Vec::new(), repaired: Vec::new() };
        plan.repaired = contiguous(missed(window, settings.repair_days, now, reader)?);
        let mut wanted: Vec<HourWindow> = plan.repaired.iter().flat_map(|window| window.days()).collect();
        for day in window.days() {
            let mut done = HashSet::new();
            if !settings.force {
                for hour in day.hours() {
                    if is_done(hour, reader)? {
                        done.insert(hour);
                    }
                }
            }
            plan.skipped.extend(contiguous(day.hours().filter(|hour| done.contains(hour))));
            wanted.extend(contiguous(day.hours().filter(|hour| !done.contains(hour))));
        }
        wanted.sort_unstable_by_key(|window| window.start());
        for window in wanted {
            let splits = reader.index(window.start().date())?.splits().to_vec();
            pieces(window, &splits, &mut plan.requests);
        }
        Ok(plan)
    }

    /// Says on the log what is planned.
    pub fn log(&self) {
        for window in &self.skipped {
            tracing::info!("{window}: done by an earlier run, skipped (--force fetches it again)");
        }
        for window in &self.repaired {
            tracing::info!("{window}: an earlier run did not get it settled and whole, repairing");
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
fn pieces(window: HourWindow, splits: &[HourWindow], into: &mut Vec<HourWindow>) {
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

/// Settled hours of the last `days` days, those of `window` excepted, that some run asked for and that are not done.
fn missed(
    window: HourWindow,
    days: u32,
    now: DateTime<Utc>,
    reader: &mut HourStatusReader<'_>,
) -> Result<Vec<Hour>, DiskError> {
    let mut hours = Vec::new();
    let today = now.date_naive();
    let owner = reader.owner().cloned();
    let is_ours = |whose: &Owner| owner.as_ref().is_none_or(|owner| whose == owner);
    for back in (0..=u64::from(days)).rev().filter(|_| days > 0) {
        let Some(day) = today.checked_sub_days(Days::new(back)) else { continue };
        let of_day = reader.index(day)?;
        let damaged = of_day.damaged() > 0;
        // What was missed with another key counts too, and so does its "no data": the key may have been wrong and mended since.
        let is_missing =
            |state| !matches!(state, HourState::Accepted | HourState::Fetched { settled: true, files: [_, ..] });
        let asked =
            |hour: &Hour| damaged || of_day.states(*hour).any(|(whose, state)| is_ours(whose) || is_missing(state));
        let candidates: Vec<_> = HourWindow::day(day).hours().filter(asked).collect();
        for hour in candidates {
            if !window.contains(hour) && hour.settled_at() <= now && !is_done(hour, reader)? {
                hours.push(hour);
            }
        }
    }
    Ok(hours)
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
