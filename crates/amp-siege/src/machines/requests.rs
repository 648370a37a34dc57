//! What was asked of the Export API, and how often it may be.

use std::collections::{BTreeMap, BTreeSet};

use amp_sandbox::events::Dataset;
use amp_sandbox::export::ExportServer;
use amp_sandbox::time::{Hour, Window};
use chrono::NaiveDate;

use crate::year::ranges;

pub(super) struct Requests {
    data: Dataset,
    /// How many requests were taken in.
    seen: usize,
    asked: BTreeMap<Hour, u32>,
    /// What there was a reason for, besides the first request.
    allowed: BTreeMap<Hour, u32>,
    reported: BTreeSet<Hour>,
}

impl Requests {
    pub(super) fn new(data: Dataset) -> Self {
        Self { data, seen: 0, asked: BTreeMap::new(), allowed: BTreeMap::new(), reported: BTreeSet::new() }
    }

    /// Takes in the requests since the last look, and returns their hours.
    pub(super) fn take(&mut self, export: &ExportServer) -> BTreeSet<Hour> {
        let all = export.requests();
        let windows = all.iter().skip(self.seen).filter_map(|request| request.window);
        let mut hours = BTreeSet::new();
        for hour in windows.flat_map(Window::hours) {
            *self.asked.entry(hour).or_default() += 1;
            hours.insert(hour);
        }
        self.seen = all.len();
        hours
    }

    /// Each of these hours may be asked for once more.
    pub(super) fn allow(&mut self, hours: impl Iterator<Item = Hour>) {
        hours.for_each(|hour| *self.allowed.entry(hour).or_default() += 1);
    }

    pub(super) fn count(&self) -> usize {
        self.seen
    }

    /// How many hours were asked for more than once, by each time.
    pub(super) fn hours_again(&self) -> u64 {
        self.asked.values().map(|times| u64::from(times.saturating_sub(1))).sum()
    }

    /// The hours that were asked for more often than there was a reason for, each named once.
    pub(super) fn needless(&mut self) -> String {
        let mut days = BTreeMap::<NaiveDate, BTreeSet<Hour>>::new();
        for (hour, times) in &self.asked {
            // What is empty is believed the second time; where the first was forgotten, it takes two again.
            let each = if self.data.has_data(*hour) { 1 } else { 2 };
            let allowed = each * (1 + self.allowed.get(hour).copied().unwrap_or_default());
            if *times > allowed && self.reported.insert(*hour) {
                days.entry(hour.date()).or_default().insert(*hour);
            }
        }
        days.iter().map(|(day, hours)| format!("{} of {day}", ranges(hours))).collect::<Vec<_>>().join(", ")
    }
}
