//! One hour of UTC, the unit in which the Export API sells events.

use std::fmt;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Timelike, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A whole hour of UTC. It cannot be unaligned.
///
/// Displays as `2025-11-06T05`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(i64);

/// Text that names no hour or no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a day or an hour; write 2025-11-06, 2025-11-06T05 or 20251106T05 (UTC)")]
pub struct NotAnHour(pub String);

/// How long after its end an hour is complete at Amplitude: data of 20:00–21:00 is exportable at 23:00
/// (Export API documentation, "Considerations").
const SETTLING: TimeDelta = TimeDelta::hours(2);

const SECONDS: i64 = 3600;

impl Hour {
    /// The hour in which `time` lies.
    pub fn containing(time: DateTime<Utc>) -> Self {
        Self(time.timestamp().div_euclid(SECONDS))
    }

    /// Hour `hour` (0–23) of `date`; `None` outside that range.
    pub fn of_date(date: NaiveDate, hour: u32) -> Option<Self> {
        Some(Self::containing(date.and_hms_opt(hour, 0, 0)?.and_utc()))
    }

    /// The first hour of `date`.
    pub fn first_of(date: NaiveDate) -> Self {
        Self::containing(date.and_time(chrono::NaiveTime::MIN).and_utc())
    }

    /// The last hour of `date`.
    pub fn last_of(date: NaiveDate) -> Self {
        Self::first_of(date).plus(23)
    }

    /// The moment at which the hour begins.
    pub fn start(self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.0.saturating_mul(SECONDS), 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// The UTC day the hour belongs to.
    pub fn date(self) -> NaiveDate {
        self.start().date_naive()
    }

    /// The hour of its day, 0–23.
    pub fn of_day(self) -> u32 {
        self.start().hour()
    }

    /// The hour `hours` later (earlier when negative).
    #[must_use]
    pub fn plus(self, hours: i64) -> Self {
        Self(self.0.saturating_add(hours))
    }

    /// Hours from `earlier` to this one.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment from which Amplitude offers the hour whole.
    pub fn settled_at(self) -> DateTime<Utc> {
        self.plus(1).start() + SETTLING
    }

    /// The last hour that is settled at `now`.
    pub fn last_settled(now: DateTime<Utc>) -> Self {
        Self::containing(now - SETTLING).plus(-1)
    }

    /// The hour as the Export API's `start` and `end` want it: `20251106T05`.
    pub fn compact(self) -> String {
        self.start().format("%Y%m%dT%H").to_string()
    }

    /// Reads `2025-11-06T05` or `20251106T05`.
    ///
    /// # Errors
    /// [`NotAnHour`] for anything else, a day without an hour included.
    pub fn parse(text: &str) -> Result<Self, NotAnHour> {
        let wrong = || NotAnHour(text.to_owned());
        let (day, hour) = text.split_once('T').ok_or_else(wrong)?;
        let digits = match (day.len(), day.is_ascii()) {
            (8, true) => format!("{}-{}-{}", &day[..4], &day[4..6], &day[6..]),
            _ => day.to_owned(),
        };
        let date = parse_date(&digits).map_err(|_| wrong())?;
        if hour.len() != 2 || !hour.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        hour.parse().ok().and_then(|hour| Self::of_date(date, hour)).ok_or_else(wrong)
    }
}

/// Reads a day, `2025-11-06` with all its zeros.
///
/// # Errors
/// [`NotAnHour`] for another form or a day that the calendar does not have.
pub fn parse_date(text: &str) -> Result<NaiveDate, NotAnHour> {
    let well_formed = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !well_formed {
        return Err(NotAnHour(text.to_owned()));
    }
    NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| NotAnHour(text.to_owned()))
}

/// The UTC day before the one of `now`.
pub fn yesterday(now: DateTime<Utc>) -> NaiveDate {
    now.date_naive().checked_sub_days(Days::new(1)).unwrap_or(NaiveDate::MIN)
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.start().format("%Y-%m-%dT%H"))
    }
}

impl Serialize for Hour {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hour {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    #[test]
    fn both_ways_of_writing_an_hour_mean_the_same() {
        assert_eq!(Hour::parse("2025-11-06T05"), Hour::parse("20251106T05"));
        assert_eq!(Hour::parse("2025-11-06T05").unwrap().to_string(), "2025-11-06T05");
        assert_eq!(Hour::parse("2025-11-06T05").unwrap().compact(), "20251106T05");
    }

    #[test]
    fn what_is_not_an_hour_is_refused() {
        for text in [
            "",
            "T",
            "2025-11-06",
            "2025-11-06T24",
            "2025-11-06T5",
            "2025-02-29T00",
            "2025-11-06T05:00",
            "٢٠٢٥-11-06T05",
            "20251306T05",
            "+025-11-06T05",
            "2025-11-06T+5",
        ] {
            assert!(Hour::parse(text).is_err(), "{text}");
        }
        for text in ["2025-2-03", "2025-02-30", "25-02-03", "2025-02-03 ", " 2025-2-3", "20250203"] {
            assert!(parse_date(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_hour_from_20_to_21_is_settled_at_23() {
        let hour = Hour::parse("2025-11-06T20").unwrap();
        assert_eq!(hour.settled_at(), at("2025-11-06T23:00:00Z"));
        assert_eq!(Hour::last_settled(at("2025-11-06T23:00:00Z")), hour);
        assert_eq!(Hour::last_settled(at("2025-11-06T22:59:59Z")), hour.plus(-1));
    }

    #[test]
    fn yesterday_is_a_day_of_utc_over_month_year_and_leap_day() {
        assert_eq!(yesterday(at("2024-03-01T00:00:00Z")).to_string(), "2024-02-29");
        assert_eq!(yesterday(at("2025-03-01T00:00:00Z")).to_string(), "2025-02-28");
        assert_eq!(yesterday(at("2026-01-01T23:59:59Z")).to_string(), "2025-12-31");
        assert_eq!(yesterday(at("2026-01-01T01:00:00+02:00")).to_string(), "2025-12-30");
    }
}
