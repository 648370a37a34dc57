//! What can be wrong with an archive.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use zip::result::ZipError;

use crate::disk::DiskError;
use crate::hint::Hint;
use crate::name::BadName;

/// Why an archive was not unpacked. Nothing of it was staged.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is not a whole zip.
    #[error("the download is not a whole zip archive: {0}")]
    NotWhole(String),
    /// An entry is damaged or of a kind that is not accepted.
    #[error("member `{}` of the archive is refused: {problem}", entry.escape_debug())]
    Entry {
        /// The entry's path within the archive.
        entry: String,
        /// What is wrong with it.
        problem: EntryProblem,
    },
    /// More came out of it than was allowed.
    #[error("the archive unpacks to more than {0}")]
    TooMuch(Limit),
    /// The local disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The run is being stopped.
    #[error("stopped")]
    Cancelled,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryProblem {
    /// Its bytes are damaged: a CRC, a length or the coding is wrong.
    #[error("its bytes are damaged ({0})")]
    Damaged(String),
    /// Its name cannot be a file's.
    #[error(transparent)]
    Name(#[from] BadName),
    /// Another entry ends at the same name with other bytes.
    #[error("two members end at this name with different bytes")]
    Collision,
    /// It is a symbolic link.
    #[error("it is a symbolic link")]
    Symlink,
    /// It is a device, a socket or a pipe.
    #[error("it is not a regular file (mode {0:o})")]
    Special(u32),
    /// It is encrypted.
    #[error("it is encrypted")]
    Encrypted,
    /// It is compressed in a way this program does not read.
    #[error("it is neither stored nor deflated (method {0})")]
    Method(String),
    /// It is an archive in an archive in an archive.
    #[error("it is a zip nested more than two levels deep")]
    TooDeep,
}

/// A bound that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// Bytes on disk.
    #[error("{max_unpacked} bytes (--max-unpacked; by default what the disk has free, less 5 %)")]
    Unpacked {
        /// The bound.
        max_unpacked: u64,
    },
    /// The ratio to the archive's size.
    #[error("{max_ratio} times its size of {archive_bytes} bytes (--max-ratio)")]
    Ratio {
        /// The bound.
        max_ratio: u64,
        /// The archive's size.
        archive_bytes: u64,
    },
}

impl Hint for ArchiveError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Disk(error) => error.hint(),
            Self::TooMuch(Limit::Unpacked { .. }) => Some("make room, or raise it if the data is genuine".into()),
            Self::TooMuch(Limit::Ratio { .. }) => Some("raise it if the data is genuine".into()),
            Self::NotWhole(_) | Self::Entry { .. } | Self::Cancelled => None,
        }
    }
}

impl ArchiveError {
    /// Whether the bytes were damaged on the way, so that another download may be whole.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::NotWhole(_) | Self::Entry { problem: EntryProblem::Damaged(_), .. })
    }

    /// Whether the archive is not to blame, so that it may go without another download: the local disk is, or the end of the run.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Disk(_) | Self::Cancelled | Self::TooMuch(Limit::Unpacked { .. }))
    }

    /// A failed look at the archive as such. The system's own errors are the disk's fault, all others the archive's.
    pub(super) fn of_archive(error: ZipError, path: &Path) -> Self {
        match error {
            ZipError::Io(error) if error.raw_os_error().is_some() => disk(error, path),
            error => Self::NotWhole(error.to_string()),
        }
    }

    /// A failed read of an entry's bytes, or a failed write of what came out.
    pub(super) fn of_entry(error: io::Error, entry: &str, path: &Path) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(of_the_whole) => return of_the_whole,
            Err(error) => error,
        };
        match error.downcast::<DiskError>() {
            Ok(of_another_file) => of_another_file.into(),
            Err(error) if error.raw_os_error().is_some() => disk(error, path),
            Err(error) => Self::Entry { entry: entry.to_owned(), problem: EntryProblem::Damaged(error.to_string()) },
        }
    }
}

fn disk(error: io::Error, path: &Path) -> ArchiveError {
    DiskError::new("read or write", path, error).into()
}
