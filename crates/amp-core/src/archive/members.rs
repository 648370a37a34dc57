//! Lists what an archive and the archives within it hold, and refuses what is not a plain file.

use std::io::Write;
use std::path::Path;

use zip::CompressionMethod;
use zip::read::ZipFile;

use super::error::{ArchiveError, MemberProblem};
use super::source::{ExportArchive, Positioned};
use super::{Shared, inflate};
use crate::disk::At;
use crate::name::{MemberKind, MemberName};

/// How deep a zip may lie within zips, the export itself not counted.
const MOST_LEVELS: u32 = 2;

/// File type bits of a Unix mode, and the two that are accepted.
const TYPE_MASK: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;

/// A member that holds events.
#[derive(Debug)]
pub(super) struct Member {
    archive: ExportArchive,
    index: usize,
    compressed_bytes: u64,
    /// Its path, through the archives it lies in.
    pub(super) label: String,
    /// What its file will be called, `.gz` included.
    pub(super) name: MemberName,
    /// Whether it is gzipped.
    pub(super) gzipped: bool,
}

impl Member {
    /// How many bytes of the archive it takes.
    pub(super) fn compressed_bytes(&self) -> u64 {
        self.compressed_bytes
    }

    /// Where the archive lies, for messages.
    pub(super) fn archive_path(&self) -> &Path {
        self.archive.path()
    }

    /// Opens the member and hands it to `read`.
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
    /// Members with events.
    pub(super) members: Vec<Member>,
    /// Paths of members that are passed over.
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
        let refused = |problem| ArchiveError::Member { member: label.clone(), problem };
        let kind = entry.unix_mode().unwrap_or_default() & TYPE_MASK;
        match kind {
            _ if entry.is_dir() && (kind == 0 || kind == DIRECTORY) => continue,
            0 | REGULAR => {}
            SYMLINK => return Err(refused(MemberProblem::Symlink)),
            other => return Err(refused(MemberProblem::Special(other))),
        }
        if entry.encrypted() {
            return Err(refused(MemberProblem::Encrypted));
        }
        let name = MemberName::from_path(&path).map_err(|bad| refused(bad.into()))?;
        let method = entry.compression();
        let readable = matches!(method, CompressionMethod::Stored | CompressionMethod::Deflated);
        let kind = name.kind();
        if kind != MemberKind::Other && !readable {
            return Err(refused(MemberProblem::Method(method.to_string())));
        }
        let member = Member {
            archive: archive.clone(),
            index,
            compressed_bytes: entry.compressed_size(),
            gzipped: kind == MemberKind::JsonGz,
            label,
            name,
        };
        match kind {
            MemberKind::Other => contents.skipped.push(member.label),
            MemberKind::Zip if level == MOST_LEVELS => return Err(refused_at(&member, MemberProblem::TooDeep)),
            MemberKind::Zip => {
                let nested = open_nested(&member, shared)?;
                list_level(&nested, &format!("{}/", member.label), level + 1, shared, contents)?;
            }
            MemberKind::Json | MemberKind::JsonGz => contents.members.push(member),
        }
    }
    Ok(())
}

fn refused_at(member: &Member, problem: MemberProblem) -> ArchiveError {
    ArchiveError::Member { member: member.label.clone(), problem }
}

/// Unpacks a zip within a zip to a file without a name.
fn open_nested(member: &Member, shared: &Shared<'_>) -> Result<ExportArchive, ArchiveError> {
    let mut file = shared.how.staging.anonymous()?;
    let failed = |error| ArchiveError::of_member(error, &member.label, member.archive.path());
    member.open(|mut zipped| {
        let mut buffer = vec![0; inflate::OUTPUT_BYTES];
        loop {
            let filled = inflate::fill(&mut zipped, &mut buffer).map_err(failed)?;
            if filled == 0 {
                return Ok(());
            }
            shared.account(filled as u64, filled as u64)?;
            file.write_all(&buffer[..filled])
                .at("unpack an archive within the archive to", shared.how.staging.root())?;
        }
    })?;
    ExportArchive::from_file(file, member.archive.path()).map_err(|error| match error {
        ArchiveError::NotWhole(why) => refused_at(member, MemberProblem::Damaged(why)),
        other => other,
    })
}
