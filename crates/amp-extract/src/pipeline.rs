//! Fetches windows, some at the same time, with retries and in halves where need be, and notes what came of each.
//!
//! Two lanes work side by side so that one window unpacks while the next downloads; never do two download, never do two unpack. What is
//! being downloaded is unpacked ahead, by one thread, as far as it has arrived.

use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use amp_cli::Session;
use amp_core::hour::Hour;
use amp_core::ledger::HourRecord;
use amp_core::retry::Verdict;
use amp_core::stage::Staging;
use amp_core::window::{HourWindow, contiguous};
use chrono::{DateTime, NaiveDate, Utc};

use crate::downloads::Downloads;
use crate::empty_days;
use crate::export::ExportClient;
use crate::fetch::{FetchError, Fetched, Fetcher, log_left};
use crate::plan::Plan;
use crate::publish::Publisher;
use crate::settings::Settings;
use crate::source_ledger::SourceLedger;
use crate::summary::{RunError, Summary, locked};
use crate::window_hours::{OpenHours, StagedWindow, came_of, log_unsettled};

/// What a window came to, once it was tried as often as it may be.
enum Window {
    Staged(StagedWindow),
    NoData {
        requested_at: DateTime<Utc>,
        message: String,
    },
    /// It is to be asked for in halves; this is why.
    TooLarge {
        error: FetchError,
        status: u16,
    },
}

/// Fetches windows and stages what comes.
pub struct Pipeline<'a> {
    fetcher: Fetcher<'a>,
    publisher: Publisher<'a>,
    session: &'a Session,
    ledger: SourceLedger,
    force: bool,
    download_turn: tokio::sync::Mutex<()>,
    refused: AtomicBool,
    /// Hours without data that were noted as unsettled because they are not to be believed yet.
    doubted: Mutex<BTreeSet<Hour>>,
    believes: AtomicBool,
    summary: Mutex<&'a mut Summary>,
}

impl<'a> Pipeline<'a> {
    /// A pipeline for a run that holds amp-extract's lock on `staging`. What comes of the windows is added to `summary`.
    pub fn new(
        settings: &'a Settings,
        session: &'a Session,
        staging: Arc<Staging>,
        ledger: SourceLedger,
        downloads: Downloads,
        client: ExportClient,
        summary: &'a mut Summary,
    ) -> Self {
        Self {
            fetcher: Fetcher {
                settings,
                session,
                ledger: ledger.clone(),
                staging: Arc::clone(&staging),
                downloads,
                client,
            },
            publisher: Publisher {
                settings,
                session,
                staging,
                ledger: ledger.clone(),
                turn: tokio::sync::Mutex::default(),
            },
            session,
            ledger,
            force: settings.force,
            download_turn: tokio::sync::Mutex::default(),
            refused: AtomicBool::new(false),
            doubted: Mutex::default(),
            believes: AtomicBool::new(false),
            summary: Mutex::new(summary),
        }
    }

    /// Fetches each of `requests`, whatever becomes of the others.
    ///
    /// # Errors
    /// [`RunError`] when Amplitude refused us or the run was stopped; what was staged by then stays.
    pub async fn run(&self, requests: Vec<HourWindow>) -> Result<(), RunError> {
        let queue = Mutex::new(VecDeque::from(requests));
        let next = || locked(&queue).pop_front();
        let lane = || async {
            while !self.is_ending() {
                let Some(window) = next() else { break };
                self.window(window).await;
            }
        };
        tokio::join!(lane(), lane());
        if self.refused.load(Ordering::Relaxed) {
            return Err(RunError::Refused);
        }
        let unfinished = self.summary().hours.unaccounted() > 0;
        if self.session.stop.is_requested() && unfinished { Err(RunError::Interrupted) } else { Ok(()) }
    }

    /// Adds to the result what `plan` is about.
    pub fn planned(&self, plan: &Plan) {
        self.summary().planned(plan);
    }

    /// Looks once more at `days` that came to be without data, for the day before may have come after them. Those before `first_repaired`,
    /// which no later call would ask for unnamed, are asked for once more and then believed.
    ///
    /// # Errors
    /// As [`Pipeline::run`].
    pub async fn settle_empty_days(
        &self,
        days: &BTreeSet<NaiveDate>,
        first_repaired: NaiveDate,
    ) -> Result<(), RunError> {
        for day in days {
            self.take_back(self.doubtful(*day, None));
        }
        let again: Vec<Hour> =
            locked(&self.doubted).iter().copied().filter(|hour| hour.date() < first_repaired).collect();
        if again.is_empty() {
            return Ok(());
        }
        self.believes.store(true, Ordering::Relaxed);
        {
            let mut summary = self.summary();
            summary.hours.no_data -= again.len() as u64;
            summary.hours.unsettled -= again.len() as u64;
        }
        self.run(contiguous(again).into_iter().flat_map(HourWindow::days).collect()).await
    }

    /// The hours of `day` that are not to be believed to be without data, if `answered` are too.
    fn doubtful(&self, day: NaiveDate, answered: Option<HourWindow>) -> Vec<Hour> {
        if self.believes.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let hours = empty_days::doubtful(day, answered, &self.ledger, self.session.started).unwrap_or_else(|error| {
            tracing::warn!("{error}");
            Vec::new()
        });
        if !hours.is_empty() {
            tracing::warn!(
                "{day}: no data at all right after a day with data: it is asked for once more before that is believed"
            );
            locked(&self.doubted).extend(&hours);
        }
        hours
    }

    fn summary(&self) -> MutexGuard<'_, &'a mut Summary> {
        locked(&self.summary)
    }

    fn is_ending(&self) -> bool {
        self.session.stop.is_requested() || self.refused.load(Ordering::Relaxed)
    }

    /// Fetches `window`, or its halves if it is too large, and notes what came of it.
    fn window(&self, window: HourWindow) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async move {
            match (self.fetch_with_retries(window).await, window.halves()) {
                (Ok(Window::Staged(staged)), _) => self.record_staged(window, &staged),
                (Ok(Window::NoData { requested_at, message }), _) => {
                    self.record_no_data(window, requested_at, &message);
                }
                (Ok(Window::TooLarge { error, status }), Some((first, second))) => {
                    tracing::warn!("{error}; split into {first} and {second}");
                    self.summary().splits += 1;
                    self.append(window, &HourRecord::Split { time: Utc::now(), window, status });
                    self.window(first).await;
                    if !self.is_ending() {
                        self.window(second).await;
                    }
                }
                (Err(FetchError::Stopped), _) => {}
                (Ok(Window::TooLarge { error, .. }) | Err(error), _) => self.failed(window, &error),
            }
        })
    }

    /// Tries until it goes, or the retries are used up, or it cannot go.
    async fn fetch_with_retries(&self, window: HourWindow) -> Result<Window, FetchError> {
        let mut retry = 0;
        let mut may_reuse = !self.force;
        loop {
            let error = match self.fetch(window, may_reuse).await {
                Ok(Fetched::NoData { requested_at, message }) => return Ok(Window::NoData { requested_at, message }),
                Ok(Fetched::TooLarge(error)) => {
                    let status = error.status().unwrap_or_default();
                    return Ok(Window::TooLarge { error: error.into(), status });
                }
                Ok(Fetched::Archive(archive, streaming)) => {
                    let from_disk = streaming.is_none();
                    match self.publisher.publish(window, archive, streaming).await {
                        Ok(staged) => return Ok(Window::Staged(staged)),
                        Err(error) if from_disk && error.verdict() == Verdict::TRANSIENT => {
                            log_left(&error);
                            may_reuse = false;
                            continue;
                        }
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            let Some(wait) = self.session.common.retry.wait(retry, &error.verdict(), fastrand::f64()) else {
                return match error {
                    // Documented as too much data at once.
                    FetchError::Export(ref cause) if cause.status() == Some(504) => {
                        Ok(Window::TooLarge { error, status: 504 })
                    }
                    error => Err(error),
                };
            };
            retry += 1;
            self.summary().retries += 1;
            let most = self.session.common.retry.max_retries;
            tracing::warn!("{error}; retry {retry} of {most} in {:.1} s", wait.as_secs_f64());
            self.session.stop.unless_requested(tokio::time::sleep(wait)).await.ok_or(FetchError::Stopped)?;
        }
    }

    async fn fetch(&self, window: HourWindow, may_reuse: bool) -> Result<Fetched, FetchError> {
        let _turn = self.download_turn.lock().await;
        if self.is_ending() {
            return Err(FetchError::Stopped);
        }
        self.fetcher.fetch(window, may_reuse, &self.summary).await
    }

    fn record_staged(&self, window: HourWindow, staged: &StagedWindow) {
        if staged.files.is_empty() {
            tracing::warn!("{window}: the archive holds no events");
        }
        log_unsettled(&staged.unsettled);
        self.count(window, staged);
    }

    /// `requested_at` decides, not the time of the answer: an hour may have settled in between.
    fn record_no_data(&self, window: HourWindow, requested_at: DateTime<Utc>, message: &str) {
        tracing::warn!("{message}");
        let day = window.start().date();
        let mut staged = came_of(window, requested_at, Vec::new(), false);
        log_unsettled(&staged.unsettled);
        let doubtful = if staged.open.is_empty() { self.doubtful(day, Some(window)) } else { Vec::new() };
        let (answered, earlier): (Vec<Hour>, Vec<Hour>) = doubtful.into_iter().partition(|hour| window.contains(*hour));
        // First what other pieces of the day came to: they were believed as long as this one might have had data.
        self.take_back(earlier);
        staged.unsettled.extend(answered);
        staged.unsettled.sort_unstable();
        staged.unsettled.dedup();
        self.append(window, &staged.record(window, requested_at, &self.ledger));
        self.count(window, &staged);
    }

    /// Notes that hours which were noted as without data are not to be believed yet.
    fn take_back(&self, hours: Vec<Hour>) {
        self.summary().hours.unsettled += hours.len() as u64;
        for window in contiguous(hours) {
            let hours: Vec<Hour> = window.hours().collect();
            let staged = StagedWindow { files: Vec::new(), unsettled: hours.clone(), no_data: hours, open: Vec::new() };
            self.append(window, &staged.record(window, self.session.started, &self.ledger));
        }
    }

    fn count(&self, window: HourWindow, staged: &StagedWindow) {
        let no_data = staged.no_data.len() as u64;
        let open: u64 = staged.open.iter().map(|open| open.window.count()).sum();
        {
            let mut summary = self.summary();
            summary.hours.extracted += window.count() - no_data - open;
            summary.hours.no_data += no_data;
            summary.hours.unsettled += staged.unsettled.len() as u64;
            summary.files += staged.files.len() as u64;
            summary.events += staged.files.iter().map(|file| file.lines).sum::<u64>();
            summary.bytes_extracted += staged.files.iter().map(|file| file.digest.bytes).sum::<u64>();
        }
        for OpenHours { window, why } in &staged.open {
            self.not_got(*window, why.clone(), false);
        }
    }

    fn failed(&self, window: HourWindow, error: &FetchError) {
        if error.verdict() == Verdict::Refused {
            self.refused.store(true, Ordering::Relaxed);
        }
        self.not_got(window, error.to_string(), error.is_outage());
    }

    fn not_got(&self, window: HourWindow, error: String, is_outage: bool) {
        tracing::error!("{error}");
        self.summary().window_failed(window, error.clone(), is_outage);
        let source = self.ledger.source().clone();
        self.append(window, &HourRecord::Failed { time: Utc::now(), window, source, error });
    }

    /// Notes what is good to know but may be lost: without it the hours count as asked for and not got.
    fn append(&self, window: HourWindow, record: &HourRecord) {
        self.ledger.append(window.start().date(), record).unwrap_or_else(|error| tracing::warn!("{window}: {error}"));
    }
}
