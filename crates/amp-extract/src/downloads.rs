//! `downloaded_data/`: archives while they are needed. The only module that renames or deletes there.
#![expect(clippy::disallowed_methods, reason = "the one module that renames and deletes here")]

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use amp_cli::Diagnostic;
use amp_core::archive::{ArchiveError, ExportArchive};
use amp_core::disk::{DiskContext, DiskError, create_private_dir, create_private_file, sync_dir};
use amp_core::hour::Hour;
use amp_core::ledger::SourceId;
use amp_core::window::HourWindow;
use chrono::{DateTime, Utc};
use rustix::fs::XattrFlags;

/// What distinguishes a download in flight from a whole archive.
const IN_FLIGHT: &str = ".zip.part-";

/// The directory of downloads.
#[derive(Debug, Clone)]
pub struct Downloads {
    dir: PathBuf,
}

/// Extended attributes of an archive: who asked for it, as the directory may be shared by runs for several projects, and when. A time of
/// modification would be lost where an archive is copied or restored.
const SOURCE_ATTRIBUTE: &str = "user.amp.source";
const REQUESTED_AT_ATTRIBUTE: &str = "user.amp.requested_at";
/// Of an archive that `--keep-archives` kept: only a run that uses it deletes it.
const KEPT_ATTRIBUTE: &str = "user.amp.kept";

/// A whole, checked archive; dropped, it is deleted, unless it is to be kept.
#[derive(Debug)]
pub struct DownloadedArchive {
    /// Its bytes, whoever takes its name over.
    export: ExportArchive,
    path: PathBuf,
    requested_at: DateTime<Utc>,
    is_kept: bool,
}

impl DownloadedArchive {
    /// What is in it.
    pub fn export(&self) -> &ExportArchive {
        &self.export
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When it was asked for.
    pub fn requested_at(&self) -> DateTime<Utc> {
        self.requested_at
    }

    /// Whether a later run may use it instead of a request for `window`, its own.
    pub fn is_settled(&self, window: HourWindow) -> bool {
        is_settled(window, self.requested_at)
    }

    /// The next run of its window is to find it.
    pub fn keep(&mut self) {
        self.is_kept = true;
    }

    /// It is kept for whoever wants the export as it came, also when its hours are fetched again.
    pub fn keep_for_good(&mut self) {
        self.keep();
        // Where there are no attributes, it is never taken for one of ours and so never deleted.
        rustix::fs::setxattr(&self.path, KEPT_ATTRIBUTE, b"1", XattrFlags::empty()).ok();
    }
}

impl Drop for DownloadedArchive {
    fn drop(&mut self) {
        if !self.is_kept {
            discard(&self.path);
        }
    }
}

/// Whether an archive of `window` that was asked for then has all that there will be of it.
fn is_settled(window: HourWindow, requested_at: DateTime<Utc>) -> bool {
    window.end().settled_at() <= requested_at
}

/// Deletes an archive for good: after a power cut it must not be there again, for no later run looks at one whose hours are fetched.
fn discard(archive: &Path) {
    let synced = remove_if_there(archive).and_then(|()| archive.parent().map_or(Ok(()), sync_dir));
    synced.unwrap_or_else(|error| Diagnostic::of(&error).warn());
}

impl Downloads {
    /// The directory, to be looked at. Nothing is made.
    pub fn existing(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Opens the directory, making it if it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(dir: &Path) -> Result<Self, DiskError> {
        create_private_dir(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Deletes downloads that killed runs left in flight; those of living runs are locked and stay.
    ///
    /// # Errors
    /// When one cannot be deleted.
    pub fn sweep(&self) -> Result<usize, DiskError> {
        let mut swept = 0;
        for entry in fs::read_dir(&self.dir).context("read", &self.dir)? {
            let path = entry.context("read", &self.dir)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !name.starts_with("amplitude_") || !name.contains(IN_FLIGHT) {
                continue;
            }
            // Gone or locked: another run's.
            if File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
                fs::remove_file(&path).context("delete", &path)?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn path(&self, window: HourWindow) -> PathBuf {
        self.dir.join(format!("amplitude_{}_{}.zip", window.start().compact(), window.end().compact()))
    }

    /// The archive of `window` that an earlier run left, unless it was asked for before the window was settled or by a source that is not
    /// `ours`. One that is damaged is deleted.
    pub fn left(
        &self,
        window: HourWindow,
        is_ours: impl Fn(&SourceId) -> bool,
    ) -> Option<Result<DownloadedArchive, ArchiveError>> {
        let (file, path, requested_at) = self.find(window, is_ours)?;
        let checked = ExportArchive::from_file(file, &path);
        if checked.as_ref().is_err_and(|error| !error.is_local()) {
            discard(&path);
        }
        Some(checked.map(|export| DownloadedArchive { export, path, requested_at, is_kept: false }))
    }

    /// Those of the windows for which there is an archive that [`Self::left`] would take, and the others. Nothing is changed.
    pub fn partition(
        &self,
        windows: Vec<HourWindow>,
        is_ours: impl Fn(&SourceId) -> bool,
    ) -> (Vec<HourWindow>, Vec<HourWindow>) {
        let is_whole = |(file, path, _): (File, PathBuf, _)| ExportArchive::from_file(file, &path).is_ok();
        windows.into_iter().partition(|window| self.find(*window, &is_ours).is_some_and(is_whole))
    }

    /// The file of an archive that may be used instead of a request, where it lies, and when it was asked for.
    fn find(&self, window: HourWindow, is_ours: impl Fn(&SourceId) -> bool) -> Option<(File, PathBuf, DateTime<Utc>)> {
        let path = self.path(window);
        let file = File::open(&path).ok()?;
        let requested_at = attribute(&file, REQUESTED_AT_ATTRIBUTE).and_then(|time| time.parse().ok());
        let (Some(source), Some(requested_at)) = (source_of(&file), requested_at) else {
            tracing::warn!(
                "{} does not record who requested it and when (copied or restored?), so it is not used",
                path.display()
            );
            return None;
        };
        (is_ours(&source) && is_settled(window, requested_at)).then_some((file, path, requested_at))
    }

    /// Deletes archives that earlier runs left of other windows with an hour of `window`, which is staged: a run that asks for what is
    /// missing of them asks for other windows.
    pub fn discard_superseded(&self, window: HourWindow, is_ours: impl Fn(&SourceId) -> bool) {
        let is_superseded = |path: &PathBuf| {
            window_of(path).is_some_and(|left| left != window && left.overlaps(window))
                && File::open(path).is_ok_and(|file| {
                    attribute(&file, KEPT_ATTRIBUTE).is_none()
                        && source_of(&file).is_some_and(|source| is_ours(&source))
                })
        };
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()).filter(is_superseded) {
            tracing::info!("{window}: fetched anew, so {}, left by an earlier run, is deleted", path.display());
            discard(&path);
        }
    }

    /// Begins a download of `window`, which `source` asked for at that time.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn begin(
        &self,
        window: HourWindow,
        source: &SourceId,
        requested_at: DateTime<Utc>,
    ) -> Result<InFlight, DiskError> {
        let whole = self.path(window);
        let stem = whole.with_extension("").display().to_string();
        let path = PathBuf::from(format!("{stem}{IN_FLIGHT}{}", std::process::id()));
        // A run before the last reboot may have had this process's number.
        remove_if_there(&path)?;
        let file = create_private_file(&path)?;
        file.try_lock().map_err(io::Error::from).context("lock", &path)?;
        // Where the file system has no attributes, no later run uses the archive.
        for (name, value) in [(SOURCE_ATTRIBUTE, source.as_str()), (REQUESTED_AT_ATTRIBUTE, &requested_at.to_rfc3339())]
        {
            rustix::fs::fsetxattr(&file, name, value.as_bytes(), XattrFlags::empty()).ok();
        }
        Ok(InFlight { file, path, whole, requested_at })
    }
}

/// The window that the name of a whole archive tells.
fn window_of(path: &Path) -> Option<HourWindow> {
    let (start, end) = path.file_name()?.to_str()?.strip_prefix("amplitude_")?.strip_suffix(".zip")?.split_once('_')?;
    HourWindow::new(Hour::parse(start).ok()?, Hour::parse(end).ok()?).ok()
}

fn source_of(file: &File) -> Option<SourceId> {
    attribute(file, SOURCE_ATTRIBUTE).map(|source| SourceId::from_text(&source))
}

fn attribute(file: &File, name: &str) -> Option<String> {
    let mut value = [0; 64];
    let length = rustix::fs::fgetxattr(file, name, &mut value).ok()?;
    String::from_utf8(value.get(..length)?.to_owned()).ok()
}

fn remove_if_there(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.context("delete", path),
    }
}

/// A download in flight; dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct InFlight {
    file: File,
    path: PathBuf,
    whole: PathBuf,
    requested_at: DateTime<Utc>,
}

impl InFlight {
    /// Takes in the next bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.file.write_all(bytes).context("write", &self.path)
    }

    /// The bytes so far.
    ///
    /// # Errors
    /// When the handle cannot be doubled.
    pub fn handle(&self) -> Result<File, DiskError> {
        self.file.try_clone().context("open", &self.path)
    }

    /// Where it will lie when it is finished.
    pub fn whole(&self) -> &Path {
        &self.whole
    }

    /// Gives the download, which was seen to be whole as `export`, its final name.
    pub fn finish(self, export: ExportArchive) -> Result<DownloadedArchive, DiskError> {
        fs::rename(&self.path, &self.whole).context("rename a finished download to", &self.whole)?;
        Ok(DownloadedArchive { export, path: self.whole.clone(), requested_at: self.requested_at, is_kept: false })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        // After a rename there is nothing under this name; what cannot be deleted is swept by the next run.
        fs::remove_file(&self.path).ok();
    }
}

#[cfg(test)]
mod tests;
