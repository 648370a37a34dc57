//! Fetches windows, some at the same time, with retries and in halves where need be, and notes what came of each.
//!
//! There is one lane more than there may be downloads, so that one window unpacks while others download; never do two unpack. What is being
//! downloaded is unpacked ahead, by one thread each, as far as it has arrived.
//!
//! Longer than 350 lines: the decisions of one request share the run's ends, counts and doubts.

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock};
use std::task::Poll;
use std::time::Duration;

use amp_cli::{Diagnostic, Exit, PASSING, Retrier, Retryable, RunError, Session};
use amp_core::hour::Hour;
use amp_core::ledger::HourRecord;
use amp_core::retry::{RetryPolicy, Verdict};
use amp_core::stage::Staging;
use amp_core::window::{HourWindow, contiguous};
use chrono::{DateTime, NaiveDate, Utc};

use crate::backpressure::Backpressure;
use crate::downloads::Downloads;
use crate::empty_days;
use crate::export::ExportClient;
use crate::export_error::ExportError;
use crate::fetch::{Fetched, Fetcher, log_left};
use crate::fetch_error::FetchError;
use crate::locked::locked;
use crate::overall::Overall;
use crate::plan::Plan;
use crate::publish::Publisher;
use crate::settings::Settings;
use crate::source_ledger::SourceLedger;
use crate::summary::Summary;
use crate::throttle::Throttle;
use crate::verify::{self, Comparison};
use crate::window_hours::{OpenHours, StagedWindow, came_of, log_unsettled};

/// What a window came to.
enum Window {
    Staged(StagedWindow),
    NoData { requested_at: DateTime<Utc>, message: String },
    TooLarge(ExportError),
}

/// A window that is to be asked for in halves.
struct TooLarge {
    error: FetchError,
    status: u16,
    halves: (HourWindow, HourWindow),
}

/// Fetches windows and stages what comes.
pub struct Pipeline<'a> {
    fetcher: Fetcher<'a>,
    publisher: Publisher<'a>,
    session: &'a Session,
    ledger: SourceLedger,
    /// Whether archives that earlier runs left are not used.
    force: bool,
    verify: bool,
    lanes: usize,
    throttle: Throttle,
    backpressure: Backpressure<'a>,
    retrier: Retrier,
    /// Why no other request would go either.
    ended: OnceLock<RunError>,
    /// Hours without data that were noted as unsettled because they are not to be believed yet.
    doubted: Mutex<BTreeSet<Hour>>,
    believes: AtomicBool,
    full_disk: AtomicBool,
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
            backpressure: Backpressure::new(
                settings.max_staged.filter(|_| !settings.verify),
                session,
                Arc::clone(&staging),
            ),
            fetcher: Fetcher {
                settings,
                session,
                ledger: ledger.clone(),
                staging: Arc::clone(&staging),
                downloads: downloads.clone(),
                client,
                told_clocks: Once::new(),
                overall: Mutex::new(Overall::new(&[])),
            },
            publisher: Publisher {
                settings,
                session,
                staging,
                ledger: ledger.clone(),
                downloads,
                turn: tokio::sync::Mutex::default(),
            },
            session,
            ledger,
            force: settings.force || settings.verify,
            verify: settings.verify,
            lanes: settings.parallel + 1,
            throttle: Throttle::new(settings.parallel),
            retrier: Retrier::new(session.common.retry, session.stop.clone()),
            ended: OnceLock::new(),
            doubted: Mutex::default(),
            believes: AtomicBool::new(false),
            full_disk: AtomicBool::new(false),
            summary: Mutex::new(summary),
        }
    }

    /// Fetches each of `requests`, whatever becomes of the others.
    ///
    /// # Errors
    /// [`RunError`] when Amplitude refused us or the run was stopped; what was staged by then stays.
    pub async fn run(&self, requests: Vec<HourWindow>) -> Result<(), RunError> {
        *locked(&self.fetcher.overall) = Overall::new(&requests);
        let queue = Mutex::new(VecDeque::from(requests));
        let next = || locked(&queue).pop_front();
        let lane = || async {
            while !self.is_ending() {
                let Some(window) = next() else { break };
                let _room = match self.backpressure.room(|| self.is_ending()).await {
                    Ok(Some(room)) => room,
                    Ok(None) => break,
                    Err(error) => {
                        self.summary().ended_early(error.to_string().into());
                        self.ended.get_or_init(|| RunError::told(Exit::Incomplete));
                        break;
                    }
                };
                self.request(window).await;
                let overall = locked(&self.fetcher.overall);
                overall.one_done();
                tracing::info!(event = "window_finished", %window, "{window}: finished{}", overall.at(window));
            }
        };
        let mut lanes: Vec<_> = (0..self.lanes).map(|_| Box::pin(lane())).collect();
        std::future::poll_fn(|context| {
            lanes.retain_mut(|lane| lane.as_mut().poll(context).is_pending());
            if lanes.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.summary().retries = self.retrier.retries();
        if let Some(error) = self.ended.get() {
            return Err(error.clone());
        }
        let unfinished = self.summary().hours.unaccounted() > 0;
        if self.session.stop.is_requested() && unfinished { Err(RunError::told(Exit::Interrupted)) } else { Ok(()) }
    }

    /// Adds to the result what `plan` is about.
    pub fn planned(&self, plan: &Plan) {
        self.summary().planned(plan);
    }

    /// Adds to the result what `plan` is to verify, and the hours that cannot be.
    pub(crate) fn verifying(&self, plan: &Plan, others: Vec<(Hour, Comparison)>) {
        let mut summary = self.summary();
        summary.planned(plan);
        summary.hours.asked += others.len() as u64;
        summary.compared(others);
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
            Diagnostic::of(&error).warn();
            Vec::new()
        });
        if !hours.is_empty() {
            tracing::warn!(
                "{day}: no data at all right after a day with data; requesting it once more before believing that"
            );
            locked(&self.doubted).extend(&hours);
        }
        hours
    }

    fn summary(&self) -> MutexGuard<'_, &'a mut Summary> {
        locked(&self.summary)
    }

    fn is_ending(&self) -> bool {
        let is_full = self.full_disk.load(Ordering::Relaxed);
        self.session.stop.is_requested() || self.ended.get().is_some() || is_full
    }

    /// Fetches `window`, or its halves if it is too large.
    async fn request(&self, window: HourWindow) {
        let Some(TooLarge { error, status, halves }) = self.settle(window).await else { return };
        self.note_split(window, &error, status, halves);
        if status != 504 {
            return self.halves(halves).await;
        }
        // Where both halves time out as well, it is not their size: nothing smaller is tried, which would take hours.
        let mut timed_out = Vec::new();
        for half in [halves.0, halves.1] {
            if !self.is_ending() {
                timed_out.extend(self.settle(half).await.map(|too_large| (half, too_large)));
            }
        }
        let are_both = timed_out.len() == 2 && timed_out.iter().all(|(_, too_large)| too_large.status == 504);
        for (half, TooLarge { error, status, halves }) in timed_out {
            if are_both {
                self.append(half, &HourRecord::Split { time: Utc::now(), window: half, status });
                let told = Diagnostic::from(format!("{error}; so did the other half of {window}"));
                self.not_got(half, told.with_hint("the next run tries smaller windows"), Some(504), true);
            } else {
                self.note_split(half, &error, status, halves);
                self.halves(halves).await;
            }
        }
    }

    /// Fetches two windows, and smaller ones where they are too large.
    fn halves(&self, (first, second): (HourWindow, HourWindow)) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async move {
            for window in [first, second] {
                if self.is_ending() {
                    return;
                }
                if let Some(TooLarge { error, status, halves }) = self.settle(window).await {
                    self.note_split(window, &error, status, halves);
                    self.halves(halves).await;
                }
            }
        })
    }

    /// Fetches `window` and notes what came of it, unless it is to be asked for in halves.
    async fn settle(&self, window: HourWindow) -> Option<TooLarge> {
        let may_reuse = Cell::new(!self.force);
        // Requests and downloads break off by themselves when the run is to stop; files that are being published are not left half done.
        let tries = self.retrier.run_with_grace(Duration::MAX, |_| self.fetch_and_publish(window, &may_reuse));
        let error = match tries.await {
            Ok(Window::Staged(staged)) if self.verify => {
                self.compare(window, &staged);
                return None;
            }
            Ok(Window::NoData { requested_at, message }) if self.verify => {
                tracing::info!("{message}");
                self.compare(window, &came_of(window, requested_at, Vec::new(), &[]));
                return None;
            }
            Ok(Window::Staged(staged)) => {
                self.record_staged(window, &staged);
                return None;
            }
            Ok(Window::NoData { requested_at, message }) => {
                self.record_no_data(window, requested_at, &message);
                return None;
            }
            Ok(Window::TooLarge(error)) => error.into(),
            Err(FetchError::Stopped) => return None,
            Err(error) => error,
        };
        match (error.status(), window.halves()) {
            // 504 is documented as too much data at once, as 400 is.
            (Some(status @ (400 | 504)), Some(halves)) => Some(TooLarge { error, status, halves }),
            _ => {
                self.failed(window, &error);
                None
            }
        }
    }

    fn note_split(&self, window: HourWindow, error: &FetchError, status: u16, halves: (HourWindow, HourWindow)) {
        let (first, second) = halves;
        tracing::warn!(target: PASSING, event = "split", %window, status, "{error}; split into {first} and {second}");
        self.summary().splits += 1;
        self.append(window, &HourRecord::Split { time: Utc::now(), window, status });
    }

    /// One try. An archive that an earlier run left and that is of no use is not one of them.
    async fn fetch_and_publish(&self, window: HourWindow, may_reuse: &Cell<bool>) -> Result<Window, FetchError> {
        loop {
            let (archive, streaming) = match self.fetch(window, may_reuse.get()).await? {
                Fetched::Archive(archive, streaming) => (archive, streaming),
                Fetched::NoData { requested_at, message } => return Ok(Window::NoData { requested_at, message }),
                Fetched::TooLarge(error) => return Ok(Window::TooLarge(error)),
            };
            let is_left = streaming.is_none();
            match self.publisher.publish(window, archive, streaming).await {
                Err(error) if is_left && error.verdict() == Verdict::TRANSIENT => {
                    log_left(&error);
                    may_reuse.set(false);
                }
                published => return Ok(Window::Staged(published?)),
            }
        }
    }

    async fn fetch(&self, window: HourWindow, may_reuse: bool) -> Result<Fetched, FetchError> {
        let place = self.session.stop.unless_requested(self.throttle.place()).await.flatten();
        let place = place.ok_or(FetchError::Stopped)?;
        if self.is_ending() {
            return Err(FetchError::Stopped);
        }
        let fetched = self.fetcher.fetch(window, may_reuse, &self.summary).await;
        if let Err(FetchError::Export(error)) = &fetched
            && let Some(retry_after) = error.asks_for_fewer()
        {
            let wait = retry_after.unwrap_or(self.session.common.retry.base).min(RetryPolicy::RETRY_AFTER_CAP);
            self.throttle.slow_down(place, wait);
        }
        fetched
    }

    fn compare(&self, window: HourWindow, exported: &StagedWindow) {
        match verify::compare(window, exported, &self.ledger) {
            Ok(found) => self.summary().compared(found),
            Err(error) => self.not_got(window, Diagnostic::of(&error).within(window), None, false),
        }
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
        tracing::warn!(event = "no_data", %window, status = 404, "{message}");
        let day = window.start().date();
        let mut staged = came_of(window, requested_at, Vec::new(), &[]);
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
        let bytes = staged.files.iter().map(|file| file.digest.bytes).sum();
        self.backpressure.staged(window.start().date(), bytes);
        {
            let mut summary = self.summary();
            summary.hours.extracted += window.count() - no_data - open;
            summary.hours.no_data += no_data;
            summary.hours.unsettled += staged.unsettled.len() as u64;
            summary.files += staged.files.len() as u64;
            summary.events += staged.files.iter().map(|file| file.lines).sum::<u64>();
            summary.bytes_extracted += bytes;
        }
        for OpenHours { window, why } in &staged.open {
            self.not_got(*window, why.as_str().into(), None, false);
        }
    }

    fn failed(&self, window: HourWindow, error: &FetchError) {
        if let Some(error) = error.ends_run() {
            self.ended.get_or_init(|| error);
        }
        if error.is_full_disk() && !self.full_disk.swap(true, Ordering::Relaxed) {
            tracing::warn!("no further window is requested until there is room");
        }
        let told = Diagnostic::of(error);
        let told = match error.is_outage() && !self.verify {
            true => told.with_hint("the next run without a window asks again"),
            false => told,
        };
        self.not_got(window, told, error.status(), error.is_outage());
    }

    fn not_got(&self, window: HourWindow, error: Diagnostic, status: Option<u16>, is_outage: bool) {
        let Diagnostic { message, hint } = &error;
        tracing::error!(event = "window_failed", %window, status, hint, "{message}");
        self.summary().window_failed(window, error.clone(), is_outage);
        let source = self.ledger.source().clone();
        self.append(window, &HourRecord::Failed { time: Utc::now(), window, source, error: error.to_string() });
    }

    /// Notes what is good to know but may be lost: without it the hours count as asked for and not got. `--verify` notes nothing.
    fn append(&self, window: HourWindow, record: &HourRecord) {
        if self.verify {
            return;
        }
        let noted = self.ledger.append(window.start().date(), record);
        noted.unwrap_or_else(|error| Diagnostic::of(&error).within(window).warn());
    }
}
