//! From a window to its archive, whole and checked, or to Amplitude's word that there is none.

use std::path::Path;
use std::sync::{Arc, Mutex, Once};
use std::time::Instant;

use amp_cli::{DETAIL, Session, human_bytes};
use amp_core::archive::{ArchiveError, ExportArchive, Limits, StreamingUnpacker};
use amp_core::disk::{DiskError, free_bytes};
use amp_core::stage::Staging;
use amp_core::window::HourWindow;
use chrono::{DateTime, Utc};

use crate::answer::{Answer, Reply};
use crate::body::ArchiveBody;
use crate::downloads::{DownloadedArchive, Downloads, InFlight};
use crate::export::ExportClient;
use crate::export_error::ExportError;
use crate::fetch_error::FetchError;
use crate::locked::locked;
use crate::overall::Overall;
use crate::settings::Settings;
use crate::source_ledger::SourceLedger;
use crate::summary::Summary;

/// What came of a window that was asked for.
pub(crate) enum Fetched {
    /// Its archive, and what was unpacked of it while it arrived; nothing of one that an earlier run left.
    Archive(DownloadedArchive, Option<StreamingUnpacker>),
    /// Amplitude has nothing of it.
    NoData {
        /// When it was asked.
        requested_at: DateTime<Utc>,
        /// What it said.
        message: String,
    },
    /// It must be asked for in parts.
    TooLarge(ExportError),
}

/// Asks for windows and downloads their archives.
pub(crate) struct Fetcher<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) session: &'a Session,
    pub(crate) ledger: SourceLedger,
    pub(crate) staging: Arc<Staging>,
    pub(crate) downloads: Downloads,
    pub(crate) client: ExportClient,
    pub(crate) told_clocks: Once,
    pub(crate) overall: Mutex<Overall>,
}

impl Fetcher<'_> {
    /// What there is of `window`. An archive that an earlier run left is taken instead of asking, if it `may_reuse` one.
    pub(crate) async fn fetch(
        &self,
        window: HourWindow,
        may_reuse: bool,
        summary: &Mutex<&mut Summary>,
    ) -> Result<Fetched, FetchError> {
        if let Some(left) = self.left(window, may_reuse) {
            match left {
                Ok(archive) => {
                    tracing::info!("{window}: using {}, left by an earlier run", archive.path().display());
                    return Ok(Fetched::Archive(archive, None));
                }
                Err(error) => log_left(&FetchError::of_archive(window, error)),
            }
        }
        locked(summary).requests += 1;
        // The API may take minutes to its first byte.
        let waiting = self.session.progress.begin(&format!("waiting for {}", self.label(window)), None);
        let answer = self.session.stop.unless_requested(self.client.get(window)).await.ok_or(FetchError::Stopped)?;
        drop(waiting);
        if let Some(Err(apart)) = self.client.compare_clocks() {
            self.told_clocks.call_once(|| {
                tracing::warn!("{apart}; what has settled is decided by the earlier one. Set the clock right");
            });
        }
        let Reply { asked_at, theirs, requested_at, answer } = answer?;
        if let Some(theirs) = theirs {
            self.ledger.note_clock(asked_at, theirs).unwrap_or_else(|error| tracing::warn!("{window}: {error}"));
        }
        match answer {
            Answer::Archive(body) => {
                let (archive, streaming) = self.download(window, requested_at, body, summary).await?;
                Ok(Fetched::Archive(archive, Some(streaming)))
            }
            Answer::NoData(message) => Ok(Fetched::NoData { requested_at, message }),
            Answer::TooLarge(error) => Ok(Fetched::TooLarge(error)),
        }
    }

    fn label(&self, window: HourWindow) -> String {
        format!("{}{}", in_short(window), locked(&self.overall).at(window))
    }

    fn left(&self, window: HourWindow, may_reuse: bool) -> Option<Result<DownloadedArchive, ArchiveError>> {
        may_reuse.then(|| self.downloads.left(window, |source| self.ledger.is_ours(source))).flatten()
    }

    async fn download(
        &self,
        window: HourWindow,
        requested_at: DateTime<Utc>,
        mut body: ArchiveBody,
        summary: &Mutex<&mut Summary>,
    ) -> Result<(DownloadedArchive, StreamingUnpacker), FetchError> {
        let disk = |error| FetchError::Disk(window, error);
        let began = Instant::now();
        let transfer = self.session.progress.begin(&format!("downloading {}", self.label(window)), body.length());
        let mut flight = self.downloads.begin(window, self.ledger.source(), requested_at).map_err(disk)?;
        let mut room = Room::of(window, self.downloads.dir(), body.length())?;
        let streaming = self.begin_streaming(window, &flight).map_err(disk)?;
        let mut bytes = 0;
        loop {
            let chunk = self.session.stop.unless_requested(body.chunk()).await.ok_or(FetchError::Stopped)?;
            let Some(chunk) = chunk? else { break };
            room.take(chunk.len() as u64)?;
            flight.write(&chunk).map_err(disk)?;
            streaming.arrived(chunk.len() as u64);
            bytes += chunk.len() as u64;
            locked(summary).bytes_downloaded += chunk.len() as u64;
            transfer.advance(chunk.len() as u64);
        }
        drop(transfer);
        streaming.download_finished();
        let seconds = began.elapsed().as_secs_f64();
        tracing::info!(
            target: DETAIL,
            event = "archive_downloaded",
            %window,
            status = 200,
            bytes,
            seconds,
            "{window}: HTTP 200, {bytes} bytes in {seconds:.1} s"
        );
        let (file, path) = (flight.handle().map_err(disk)?, flight.whole().to_owned());
        let checked = tokio::task::spawn_blocking(move || ExportArchive::from_file(file, &path)).await;
        let export = checked.map_err(|_| FetchError::Internal(window))?;
        let export = export.map_err(|error| FetchError::of_archive(window, error))?;
        Ok((flight.finish(export).map_err(disk)?, streaming))
    }

    /// Begins to unpack the archive that is being written to `flight`. All that do so together may fill half of what the
    /// disk has free: the rest is for the downloads.
    fn begin_streaming(&self, window: HourWindow, flight: &InFlight) -> Result<StreamingUnpacker, DiskError> {
        let Settings { format, max_unpacked, max_ratio, .. } = *self.settings;
        let formats = self.ledger.formats(window, format)?;
        let share = free_bytes(self.staging.root())? / 2 / self.settings.parallel as u64;
        let limits = Limits { max_unpacked: max_unpacked.unwrap_or(share).min(share), max_ratio };
        Ok(StreamingUnpacker::start(flight.handle()?, flight.whole(), Arc::clone(&self.staging), formats, limits))
    }
}

/// The room on disk for a download: all that is free but a part, which others need.
struct Room<'a> {
    window: HourWindow,
    dir: &'a Path,
    /// What the server says that will come.
    expected: Option<u64>,
    /// What is left free.
    floor: u64,
    free_at_first: u64,
    since_look: u64,
}

impl<'a> Room<'a> {
    /// How many bytes are written between two looks at the disk.
    const LOOK_EVERY: u64 = 1 << 20;

    fn of(window: HourWindow, dir: &'a Path, expected: Option<u64>) -> Result<Self, FetchError> {
        let free = free_bytes(dir).map_err(|error| FetchError::Disk(window, error))?;
        let room = Self { window, dir, expected, floor: free - usable(free), free_at_first: free, since_look: 0 };
        if expected.is_some_and(|bytes| bytes > usable(free)) { Err(room.full()) } else { Ok(room) }
    }

    /// Takes `bytes` of it, which are yet to be written.
    fn take(&mut self, bytes: u64) -> Result<(), FetchError> {
        self.since_look += bytes;
        if self.since_look < Self::LOOK_EVERY {
            return Ok(());
        }
        let free = free_bytes(self.dir).map_err(|error| FetchError::Disk(self.window, error))?;
        if free < self.floor + self.since_look {
            return Err(self.full());
        }
        self.since_look = 0;
        Ok(())
    }

    fn full(&self) -> FetchError {
        let free = usable(self.free_at_first);
        // What would have fitted met others on the disk: what is unpacked of it, mostly.
        let too_large = self.expected.filter(|bytes| *bytes > free);
        let needed = too_large.map_or_else(|| "more".to_owned(), human_bytes);
        FetchError::DiskFull { window: self.window, dir: self.dir.to_owned(), free, needed }
    }
}

/// How much of the bytes that a disk has free one archive may take.
pub(crate) fn usable(free: u64) -> u64 {
    free / 100 * 95
}

/// Says that an archive which an earlier run left is of no use.
pub(crate) fn log_left(error: &FetchError) {
    tracing::warn!("{error}; the archive was left by an earlier run, downloading it anew");
}

/// The window as it fits beside a progress bar; it lies within a day.
pub(crate) fn in_short(window: HourWindow) -> String {
    match window.halves() {
        None => window.to_string(),
        Some(_) => format!("{} {:02}-{:02}", window.start().date(), window.start().of_day(), window.end().of_day()),
    }
}
