//! Lists what an archive and the archives within it hold, and refuses what is not a plain file.

use std::io::{self, Write};
use std::path::PathBuf;

use zip::CompressionMethod;
use zip::read::ZipFile;

use super::buffers::{OUTPUT_BYTES, fill};
use super::error::{ArchiveError, EntryProblem};
use super::export::ExportArchive;
use super::positioned::Positioned;
use super::unpacking::{Format, Formats, Shared};
use crate::disk::DiskContext;
use crate::name::{EntryKind, EntryName};

/// How deep a zip may lie within zips, the export itself not counted.
const MOST_LEVELS: u32 = 2;

/// Methods of packing (APPNOTE.TXT 4.4.5) that are read.
pub(super) const STORED: u16 = 0;
pub(super) const DEFLATED: u16 = 8;

/// File type bits of a Unix mode, and the two that are accepted.
const TYPE_MASK: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;

/// What an entry with events is called, in its archive and once it is a file.
#[derive(Debug)]
pub(super) struct EventEntry {
    /// Its path, through the archives it lies in.
    pub(super) label: String,
    /// What its file will be called, `.gz` included.
    pub(super) name: EntryName,
    /// Whether it is gzipped.
    pub(super) gzipped: bool,
    /// Where the archive lies, for messages.
    pub(super) archive: PathBuf,
}

impl EventEntry {
    /// Whether its file is gzip as it came.
    pub(super) fn keeps_gzip(&self, formats: &Formats) -> bool {
        self.gzipped && formats.of(&self.name) == Format::JsonGz
    }

    /// What its file is called when it is staged.
    pub(super) fn file_name(&self, formats: &Formats) -> EntryName {
        if self.keeps_gzip(formats) { self.name.clone() } else { self.name.without_gz() }
    }

    /// What a failed read of it, or a failed write of what came out, means.
    pub(super) fn failed(&self, error: io::Error) -> ArchiveError {
        ArchiveError::of_entry(error, &self.label, &self.archive)
    }
}

/// Identifies an entry that was read before the central directory arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EntryFingerprint {
    /// 0 is stored, 8 deflated.
    pub(super) method: u16,
    /// CRC-32 of its uncompressed bytes, the zip layer's.
    pub(super) crc32: u32,
    /// Bytes it takes in the archive.
    pub(super) compressed: u64,
    /// Bytes that come out of the zip layer.
    pub(super) uncompressed: u64,
}

/// An entry that holds events.
#[derive(Debug)]
pub(super) struct ZipEntry {
    archive: ExportArchive,
    index: usize,
    /// What it is called.
    pub(super) event: EventEntry,
    /// What the directory says of it.
    pub(super) fingerprint: EntryFingerprint,
    /// Where its local file header starts in the export itself; nothing for an entry of an archive within.
    pub(super) offset: Option<u64>,
}

impl ZipEntry {
    /// Opens the entry and hands it to `read`.
    pub(super) fn open<T>(
        &self,
        read: impl FnOnce(ZipFile<'_, Positioned>) -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        let mut zip = self.archive.zip().clone();
        let file = zip.by_index(self.index).map_err(|error| ArchiveError::of_archive(error, self.archive.path()))?;
        read(file)
    }
}

/// What an archive holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Entries with events.
    pub(super) entries: Vec<ZipEntry>,
    /// Paths of entries that are passed over.
    pub(super) skipped: Vec<String>,
}

/// Lists `archive`; the zips within are unpacked to files without names and listed too.
pub(super) fn list(archive: &ExportArchive, shared: &Shared<'_>) -> Result<Contents, ArchiveError> {
    let mut contents = Contents::default();
    list_level(archive, "", 0, shared, &mut contents)?;
    Ok(contents)
}

fn list_level(
    archive: &ExportArchive,
    within: &str,
    level: u32,
    shared: &Shared<'_>,
    contents: &mut Contents,
) -> Result<(), ArchiveError> {
    let failed = |error| ArchiveError::of_archive(error, archive.path());
    for index in 0..archive.zip().len() {
        let entry = archive.zip().by_index_data(index).map_err(failed)?;
        let path = entry.name().map_err(failed)?;
        let label = format!("{within}{path}");
        let refused = |problem| ArchiveError::Entry { entry: label.clone(), problem };
        let kind = entry.unix_mode().unwrap_or_default() & TYPE_MASK;
        match kind {
            _ if entry.is_dir() && (kind == 0 || kind == DIRECTORY) => continue,
            0 | REGULAR => {}
            SYMLINK => return Err(refused(EntryProblem::Symlink)),
            other => return Err(refused(EntryProblem::Special(other))),
        }
        if entry.encrypted() {
            return Err(refused(EntryProblem::Encrypted));
        }
        let name = EntryName::from_path(&path).map_err(|bad| refused(bad.into()))?;
        let kind = name.kind();
        if kind == EntryKind::Other {
            contents.skipped.push(label);
            continue;
        }
        let method = match entry.compression() {
            CompressionMethod::Stored => STORED,
            CompressionMethod::Deflated => DEFLATED,
            method => return Err(refused(EntryProblem::Method(method.to_string()))),
        };
        let fingerprint = EntryFingerprint {
            method,
            crc32: entry.crc32(),
            compressed: entry.compressed_size(),
            uncompressed: entry.size(),
        };
        let event = EventEntry { label, name, gzipped: kind == EntryKind::JsonGz, archive: archive.path().to_owned() };
        let offset = (level == 0).then(|| entry.header_start());
        let entry = ZipEntry { archive: archive.clone(), index, event, fingerprint, offset };
        if kind != EntryKind::Zip {
            contents.entries.push(entry);
        } else if level == MOST_LEVELS {
            return Err(refused_at(&entry, EntryProblem::TooDeep));
        } else {
            let nested = open_nested(&entry, shared)?;
            list_level(&nested, &format!("{}/", entry.event.label), level + 1, shared, contents)?;
        }
    }
    Ok(())
}

fn refused_at(entry: &ZipEntry, problem: EntryProblem) -> ArchiveError {
    ArchiveError::Entry { entry: entry.event.label.clone(), problem }
}

/// Unpacks a zip within a zip to a file without a name.
fn open_nested(entry: &ZipEntry, shared: &Shared<'_>) -> Result<ExportArchive, ArchiveError> {
    let mut file = shared.how.staging.anonymous()?;
    let failed = |error| entry.event.failed(error);
    entry.open(|mut zipped| {
        let mut buffer = vec![0; OUTPUT_BYTES];
        loop {
            let filled = fill(&mut zipped, &mut buffer).map_err(failed)?;
            if filled == 0 {
                return Ok(());
            }
            shared.account(filled as u64, filled as u64)?;
            file.write_all(&buffer[..filled])
                .context("unpack an archive within the archive to", shared.how.staging.root())?;
        }
    })?;
    ExportArchive::from_file(file, entry.archive.path()).map_err(|error| match error {
        ArchiveError::NotWhole(why) => refused_at(entry, EntryProblem::Damaged(why)),
        other => other,
    })
}
