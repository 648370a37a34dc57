//! Directories and files as this project makes them: private, and on disk before they are relied on.

use std::borrow::Cow;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::hint::Hint;

/// A failure of the local disk, with what was being done to which file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct DiskError {
    /// What was tried: "write", "rename"…
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl DiskError {
    /// Says what was being done to which file when the system failed.
    pub fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self { action, path: path.to_owned(), source }
    }

    /// Whether there is no room left, on the disk or in the quota.
    pub fn is_full(&self) -> bool {
        is_full(&self.source)
    }
}

/// Whether the system says that there is no room left.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl Hint for DiskError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self.source.kind() {
            _ if self.is_full() => "make room and run again",
            _ if dangling_link(&self.path).is_some() => "mount what the link points to, or replace the link",
            io::ErrorKind::PermissionDenied => "run as the user who owns it, or change its owner",
            io::ErrorKind::ReadOnlyFilesystem => "mount the file system for writing",
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "put a directory there",
            _ => return None,
        };
        Some(hint.into())
    }
}

/// Adds to an I/O result what was being done to which file.
pub trait DiskContext<T> {
    /// Names the step and the file.
    ///
    /// # Errors
    /// The error it was, as a [`DiskError`].
    fn context(self, action: &'static str, path: &Path) -> Result<T, DiskError>;
}

impl<T> DiskContext<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, DiskError> {
        self.map_err(|source| DiskError::new(action, path, source))
    }
}

/// Makes `path` and its parents as far as they are missing, open to their owner alone: events carry personal data. Waits until their names
/// are on disk: a file that was synced is lost with the directory it lies in.
///
/// # Errors
/// When a part of the path cannot be made or is not a directory, or the directory it was made in cannot be synced.
pub fn create_private_dir(path: &Path) -> Result<(), DiskError> {
    check_links("create directory", path)?;
    let is_missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.exists();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path).context("create directory", path)?;
    missing.into_iter().filter_map(Path::parent).try_for_each(|parent| match parent.as_os_str().is_empty() {
        true => sync_dir(Path::new(".")),
        false => sync_dir(parent),
    })
}

/// The symbolic link that is or leads to `path` and points to what is not there, as where a volume is not mounted.
fn dangling_link(path: &Path) -> Option<&Path> {
    let link = path.ancestors().find(|path| path.symlink_metadata().is_ok())?;
    (link.is_symlink() && !link.exists()).then_some(link)
}

/// Makes sure that no symbolic link on the way to the directory `path` points to what is not there: it is neither missing nor empty then.
///
/// # Errors
/// Names such a link and what it points to.
pub fn check_links(action: &'static str, path: &Path) -> Result<(), DiskError> {
    let Some(link) = dangling_link(path) else { return Ok(()) };
    let target = fs::read_link(link).context(action, link)?;
    let cause = format!("`{}` is a symbolic link to `{}`, which does not exist", link.display(), target.display());
    Err(DiskError::new(action, path, io::Error::new(io::ErrorKind::NotFound, cause)))
}

/// Makes the file `path`, which must not exist, open to its owner alone.
///
/// # Errors
/// When it exists or cannot be made.
pub fn create_private_file(path: &Path) -> Result<File, DiskError> {
    OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(path).context("create", path)
}

/// Waits until the entries of the directory `path` (names made, changed, gone) are on disk.
///
/// # Errors
/// When the directory cannot be opened or synced.
pub fn sync_dir(path: &Path) -> Result<(), DiskError> {
    File::open(path).and_then(|dir| dir.sync_all()).context("sync directory", path)
}

/// Bytes that an ordinary user may still write to the file system of `path`.
///
/// # Errors
/// When the file system does not tell.
pub fn free_bytes(path: &Path) -> Result<u64, DiskError> {
    let stat = rustix::fs::statvfs(path).map_err(io::Error::from).context("ask for free space of", path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
