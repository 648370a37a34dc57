//! Amplitude's Export API: `GET /api/2/export?start=YYYYMMDDTHH&end=YYYYMMDDTHH`, both ends included, with Basic authorization.

use std::time::{Duration, SystemTime};

use amp_cli::settings::is_loopback;
use amp_core::retry::Verdict;
use amp_core::secret::{Secret, scrub};
use amp_core::window::HourWindow;
use anyhow::Context;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Response};
use url::Url;

use crate::settings::Settings;

/// How much of an error's body is read and shown.
const EXCERPT_BYTES: usize = 300;

/// Why an export was not had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// Amplitude answered with another status than 200.
    #[error("Amplitude answered HTTP {status} for {window}: {}{}", meaning(*status, *window), said(body))]
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
    /// No answer, or not all of it, came through.
    #[error("the request for {window} failed: {cause}")]
    Transport {
        /// What was asked for.
        window: HourWindow,
        /// What went wrong.
        cause: String,
    },
}

fn said(body: &str) -> String {
    if body.is_empty() { String::new() } else { format!(" (it said: {body})") }
}

/// What a status means here and what to do (Export API documentation, "Status codes"; 429 and 502 from other tools' users).
fn meaning(status: u16, window: HourWindow) -> &'static str {
    match status {
        400 if window.count() > 1 => "documented as more than 4 GB of data",
        400 => {
            "documented as more than 4 GB of data, and an hour is the smallest window. If the hour is that large, only \
             Amplitude's own S3 export (a destination in its settings) can deliver it; if not, check the keys and the region"
        }
        401 => "it got no credentials it knows; check AMP_API_KEY and AMP_SECRET_KEY",
        403 => {
            "it refuses the keys; check AMP_API_KEY, AMP_SECRET_KEY and the region (--region eu|us): each project has its own keys and region"
        }
        404 => "no data in this window; a wrong key or region can look the same",
        429 => "too many requests; other tools may be using the same project's quota",
        504 => "it timed out, which is documented as too much data at once",
        500 | 502 | 503 => "it has a passing fault",
        300..=399 => "a redirect that is not followed; check --base-url",
        _ => "an unexpected status; check --base-url",
    }
}

impl ExportError {
    /// What the failure asks of us. The table is pinned by a test over every status.
    pub fn verdict(&self) -> Verdict {
        let Self::Status { status, retry_after, .. } = self else { return Verdict::TRANSIENT };
        match status {
            401 | 403 => Verdict::Refused,
            501 | 505 => Verdict::Permanent,
            408 | 429 | 500..=599 => Verdict::Transient { retry_after: *retry_after },
            _ => Verdict::Permanent,
        }
    }

    /// The HTTP status, if one came.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::Transport { .. } => None,
        }
    }
}

/// An answer that is no failure.
#[derive(Debug)]
pub enum Answer {
    /// The archive, its body still to be read.
    Body(Response),
    /// There is no data; what Amplitude said.
    NoData(String),
    /// The window must be asked for in parts; an hour, which has none, is not to be had.
    TooLarge(ExportError),
}

/// Asks the Export API.
#[derive(Debug)]
pub struct ExportClient {
    http: Client,
    endpoint: Url,
    api_key: Secret,
    secret_key: Secret,
}

impl ExportClient {
    /// A client of the endpoint in `settings`. No bytes for `read_timeout` is a timeout.
    ///
    /// # Errors
    /// When the TLS roots of the system cannot be read or the endpoint takes no path.
    pub fn new(settings: &Settings, read_timeout: Duration) -> anyhow::Result<Self> {
        // Another provider may have been installed by whoever embeds this; either will do.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut builder = Client::builder()
            .user_agent(concat!("amp-extract/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(read_timeout.min(Duration::from_secs(30)))
            .read_timeout(read_timeout)
            .redirect(Policy::custom(follow))
            .referer(false);
        if is_loopback(&settings.base_url) {
            builder = builder.no_proxy();
        }
        let mut endpoint = settings.base_url.clone();
        endpoint
            .path_segments_mut()
            .ok()
            .context("the export endpoint takes no path")?
            .pop_if_empty()
            .extend(["api", "2", "export"]);
        Ok(Self {
            http: builder.build()?,
            endpoint,
            api_key: settings.api_key.clone(),
            secret_key: settings.secret_key.clone(),
        })
    }

    /// Asks for `window`.
    ///
    /// # Errors
    /// [`ExportError`] for no answer, or one that is none of [`Answer`]'s.
    pub async fn get(&self, window: HourWindow) -> Result<Answer, ExportError> {
        let ends = [("start", window.start().compact()), ("end", window.end().compact())];
        let mut url = self.endpoint.clone();
        url.query_pairs_mut().extend_pairs(ends);
        tracing::info!("{window}: GET {url}");
        let request = self.http.get(url).basic_auth(self.api_key.expose(), Some(self.secret_key.expose()));
        let response = request.send().await.map_err(|error| transport(window, error))?;
        let status = response.status().as_u16();
        if status == 200 {
            return Ok(Answer::Body(response));
        }
        let retry_after = retry_after(response.headers(), SystemTime::now());
        let body = self.excerpt(response).await;
        let error = ExportError::Status { window, status, retry_after, body };
        match status {
            400 => Ok(Answer::TooLarge(error)),
            404 => Ok(Answer::NoData(error.to_string())),
            _ => Err(error),
        }
    }

    /// The beginning of an error's body on one line, without what we sent.
    async fn excerpt(&self, mut response: Response) -> String {
        let mut bytes = Vec::new();
        while bytes.len() < EXCERPT_BYTES {
            match response.chunk().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                _ => break,
            }
        }
        let text = scrub(&String::from_utf8_lossy(&bytes), &[&self.api_key, &self.secret_key]);
        let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        line.chars().filter(|c| !c.is_control()).take(EXCERPT_BYTES).collect()
    }
}

/// A failure below HTTP, with its causes.
pub(crate) fn transport(window: HourWindow, error: reqwest::Error) -> ExportError {
    let timeout = error.is_timeout();
    let error = anyhow::Error::new(error.without_url());
    let cause = if timeout {
        format!("{error:#} (nothing came for the read timeout; --read-timeout sets it)")
    } else {
        format!("{error:#}")
    };
    ExportError::Transport { window, cause }
}

/// Redirects are followed a few times, never from https to http. reqwest drops the credentials when the host changes.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let insecure = attempt.url().scheme() != "https" && !is_loopback(attempt.url());
    if insecure || attempt.previous().len() > 5 { attempt.stop() } else { attempt.follow() }
}

/// What `Retry-After` asks for: seconds or a date (RFC 9110, 10.2.3). A date gone by asks for no wait.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
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
