//! What Amplitude's answers mean.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::body::ArchiveBody;
use crate::export_error::ExportError;

/// How many characters of an answer that is no archive are shown.
const SHOWN: usize = 300;

/// An answer that is no failure.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The archive, its body still to be read.
    Archive(ArchiveBody),
    /// There is no data; what Amplitude said.
    NoData(String),
    /// The window must be asked for in parts; an hour, which has none, is not to be had.
    TooLarge(ExportError),
}

/// An answer and when it was asked for.
#[derive(Debug)]
pub(crate) struct Reply {
    /// By our clock.
    pub(crate) asked_at: DateTime<Utc>,
    /// By Amplitude's, if it told.
    pub(crate) theirs: Option<DateTime<Utc>>,
    /// By our clock or Amplitude's, whichever is behind: what had settled by then had settled by both.
    pub(crate) requested_at: DateTime<Utc>,
    /// The answer.
    pub(crate) answer: Answer,
}

/// Whether these are Amplitude's words for a window without data. The JSON around them is not documented.
pub(crate) fn says_no_data(body: &str) -> bool {
    let words: Vec<&str> = body.split_whitespace().collect();
    words.join(" ").to_ascii_lowercase().contains("raw data files were not found")
}

/// The beginning of a text from outside on one line, fit for a terminal.
pub(crate) fn excerpt(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

/// The first line that says anything, fit for a terminal.
pub(crate) fn first_line(text: &str) -> String {
    text.lines().map(excerpt).find(|line| !line.is_empty()).unwrap_or_default()
}

/// What the server's clock says, if it tells (RFC 9110, 6.6.1).
pub(crate) fn server_time(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(date.into())
}

/// What `Retry-After` asks for: seconds or a date (RFC 9110, 10.2.3). A date gone by asks for no wait.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_amplitudes_own_words_mean_no_data() {
        for body in [
            "Raw data files were not found.",
            "{\"error\": {\"message\": \"RAW data\\tFiles were not found\"}}".replace("\\t", "\t").as_str(),
            "raw data\r\n  files were\n not found",
        ] {
            assert!(says_no_data(body), "{body}");
        }
        for body in ["", "Not Found", "{\"error\": \"no such path\"}", "data files were not found", "raw data"] {
            assert!(!says_no_data(body), "{body}");
        }
    }

    #[test]
    fn the_first_line_of_an_answer_is_shown_without_what_garbles_a_terminal() {
        assert_eq!(first_line("\r\n \n<html>\u{1b}[31m  x\n<body>"), "<html>[31m x");
        assert_eq!(first_line(""), "");
        assert_eq!(first_line(&"x".repeat(1000)).len(), SHOWN);
    }

    #[test]
    fn the_servers_clock_is_read_where_it_tells() {
        let read = |value: &str| server_time(&[(DATE, value.parse().unwrap())].into_iter().collect());
        assert_eq!(read("Sun, 06 Nov 1994 08:49:47 GMT").unwrap().to_rfc3339(), "1994-11-06T08:49:47+00:00");
        assert_eq!(read("now"), None);
        assert_eq!(server_time(&HeaderMap::new()), None);
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let read = |value: &str| retry_after(&[(RETRY_AFTER, value.parse().unwrap())].into_iter().collect(), now);
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:47 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("soon"), None);
        assert_eq!(read("-1"), None);
    }
}
