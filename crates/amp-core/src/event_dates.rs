//! How many events there are of each date of their `event_time`, without parsing them.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

use crate::hour::parse_date;
use crate::lines::LineSplitter;

/// A quote within a string is escaped, so this stands only where a key does. The comma: it is never the first column.
const KEY: &[u8] = b",\"event_time\":";
/// What follows the value in an export: columns are in the order of their names.
const NEXT_KEY: &[u8] = b",\"event_type\":";
/// A file with more dates than that holds events of broken clocks; the rest of them counts as unknown.
const MAX_DATES: usize = 400;

/// Events by the date of their `event_time`, in UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "BTreeMap<String, u64>", from = "BTreeMap<String, u64>")]
pub struct EventDates {
    /// In order. Not a map: a day has a hundred thousand files, of a date or two each.
    by_date: Vec<(NaiveDate, u64)>,
    unknown: u64,
}

impl EventDates {
    /// Adds those of another file.
    pub fn add(&mut self, other: &Self) {
        for (date, events) in &other.by_date {
            match self.by_date.binary_search_by_key(date, |(date, _)| *date) {
                Ok(known) => self.by_date[known].1 += events,
                Err(at) => self.by_date.insert(at, (*date, *events)),
            }
        }
        self.unknown += other.unknown;
    }
}

const UNKNOWN: &str = "unknown";

impl From<EventDates> for BTreeMap<String, u64> {
    fn from(dates: EventDates) -> Self {
        let unknown = (dates.unknown > 0).then(|| (UNKNOWN.to_owned(), dates.unknown));
        dates.by_date.into_iter().map(|(date, events)| (date.to_string(), events)).chain(unknown).collect()
    }
}

impl From<BTreeMap<String, u64>> for EventDates {
    fn from(texts: BTreeMap<String, u64>) -> Self {
        let (mut by_date, mut unknown) = (BTreeMap::<_, u64>::new(), 0);
        for (text, events) in texts {
            match parse_date(&text) {
                Ok(date) => *by_date.entry(date).or_default() += events,
                Err(_) => unknown += events,
            }
        }
        Self { by_date: by_date.into_iter().collect(), unknown }
    }
}

/// Counts events, and those of each date, as bytes go by.
#[derive(Debug)]
pub struct EventCounter {
    lines: LineSplitter,
    events: u64,
    dates: DateCounter,
}

impl Default for EventCounter {
    fn default() -> Self {
        let dates = DateCounter { key: Finder::new(KEY), counts: Vec::new(), latest: 0, unknown: 0 };
        Self { lines: LineSplitter::default(), events: 0, dates }
    }
}

impl EventCounter {
    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let Self { lines, events, dates } = self;
        lines.update(bytes, |line| {
            *events += 1;
            dates.count(line.and_then(|line| dates.date_in(line)));
        });
    }

    /// How many lines there were, and of which dates.
    pub fn finish(mut self) -> (u64, EventDates) {
        let Self { lines, events, dates } = &mut self;
        lines.finish(|line| {
            *events += 1;
            dates.count(line.and_then(|line| dates.date_in(line)));
        });
        (self.events, self.dates.dates())
    }
}

#[derive(Debug)]
struct DateCounter {
    key: Finder<'static>,
    counts: Vec<(NaiveDateText, u64)>,
    /// Which date came last: most likely the next one, too.
    latest: usize,
    unknown: u64,
}

/// `2025-11-06`
type NaiveDateText = [u8; 10];

impl DateCounter {
    /// The date of a line's own `event_time`; `None` where it cannot be told.
    fn date_in(&self, line: &[u8]) -> Option<NaiveDateText> {
        let mut found = self.key.find_iter(line);
        let first = found.next()?;
        // All rows have the column. Found once, it is that; found again, one of the two is a property.
        let at = match found.next() {
            None => first,
            Some(_) => top_level(line, &self.key)?,
        };
        let value = line.get(at + KEY.len()..)?.strip_prefix(b"\"")?;
        let (date, rest) = value.split_first_chunk()?;
        let end = rest.iter().take(32).position(|byte| *byte == b'"')?;
        rest[end + 1..].starts_with(NEXT_KEY).then_some(*date)
    }

    fn count(&mut self, date: Option<NaiveDateText>) {
        let Some(date) = date else {
            self.unknown += 1;
            return;
        };
        if self.counts.get(self.latest).is_none_or(|(latest, _)| *latest != date) {
            match self.counts.iter().position(|(known, _)| *known == date) {
                Some(known) => self.latest = known,
                None if self.counts.len() < MAX_DATES && parse(date).is_some() => {
                    self.latest = self.counts.len();
                    self.counts.push((date, 0));
                }
                None => {
                    self.unknown += 1;
                    return;
                }
            }
        }
        self.counts[self.latest].1 += 1;
    }

    fn dates(self) -> EventDates {
        let by_date: BTreeMap<_, _> =
            self.counts.into_iter().filter_map(|(date, events)| Some((parse(date)?, events))).collect();
        EventDates { by_date: by_date.into_iter().collect(), unknown: self.unknown }
    }
}

fn parse(date: NaiveDateText) -> Option<NaiveDate> {
    parse_date(std::str::from_utf8(&date).ok()?).ok()
}

/// Where the key stands in the row itself, not in an object within it.
fn top_level(line: &[u8], key: &Finder<'_>) -> Option<usize> {
    let mut depth = 0u32;
    let mut in_string = false;
    let mut bytes = line.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' if in_string => drop(bytes.next()),
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.checked_sub(1)?,
            b',' if !in_string && depth == 1 && line[at..].starts_with(key.needle()) => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(properties: &str, time: &str, user: &str) -> String {
        format!(
            r#"{{"app":7,"client_event_time":"2020-02-02 00:00:00","event_properties":{properties},"event_time":{time},"event_type":"x","user_properties":{user}}}"#
        )
    }

    fn counted(text: &str) -> (u64, String) {
        let mut counter = EventCounter::default();
        counter.update(text.as_bytes());
        let (events, dates) = counter.finish();
        (events, serde_json::to_string(&dates).unwrap())
    }

    const TIME: &str = r#""2025-11-06 23:59:59.999000""#;

    #[test]
    fn each_event_counts_for_the_date_of_its_own_event_time() {
        let lines =
            [row("{}", TIME, "{}"), row("{}", r#""2025-11-05 01:02:03""#, "{}"), row("{}", TIME, "null")].join("\n");
        assert_eq!(counted(&lines), (3, r#"{"2025-11-05":1,"2025-11-06":2}"#.into()));
        assert_eq!(counted(""), (0, "{}".into()));
    }

    #[test]
    fn a_property_of_the_same_name_does_not_pass_for_it() {
        let property = r#"{"a":1,"event_time":"1999-09-09 00:00:00","event_type":"y"}"#;
        let deep = r#"[{"a":[{"b":{},"event_time":"1999-09-09 00:00:00","event_type":"y"}]}]"#;
        let text =
            r#"{"a":"}}],\"event_time\":\"1999-09-09\",\"event_type\":","b":"\\","c\",\"event_time":"1999-09-09"}"#;
        let only = r#"{"event_time":"1999-09-09 00:00:00","event_type":"y"}"#;
        for with in [property, deep, text, only] {
            for row in [row(with, TIME, "{}"), row("{}", TIME, with), row(with, TIME, with)] {
                assert_eq!(counted(&row), (1, r#"{"2025-11-06":1}"#.into()), "{row}");
            }
        }
    }

    #[test]
    fn what_cannot_be_told_is_unknown() {
        let unknown = [
            row("{}", "null", "{}"),
            row(r#"{"a":1,"event_time":"1999-09-09 00:00:00"}"#, "null", "{}"),
            row("{}", r#""2025-02-30 00:00:00""#, "{}"),
            row("{}", r#""""#, "{}"),
            row("{}", r#"1762387200"#, "{}"),
            row("{}", TIME, "{}").replace(r#""event_type""#, r#""type""#),
            "{}".to_owned(),
            String::new(),
            r#"{"a":1,"event_time":"2025-11-06"#.to_owned(),
        ];
        assert_eq!(counted(&unknown.join("\n")), (9, r#"{"unknown":9}"#.into()));
        let start = NaiveDate::from_ymd_opt(2000, 1, 1).unwrap();
        let many: Vec<_> =
            start.iter_days().take(402).map(|day| row("{}", &format!("\"{day} 00:00:00\""), "{}")).collect();
        assert!(counted(&many.join("\n")).1.ends_with(r#","unknown":2}"#));
    }

    #[test]
    fn files_add_up_and_read_back() {
        let read = |text: &str| serde_json::from_str::<EventDates>(text).unwrap();
        let mut sum = read(r#"{"2025-11-05":1,"unknown":2}"#);
        sum.add(&read(r#"{"2025-11-05":3,"2025-11-06":4,"next year":5}"#));
        assert_eq!(serde_json::to_string(&sum).unwrap(), r#"{"2025-11-05":4,"2025-11-06":4,"unknown":7}"#);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_every_line_counts_once(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut counter = EventCounter::default();
            counter.update(&bytes);
            let (events, dates) = counter.finish();
            prop_assert_eq!(dates.by_date.iter().map(|(_, events)| events).sum::<u64>() + dates.unknown, events);
        }

        #[test]
        fn json_of_any_shape_in_a_property_changes_nothing(value in "(\\{|\\}|\\[|\\]|\"|\\\\|,|:|event_time|x){0,30}", depth in 0usize..3) {
            let mut value = serde_json::json!({ "a": value, "event_time": "1999-09-09 00:00:00", "event_type": value });
            (0..depth).for_each(|_| value = serde_json::json!({ "list": [value.clone(), 1], "event_time": value }));
            let line = row(&value.to_string(), TIME, &value.to_string());
            prop_assert_eq!(counted(&line), (1, r#"{"2025-11-06":1}"#.to_owned()));
        }
    }
}
