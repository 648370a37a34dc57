//! Locks that die with their process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Holds off other runs of the same program for as long as it lives. The kernel frees it when the process ends, however it ends.
#[derive(Debug)]
pub struct RunLock(#[expect(dead_code, reason = "held, not read")] File);

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("another run holds {0}; it is still at work, or hangs (`fuser {0}` names it)")]
    Held(String),
    /// The lock's file could not be opened or locked.
    #[error("cannot lock {0}: {1}")]
    Io(String, #[source] io::Error),
}

impl RunLock {
    /// Takes the lock that the file at `path` stands for, without waiting.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process has it, [`LockError::Io`] when the file cannot be opened.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        let name = || path.display().to_string();
        let file = open(path).map_err(|error| LockError::Io(name(), error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(LockError::Held(name())),
            Err(TryLockError::Error(error)) => Err(LockError::Io(name(), error)),
        }
    }
}

/// Waits for the lock at `path` and holds it while the returned file lives; for steps of microseconds only.
pub(crate) fn hold(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    file.lock()?;
    Ok(file)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.lock");
        let first = RunLock::acquire(&path).unwrap();
        assert!(matches!(RunLock::acquire(&path), Err(LockError::Held(_))));
        drop(first);
        RunLock::acquire(&path).unwrap();
    }
}
