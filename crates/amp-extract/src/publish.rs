//! From a whole archive to files in `extracted_data/` and their note in the ledger.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use amp_cli::{Session, human_bytes};
use amp_core::archive::{self, ArchiveError, Limit, Limits, StreamingUnpacker, Unpacking};
use amp_core::disk::{DiskError, free_bytes};
use amp_core::ledger::{FileRecord, HourRecord};
use amp_core::name::EventFileName;
use amp_core::stage::{SealedFile, Staging};
use amp_core::window::HourWindow;
use chrono::Utc;

use crate::downloads::{DownloadedArchive, Downloads};
use crate::fetch::{in_short, usable};
use crate::fetch_error::FetchError;
use crate::settings::Settings;
use crate::source_ledger::SourceLedger;
use crate::window_hours::{StagedWindow, came_of};

/// Unpacks archives and publishes what is in them, one at a time.
pub(crate) struct Publisher<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) session: &'a Session,
    pub(crate) staging: Arc<Staging>,
    pub(crate) ledger: SourceLedger,
    pub(crate) downloads: Downloads,
    pub(crate) turn: tokio::sync::Mutex<()>,
}

impl Publisher<'_> {
    /// Unpacks and publishes on a blocking thread; with `--verify` it only unpacks. The archive goes, save where its files could not be staged by no fault of its own.
    pub(crate) async fn publish(
        &self,
        window: HourWindow,
        mut archive: DownloadedArchive,
        streaming: Option<StreamingUnpacker>,
    ) -> Result<StagedWindow, FetchError> {
        let _turn = self.turn.lock().await;
        let began = Instant::now();
        let Settings { format, threads, max_unpacked, max_ratio, keep_archives, verify, .. } = *self.settings;
        let (staging, ledger, stop) = (Arc::clone(&self.staging), self.ledger.clone(), self.session.stop.flag());
        let (progress, is_disks_limit) = (Arc::clone(&self.session.progress), max_unpacked.is_none());
        let downloads = self.downloads.clone();
        let unpacked = tokio::task::spawn_blocking(move || {
            let unpack = || -> Result<_, FetchError> {
                let of_disk = |error| FetchError::of_disk(window, error);
                let formats = ledger.formats(window, format).map_err(of_disk)?;
                let room = || -> Result<u64, FetchError> {
                    let written = streaming.as_ref().map_or(0, StreamingUnpacker::written);
                    Ok(written + usable(free_bytes(staging.root()).map_err(of_disk)?))
                };
                let max_unpacked = max_unpacked.map_or_else(room, Ok)?;
                let export = archive.export();
                let transfer = progress.begin(&format!("unpacking   {}", in_short(window)), Some(export.bytes()));
                let how = Unpacking {
                    staging: &staging,
                    formats: &formats,
                    limits: Limits { max_unpacked, max_ratio },
                    threads,
                    transfer: &*transfer,
                    cancelled: &stop,
                };
                let unpacked = archive::unpack(export, &how, streaming.as_ref());
                let unpacked = unpacked.map_err(|error| match error {
                    ArchiveError::TooMuch(Limit::Unpacked { max_unpacked: free }) if is_disks_limit => {
                        let needed = "more".to_owned();
                        FetchError::DiskFull { window, dir: staging.root().to_owned(), free, needed }
                    }
                    error => FetchError::of_archive(window, error),
                })?;
                log_skipped(window, &unpacked.skipped);
                let files: Vec<FileRecord> = unpacked.files.iter().map(|file| file.record().clone()).collect();
                check_hours(window, &files)?;
                if !verify {
                    stage_files(window, &files, unpacked.files, &staging, &ledger)?;
                }
                Ok((files, unpacked.skipped))
            };
            let staged = unpack();
            // The next run, with more room, need not download it again.
            let is_for_next_run = |error: &FetchError| error.is_local() && !verify && archive.is_settled(window);
            match &staged {
                Ok(_) if keep_archives => archive.keep_for_good(),
                Err(error) if is_for_next_run(error) => archive.keep(),
                _ => {}
            }
            let requested_at = archive.requested_at();
            let (files, skipped) = staged?;
            let staged = came_of(window, requested_at, files, &skipped);
            if verify {
                return Ok(staged);
            }
            let of_disk = |error| FetchError::of_disk(window, error);
            ledger.note_project(&staged.files).map_err(of_disk)?;
            // Before the hours are done: no later run looks at an archive of hours that are.
            if !keep_archives {
                downloads.discard_superseded(window, |source| ledger.is_ours(source));
            }
            drop(archive);
            // The last step: its files are published, so the window's hours are done.
            ledger.append(window.start().date(), &staged.record(window, requested_at, &ledger)).map_err(of_disk)?;
            Ok::<_, FetchError>(staged)
        });
        let staged = unpacked.await.map_err(|_| FetchError::Internal(window))??;
        let bytes: u64 = staged.files.iter().map(|file| file.digest.bytes).sum();
        if !verify {
            let files = staged.files.len();
            let seconds = began.elapsed().as_secs_f64();
            tracing::info!(
                event = "window_staged",
                %window,
                files,
                bytes,
                seconds,
                "{window}: staged {files} files, {} in {seconds:.1} s",
                human_bytes(bytes)
            );
        }
        Ok(staged)
    }
}

fn log_skipped(window: HourWindow, paths: &[String]) {
    for path in paths {
        tracing::warn!("{window}: member `{}` is neither .json.gz, .json nor .zip: skipped", path.escape_debug());
    }
}

/// Publishes the files of an archive. Their digests are noted first, so that amp-load can check a file from the moment it is seen.
fn stage_files(
    window: HourWindow,
    files: &[FileRecord],
    sealed: Vec<SealedFile>,
    staging: &Staging,
    ledger: &SourceLedger,
) -> Result<(), FetchError> {
    let of_disk = |error| FetchError::of_disk(window, error);
    check_undated_names(window, files, ledger)?;
    for file in files {
        let FileRecord { name, digest, lines, .. } = file;
        tracing::info!(
            event = "file_unpacked",
            %window,
            file = name,
            bytes = digest.bytes,
            events = lines,
            "{window}: `{name}` {} bytes, {lines} events, CRC64NVME {}",
            digest.bytes,
            digest.crc64nvme
        );
    }
    log_superseded(window, files, ledger).map_err(of_disk)?;
    if !files.is_empty() {
        let staged = files.iter().map(|file| FileRecord { dates: None, rows: None, ..file.clone() }).collect();
        let record = HourRecord::Staging { time: Utc::now(), window: Some(window), files: staged };
        ledger.append(window.start().date(), &record).map_err(of_disk)?;
        staging.publish(sealed).map_err(of_disk)?;
    }
    Ok(())
}

/// Refuses the archive of another window: its files would replace those of hours that are done, and make hours done that it does not hold.
fn check_hours(window: HourWindow, files: &[FileRecord]) -> Result<(), FetchError> {
    let is_foreign = |name: &str| EventFileName::parse(name).is_some_and(|name| !window.contains(name.hour));
    match files.iter().find(|file| is_foreign(&file.name)) {
        Some(file) => Err(FetchError::ForeignHour { window, file: file.name.clone() }),
        None => Ok(()),
    }
}

/// Refuses a file that would replace one of another window. A name without an hour is all that tells such files apart.
fn check_undated_names(window: HourWindow, files: &[FileRecord], ledger: &SourceLedger) -> Result<(), FetchError> {
    let undated: Vec<&FileRecord> = files.iter().filter(|file| EventFileName::parse(&file.name).is_none()).collect();
    if undated.is_empty() {
        return Ok(());
    }
    let of_disk = |error| FetchError::of_disk(window, error);
    let (known, day) = (ledger.undated().map_err(of_disk)?, ledger.index(window.start().date()).map_err(of_disk)?);
    let owner = ledger.owner();
    for file in undated {
        // Earlier versions did not note the window; what is known of its hours tells.
        let is_of_this = |before: &Option<HourWindow>| match before {
            Some(before) => *before == window,
            None => {
                window.hours().any(|hour| day.last_fetched(hour, &owner).iter().any(|before| before.name == file.name))
            }
        };
        let mut others = known.undated(&file.name).iter().filter(|(_, digest)| *digest != file.digest);
        if let Some((other, _)) = others.find(|(before, _)| !is_of_this(before)) {
            let other = other.map_or_else(|| "another window".to_owned(), |other| other.to_string());
            return Err(FetchError::NameTaken { window, file: file.name.clone(), other });
        }
    }
    Ok(())
}

/// Says which files an earlier export of the same hours had that this one lacks: Amplitude may have cut an hour into other parts since.
fn log_superseded(window: HourWindow, files: &[FileRecord], ledger: &SourceLedger) -> Result<(), DiskError> {
    let (index, owner) = (ledger.index(window.start().date())?, ledger.owner());
    let names: HashSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
    for hour in window.hours() {
        let before = index.last_fetched(hour, &owner).iter().map(|file| file.name.as_str());
        for gone in before.filter(|before| !names.contains(before)) {
            tracing::warn!(
                "{hour}: `{gone}` was in an earlier export of this hour but not in this one; its events may be duplicated, here or in the bucket"
            );
        }
    }
    Ok(())
}
