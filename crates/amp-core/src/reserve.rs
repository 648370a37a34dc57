//! Room in reserve: a full disk must not keep amp-load from noting what S3 confirmed, since only then may it delete and make room.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use serde::Serialize;

use crate::disk::{DiskContext, DiskError, is_full};
use crate::jsonl;

/// Bytes kept: load records of more files than are ever noted at once. Every file deleted after that makes more room than its record takes.
const BYTES: u64 = 256 << 10;

/// The file `.amp/reserve`, whose blocks are given up when the disk is full.
#[derive(Debug, Clone)]
pub struct Reserve {
    path: PathBuf,
}

impl Reserve {
    /// The reserve in the state directory of `extracted_data/`; nothing is made yet.
    pub fn at(state_dir: &Path) -> Self {
        Self { path: state_dir.join("reserve") }
    }

    /// Takes up the room, unless it is held already. On a disk too full for it nothing is held, which is no error: there is less to fall back on.
    pub fn fill(&self) {
        let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&self.path);
        let filled = opened.and_then(|file| {
            // Blocks, not length: a hole holds no room.
            if file.metadata()?.blocks().saturating_mul(512) >= BYTES {
                return Ok(());
            }
            allocate(&file).inspect_err(|_| drop(file.set_len(0)))
        });
        if let Err(error) = filled {
            tracing::info!("cannot keep {BYTES} bytes in reserve in `{}`: {error}", self.path.display());
        }
    }

    /// Appends as [`jsonl::append`] does. On a full disk it gives up the room in reserve and appends once more: a line that the first try cut short
    /// is closed, one that it wrote stands twice, and both are harmless in the journals of amp-load.
    ///
    /// # Errors
    /// As [`jsonl::append`], when there is no room even so.
    pub fn append<T: Serialize>(&self, path: &Path, records: &[T]) -> Result<(), DiskError> {
        match jsonl::append(path, records) {
            Err(error) if is_full(&error.source) && self.release()? => jsonl::append(path, records),
            appended => appended,
        }
    }

    /// Gives the room up; whether there was any.
    fn release(&self) -> Result<bool, DiskError> {
        let file = match OpenOptions::new().write(true).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file.context("open", &self.path)?,
        };
        let held = file.metadata().context("look at", &self.path)?.len() > 0;
        if held {
            tracing::warn!("the disk is full: using the room kept in reserve in `{}`", self.path.display());
            file.set_len(0).and_then(|()| file.sync_all()).context("empty", &self.path)?;
        }
        Ok(held)
    }
}

fn allocate(mut file: &File) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, BYTES) {
        // Not every file system can; bytes hold room everywhere.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
            file.write_all(&vec![0; usize::try_from(BYTES).unwrap_or_default()])?;
        }
        allocated => allocated?,
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_held_in_blocks_once_and_given_up_once() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::at(dir.path());
        assert!(!reserve.release().unwrap(), "nothing is held yet");
        reserve.fill();
        let held = || dir.path().join("reserve").metadata().unwrap();
        let (bytes, changed) = (held().blocks() * 512, held().mtime_nsec());
        assert!(bytes >= BYTES, "{bytes}");
        reserve.fill();
        assert_eq!(held().mtime_nsec(), changed);
        assert!(reserve.release().unwrap());
        assert!(!reserve.release().unwrap());
        assert_eq!(held().blocks(), 0);
    }

    #[test]
    fn where_nothing_can_be_kept_appending_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::at(&dir.path().join("missing"));
        reserve.fill();
        let path = dir.path().join("lines.jsonl");
        reserve.append(&path, &["a"]).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "\"a\"\n");
    }
}
