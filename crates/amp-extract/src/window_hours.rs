//! What came of the hours of a window that was got: which have files, which are empty, and which are not done.

use std::collections::HashSet;

use amp_core::hour::Hour;
use amp_core::ledger::{FileRecord, HourRecord, hours_without_files};
use amp_core::name::hour_of_entry;
use amp_core::window::{HourWindow, contiguous};
use chrono::{DateTime, Utc};

use crate::source_ledger::SourceLedger;

/// What came of a window.
pub(crate) struct StagedWindow {
    pub(crate) files: Vec<FileRecord>,
    pub(crate) unsettled: Vec<Hour>,
    pub(crate) no_data: Vec<Hour>,
    pub(crate) open: Vec<OpenHours>,
}

/// Hours that were not got though their window was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenHours {
    pub(crate) window: HourWindow,
    pub(crate) why: String,
}

/// What came of the hours of a window that was asked for at `requested_at`: `files` are all that came of it, `skipped` the paths of entries that
/// may be events too.
pub(crate) fn came_of(
    window: HourWindow,
    requested_at: DateTime<Utc>,
    files: Vec<FileRecord>,
    skipped: &[String],
) -> StagedWindow {
    let running = Hour::containing(requested_at);
    let (mut no_data, mut unsettled, mut open) = (Vec::new(), Vec::new(), Vec::new());
    let without_files: HashSet<Hour> = hours_without_files(window, &files).into_iter().collect();
    let told_by_skipped: HashSet<Hour> = skipped.iter().filter_map(|path| hour_of_entry(path)).collect();
    let (mut not_begun, mut not_known, mut not_whole) = (Vec::new(), Vec::new(), Vec::new());
    for hour in window.hours() {
        if without_files.contains(&hour) && hour > running {
            not_begun.push(hour);
        } else if without_files.contains(&hour) && !skipped.is_empty() {
            not_known.push(hour);
        } else if told_by_skipped.contains(&hour) {
            not_whole.push(hour);
        } else {
            no_data.extend(without_files.contains(&hour).then_some(hour));
            unsettled.extend((requested_at < hour.settled_at()).then_some(hour));
        }
    }
    for (hours, why) in [
        (not_begun, "has not begun, by the earlier of this machine's clock and Amplitude's"),
        (not_known, "has no file in the archive, which has members of unknown kinds: they may be its events"),
        (
            not_whole,
            "has a member of an unknown kind in the archive, which was skipped: it may hold more of its events",
        ),
    ] {
        open.extend(contiguous(hours).into_iter().map(|window| OpenHours { window, why: format!("{window} {why}") }));
    }
    StagedWindow { files, unsettled, no_data, open }
}

impl StagedWindow {
    /// Its note in the ledger. Open hours count as unsettled there, which [`HourRecord::Failed`] overrides: they are not done either way.
    pub(crate) fn record(&self, window: HourWindow, requested_at: DateTime<Utc>, ledger: &SourceLedger) -> HourRecord {
        let open = self.open.iter().flat_map(|open| open.window.hours());
        let mut unsettled: Vec<Hour> = self.unsettled.iter().copied().chain(open).collect();
        unsettled.sort_unstable();
        HourRecord::Fetched {
            time: Utc::now(),
            window,
            source: ledger.source().clone(),
            requested_at,
            unsettled,
            no_data: self.no_data.clone(),
            files: self.files.clone(),
        }
    }
}

/// Says which hours were not settled.
pub(crate) fn log_unsettled(hours: &[Hour]) {
    for window in contiguous(hours.iter().copied()) {
        tracing::warn!(
            "{window}: not yet settled (Amplitude offers an hour 2 hours after it ends); a later call without a window fetches it again"
        );
    }
}
