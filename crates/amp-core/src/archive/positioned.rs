//! A zip file that several threads read at once.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zip::ZipArchive;

use super::central;
use super::error::ArchiveError;
use crate::disk::DiskContext;

/// An archive whose directory was read and checked: every entry is listed, lies where the directory says and agrees with it.
#[derive(Debug, Clone)]
pub struct ExportArchive {
    zip: ZipArchive<Positioned>,
    bytes: u64,
    path: PathBuf,
}

impl ExportArchive {
    /// Opens the archive at `path`.
    ///
    /// # Errors
    /// [`ArchiveError::NotWhole`] when it is cut, damaged or no zip, [`ArchiveError::Disk`] when it cannot be read.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        Self::from_file(File::open(path).context("open", path)?, path)
    }

    /// Reads the archive in `file`, which stays open, whatever becomes of its name; `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_file(file: File, path: &Path) -> Result<Self, ArchiveError> {
        let bytes = file.metadata().context("look at", path)?.len();
        let failed = |error| ArchiveError::of_archive(error, path);
        let source = Positioned { file: Arc::new(file), bytes, offset: 0 };
        let mut zip = ZipArchive::new(source.clone()).map_err(failed)?;
        // One wrong bit in the directory can rename or drop an entry; the local headers tell.
        if zip.has_duplicate_names() {
            central::check(&source, zip.central_directory_start(), zip.offset(), path)?;
        } else {
            zip.validate_header_consistency().map_err(failed)?;
        }
        Ok(Self { zip, bytes, path: path.to_owned() })
    }

    /// Its size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn zip(&self) -> &ZipArchive<Positioned> {
        &self.zip
    }
}

/// A file read at a position of its own, so that clones of it do not disturb each other.
#[derive(Debug, Clone)]
pub(super) struct Positioned {
    file: Arc<File>,
    bytes: u64,
    offset: u64,
}

impl Read for Positioned {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

impl Seek for Positioned {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let offset = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(by) => self.offset.checked_add_signed(by),
            SeekFrom::End(by) => self.bytes.checked_add_signed(by),
        };
        self.offset = offset.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.offset)
    }
}
