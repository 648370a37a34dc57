//! Which hours are owed: every hour since the first call without a window, and those that a named window asked for and did not get.

use std::collections::BTreeSet;

use amp_cli::Diagnostic;
use amp_core::disk::DiskError;
use amp_core::hour::{Hour, yesterday};
use amp_core::ledger::{HourState, Owner};
use amp_core::window::HourWindow;
use chrono::{DateTime, Days, NaiveDate, Utc};

use crate::done_days::DoneDays;
use crate::empty_days::EmptyDay;
use crate::hour_status::HourStatusReader;
use crate::settings::Settings;
use crate::sources::{first_owed, first_repaired, is_sane};

/// As many windows that are older than the repair days are named in one run.
const MOST_NAMED: usize = 10;

/// Settled hours that are owed and not done, in order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Owed {
    /// Those that a call without a window asks for.
    pub within_reach: Vec<Hour>,
    /// Those of days before the repair days.
    pub older: Vec<Hour>,
}

impl Owed {
    /// Looks at every day of which an hour may be owed, but those that are `done`; days found to be done are taken in there.
    ///
    /// # Errors
    /// When the ledger cannot be read. Damaged lines are no error.
    pub fn find(
        settings: &Settings,
        now: DateTime<Utc>,
        reader: &mut HourStatusReader<'_>,
        done: &mut DoneDays,
    ) -> Result<Self, DiskError> {
        let first_owed = first_owed(reader.owners(), reader.owner(), now);
        let first_repaired = first_repaired(settings, now);
        let mut days: BTreeSet<NaiveDate> = reader.days()?.into_iter().collect();
        let mut day = first_owed;
        while day <= yesterday(now) {
            days.insert(day);
            let Some(next) = day.checked_add_days(Days::new(1)) else { break };
            day = next;
        }
        let mut owed = Self::default();
        for day in days.iter().filter(|day| **day == now.date_naive() || is_sane(**day, now)) {
            let positions = reader.positions(*day)?;
            if done.contains(*day, positions) {
                continue;
            }
            let daily = Some(HourWindow::day(*day)).filter(|_| *day >= first_owed);
            let daily = daily.and_then(|day| settings.shard.map_or(Some(day), |shard| day.shard(shard)));
            let is_within_reach = *day >= first_repaired;
            let hours = if is_within_reach { &mut owed.within_reach } else { &mut owed.older };
            let empty = if is_within_reach { EmptyDay::of(*day, reader)? } else { EmptyDay::No };
            let mut all_final = empty == EmptyDay::No;
            for hour in HourWindow::day(*day).hours() {
                let status = reader.status(hour)?;
                all_final &= status.is_final();
                let is_wanted = daily.is_some_and(|daily| daily.contains(hour));
                let is_doubtful = matches!(&empty, EmptyDay::Doubtful(hours) if hours.contains(&hour));
                let is_done = status.is_done() && !is_doubtful;
                let is_owed = hour.settled_at() <= now && !is_done;
                if is_owed && (is_wanted || was_asked(hour, is_within_reach, reader)?) {
                    hours.push(hour);
                }
            }
            if all_final && reader.rests_on_itself(*day)? {
                done.add(*day, positions);
            }
            if !is_within_reach {
                reader.forget(*day);
            }
        }
        Ok(owed)
    }
}

/// Whether some run asked for `hour`, as far as it counts as ours; `with_others`: also one whose key delivered nothing.
fn was_asked(hour: Hour, with_others: bool, reader: &mut HourStatusReader<'_>) -> Result<bool, DiskError> {
    let (owner, owners) = (reader.owner().cloned(), reader.owners());
    let index = reader.index(hour.date())?;
    let Some(owner) = owner else { return Ok(index.damaged() > 0 || index.states(hour).next().is_some()) };
    // A key that never delivered anything may have been wrong, and mended since: its "no data" is no answer.
    let is_open = |state: HourState<'_>| {
        !matches!(state, HourState::Accepted | HourState::Fetched { settled: true, files: [_, ..] })
    };
    let falls_to_us = |whose: &Owner| match whose {
        Owner::Source(source) => with_others && owners.falls_to(source, &owner),
        Owner::Project { .. } => false,
    };
    let is_ours = |(whose, state): (&Owner, HourState<'_>)| *whose == owner || (is_open(state) && falls_to_us(whose));
    Ok(index.damaged() > 0 || index.states(hour).any(is_ours))
}

/// What is said of windows that are owed and older than the repair days, a message each; of the rest, one together.
pub fn name_older(windows: &[HourWindow]) -> Vec<(Option<HourWindow>, Diagnostic)> {
    let name = |window: &HourWindow| {
        let (start, end) = (window.start(), window.end());
        let hint =
            format!("`amp-extract --start {start} --end {end}` fetches it, the same with --accept-missing gives it up");
        (Some(*window), Diagnostic::from(format!("{window}: owed, and older than --repair-days")).with_hint(hint))
    };
    let mut named: Vec<_> = windows.iter().take(MOST_NAMED).map(name).collect();
    if let [first, ..] = windows.get(MOST_NAMED..).unwrap_or_default() {
        let count = windows.len() - MOST_NAMED;
        let message = format!("{count} more windows since {} are owed and older than --repair-days", first.start());
        named.push((None, message.into()));
    }
    named
}
