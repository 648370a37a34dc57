//! The bodies of answers, read with an end to their slowness.

use std::time::Duration;

use amp_cli::{TlsFailure, tls_failure};
use amp_core::window::HourWindow;
use bytes::Bytes;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use tokio::time::{Instant, timeout, timeout_at};

use crate::export_error::ExportError;

/// Each span of the read timeout must bring so many bytes of an archive, or its end: a server that trickles would hold a run up for ever.
const LEAST_BYTES: u64 = 64 << 10;
/// How much of an answer that is no archive is read at most, and for how long.
const EXCERPT_BYTES: usize = 16 << 10;
const EXCERPT_TIME: Duration = Duration::from_secs(5);
/// What every zip archive without junk before it begins with.
const ZIP_BEGINS: &[u8] = b"PK";

/// An archive as it arrives.
#[derive(Debug)]
pub(crate) struct ArchiveBody {
    window: HourWindow,
    host: String,
    response: Response,
    read_timeout: Duration,
    /// What was read to see whether it is an archive.
    first: Vec<u8>,
    /// When the span at hand ends, and what it brought so far.
    span_ends: Instant,
    span_bytes: u64,
}

impl ArchiveBody {
    /// The body of `response`, an answer to the request for `window`.
    pub(crate) fn new(window: HourWindow, host: String, response: Response, read_timeout: Duration) -> Self {
        let span_ends = Instant::now() + read_timeout;
        Self { window, host, response, read_timeout, first: Vec::new(), span_ends, span_bytes: 0 }
    }

    /// Its length in bytes, where the server tells.
    pub(crate) fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// Whether it is a text rather than an archive, by how it begins and by what it calls itself.
    ///
    /// # Errors
    /// When not even its beginning comes.
    pub(crate) async fn is_text(&mut self) -> Result<bool, ExportError> {
        while self.first.len() < ZIP_BEGINS.len() {
            let Some(chunk) = self.read().await? else { break };
            self.first.extend_from_slice(&chunk);
        }
        if self.first.is_empty() || self.first.starts_with(ZIP_BEGINS) {
            return Ok(false);
        }
        let kind = self.response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
        Ok(kind.starts_with("text/") || kind.starts_with("application/json") || self.first.iter().all(is_text))
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// When the connection fails, or too few bytes come for the read timeout.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, ExportError> {
        match std::mem::take(&mut self.first) {
            first if first.is_empty() => self.read().await,
            first => Ok(Some(first.into())),
        }
    }

    async fn read(&mut self) -> Result<Option<Bytes>, ExportError> {
        let Self { window, host, read_timeout, .. } = self;
        let chunk = timeout_at(self.span_ends, self.response.chunk()).await.map_err(|_| ExportError::Transport {
            window: *window,
            host: host.clone(),
            cause: format!("fewer than 64 KiB of the archive came in {read_timeout:?}"),
            hint: Some("--read-timeout sets how long to wait"),
        })?;
        let chunk = chunk.map_err(|error| transport(*window, host, error))?;
        self.span_bytes += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        if self.span_bytes >= LEAST_BYTES {
            (self.span_ends, self.span_bytes) = (Instant::now() + self.read_timeout, 0);
        }
        Ok(chunk)
    }

    /// What it says, as far as it comes soon.
    pub(crate) async fn text(self) -> String {
        beginning(self.response, self.first).await
    }
}

/// The beginning of what an answer that is no archive says, `bytes` of which were read: as much as comes within a few seconds.
pub(crate) async fn beginning(mut response: Response, mut bytes: Vec<u8>) -> String {
    let read = async {
        while bytes.len() < EXCERPT_BYTES {
            let Ok(Some(chunk)) = response.chunk().await else { break };
            bytes.extend_from_slice(&chunk);
        }
    };
    // What came by then is enough to go by.
    timeout(EXCERPT_TIME, read).await.ok();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A failure below HTTP, with its causes.
pub(crate) fn transport(window: HourWindow, host: &str, error: reqwest::Error) -> ExportError {
    if let Some(TlsFailure { reason, hint }) = tls_failure(&error) {
        return ExportError::Untrusted { window, host: host.to_owned(), reason, hint };
    }
    let (what, hint) = match (error.is_timeout(), error.is_connect()) {
        (true, true) => ("no connection in time: ", Some("check the network")),
        (true, false) => ("nothing came for the read timeout: ", Some("--read-timeout sets how long to wait")),
        (false, true) => ("", Some("check the network, --base-url and proxies")),
        (false, false) => ("", None),
    };
    let cause = format!("{what}{:#}", anyhow::Error::new(error.without_url()));
    ExportError::Transport { window, host: host.to_owned(), cause, hint }
}
