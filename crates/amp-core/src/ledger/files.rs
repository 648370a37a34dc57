//! What the lines of a partition say of its files alone: who loads them need not know their hours, and a day may have a hundred thousand.

use std::collections::HashMap;

use super::record::{FileIdentity, FileRecord, HourRecord};
use crate::checksum::Digest;

/// What a file of a name was when it was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnpackedFile {
    /// Its bytes.
    pub digest: Digest,
    /// By what the same file is known again without reading it.
    pub identity: Option<FileIdentity>,
}

impl From<&FileRecord> for UnpackedFile {
    fn from(record: &FileRecord) -> Self {
        Self { digest: record.digest, identity: record.identity }
    }
}

/// What the files of a partition may hold, by name.
#[derive(Debug, Default)]
pub struct FileIndex {
    files: HashMap<Box<str>, Versions>,
}

#[derive(Debug)]
enum Versions {
    One(UnpackedFile),
    /// A publication was under way when its run ended, or is.
    Several(Vec<UnpackedFile>),
}

impl FileIndex {
    pub(super) fn apply(&mut self, record: HourRecord) {
        match record {
            HourRecord::Staging { files, .. } => files.into_iter().for_each(|file| self.staging(file)),
            HourRecord::Fetched { files, .. } => {
                for file in files {
                    let version = Versions::One(UnpackedFile::from(&file));
                    self.files.insert(file.name.into_boxed_str(), version);
                }
            }
            _ => {}
        }
    }

    fn staging(&mut self, file: FileRecord) {
        let new = UnpackedFile::from(&file);
        match self.files.get_mut(file.name.as_str()) {
            None => drop(self.files.insert(file.name.into_boxed_str(), Versions::One(new))),
            Some(Versions::Several(versions)) => versions.push(new),
            Some(known @ Versions::One(_)) => {
                let before = known.as_slice().first().copied();
                *known = Versions::Several(before.into_iter().chain([new]).collect());
            }
        }
    }

    /// What a staged file of that name may be: what was published last, and what a publication that was under way when its run ended would
    /// have made it. Empty when amp-extract did not make it.
    pub fn versions(&self, name: &str) -> &[UnpackedFile] {
        self.files.get(name).map_or(&[], Versions::as_slice)
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

impl Versions {
    fn as_slice(&self) -> &[UnpackedFile] {
        match self {
            Self::One(version) => std::slice::from_ref(version),
            Self::Several(versions) => versions,
        }
    }
}
