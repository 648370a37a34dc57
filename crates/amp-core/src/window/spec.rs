//! The ways to name a window: a date, two ends, a span; and the hours that this means at a moment.

use chrono::{DateTime, Datelike, Days, NaiveDate, Utc};

use super::{HourWindow, Shard, WindowError};
use crate::hour::{Hour, NotAnHour, parse_date, yesterday};

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
    /// `--date`: hours 00–23 of a day, or of `yesterday` or `today` at `now`.
    ///
    /// # Errors
    /// For what is no day, with the reason where the form is right.
    pub fn date(text: &str, now: DateTime<Utc>) -> Result<Self, WindowError> {
        let day = match text {
            "yesterday" => yesterday(now),
            "today" => now.date_naive(),
            _ => match (parse_day(text), Hour::parse(text)) {
                (Ok(day), _) => day,
                (_, Ok(hour)) => return Err(WindowError::HourForDay { text: text.to_owned(), hour }),
                _ => return Err(not_in_calendar(text).unwrap_or_else(|| WindowError::NotADay(text.to_owned()))),
            },
        };
        Ok(Self::Between(HourWindow::day(day)))
    }

    /// `--start`: an hour, or a day for its hour 00.
    ///
    /// # Errors
    /// For what is neither.
    pub fn start(text: &str) -> Result<Hour, WindowError> {
        parse_day(text).map(Hour::first_of).or_else(|_| Hour::parse(text)).map_err(|error| not_an_hour(text, error))
    }

    /// `--end`: an hour, or a day for its hour 23.
    ///
    /// # Errors
    /// For what is neither.
    pub fn end(text: &str) -> Result<Hour, WindowError> {
        parse_day(text).map(Hour::last_of).or_else(|_| Hour::parse(text)).map_err(|error| not_an_hour(text, error))
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
    /// For another form, for zero and for more than 100 years.
    pub fn last(text: &str) -> Result<Self, WindowError> {
        let wrong = || WindowError::NotASpan(text.to_owned());
        let unit = text.chars().last().ok_or_else(wrong)?;
        let digits = text.strip_suffix(unit).filter(|d| d.bytes().all(|b| b.is_ascii_digit())).ok_or_else(wrong)?;
        if digits.is_empty() {
            return Err(wrong());
        }
        // More digits than a number has are too many of any unit.
        let number: u32 = digits.parse().unwrap_or(u32::MAX);
        let (spec, most) = match unit {
            'h' => (Self::LastHours(number), MOST_DAYS * 24),
            'd' => (Self::LastDays(number), MOST_DAYS),
            'w' => (Self::LastDays(number.saturating_mul(7)), MOST_DAYS / 7),
            _ => return Err(wrong()),
        };
        match number {
            0 => Err(WindowError::NoSpan(text.to_owned())),
            _ if number > most => Err(WindowError::SpanTooLong(text.to_owned())),
            _ => Ok(spec),
        }
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

/// Reads `2025-11-06` or `20251106`.
fn parse_day(text: &str) -> Result<NaiveDate, NotAnHour> {
    match text.len() {
        8 if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            parse_date(&format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]))
        }
        _ => parse_date(text),
    }
}

fn not_an_hour(text: &str, error: NotAnHour) -> WindowError {
    not_in_calendar(text).unwrap_or(WindowError::NotAnHour(error))
}

/// What the calendar lacks of a text in the form of a day or an hour; `None` for other forms.
fn not_in_calendar(text: &str) -> Option<WindowError> {
    let (day, hour) = text.split_once('T').map_or((text, None), |(day, hour)| (day, Some(hour)));
    let digits: String = day.chars().filter(|c| *c != '-').collect();
    let is_number = |text: &str, len| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    let well_formed =
        is_number(&digits, 8) && matches!(day.len(), 8 | 10) && hour.is_none_or(|hour| is_number(hour, 2));
    if !well_formed {
        return None;
    }
    let (year, month) = (digits[..4].parse().ok()?, digits[4..6].parse().ok()?);
    let why = match (NaiveDate::from_ymd_opt(year, month, 1), parse_day(&digits)) {
        (None, _) => "a year has months 01 to 12".to_owned(),
        (Some(first), Err(_)) => {
            let last = first.checked_add_months(chrono::Months::new(1))?.checked_sub_days(Days::new(1))?;
            format!("{} has {} days", first.format("%B %Y"), last.day())
        }
        (Some(_), Ok(_)) if hour.is_some() => "a day has hours 00 to 23".to_owned(),
        (Some(_), Ok(_)) => return None,
    };
    Some(WindowError::NotInCalendar { text: text.to_owned(), why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn between(start: &str, end: &str) -> Result<WindowSpec, WindowError> {
        WindowSpec::between(WindowSpec::start(start)?, WindowSpec::end(end)?)
    }

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
        assert_eq!(
            planned(WindowSpec::date("2025-11-01", now("2025-11-07T10:30:00Z")).unwrap(), at),
            "2025-11-01T00..2025-11-01T23"
        );
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
        let plan = WindowSpec::date("2025-11-07", now("2025-11-07T10:30:00Z"))
            .unwrap()
            .resolve(now("2025-11-07T10:30:00Z"), None)
            .unwrap();
        assert_eq!((plan.window, plan.truncated), (Some(window("2025-11-07T00", "2025-11-07T10")), true));
        let future = WindowSpec::date("2025-11-08", now("2025-11-07T10:30:00Z"))
            .unwrap()
            .resolve(now("2025-11-07T10:30:00Z"), None);
        assert!(matches!(future, Err(WindowError::Future { .. })));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in ".*") {
            let _ = Hour::parse(&text);
            let _ = WindowSpec::last(&text);
            let _ = (WindowSpec::start(&text), WindowSpec::end(&text));
            let _ = text.parse::<Shard>();
        }
    }
}
