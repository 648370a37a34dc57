//! From a window to files in `extracted_data/`: download, check, unpack, publish, note.
//!
//! Two lanes work side by side so that one window unpacks while the next downloads; never do two download, never do two unpack. What is
//! being downloaded is unpacked ahead, by one thread, as far as it has arrived.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use amp_cli::{Session, human_bytes};
use amp_core::archive::{self, ArchiveError, ExportArchive, Limit, Limits, StreamingUnpacker, Unpacking};
use amp_core::disk::{DiskError, free_bytes};
use amp_core::hour::Hour;
use amp_core::ledger::{FileRecord, HourRecord, Ledger, Partition, SourceId, hours_without_files};
use amp_core::name::EventFileName;
use amp_core::retry::Verdict;
use amp_core::stage::Staging;
use amp_core::window::{HourWindow, contiguous};
use chrono::{DateTime, Utc};
use reqwest::header::CONTENT_TYPE;
use tokio::sync;

use crate::downloads::{Archive, Downloads, InFlight};
use crate::export::{ExportClient, ExportError, transport};
use crate::settings::Settings;
use crate::summary::{RunError, Summary};

/// Why a window was not got.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("{error}")]
    Export { error: ExportError, requested_at: DateTime<Utc> },
    #[error("{window}: {error}{hint}")]
    Archive { window: HourWindow, error: ArchiveError, hint: &'static str },
    #[error("{0}: {1}")]
    Disk(HourWindow, DiskError),
    #[error("{0}: an internal error while unpacking; the log has more, please report it")]
    Internal(HourWindow),
    #[error("stopped")]
    Stopped,
}

impl FetchError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Export { error, .. } => error.verdict(),
            Self::Archive { error, .. } if error.is_damage() => Verdict::TRANSIENT,
            _ => Verdict::Permanent,
        }
    }

    fn status(&self) -> Option<u16> {
        match self {
            Self::Export { error, .. } => error.status(),
            _ => None,
        }
    }
}

/// What came of a window.
struct StagedWindow {
    files: Vec<FileRecord>,
    unsettled: Vec<Hour>,
    no_data: Vec<Hour>,
}

/// Fetches windows and stages what comes.
pub struct Pipeline<'a> {
    settings: &'a Settings,
    session: &'a Session,
    source: SourceId,
    staging: Arc<Staging>,
    ledger: Ledger,
    downloads: Downloads,
    client: ExportClient,
    download_turn: sync::Mutex<()>,
    unpack_turn: sync::Mutex<()>,
    refused: AtomicBool,
    tally: Mutex<Summary>,
}

impl<'a> Pipeline<'a> {
    /// A pipeline for a run that holds amp-extract's lock on `staging`.
    pub fn new(
        settings: &'a Settings,
        session: &'a Session,
        staging: Staging,
        ledger: Ledger,
        downloads: Downloads,
        client: ExportClient,
    ) -> Self {
        Self {
            settings,
            session,
            source: settings.source(),
            staging: Arc::new(staging),
            ledger,
            downloads,
            client,
            download_turn: sync::Mutex::default(),
            unpack_turn: sync::Mutex::default(),
            refused: AtomicBool::new(false),
            tally: Mutex::new(Summary::new(None, false)),
        }
    }

    /// Fetches each of `requests`, whatever becomes of the others, and adds what came of them to `summary`.
    ///
    /// # Errors
    /// [`RunError`] when Amplitude refused us or the run was stopped; what was staged by then stays.
    pub async fn run(self, requests: Vec<HourWindow>, summary: &mut Summary) -> Result<(), RunError> {
        std::mem::swap(&mut *self.tally(), summary);
        let queue = Mutex::new(VecDeque::from(requests));
        let next = || locked(&queue).pop_front();
        let lane = || async {
            while !self.is_ending() {
                let Some(window) = next() else { break };
                self.window(window).await;
            }
        };
        tokio::join!(lane(), lane());
        std::mem::swap(&mut *self.tally(), summary);
        if self.refused.load(Ordering::Relaxed) {
            return Err(RunError::Refused);
        }
        let unfinished = summary.hours.unaccounted() > 0;
        if self.session.stop.is_requested() && unfinished { Err(RunError::Interrupted) } else { Ok(()) }
    }

    fn tally(&self) -> MutexGuard<'_, Summary> {
        locked(&self.tally)
    }

    fn is_ending(&self) -> bool {
        self.session.stop.is_requested() || self.refused.load(Ordering::Relaxed)
    }

    /// Fetches `window`, or its halves if it is too large, and notes what came of it.
    fn window(&self, window: HourWindow) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async move {
            let error = match self.fetch_with_retries(window).await {
                Ok(staged) => return self.record_staged(window, &staged),
                Err(FetchError::Stopped) => return,
                Err(error) => error,
            };
            match (error.verdict(), window.halves()) {
                (Verdict::NoData, _) => self.record_no_data(window, &error),
                (Verdict::TooLarge | Verdict::Transient { then_split: true, .. }, Some((first, second))) => {
                    tracing::warn!("{error}; split into {first} and {second}");
                    self.tally().splits += 1;
                    let status = error.status().unwrap_or_default();
                    self.append(window, &HourRecord::Split { time: Utc::now(), window, status });
                    self.window(first).await;
                    if !self.is_ending() {
                        self.window(second).await;
                    }
                }
                (verdict, _) => self.failed(window, &error, &verdict),
            }
        })
    }

    /// Tries until it goes, or the retries are used up, or it cannot go.
    async fn fetch_with_retries(&self, window: HourWindow) -> Result<StagedWindow, FetchError> {
        let mut retry = 0;
        let mut may_reuse = !self.settings.force;
        loop {
            let (error, from_disk) = match self.download(window, may_reuse).await {
                Ok((archive, streaming)) => {
                    let from_disk = streaming.is_none();
                    match self.unpack(window, archive, streaming).await {
                        Ok(staged) => return Ok(staged),
                        Err(error) => (error, from_disk),
                    }
                }
                Err(error) => (error, false),
            };
            let verdict = error.verdict();
            if from_disk && verdict == Verdict::TRANSIENT {
                tracing::warn!("{error}; the archive was left by an earlier run, downloading it anew");
                may_reuse = false;
                continue;
            }
            let Some(wait) = self.session.common.retry.wait(retry, &verdict, fastrand::f64()) else {
                return Err(error);
            };
            retry += 1;
            self.tally().retries += 1;
            let most = self.session.common.retry.max_retries;
            tracing::warn!("{error}; retry {retry} of {most} in {:.1} s", wait.as_secs_f64());
            self.session.stop.unless_requested(tokio::time::sleep(wait)).await.ok_or(FetchError::Stopped)?;
            if self.is_ending() {
                return Err(FetchError::Stopped);
            }
        }
    }

    /// A whole archive of `window` and what was unpacked of it while it arrived; nothing of one that an earlier run left, which is taken
    /// only if it `may_reuse` it.
    async fn download(
        &self,
        window: HourWindow,
        may_reuse: bool,
    ) -> Result<(Archive, Option<StreamingUnpacker>), FetchError> {
        let _turn = self.download_turn.lock().await;
        if self.is_ending() {
            return Err(FetchError::Stopped);
        }
        if let Some(archive) = self.downloads.left(window, &self.source).filter(|_| may_reuse) {
            tracing::info!("{window}: using {}, left by an earlier run", archive.path.display());
            return Ok((archive, None));
        }
        let (requested_at, began) = (Utc::now(), Instant::now());
        self.tally().requests += 1;
        let stop = &self.session.stop;
        let failed = |error| FetchError::Export { error, requested_at };
        // The API may take minutes to its first byte.
        let waiting = self.session.progress.begin(&format!("waiting for {}", in_short(window)), None);
        let answer = stop.unless_requested(self.client.get(window)).await.ok_or(FetchError::Stopped)?;
        drop(waiting);
        let mut response = answer.map_err(failed)?;
        let is_text = says_text(&response);
        let transfer =
            self.session.progress.begin(&format!("downloading {}", in_short(window)), response.content_length());
        let mut flight = self.downloads.begin(window, &self.source).map_err(|error| FetchError::Disk(window, error))?;
        let streaming = self.begin_streaming(&flight).map_err(|error| FetchError::Disk(window, error))?;
        let mut bytes = 0;
        loop {
            let chunk = stop.unless_requested(response.chunk()).await.ok_or(FetchError::Stopped)?;
            let Some(chunk) = chunk.map_err(|error| failed(transport(window, error)))? else { break };
            flight.write(&chunk).map_err(|error| FetchError::Disk(window, error))?;
            streaming.arrived(chunk.len() as u64);
            bytes += chunk.len() as u64;
            self.tally().bytes_downloaded += chunk.len() as u64;
            transfer.advance(chunk.len() as u64);
        }
        drop(transfer);
        streaming.download_finished();
        tracing::info!("{window}: HTTP 200, {bytes} bytes in {:.1} s", began.elapsed().as_secs_f64());
        let (file, path) = flight.look().map_err(|error| FetchError::Disk(window, error))?;
        let checked = tokio::task::spawn_blocking(move || ExportArchive::from_file(file, &path)).await;
        checked.map_err(|_| FetchError::Internal(window))?.map_err(|error| {
            let hint = if is_text {
                "; the answer says it is text, so something other than the Export API may have sent it: check --base-url and proxies"
            } else {
                ""
            };
            FetchError::Archive { window, error, hint }
        })?;
        let archive = flight.finish(requested_at).map_err(|error| FetchError::Disk(window, error))?;
        Ok((archive, Some(streaming)))
    }

    /// Begins to unpack the archive that is being written to `flight`. It may fill half of what the disk has free: the rest is for the download.
    fn begin_streaming(&self, flight: &InFlight) -> Result<StreamingUnpacker, DiskError> {
        let Settings { format, max_unpacked, max_ratio, .. } = *self.settings;
        let half = free_bytes(self.staging.root())? / 2;
        let limits = Limits { max_unpacked: max_unpacked.unwrap_or(half).min(half), max_ratio };
        let (file, path) = flight.look()?;
        Ok(StreamingUnpacker::start(file, &path, Arc::clone(&self.staging), format, limits))
    }

    /// Unpacks and publishes on a blocking thread; a damaged or refused archive is deleted, so that it is fetched again.
    async fn unpack(
        &self,
        window: HourWindow,
        archive: Archive,
        streaming: Option<StreamingUnpacker>,
    ) -> Result<StagedWindow, FetchError> {
        let _turn = self.unpack_turn.lock().await;
        let began = Instant::now();
        let Settings { format, concurrency, max_unpacked, max_ratio, .. } = *self.settings;
        let (staging, ledger, stop) = (Arc::clone(&self.staging), self.ledger.clone(), self.session.stop.flag());
        let (progress, source) = (Arc::clone(&self.session.progress), self.source.clone());
        let Archive { file, path, requested_at } = archive;
        let name = path.clone();
        let (downloads, whole, keep_archives) = (self.downloads.clone(), path.clone(), self.settings.keep_archives);
        let unpacked = tokio::task::spawn_blocking(move || {
            let export = ExportArchive::from_file(file, &name)?;
            let max_unpacked = match max_unpacked {
                Some(most) => most,
                None => {
                    let written = streaming.as_ref().map_or(0, StreamingUnpacker::written);
                    written + free_bytes(staging.root())? / 100 * 95
                }
            };
            let transfer = progress.begin(&format!("unpacking   {}", in_short(window)), Some(export.bytes()));
            let how = Unpacking {
                staging: &staging,
                format,
                limits: Limits { max_unpacked, max_ratio },
                threads: concurrency,
                transfer: &*transfer,
                cancelled: &stop,
            };
            let unpacked = archive::unpack(&export, &how, streaming.as_ref())?;
            stage(window, source, requested_at, unpacked, &staging, &ledger, || {
                if !keep_archives {
                    downloads.discard(&whole).unwrap_or_else(|error| tracing::warn!("{error}"));
                }
            })
        });
        let result = unpacked.await.map_err(|_| FetchError::Internal(window))?;
        let keep = match &result {
            // It was discarded where that was due.
            Ok(_) => true,
            // The archive is not to blame: the next run, with more room, need not download it again.
            Err(ArchiveError::Disk(_) | ArchiveError::Cancelled | ArchiveError::TooMuch(Limit::Unpacked { .. })) => {
                true
            }
            Err(_) => false,
        };
        if !keep {
            self.downloads.discard(&path).unwrap_or_else(|error| tracing::warn!("{error}"));
        }
        let staged = result.map_err(|error| match error {
            ArchiveError::Cancelled => FetchError::Stopped,
            ArchiveError::Disk(error) => FetchError::Disk(window, error),
            error => FetchError::Archive { window, error, hint: "" },
        })?;
        let bytes: u64 = staged.files.iter().map(|file| file.digest.bytes).sum();
        let files = staged.files.len();
        tracing::info!(
            "{window}: staged {files} files, {} in {:.1} s",
            human_bytes(bytes),
            began.elapsed().as_secs_f64()
        );
        Ok(staged)
    }

    fn record_staged(&self, window: HourWindow, staged: &StagedWindow) {
        let mut tally = self.tally();
        let no_data = staged.no_data.len() as u64;
        tally.hours.extracted += window.count() - no_data;
        tally.hours.no_data += no_data;
        tally.hours.unsettled += staged.unsettled.len() as u64;
        tally.files += staged.files.len() as u64;
        tally.events += staged.files.iter().map(|file| file.lines).sum::<u64>();
        tally.bytes_extracted += staged.files.iter().map(|file| file.digest.bytes).sum::<u64>();
        if staged.files.is_empty() {
            tracing::warn!("{window}: the archive holds no events");
        }
        log_unsettled(&staged.unsettled);
    }

    fn record_no_data(&self, window: HourWindow, error: &FetchError) {
        tracing::warn!("{error}");
        let time = Utc::now();
        // Of the request, not of the answer: an hour may have settled in between.
        let requested_at = match error {
            FetchError::Export { requested_at, .. } => *requested_at,
            _ => time,
        };
        let unsettled = unsettled(window, requested_at);
        log_unsettled(&unsettled);
        {
            let mut tally = self.tally();
            tally.hours.no_data += window.count();
            tally.hours.unsettled += unsettled.len() as u64;
        }
        let no_data = window.hours().collect();
        self.append(
            window,
            &HourRecord::Fetched {
                time,
                window,
                source: self.source.clone(),
                requested_at,
                unsettled,
                no_data,
                files: Vec::new(),
            },
        );
    }

    fn failed(&self, window: HourWindow, error: &FetchError, verdict: &Verdict) {
        let text = error.to_string();
        tracing::error!("{text}");
        if *verdict == Verdict::Refused {
            self.refused.store(true, Ordering::Relaxed);
        }
        self.tally().window_failed(window, text.clone(), matches!(verdict, Verdict::Transient { .. }));
        self.append(window, &HourRecord::Failed { time: Utc::now(), window, source: self.source.clone(), error: text });
    }

    /// Notes what is good to know but may be lost: without it the hours count as asked for and not got.
    fn append(&self, window: HourWindow, record: &HourRecord) {
        self.ledger.append(window.start().date(), record).unwrap_or_else(|error| tracing::warn!("{window}: {error}"));
    }
}

/// Whether an answer calls itself text rather than an archive, as error pages do.
fn says_text(response: &reqwest::Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.starts_with("text/") || kind.starts_with("application/json")
}

/// The window as it fits beside a progress bar; it lies within a day.
fn in_short(window: HourWindow) -> String {
    match window.halves() {
        None => window.to_string(),
        Some(_) => format!("{} {:02}-{:02}", window.start().date(), window.start().of_day(), window.end().of_day()),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unsettled(window: HourWindow, requested_at: DateTime<Utc>) -> Vec<Hour> {
    window.hours().filter(|hour| requested_at < hour.settled_at()).collect()
}

fn log_unsettled(hours: &[Hour]) {
    for window in contiguous(hours.iter().copied()) {
        tracing::warn!(
            "{window}: not yet settled (Amplitude offers an hour 2 hours after it ends); a later call without a window fetches it again"
        );
    }
}

/// Says which files an earlier export of the same hours had that this one lacks: Amplitude may have cut an hour into other parts since.
fn log_superseded(
    window: HourWindow,
    source: &SourceId,
    files: &[FileRecord],
    ledger: &Ledger,
) -> Result<(), ArchiveError> {
    let index = ledger.hours(Partition::Day(window.start().date()))?;
    for hour in window.hours() {
        for gone in
            index.last_fetched(hour, source).iter().filter(|before| files.iter().all(|file| file.name != **before))
        {
            tracing::warn!(
                "{hour}: `{gone}` came with an earlier export of this hour and not with this one; its events may stand twice, here or in the bucket"
            );
        }
    }
    Ok(())
}

/// Publishes the files of an archive. Their digests are noted first, so that amp-load can check a file from the moment it is seen;
/// that the hours are done is noted last, after `discard` gave the archive up: no later run looks at an archive of hours that are done.
fn stage(
    window: HourWindow,
    source: SourceId,
    requested_at: DateTime<Utc>,
    unpacked: archive::Unpacked,
    staging: &Staging,
    ledger: &Ledger,
    discard: impl FnOnce(),
) -> Result<StagedWindow, ArchiveError> {
    for path in unpacked.skipped {
        tracing::warn!("{window}: member `{}` is neither .json.gz, .json nor .zip: skipped", path.escape_debug());
    }
    let day = window.start().date();
    let files: Vec<FileRecord> = unpacked.files.iter().map(|file| file.record().clone()).collect();
    for file in &files {
        if EventFileName::parse(&file.name).is_some_and(|name| !window.contains(name.hour)) {
            tracing::warn!("{window}: `{}` names an hour outside the window; it is staged all the same", file.name);
        }
        tracing::info!(
            "{window}: `{}` {} bytes, {} events, CRC64NVME {}",
            file.name,
            file.digest.bytes,
            file.lines,
            file.digest.crc64nvme
        );
    }
    log_superseded(window, &source, &files, ledger)?;
    if !files.is_empty() {
        ledger.append(day, &HourRecord::Staging { time: Utc::now(), files: files.clone() })?;
        staging.publish(unpacked.files)?;
    }
    discard();
    let (unsettled, no_data) = (unsettled(window, requested_at), hours_without_files(window, &files));
    let record = HourRecord::Fetched {
        time: Utc::now(),
        window,
        source,
        requested_at,
        unsettled: unsettled.clone(),
        no_data: no_data.clone(),
        files: files.clone(),
    };
    ledger.append(day, &record)?;
    Ok(StagedWindow { files, unsettled, no_data })
}
