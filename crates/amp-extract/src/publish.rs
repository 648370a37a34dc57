//! From a whole archive to files in `extracted_data/` and their note in the ledger.

use std::sync::Arc;
use std::time::Instant;

use amp_cli::{Session, human_bytes};
use amp_core::archive::{self, ArchiveError, Limits, StreamingUnpacker, Unpacked, Unpacking};
use amp_core::disk::free_bytes;
use amp_core::hour::Hour;
use amp_core::ledger::{FileRecord, HourRecord, hours_without_files};
use amp_core::name::EventFileName;
use amp_core::stage::Staging;
use amp_core::window::{HourWindow, contiguous};
use chrono::{DateTime, Utc};

use crate::downloads::DownloadedArchive;
use crate::fetch::{FetchError, in_short};
use crate::settings::Settings;
use crate::source_ledger::SourceLedger;

/// What came of a window.
pub(crate) struct StagedWindow {
    pub(crate) files: Vec<FileRecord>,
    pub(crate) unsettled: Vec<Hour>,
    pub(crate) no_data: Vec<Hour>,
}

/// Unpacks archives and publishes what is in them, one at a time.
pub(crate) struct Publisher<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) session: &'a Session,
    pub(crate) staging: Arc<Staging>,
    pub(crate) ledger: SourceLedger,
    pub(crate) turn: tokio::sync::Mutex<()>,
}

impl Publisher<'_> {
    /// Unpacks and publishes on a blocking thread. The archive goes, save where its files could not be staged by no fault of its own.
    pub(crate) async fn publish(
        &self,
        window: HourWindow,
        mut archive: DownloadedArchive,
        streaming: Option<StreamingUnpacker>,
    ) -> Result<StagedWindow, FetchError> {
        let _turn = self.turn.lock().await;
        let began = Instant::now();
        let Settings { format, concurrency, max_unpacked, max_ratio, keep_archives, .. } = *self.settings;
        let (staging, ledger, stop) = (Arc::clone(&self.staging), self.ledger.clone(), self.session.stop.flag());
        let progress = Arc::clone(&self.session.progress);
        let unpacked = tokio::task::spawn_blocking(move || {
            let unpack = || {
                let max_unpacked = match max_unpacked {
                    Some(most) => most,
                    None => {
                        let written = streaming.as_ref().map_or(0, StreamingUnpacker::written);
                        written + free_bytes(staging.root())? / 100 * 95
                    }
                };
                let export = archive.export();
                let transfer = progress.begin(&format!("unpacking   {}", in_short(window)), Some(export.bytes()));
                let how = Unpacking {
                    staging: &staging,
                    format,
                    limits: Limits { max_unpacked, max_ratio },
                    threads: concurrency,
                    transfer: &*transfer,
                    cancelled: &stop,
                };
                let unpacked = archive::unpack(export, &how, streaming.as_ref())?;
                stage_files(window, unpacked, &staging, &ledger)
            };
            let staged = unpack();
            // The next run, with more room, need not download it again.
            if staged.as_ref().err().map_or(keep_archives, ArchiveError::is_local) {
                archive.keep();
            }
            let requested_at = archive.requested_at();
            // Before the hours are done: no later run looks at an archive of hours that are.
            drop(archive);
            note_fetched(window, requested_at, staged?, &ledger)
        });
        let result = unpacked.await.map_err(|_| FetchError::Internal(window))?;
        let staged = result.map_err(|error| FetchError::of_archive(window, error))?;
        let bytes: u64 = staged.files.iter().map(|file| file.digest.bytes).sum();
        let files = staged.files.len();
        tracing::info!(
            "{window}: staged {files} files, {} in {:.1} s",
            human_bytes(bytes),
            began.elapsed().as_secs_f64()
        );
        Ok(staged)
    }
}

/// Publishes the files of an archive. Their digests are noted first, so that amp-load can check a file from the moment it is seen.
fn stage_files(
    window: HourWindow,
    unpacked: Unpacked,
    staging: &Staging,
    ledger: &SourceLedger,
) -> Result<Vec<FileRecord>, ArchiveError> {
    for path in unpacked.skipped {
        tracing::warn!("{window}: member `{}` is neither .json.gz, .json nor .zip: skipped", path.escape_debug());
    }
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
    log_superseded(window, &files, ledger)?;
    if !files.is_empty() {
        ledger.append(
            window.start().date(),
            &HourRecord::Staging { time: Utc::now(), window: Some(window), files: files.clone() },
        )?;
        staging.publish(unpacked.files)?;
    }
    Ok(files)
}

/// Notes that the hours of a window, whose files are published, are done: the last step.
fn note_fetched(
    window: HourWindow,
    requested_at: DateTime<Utc>,
    files: Vec<FileRecord>,
    ledger: &SourceLedger,
) -> Result<StagedWindow, ArchiveError> {
    ledger.note_project(&files)?;
    let (unsettled, no_data) = (unsettled(window, requested_at), hours_without_files(window, &files));
    let record = HourRecord::Fetched {
        time: Utc::now(),
        window,
        source: ledger.source().clone(),
        requested_at,
        unsettled: unsettled.clone(),
        no_data: no_data.clone(),
        files: files.clone(),
    };
    ledger.append(window.start().date(), &record)?;
    Ok(StagedWindow { files, unsettled, no_data })
}

/// The hours that Amplitude did not have whole when they were asked for.
pub(crate) fn unsettled(window: HourWindow, requested_at: DateTime<Utc>) -> Vec<Hour> {
    window.hours().filter(|hour| requested_at < hour.settled_at()).collect()
}

/// Says which hours were not settled.
pub(crate) fn log_unsettled(hours: &[Hour]) {
    for window in contiguous(hours.iter().copied()) {
        tracing::warn!(
            "{window}: not yet settled (Amplitude offers an hour 2 hours after it ends); a later call without a window fetches it again"
        );
    }
}

/// Says which files an earlier export of the same hours had that this one lacks: Amplitude may have cut an hour into other parts since.
fn log_superseded(window: HourWindow, files: &[FileRecord], ledger: &SourceLedger) -> Result<(), ArchiveError> {
    let (index, owner) = (ledger.index(window.start().date())?, ledger.owner());
    for hour in window.hours() {
        for gone in
            index.last_fetched(hour, &owner).iter().filter(|before| files.iter().all(|file| file.name != **before))
        {
            tracing::warn!(
                "{hour}: `{gone}` came with an earlier export of this hour and not with this one; its events may stand twice, here or in the bucket"
            );
        }
    }
    Ok(())
}
