//! What a person writes: windows, hours, spans, shards, sizes, URLs and `.env`. What is accepted means one thing and stays in its bounds.

use std::fs;

use amp_core::hour::{Hour, parse_date};
use amp_core::window::{HourWindow, Shard, WindowSpec};
use chrono::{DateTime, Utc};

use super::script::{Script, scratch};
use super::settings::{
    DotEnv, DotEnvError, is_loopback, parse_bool, parse_bytes, parse_duration, parse_endpoint, parse_number,
};

/// Longer windows are not walked hour by hour.
const MOST_HOURS: u64 = 2000;

pub(crate) fn any_text(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let which = script.byte();
    let now =
        DateTime::from_timestamp(i64::try_from(script.word()).unwrap_or_default() * 100_000, 0).unwrap_or_default();
    let rest = script.bytes(usize::MAX);
    let text = String::from_utf8_lossy(rest);
    match which % 8 {
        0 => hours(&text),
        1 => windows(WindowSpec::last(&text), now, None),
        2 => windows(WindowSpec::date(&text, now), now, None),
        3 => {
            let mut parts = text.splitn(3, ' ');
            let (start, end) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let between = |(start, end)| WindowSpec::between(start, end);
            let ends = WindowSpec::start(start).and_then(|start| Ok((start, WindowSpec::end(end)?)));
            windows(ends.and_then(between), now, parts.next().and_then(|shard| shard.parse().ok()));
        }
        4 => numbers(&text),
        5 => endpoints(&text),
        _ => dotenv(rest),
    }
}

fn hours(text: &str) {
    if let Ok(hour) = Hour::parse(text) {
        assert!(text == hour.to_string() || text == hour.compact(), "{text:?}");
        assert_eq!(Hour::containing(hour.start()), hour);
        assert!(hour.settled_at() > hour.start());
    }
    if let Ok(date) = parse_date(text) {
        assert_eq!(date.to_string(), text);
    }
}

fn windows<E>(spec: Result<WindowSpec, E>, now: DateTime<Utc>, shard: Option<Shard>) {
    let Ok(planned) = spec.map_err(|_| ()).and_then(|spec| spec.resolve(now, shard).map_err(|_| ())) else { return };
    let Some(window) = planned.window else { return };
    assert!(window.start() <= window.end() && window.end() <= Hour::containing(now));
    if let Some((left, right)) = window.halves() {
        assert_eq!(left.count() + right.count(), window.count());
        assert_eq!(left.end().plus(1), right.start());
    }
    if window.count() <= MOST_HOURS {
        assert!(window.days().flat_map(HourWindow::hours).eq(window.hours()));
    }
}

fn numbers(text: &str) {
    if let Ok(span) = parse_duration(text) {
        assert!(span.as_secs() < 366 * 86_400, "{text:?}");
    }
    if parse_bytes(text).is_ok() || parse_duration(text).is_ok() {
        assert!(text.starts_with(|first: char| first.is_ascii_digit() || first == '.'), "{text:?}");
    }
    if let Ok(number) = parse_number(text, 1u64) {
        assert_eq!(text.trim_start_matches('0'), number.to_string());
    }
    let _ = parse_bool(text);
}

fn endpoints(text: &str) {
    if let Ok(url) = parse_endpoint(text, false) {
        assert!(url.scheme() == "https" || is_loopback(&url), "{text:?}");
        assert!(url.host().is_some() && url.username().is_empty() && url.password().is_none(), "{text:?}");
        assert_eq!(parse_endpoint(text, true), Ok(url));
    }
}

fn dotenv(bytes: &[u8]) {
    let dir = scratch();
    let path = dir.path().join(".env");
    fs::write(&path, bytes).unwrap();
    match DotEnv::read(&path) {
        Ok(settings) => assert!(settings.matching(|_| true).all(|(name, value)| !name.is_empty() && !value.is_empty())),
        Err(DotEnvError::Syntax { line, .. }) => {
            let lines = bytes.split(|byte| *byte == b'\n').count();
            assert!((1..=lines).contains(&line), "line {line} of {lines}");
        }
        Err(error) => panic!("{error}"),
    }
}
