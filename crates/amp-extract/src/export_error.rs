//! Why an export was not had, and what that asks of us.

use std::borrow::Cow;
use std::time::Duration;

use amp_core::hint::Hint;
use amp_core::retry::Verdict;
use amp_core::window::HourWindow;

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
}
