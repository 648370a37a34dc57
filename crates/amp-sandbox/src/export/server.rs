//! The server: its settings, its state, what it has been asked.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::archive::{ArchiveSource, Layout};
use super::bandwidth::Bandwidth;
use super::rule::{Fault, Rule};
use crate::events::Dataset;
use crate::http::{Framing, Head, Listener};
use crate::time::Window;

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
    /// The window, if the two are one.
    pub window: Option<Window>,
    /// The status answered; 0 if none was.
    pub status: u16,
    /// Bytes of the body sent so far.
    pub bytes_sent: u64,
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

/// What the connections share.
pub(super) struct State {
    pub(super) config: ExportConfig,
    pub(super) bandwidth: Option<Bandwidth>,
    dataset: Mutex<Dataset>,
    requests: Mutex<Vec<ExportRequest>>,
    rules: Mutex<Vec<(Rule, u32)>>,
    given: Mutex<Vec<(Option<Window>, ArchiveSource)>>,
    built: Mutex<HashMap<Window, ArchiveSource>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ExportServer {
    /// Listens on 127.0.0.1.
    pub fn start(config: ExportConfig) -> io::Result<Self> {
        let port = config.port;
        let state = Arc::new(State {
            bandwidth: config.bandwidth.map(Bandwidth::new),
            dataset: Mutex::new(config.dataset.clone()),
            config,
            requests: Mutex::default(),
            rules: Mutex::default(),
            given: Mutex::default(),
            built: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let listener = Listener::start("export", port, move |exchange| super::answer::answer(&shared, exchange))?;
        Ok(Self { state, listener })
    }

    /// `http://127.0.0.1:PORT`, for `AMP_BASE_URL`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.listener.address())
    }

    /// The API key that is right.
    pub fn api_key(&self) -> &str {
        &self.state.config.api_key
    }

    /// The secret key that is right.
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
        lock(&self.state.requests).clone()
    }

    /// Adds a rule after those there are.
    pub fn add_rule(&self, rule: Rule) {
        lock(&self.state.rules).push((rule, 0));
    }

    /// No faults from now on.
    pub fn clear_rules(&self) {
        lock(&self.state.rules).clear();
    }

    /// Serves other events from now on, as when a past hour changes between two exports.
    pub fn set_dataset(&self, dataset: Dataset) {
        *lock(&self.state.dataset) = dataset;
        lock(&self.state.built).clear();
    }

    /// Serves these bytes for exactly this window, or, without one, for every window that has none of its own.
    pub fn set_archive(&self, window: Option<Window>, archive: impl Into<ArchiveSource>) {
        let mut given = lock(&self.state.given);
        given.retain(|(of, _)| *of != window);
        given.push((window, archive.into()));
    }

    /// Builds the window's archive now, so that the first request doesn't wait for it.
    pub fn prepare(&self, window: Window) -> io::Result<()> {
        self.state.archive(window).map(drop)
    }

    /// The archive as it would be served; `None` if the window has no data.
    pub fn archive_bytes(&self, window: Window) -> io::Result<Option<Vec<u8>>> {
        let Some(source) = self.state.archive(window)? else { return Ok(None) };
        let mut bytes = vec![0; usize::try_from(source.len()?).unwrap_or(usize::MAX)];
        source.read_at(0, &mut bytes)?;
        Ok(Some(bytes))
    }
}

impl State {
    /// Registers a request and finds the fault for it.
    pub(super) fn arrived(
        &self,
        head: &Head,
        window: Option<Window>,
        pairs: &[(String, String)],
    ) -> (usize, Option<Fault>) {
        let parameter = |name: &str| pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap_or_default();
        let masked = |(name, value): &(String, String)| {
            let secret = name.eq_ignore_ascii_case("authorization");
            (name.clone(), if secret { "***".to_owned() } else { value.clone() })
        };
        let mut requests = lock(&self.requests);
        requests.push(ExportRequest {
            method: head.method.clone(),
            path: head.path().to_owned(),
            start: parameter("start"),
            end: parameter("end"),
            window,
            status: 0,
            bytes_sent: 0,
            authorized: false,
            headers: head.headers.iter().map(masked).collect(),
            at: Instant::now(),
            finished: false,
        });
        let number = requests.len() as u32;
        let mut rules = lock(&self.rules);
        let rule = rules.iter_mut().find(|(rule, used)| rule.applies(number, window, *used));
        let fault = rule.map(|(rule, used)| {
            *used += 1;
            rule.fault.clone()
        });
        (requests.len() - 1, fault)
    }

    pub(super) fn update(&self, index: usize, change: impl FnOnce(&mut ExportRequest)) {
        if let Some(request) = lock(&self.requests).get_mut(index) {
            change(request);
        }
    }

    pub(super) fn exceeds(&self, window: Window, limit: &Limit) -> bool {
        let dataset = lock(&self.dataset).clone();
        let bytes = || dataset.expected_files(window).iter().map(|file| file.bytes).sum::<u64>();
        limit.hours.is_some_and(|most| window.hours().count() as u64 > most)
            || limit.events.is_some_and(|most| dataset.events_in(window) > most)
            || limit.bytes.is_some_and(|most| bytes() > most)
    }

    pub(super) fn archive(&self, window: Window) -> io::Result<Option<ArchiveSource>> {
        {
            let given = lock(&self.given);
            let exact = given.iter().find(|(of, _)| *of == Some(window));
            if let Some((_, source)) = exact.or_else(|| given.iter().find(|(of, _)| of.is_none())) {
                return Ok(Some(source.clone()));
            }
        }
        let dataset = lock(&self.dataset).clone();
        if dataset.files_in(window).next().is_none() {
            return Ok(None);
        }
        if let Some(source) = lock(&self.built).get(&window) {
            return Ok(Some(source.clone()));
        }
        let source = ArchiveSource::build(&dataset, window, &self.config.layout)?;
        lock(&self.built).insert(window, source.clone());
        Ok(Some(source))
    }
}
