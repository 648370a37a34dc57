//! What Amplitude's answers mean, and why one is a failure.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use amp_core::hint::Hint;
use amp_core::retry::Verdict;
use amp_core::window::HourWindow;
use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::body::ArchiveBody;

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

/// Why an export was not had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExportError {
    /// Amplitude answered with another status than 200.
    #[error("Amplitude answered HTTP {status} for {window}: {}{}", meaning(*status).0, said(body))]
    Status {
        /// What was asked for.
        window: HourWindow,
        /// The HTTP status.
        status: u16,
        /// What `Retry-After` asked for.
        retry_after: Option<Duration>,
        /// The beginning of the answer, without secrets.
        body: String,
    },
    /// A 404 that is not Amplitude's "no data".
    #[error(
        "{url} answered HTTP 404 for {window}, but not with Amplitude's \"Raw data files were not found\"{}",
        said(body)
    )]
    NotFound {
        /// What was asked for.
        window: HourWindow,
        /// Where.
        url: String,
        /// The first line of the answer, without secrets.
        body: String,
    },
    /// 200 with a text in place of an archive: a limit of requests, or somebody else's page.
    #[error("Amplitude answered HTTP 200 for {window} with text instead of a zip archive{}", said(body))]
    Text {
        /// What was asked for.
        window: HourWindow,
        /// What `Retry-After` asked for.
        retry_after: Option<Duration>,
        /// The first line of the answer, without secrets.
        body: String,
    },
    /// The server cannot be trusted, and will not be by trying again.
    #[error("the request to {host} for {window} failed: {reason}")]
    Untrusted {
        /// What was asked for.
        window: HourWindow,
        /// Who was asked.
        host: String,
        /// What is wrong with its certificate or its TLS.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// No answer, or not all of it, came through.
    #[error("the request to {host} for {window} failed: {cause}")]
    Transport {
        /// What was asked for.
        window: HourWindow,
        /// Who was asked.
        host: String,
        /// What went wrong.
        cause: String,
        /// What to do.
        hint: Option<&'static str>,
    },
}

fn said(body: &str) -> String {
    if body.is_empty() { String::new() } else { format!(" (it said: {body})") }
}

/// What a status means here, and what to do (Export API documentation, "Status codes"; 429 and 502 from other tools' users).
fn meaning(status: u16) -> (&'static str, Option<&'static str>) {
    match status {
        400 => ("documented as more than 4 GB of data", None),
        401 => ("unknown credentials", Some("check AMP_API_KEY and AMP_SECRET_KEY")),
        403 => (
            "it refuses the keys",
            Some(
                "check AMP_API_KEY, AMP_SECRET_KEY and the region (--region eu|us): each project has its own keys and region",
            ),
        ),
        404 => ("no data in this window; a wrong key or region can look the same", None),
        429 => ("too many requests", Some("other tools may be using the same project's quota")),
        504 => ("it timed out, which is documented as too much data at once", None),
        500 | 502 | 503 => ("temporary server error", None),
        300..=399 => ("a redirect that is not followed", Some("check --base-url")),
        _ => ("an unexpected status", Some("check --base-url")),
    }
}

impl Hint for ExportError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::Status { status: 400, window, .. } if window.count() == 1 => {
                "an hour is the smallest window: if it holds that much, only Amplitude's own S3 export (a destination in its settings) can \
                 deliver it; if not, check the keys and the region"
            }
            Self::Status { status, .. } => return meaning(*status).1.map(Into::into),
            Self::NotFound { .. } => {
                "check --base-url and proxies; --any-404-is-empty takes such an answer for \"no data\""
            }
            Self::Text { .. } => "if that is not a limit on requests, check --base-url and proxies",
            Self::Untrusted { hint, .. } => hint,
            Self::Transport { hint, .. } => return hint.map(Into::into),
        };
        Some(hint.into())
    }
}

impl ExportError {
    /// What the failure asks of us. The table is pinned by a test over every status.
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Transport { .. } => Verdict::TRANSIENT,
            Self::Text { retry_after, .. } => Verdict::Transient { retry_after: *retry_after },
            Self::NotFound { .. } => Verdict::Permanent,
            Self::Untrusted { .. } => Verdict::Refused,
            Self::Status { status, retry_after, .. } => match status {
                401 | 403 => Verdict::Refused,
                501 | 505 => Verdict::Permanent,
                408 | 429 | 500..=599 => Verdict::Transient { retry_after: *retry_after },
                _ => Verdict::Permanent,
            },
        }
    }

    /// Whether Amplitude asks for fewer requests, and for how long to make none.
    pub(crate) fn asks_for_fewer(&self) -> Option<Option<Duration>> {
        match self {
            Self::Status { status: 429, retry_after, .. } | Self::Text { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// What was asked for.
    pub(crate) fn window(&self) -> HourWindow {
        match self {
            Self::Status { window, .. }
            | Self::NotFound { window, .. }
            | Self::Text { window, .. }
            | Self::Untrusted { window, .. }
            | Self::Transport { window, .. } => *window,
        }
    }

    /// The HTTP status, where it is the failure.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::NotFound { .. } => Some(404),
            Self::Text { .. } | Self::Untrusted { .. } | Self::Transport { .. } => None,
        }
    }
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
    use amp_core::hour::Hour;

    fn verdict(status: u16) -> Verdict {
        let window = HourWindow::single(Hour::parse("2025-11-06T00").unwrap());
        ExportError::Status { window, status, retry_after: None, body: String::new() }.verdict()
    }

    #[test]
    fn every_status_has_its_verdict() {
        for status in 100..=599 {
            let expected = match status {
                401 | 403 => Verdict::Refused,
                408 | 429 | 500 | 502..=504 | 506..=599 => Verdict::TRANSIENT,
                _ => Verdict::Permanent,
            };
            assert_eq!(verdict(status), expected, "{status}");
        }
    }

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
