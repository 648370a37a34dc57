//! A whole day without data right after a day with data is asked for once more before it is believed: the answer may be somebody else's.

use amp_core::disk::DiskError;
use amp_core::hour::Hour;
use amp_core::ledger::{HourIndex, HourState, Owner};
use amp_core::window::HourWindow;
use chrono::{DateTime, Days, NaiveDate, Utc};

use crate::hour_status::HourStatusReader;
use crate::source_ledger::SourceLedger;

/// The hours of `day` that are without data but not to be believed yet: the whole day has none, the day before has some, and no run before
/// the one that `started` then had asked for them after they had settled. `answered` are hours that were just said to have none and are not
/// noted yet; others are named only if they are noted as done.
///
/// # Errors
/// When the ledger cannot be read.
pub(crate) fn doubtful(
    day: NaiveDate,
    answered: Option<HourWindow>,
    ledger: &SourceLedger,
    started: DateTime<Utc>,
) -> Result<Vec<Hour>, DiskError> {
    let (index, owner) = (ledger.index(day)?, ledger.owner());
    let is_answered = |hour: Hour| answered.is_some_and(|window| window.contains(hour));
    let is_empty =
        |hour: Hour| is_answered(hour) || matches!(index.state(hour, &owner), HourState::Fetched { files: [], .. });
    if !HourWindow::day(day).hours().all(is_empty) {
        return Ok(Vec::new());
    }
    let Some(before) = day.checked_sub_days(Days::new(1)) else { return Ok(Vec::new()) };
    if !had_data(before, &ledger.index(before)?, &owner) {
        return Ok(Vec::new());
    }
    let is_noted_done = |hour: Hour| matches!(index.state(hour, &owner), HourState::Fetched { settled: true, .. });
    let was_asked_before = |hour: Hour| index.empty_since(hour, &owner).is_some_and(|time| time < started);
    let hours = HourWindow::day(day).hours();
    Ok(hours.filter(|hour| (is_answered(*hour) || is_noted_done(*hour)) && !was_asked_before(*hour)).collect())
}

fn had_data(day: NaiveDate, index: &HourIndex, owner: &Owner) -> bool {
    HourWindow::day(day).hours().any(|hour| !index.last_fetched(hour, owner).is_empty())
}

/// What a plan makes of a day that the ledger calls empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EmptyDay {
    /// It is not empty, or was found so by two runs.
    No,
    /// One run found it so, and nothing is known against it.
    Once,
    /// These of its hours were found so once, and the day before has data: it came only later, or the run was killed before it looked again.
    Doubtful(Vec<Hour>),
}

impl EmptyDay {
    /// What `day` is to the owner that `reader` is about.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) fn of(day: NaiveDate, reader: &mut HourStatusReader<'_>) -> Result<Self, DiskError> {
        let Some(owner) = reader.owner().cloned() else { return Ok(Self::No) };
        let index = reader.index(day)?;
        let is_empty = |hour: Hour| matches!(index.state(hour, &owner), HourState::Fetched { files: [], .. });
        let hours = || HourWindow::day(day).hours();
        let once: Vec<Hour> = hours().filter(|hour| index.empty_runs(*hour, &owner) < 2).collect();
        if !hours().all(is_empty) || once.is_empty() {
            return Ok(Self::No);
        }
        let Some(before) = day.checked_sub_days(Days::new(1)) else { return Ok(Self::Once) };
        Ok(if had_data(before, reader.index(before)?, &owner) { Self::Doubtful(once) } else { Self::Once })
    }
}
