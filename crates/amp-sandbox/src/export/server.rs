//! The server: its settings, and what can be done with it while it runs.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;

use super::archive::{ArchiveSource, Layout};
use super::rule::Rule;
use super::state::{PRIMARY, State};
use crate::events::Dataset;
use crate::http::{Framing, Listener};
use crate::time::Window;
use crate::tls::Tls;

/// The most that a window may hold.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limit {
    /// Hours.
    pub hours: Option<u64>,
    /// Events.
    pub events: Option<u64>,
    /// Bytes of JSON; the window's events are generated to know them.
    pub bytes: Option<u64>,
}

/// How the server behaves when nothing goes wrong.
#[derive(Debug, Clone)]
pub struct ExportConfig {
    /// The events.
    pub dataset: Dataset,
    /// The user of Basic auth.
    pub api_key: String,
    /// Its password.
    pub secret_key: String,
    /// 0 for any free port.
    pub port: u16,
    /// How archives are written.
    pub layout: Layout,
    /// How the end of a body is told.
    pub framing: Framing,
    /// Windows beyond it get 400.
    pub too_large: Limit,
    /// Windows beyond it get 504.
    pub too_slow: Limit,
    /// Bytes a second, of all answers together.
    pub bandwidth: Option<u64>,
    /// Waited before each archive.
    pub first_byte_delay: Duration,
    /// Hours become complete 2 hours after their end, by the server's clock: before that they have half of their parts, and before
    /// they begin none.
    pub settling: bool,
    /// Its https; plain http without.
    pub tls: Option<Tls>,
}

impl ExportConfig {
    /// Keys `sandbox-api-key` and `sandbox-secret-key`, a free port, no limits.
    pub fn new(dataset: Dataset) -> Self {
        Self {
            dataset,
            api_key: "sandbox-api-key".into(),
            secret_key: "sandbox-secret-key".into(),
            port: 0,
            layout: Layout::default(),
            framing: Framing::default(),
            too_large: Limit::default(),
            too_slow: Limit::default(),
            bandwidth: None,
            first_byte_delay: Duration::ZERO,
            settling: false,
            tls: None,
        }
    }
}

/// A request and what became of it.
#[derive(Debug, Clone)]
pub struct ExportRequest {
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The `start` parameter as it came.
    pub start: String,
    /// The `end` parameter as it came.
    pub end: String,
    /// The API key it came with; empty if none.
    pub api_key: String,
    /// The window, if the two are one.
    pub window: Option<Window>,
    /// The status answered; 0 if none was.
    pub status: u16,
    /// Bytes of the body sent so far.
    pub bytes_sent: u64,
    /// Whether a rule had it answered with a fault.
    pub faulty: bool,
    /// Whether the credentials were right.
    pub authorized: bool,
    /// The headers; the value of `Authorization` is `***`.
    pub headers: Vec<(String, String)>,
    /// When it came.
    pub at: Instant,
    /// The connection is done with it.
    pub finished: bool,
}

/// A running server; it stops when dropped.
pub struct ExportServer {
    state: Arc<State>,
    listener: Listener,
}

impl ExportServer {
    /// Listens on 127.0.0.1.
    pub fn start(config: ExportConfig) -> io::Result<Self> {
        let (port, tls) = (config.port, config.tls.clone());
        let state = Arc::new(State::new(config));
        let shared = Arc::clone(&state);
        let listener = Listener::start("export", port, tls, move |exchange| super::answer::answer(&shared, exchange))?;
        Ok(Self { state, listener })
    }

    /// `http://127.0.0.1:PORT` (or https), for `AMP_BASE_URL`.
    pub fn base_url(&self) -> String {
        self.listener.url()
    }

    /// The API key that is right from the start.
    pub fn api_key(&self) -> &str {
        &self.state.config.api_key
    }

    /// The secret key that belongs to it.
    pub fn secret_key(&self) -> &str {
        &self.state.config.secret_key
    }

    /// The environment that leads amp-extract here.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AMP_API_KEY", self.api_key().to_owned()),
            ("AMP_SECRET_KEY", self.secret_key().to_owned()),
            ("AMP_BASE_URL", self.base_url()),
        ]
    }

    /// Everything asked so far, in order.
    pub fn requests(&self) -> Vec<ExportRequest> {
        self.state.requests()
    }

    /// Adds a rule after those there are.
    pub fn add_rule(&self, rule: Rule) {
        self.state.rules().push((rule, 0));
    }

    /// No faults from now on.
    pub fn clear_rules(&self) {
        self.state.rules().clear();
    }

    /// Serves other events of the first project from now on, as when a past hour changes between two exports.
    pub fn set_dataset(&self, dataset: Dataset) {
        self.state.set_dataset(PRIMARY, dataset);
    }

    /// Accepts another key of the same project from now on.
    pub fn add_key(&self, api_key: &str, secret_key: &str) {
        self.state.add_key(PRIMARY, api_key, secret_key);
    }

    /// Serves these events, too, to whoever has this key: those of another project.
    pub fn add_project(&self, dataset: Dataset, api_key: &str, secret_key: &str) {
        let project = self.state.add_project(dataset);
        self.state.add_key(project, api_key, secret_key);
    }

    /// Refuses a key from now on, as one that was revoked.
    pub fn revoke_key(&self, api_key: &str) {
        self.state.revoke_key(api_key);
    }

    /// Moves the server's clock, by which its `Date` and the settling of hours go, so far from the machine's.
    pub fn set_clock_offset(&self, offset: TimeDelta) {
        self.state.set_clock_offset(offset);
    }

    /// Serves these bytes for exactly this window, or, without one, for every window that has none of its own.
    pub fn set_archive(&self, window: Option<Window>, archive: impl Into<ArchiveSource>) {
        self.state.give(window, archive.into());
    }

    /// Builds the window's archive now, so that the first request doesn't wait for it.
    pub fn prepare(&self, window: Window) -> io::Result<()> {
        self.state.archive(PRIMARY, window, None).map(drop)
    }

    /// The archive as it would be served; `None` if the window has no data.
    pub fn archive_bytes(&self, window: Window) -> io::Result<Option<Vec<u8>>> {
        let Some(source) = self.state.archive(PRIMARY, window, None)? else { return Ok(None) };
        let mut bytes = vec![0; usize::try_from(source.len()?).unwrap_or(usize::MAX)];
        source.read_at(0, &mut bytes)?;
        Ok(Some(bytes))
    }
}
