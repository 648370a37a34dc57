//! An export's archive, opened and checked.

use std::fs::File;
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::central;
use super::error::ArchiveError;
use super::positioned::Positioned;
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
        let source = Positioned::new(file, bytes);
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
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn zip(&self) -> &ZipArchive<Positioned> {
        &self.zip
    }
}
