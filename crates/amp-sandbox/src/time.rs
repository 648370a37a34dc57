//! UTC hours and inclusive windows of them, as the Export API has them.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, Utc};

/// One UTC hour. Parses from `2025-11-06T04` and `20251106T04`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hour(i64);

/// Hours from `start` to `end`, both included. Parses from `2025-11-06` (a day), `2025-11-06T04` (an hour) and
/// `A..B` of either: `2025-11-06T04..2025-11-07`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Window {
    /// First hour.
    pub start: Hour,
    /// Last hour, included.
    pub end: Hour,
}

/// A text that is no hour, window or rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError(pub String);

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseError {}

impl Hour {
    /// The hour that is running now.
    pub fn now() -> Self {
        Self(Utc::now().timestamp().div_euclid(3600))
    }

    /// The given hour (0–23) of a date.
    pub fn of(date: NaiveDate, hour: u32) -> Self {
        let days = i64::from(date.num_days_from_ce()) - 719_163;
        Self(days * 24 + i64::from(hour))
    }

    /// Its date.
    pub fn date(self) -> NaiveDate {
        self.start().date_naive()
    }

    /// 0–23.
    pub fn hour_of_day(self) -> u32 {
        self.0.rem_euclid(24) as u32
    }

    /// So many hours later, or earlier if negative.
    pub fn plus(self, hours: i64) -> Self {
        Self(self.0 + hours)
    }

    /// As the Export API's parameters write it: `20251106T04`.
    pub fn compact(self) -> String {
        format!("{}T{:02}", self.date().format("%Y%m%d"), self.hour_of_day())
    }

    /// When it begins.
    pub fn start(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.micros()).unwrap_or_default()
    }

    /// Microseconds from 1970 to its start.
    pub(crate) fn micros(self) -> i64 {
        self.0 * 3_600_000_000
    }

    /// Hours since 1970.
    pub(crate) fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}T{:02}", self.date(), self.hour_of_day())
    }
}

impl fmt::Debug for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hour {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parsed = || {
            let (date, hour) = text.split_once('T')?;
            let format = if date.contains('-') { "%Y-%m-%d" } else { "%Y%m%d" };
            let right_length = date.len() == if date.contains('-') { 10 } else { 8 };
            let two_digits = hour.len() == 2 && hour.bytes().all(|b| b.is_ascii_digit());
            let hour: u32 = hour.parse().ok()?;
            let date = NaiveDate::parse_from_str(date, format).ok()?;
            (right_length && two_digits && hour < 24).then(|| Self::of(date, hour))
        };
        parsed().ok_or_else(|| ParseError(format!("`{text}` is no hour; expected e.g. 2025-11-06T04")))
    }
}

impl Window {
    /// From one hour to another, both included.
    pub fn new(start: Hour, end: Hour) -> Self {
        Self { start, end }
    }

    /// The 24 hours of a date.
    pub fn day(date: NaiveDate) -> Self {
        Self { start: Hour::of(date, 0), end: Hour::of(date, 23) }
    }

    fn day_or_hour(text: &str) -> Result<Self, ParseError> {
        match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            Ok(date) => Ok(Self::day(date)),
            Err(_) => Ok(Self::from(text.parse::<Hour>()?)),
        }
    }

    /// Its hours, in order.
    pub fn hours(self) -> impl Iterator<Item = Hour> {
        (self.start.0..=self.end.0).map(Hour)
    }

    /// Whether the hour lies in it.
    pub fn contains(self, hour: Hour) -> bool {
        self.start <= hour && hour <= self.end
    }

    /// Whether they share an hour.
    pub fn overlaps(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

impl From<Hour> for Window {
    fn from(hour: Hour) -> Self {
        Self { start: hour, end: hour }
    }
}

impl FromStr for Window {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let window = match text.split_once("..") {
            Some((start, end)) => Self::new(Self::day_or_hour(start)?.start, Self::day_or_hour(end)?.end),
            None => Self::day_or_hour(text)?,
        };
        if window.start > window.end {
            return Err(ParseError(format!("`{text}` ends before it starts")));
        }
        Ok(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_read_in_both_spellings_and_written_back() {
        for text in ["2025-11-06T04", "20251106T04"] {
            let hour: Hour = text.parse().unwrap();
            assert_eq!(hour.to_string(), "2025-11-06T04");
            assert_eq!(hour.compact(), "20251106T04");
        }
        for bad in ["2025-11-06", "2025-11-06T24", "2025-11-06T4", "20251306T00", "2025-11-06T+4", ""] {
            assert!(bad.parse::<Hour>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_window_is_a_day_an_hour_or_a_range() {
        let day: Window = "2025-11-06".parse().unwrap();
        assert_eq!(day.hours().count(), 24);
        assert_eq!("2025-11-06T05".parse::<Window>().unwrap().hours().count(), 1);
        assert_eq!("2025-11-06T23..2025-11-07T01".parse::<Window>().unwrap().hours().count(), 3);
        assert_eq!("2025-11-06..2025-11-06".parse::<Window>().unwrap(), day);
        assert_eq!("2025-11-06T23..2025-11-07".parse::<Window>().unwrap().hours().count(), 25);
        assert!("2025-11-07T01..2025-11-06T23".parse::<Window>().is_err());
    }
}
