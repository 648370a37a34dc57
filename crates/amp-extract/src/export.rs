//! Amplitude's Export API: `GET /api/2/export?start=YYYYMMDDTHH&end=YYYYMMDDTHH`, both ends included, with Basic authorization.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use amp_cli::settings::is_loopback;
use amp_cli::{Common, DETAIL};
use amp_core::secret::{Secret, scrub};
use amp_core::window::HourWindow;
use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client};
use url::Url;

use crate::answer::{Answer, Reply, excerpt, first_line, retry_after, says_no_data, server_time};
use crate::body::{ArchiveBody, beginning, transport};
use crate::export_error::ExportError;
use crate::locked::locked;
use crate::settings::Settings;

/// Clocks that differ by more are told of.
const CLOCKS_APART: TimeDelta = TimeDelta::minutes(5);

/// Asks the Export API.
#[derive(Debug)]
pub struct ExportClient {
    http: Client,
    endpoint: Url,
    api_key: Secret,
    secret_key: Secret,
    read_timeout: Duration,
    any_404_is_empty: bool,
    /// How far this machine's clock is ahead of the server's, by the last answer that told.
    clock_difference: Mutex<Option<TimeDelta>>,
}

impl ExportClient {
    /// A client of the endpoint in `settings`. No bytes, or too few, for the read timeout is a timeout.
    ///
    /// # Errors
    /// When the TLS roots of the system cannot be read or the endpoint takes no path.
    pub fn new(settings: &Settings, common: &Common) -> anyhow::Result<Self> {
        Self::of(&settings.base_url, settings, common)
    }

    /// A client of another endpoint than that in `settings`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(crate) fn of(base_url: &Url, settings: &Settings, common: &Common) -> anyhow::Result<Self> {
        let read_timeout = common.read_timeout;
        // Another provider may have been installed by whoever embeds this; either will do.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut builder = Client::builder()
            .user_agent(concat!("amp-extract/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(read_timeout.min(Duration::from_secs(30)))
            .read_timeout(read_timeout)
            .redirect(Policy::custom(follow))
            .referer(false);
        if let Some(bundle) = &common.ca_bundle {
            let of_bundle = || format!("cannot use the certificates in `{}`", bundle.path.display());
            builder = builder.tls_certs_only(Certificate::from_pem_bundle(&bundle.pem).with_context(of_bundle)?);
        }
        if is_loopback(base_url) {
            builder = builder.no_proxy();
        }
        let mut endpoint = base_url.clone();
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
            read_timeout,
            any_404_is_empty: settings.any_404_is_empty,
            clock_difference: Mutex::default(),
        })
    }

    /// Asks for `window`.
    ///
    /// # Errors
    /// [`ExportError`] for no answer, or one that is none of [`Answer`]'s.
    pub(crate) async fn get(&self, window: HourWindow) -> Result<Reply, ExportError> {
        let ends = [("start", window.start().compact()), ("end", window.end().compact())];
        let mut url = self.endpoint.clone();
        url.query_pairs_mut().extend_pairs(ends);
        tracing::info!(target: DETAIL, event = "request", %window, %url, "{window}: GET {url}");
        let host = url.host_str().unwrap_or_default().to_owned();
        let request = self.http.get(url.clone()).basic_auth(self.api_key.expose(), Some(self.secret_key.expose()));
        let (asked_at, asked) = (Utc::now(), Instant::now());
        let response = request.send().await.map_err(|error| transport(window, &host, error))?;
        let theirs = server_time(response.headers())
            .and_then(|now| now.checked_sub_signed(TimeDelta::from_std(asked.elapsed()).ok()?));
        let requested_at = theirs.map_or(asked_at, |theirs| self.earlier(asked_at, theirs));
        let answer = |answer| Ok(Reply { asked_at, theirs, requested_at, answer });
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers(), SystemTime::now());
        if status == 200 {
            let mut body = ArchiveBody::new(window, host, response, self.read_timeout);
            if !body.is_text().await? {
                return answer(Answer::Archive(body));
            }
            let body = first_line(&self.scrubbed(&body.text().await));
            return Err(ExportError::Text { window, retry_after, body });
        }
        let text = self.scrubbed(&beginning(response, Vec::new()).await);
        let error = ExportError::Status { window, status, retry_after, body: excerpt(&text) };
        match status {
            400 => answer(Answer::TooLarge(error)),
            404 if self.any_404_is_empty || says_no_data(&text) => answer(Answer::NoData(error.to_string())),
            404 => Err(ExportError::NotFound { window, url: url.into(), body: first_line(&text) }),
            _ => Err(error),
        }
    }

    /// Which of the two clocks is behind.
    fn earlier(&self, ours: DateTime<Utc>, theirs: DateTime<Utc>) -> DateTime<Utc> {
        *locked(&self.clock_difference) = Some(ours - theirs);
        ours.min(theirs)
    }

    /// Whether the clocks agree, as far as answers have told: an error says how they do not.
    pub(crate) fn compare_clocks(&self) -> Option<Result<(), String>> {
        let ahead = (*locked(&self.clock_difference))?;
        let how = if ahead > TimeDelta::zero() { "ahead of" } else { "behind" };
        let minutes = (ahead.abs() + TimeDelta::seconds(30)).num_minutes();
        let agree = ahead.abs() <= CLOCKS_APART;
        Some(if agree { Ok(()) } else { Err(format!("this machine's clock is {minutes} minutes {how} Amplitude's")) })
    }

    /// A text from outside without what we sent.
    fn scrubbed(&self, text: &str) -> String {
        scrub(text, &[&self.api_key, &self.secret_key])
    }
}

/// Redirects are followed a few times, to https and to this machine. reqwest drops the credentials when the host changes.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let url = attempt.url();
    let is_accepted = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url));
    if is_accepted && attempt.previous().len() <= 5 { attempt.follow() } else { attempt.stop() }
}
