//! Which hours to ask for: windows of hours, their days, halves and shards. [`WindowSpec`] has the ways to name them.

mod spec;

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

pub use self::spec::{ResolvedWindow, WindowSpec};
use crate::hour::{Hour, NotAnHour};

/// Consecutive hours, both ends included as the Export API has them. Never empty, never reversed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Ends", into = "Ends")]
pub struct HourWindow {
    start: Hour,
    end: Hour,
}

#[derive(Serialize, Deserialize)]
struct Ends {
    start: Hour,
    end: Hour,
}

impl TryFrom<Ends> for HourWindow {
    type Error = WindowError;

    fn try_from(ends: Ends) -> Result<Self, WindowError> {
        Self::new(ends.start, ends.end)
    }
}

impl From<HourWindow> for Ends {
    fn from(window: HourWindow) -> Self {
        Self { start: window.start, end: window.end }
    }
}

/// Why a window could not be made of what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// Text that is neither a day nor an hour.
    #[error(transparent)]
    NotAnHour(#[from] NotAnHour),
    /// Text that is no day.
    #[error("`{0}` is not a day; write 2025-11-06, 20251106, yesterday or today (UTC)")]
    NotADay(String),
    /// An hour where a day is wanted.
    #[error("`{text}` is an hour, and a day is wanted: {}; for the hour alone write --start {hour} --end {hour}", hour.date())]
    HourForDay {
        /// What was written.
        text: String,
        /// The hour.
        hour: Hour,
    },
    /// A day or hour in the right form that the calendar does not have.
    #[error("`{text}` is not in the calendar: {why}")]
    NotInCalendar {
        /// What was written.
        text: String,
        /// What the calendar has.
        why: String,
    },
    /// The start lies after the end.
    #[error("the start {start} lies after the end {end}; both are hours of UTC, and the end is included")]
    Reversed {
        /// First hour asked for.
        start: Hour,
        /// Last hour asked for.
        end: Hour,
    },
    /// Nothing of the window has happened yet.
    #[error("the window {window} lies wholly in the future; it is now {now} (UTC)")]
    Future {
        /// What was asked for.
        window: HourWindow,
        /// The current hour.
        now: Hour,
    },
    /// More than 100 years.
    #[error("the window {0} is longer than 100 years")]
    TooLong(HourWindow),
    /// A `--last` that is not a positive number of hours, days or weeks.
    #[error("`{0}` is not a span; write 12h, 3d or 2w")]
    NotASpan(String),
    /// A `--last` of nothing.
    #[error("`{0}` is no time at all; write 1h, 1d or more")]
    NoSpan(String),
    /// A `--last` of more than 100 years.
    #[error("`{0}` is longer than 100 years")]
    SpanTooLong(String),
    /// A shard that is not one of its N.
    #[error("`{0}` is not a shard; write I/N with I from 1 to N, such as 2/6")]
    NotAShard(String),
}

impl HourWindow {
    /// The hours from `start` to `end`, both included.
    ///
    /// # Errors
    /// [`WindowError::Reversed`] when `start` lies after `end`.
    pub fn new(start: Hour, end: Hour) -> Result<Self, WindowError> {
        if start > end {
            return Err(WindowError::Reversed { start, end });
        }
        Ok(Self { start, end })
    }

    /// The single hour `hour`.
    pub fn single(hour: Hour) -> Self {
        Self { start: hour, end: hour }
    }

    /// Hours 00–23 of `date`.
    pub fn day(date: NaiveDate) -> Self {
        Self { start: Hour::first_of(date), end: Hour::last_of(date) }
    }

    /// The first hour.
    pub fn start(self) -> Hour {
        self.start
    }

    /// The last hour, included.
    pub fn end(self) -> Hour {
        self.end
    }

    /// How many hours, at least one.
    pub fn count(self) -> u64 {
        u64::try_from(self.end.since(self.start)).unwrap_or(0) + 1
    }

    /// Each hour, in order.
    pub fn hours(self) -> impl Iterator<Item = Hour> {
        (0..self.count()).map(move |n| self.nth(n))
    }

    /// Whether `hour` is one of the window's.
    pub fn contains(self, hour: Hour) -> bool {
        (self.start..=self.end).contains(&hour)
    }

    /// Whether every hour of `other` is one of the window's.
    pub fn covers(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether some hour is in both windows.
    pub fn overlaps(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// The window cut where the UTC day changes.
    pub fn days(self) -> impl Iterator<Item = Self> {
        let mut next = Some(self.start);
        std::iter::from_fn(move || {
            let start = next?;
            let end = Hour::last_of(start.date()).min(self.end);
            next = (end < self.end).then(|| end.plus(1));
            Some(Self { start, end })
        })
    }

    /// The window's two halves, the first the longer one; `None` for a single hour.
    pub fn halves(self) -> Option<(Self, Self)> {
        let count = self.count();
        (count > 1).then(|| {
            let middle = self.nth((count - 1) / 2);
            (Self { start: self.start, end: middle }, Self { start: middle.plus(1), end: self.end })
        })
    }

    /// Slice `shard` of the window; `None` when there are more slices than hours and this one is empty.
    #[must_use]
    pub fn shard(self, shard: Shard) -> Option<Self> {
        let edge = |n: u32| {
            let edge = u128::from(self.count()) * u128::from(n) / u128::from(shard.of);
            u64::try_from(edge).unwrap_or(u64::MAX)
        };
        let (from, to) = (edge(shard.number - 1), edge(shard.number));
        (from < to).then(|| Self { start: self.nth(from), end: self.nth(to - 1) })
    }

    /// What of the window lies at or before `last`.
    #[must_use]
    pub fn until(self, last: Hour) -> Option<Self> {
        (self.start <= last).then(|| Self { start: self.start, end: self.end.min(last) })
    }

    fn nth(self, n: u64) -> Hour {
        self.start.plus(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for HourWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.start == self.end { write!(f, "{}", self.start) } else { write!(f, "{}..{}", self.start, self.end) }
    }
}

/// Joins hours that follow each other; `hours` must ascend.
pub fn contiguous(hours: impl IntoIterator<Item = Hour>) -> Vec<HourWindow> {
    let mut windows: Vec<HourWindow> = Vec::new();
    for hour in hours {
        match windows.last_mut() {
            Some(window) if window.end.plus(1) == hour => window.end = hour,
            _ => windows.push(HourWindow::single(hour)),
        }
    }
    windows
}

/// One of N contiguous slices of a window, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    number: u32,
    of: u32,
}

impl FromStr for Shard {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let wrong = || WindowError::NotAShard(text.to_owned());
        let (number, of) = text.split_once('/').ok_or_else(wrong)?;
        let read = |part: &str| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten();
        let (number, of): (u32, u32) = (read(number).ok_or_else(wrong)?, read(of).ok_or_else(wrong)?);
        if number == 0 || number > of { Err(wrong()) } else { Ok(Self { number, of }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn window(start: &str, end: &str) -> HourWindow {
        HourWindow::new(Hour::parse(start).unwrap(), Hour::parse(end).unwrap()).unwrap()
    }

    #[test]
    fn a_known_too_large_day_halves_into_12_and_12() {
        let (left, right) = HourWindow::day(NaiveDate::from_ymd_opt(2025, 11, 6).unwrap()).halves().unwrap();
        assert_eq!((left.count(), right.count()), (12, 12));
        assert_eq!(window("2025-11-06T00", "2025-11-06T00").halves(), None);
    }

    fn any_window() -> impl Strategy<Value = HourWindow> {
        (-100_000i64..1_000_000, 0i64..2_000).prop_map(|(start, len)| {
            let start = Hour::first_of(NaiveDate::default()).plus(start);
            HourWindow { start, end: start.plus(len) }
        })
    }

    proptest! {
        #[test]
        fn days_cover_a_window_without_overlap(window in any_window()) {
            let days: Vec<_> = window.days().collect();
            prop_assert!(days.iter().all(|day| day.start.date() == day.end.date()));
            prop_assert!(days.iter().flat_map(|day| day.hours()).eq(window.hours()));
        }

        #[test]
        fn halves_cover_a_window_without_overlap(window in any_window()) {
            if let Some((left, right)) = window.halves() {
                prop_assert!(left.hours().chain(right.hours()).eq(window.hours()));
                prop_assert!(left.count() - right.count() <= 1);
            } else {
                prop_assert_eq!(window.count(), 1);
            }
        }

        #[test]
        fn shards_cover_a_window_without_overlap_and_differ_by_one_hour_at_most(window in any_window(), of in 1u32..60) {
            let shards: Vec<_> = (1..=of).map(|number| window.shard(Shard { number, of })).collect();
            prop_assert!(shards.iter().flatten().flat_map(|shard| shard.hours()).eq(window.hours()));
            let sizes = || shards.iter().map(|shard| shard.map_or(0, HourWindow::count));
            prop_assert!(sizes().max().unwrap() - sizes().min().unwrap() <= 1);
        }

        #[test]
        fn runs_hold_the_hours_they_were_made_of(hours in proptest::collection::btree_set(0i64..200, 0..60)) {
            let hours: Vec<_> = hours.into_iter().map(|h| Hour::first_of(NaiveDate::default()).plus(h)).collect();
            let windows = contiguous(hours.iter().copied());
            prop_assert!(windows.windows(2).all(|pair| pair[0].end.plus(1) < pair[1].start));
            prop_assert_eq!(windows.iter().flat_map(|window| window.hours()).collect::<Vec<_>>(), hours);
        }

        #[test]
        fn an_hour_reads_back_as_it_was_written(n in -100_000i64..20_000_000) {
            let hour = Hour::first_of(NaiveDate::default()).plus(n);
            prop_assert_eq!(Hour::parse(&hour.to_string()), Ok(hour));
            prop_assert_eq!(Hour::parse(&hour.compact()), Ok(hour));
        }
    }
}
