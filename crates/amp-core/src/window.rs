//! Which hours to ask for: windows of hours, the ways to name them, their days, halves and shards.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::hour::{Hour, NotAnHour, parse_date, yesterday};

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
    #[error("`{0}` is not a span; write 12h, 3d or 2w (at most 100 years)")]
    NotASpan(String),
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
    #[must_use]
    pub fn single(hour: Hour) -> Self {
        Self { start: hour, end: hour }
    }

    /// Hours 00–23 of `date`.
    #[must_use]
    pub fn day(date: NaiveDate) -> Self {
        Self { start: Hour::first_of(date), end: Hour::last_of(date) }
    }

    /// The first hour.
    #[must_use]
    pub fn start(self) -> Hour {
        self.start
    }

    /// The last hour, included.
    #[must_use]
    pub fn end(self) -> Hour {
        self.end
    }

    /// How many hours, at least one.
    #[must_use]
    pub fn count(self) -> u64 {
        u64::try_from(self.end.since(self.start)).unwrap_or(0) + 1
    }

    /// Each hour, in order.
    pub fn hours(self) -> impl Iterator<Item = Hour> {
        (0..self.count()).map(move |n| self.nth(n))
    }

    /// Whether `hour` is one of the window's.
    #[must_use]
    pub fn contains(self, hour: Hour) -> bool {
        (self.start..=self.end).contains(&hour)
    }

    /// Whether every hour of `other` is one of the window's.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
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
    #[must_use]
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
#[must_use]
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

/// No window is longer: 100 years.
const MOST_DAYS: u32 = 36_525;

/// A window as a user names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowSpec {
    /// Yesterday, 00–23.
    Yesterday,
    /// The hours between two ends, given or of a date.
    Between(HourWindow),
    /// Whole days that end yesterday.
    LastDays(u32),
    /// Whole hours that end with the last settled one.
    LastHours(u32),
}

/// A window as it will be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResolvedWindow {
    /// What was named, sliced if a shard was named; `None` for a slice without hours.
    pub window: Option<HourWindow>,
    /// Whether hours were cut off because they lie in the future.
    pub truncated: bool,
}

impl WindowSpec {
    /// `--date`: hours 00–23 of a day.
    ///
    /// # Errors
    /// [`WindowError::NotAnHour`] for what is no day.
    pub fn date(text: &str) -> Result<Self, WindowError> {
        Ok(Self::Between(HourWindow::day(parse_date(text)?)))
    }

    /// `--start`: an hour, or a day for its hour 00.
    ///
    /// # Errors
    /// For what is neither.
    pub fn start(text: &str) -> Result<Hour, NotAnHour> {
        parse_date(text).map(Hour::first_of).or_else(|_| Hour::parse(text))
    }

    /// `--end`: an hour, or a day for its hour 23.
    ///
    /// # Errors
    /// For what is neither.
    pub fn end(text: &str) -> Result<Hour, NotAnHour> {
        parse_date(text).map(Hour::last_of).or_else(|_| Hour::parse(text))
    }

    /// `--start` and `--end`, both included.
    ///
    /// # Errors
    /// [`WindowError::Reversed`] and [`WindowError::TooLong`].
    pub fn between(start: Hour, end: Hour) -> Result<Self, WindowError> {
        let window = HourWindow::new(start, end)?;
        if window.count() > u64::from(MOST_DAYS) * 24 {
            Err(WindowError::TooLong(window))
        } else {
            Ok(Self::Between(window))
        }
    }

    /// `--last`: `12h`, `3d` or `2w`.
    ///
    /// # Errors
    /// [`WindowError::NotASpan`] for another form, for zero and for more than 100 years.
    pub fn last(text: &str) -> Result<Self, WindowError> {
        let wrong = || WindowError::NotASpan(text.to_owned());
        let unit = text.chars().last().ok_or_else(wrong)?;
        let digits = text.strip_suffix(unit).filter(|d| d.bytes().all(|b| b.is_ascii_digit())).ok_or_else(wrong)?;
        let number: u32 = digits.parse().map_err(|_| wrong())?;
        let (spec, most) = match unit {
            'h' => (Self::LastHours(number), MOST_DAYS * 24),
            'd' => (Self::LastDays(number), MOST_DAYS),
            'w' => (Self::LastDays(number.saturating_mul(7)), MOST_DAYS / 7),
            _ => return Err(wrong()),
        };
        if number == 0 || number > most { Err(wrong()) } else { Ok(spec) }
    }

    /// The hours this means at `now`, sliced by `shard`, without those that have not begun.
    ///
    /// The slices are made before the future is cut off, so that shards which start at different times still fit together.
    ///
    /// # Errors
    /// [`WindowError::Future`] when no hour of the named window has begun.
    pub fn resolve(self, now: DateTime<Utc>, shard: Option<Shard>) -> Result<ResolvedWindow, WindowError> {
        let current = Hour::containing(now);
        let yesterday = yesterday(now);
        let named = match self {
            Self::Yesterday => HourWindow::day(yesterday),
            Self::Between(window) => window,
            Self::LastDays(days) => {
                let end = Hour::last_of(yesterday);
                HourWindow { start: end.plus(1 - i64::from(days) * 24), end }
            }
            Self::LastHours(hours) => {
                let end = Hour::last_settled(now);
                HourWindow { start: end.plus(1 - i64::from(hours)), end }
            }
        };
        if named.start > current {
            return Err(WindowError::Future { window: named, now: current });
        }
        let sliced = shard.map_or(Some(named), |shard| named.shard(shard));
        let window = sliced.and_then(|window| window.until(current));
        Ok(ResolvedWindow { window, truncated: window != sliced })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(start: &str, end: &str) -> Result<WindowSpec, WindowError> {
        WindowSpec::between(WindowSpec::start(start)?, WindowSpec::end(end)?)
    }
    use proptest::prelude::*;

    fn window(start: &str, end: &str) -> HourWindow {
        HourWindow::new(Hour::parse(start).unwrap(), Hour::parse(end).unwrap()).unwrap()
    }

    fn now(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn planned(spec: WindowSpec, at: &str) -> String {
        spec.resolve(now(at), None).unwrap().window.unwrap().to_string()
    }

    #[test]
    fn each_way_of_naming_a_window_means_what_the_contract_says() {
        let at = "2025-11-07T10:30:00Z";
        assert_eq!(planned(WindowSpec::Yesterday, at), "2025-11-06T00..2025-11-06T23");
        assert_eq!(planned(WindowSpec::date("2025-11-01").unwrap(), at), "2025-11-01T00..2025-11-01T23");
        assert_eq!(planned(between("2025-11-01", "2025-11-02").unwrap(), at), "2025-11-01T00..2025-11-02T23");
        assert_eq!(planned(between("2025-11-01T05", "20251101T07").unwrap(), at), "2025-11-01T05..2025-11-01T07");
        assert_eq!(planned(WindowSpec::last("3d").unwrap(), at), "2025-11-04T00..2025-11-06T23");
        assert_eq!(planned(WindowSpec::last("2w").unwrap(), at), "2025-10-24T00..2025-11-06T23");
        assert_eq!(planned(WindowSpec::last("12h").unwrap(), at), "2025-11-06T20..2025-11-07T07");
        assert_eq!(planned(WindowSpec::last("1h").unwrap(), at), "2025-11-07T07");
    }

    #[test]
    fn spans_and_shards_that_mean_nothing_are_refused() {
        for text in ["", "d", "0d", "-1d", "+1d", "1", "1m", "3 d", "99999999999d", "4000000w", "1.5d", "٣d"] {
            assert!(WindowSpec::last(text).is_err(), "{text}");
        }
        assert!(matches!(between("0001-01-01", "2025-01-01"), Err(WindowError::TooLong(_))));
        for text in ["", "1", "0/3", "4/3", "1/0", "a/b", "+1/2", "1/2/3", "-1/2"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_future_is_cut_off_and_a_window_within_it_refused() {
        let plan = WindowSpec::date("2025-11-07").unwrap().resolve(now("2025-11-07T10:30:00Z"), None).unwrap();
        assert_eq!((plan.window, plan.truncated), (Some(window("2025-11-07T00", "2025-11-07T10")), true));
        let future = WindowSpec::date("2025-11-08").unwrap().resolve(now("2025-11-07T10:30:00Z"), None);
        assert!(matches!(future, Err(WindowError::Future { .. })));
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

        #[test]
        fn no_text_makes_the_parsers_panic(text in ".*") {
            let _ = Hour::parse(&text);
            let _ = WindowSpec::last(&text);
            let _ = (WindowSpec::start(&text), WindowSpec::end(&text));
            let _ = text.parse::<Shard>();
        }
    }
}
