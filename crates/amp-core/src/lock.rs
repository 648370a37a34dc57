//! Locks that die with their process.

use std::borrow::Cow;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::hint::Hint;

/// Holds off other runs of the same program for as long as it lives. The kernel frees it when the process ends, however it ends.
#[derive(Debug)]
pub struct RunLock(#[expect(dead_code, reason = "held, not read")] File);

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("another run holds {0}")]
    Held(String),
    /// The lock's file could not be opened or locked.
    #[error("cannot lock {0}: {1}")]
    Io(String, #[source] io::Error),
}

impl Hint for LockError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Held(path) => Some(format!("wait until it ends; `fuser {path}` names it if it hangs").into()),
            Self::Io(..) => None,
        }
    }
}

impl RunLock {
    /// Takes the lock that the file at `path` stands for, and gives that file the present time. It waits no longer than `PROBE_LIMIT`, for a process that only looks whether
    /// the lock is held ([`is_held`]) and is gone by then.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process has it, [`LockError::Io`] when the file cannot be opened.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        let name = || path.display().to_string();
        let file = open(path).map_err(|error| LockError::Io(name(), error))?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => {
                    // It only spares a program that waits for this run to look twice.
                    file.set_modified(SystemTime::now()).ok();
                    return Ok(Self(file));
                }
                Err(TryLockError::WouldBlock) if began.elapsed() < PROBE_LIMIT => thread::sleep(HOLD_PAUSE),
                Err(TryLockError::WouldBlock) => return Err(LockError::Held(name())),
                Err(TryLockError::Error(error)) => return Err(LockError::Io(name(), error)),
            }
        }
    }
}

/// A process that looks at a lock has it for microseconds, or for a few turns of a busy machine.
const PROBE_LIMIT: Duration = Duration::from_millis(250);

/// When the lock that the file at `path` stands for was last taken, by the clock of who took it; `None` when it never was.
pub fn last_taken(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

/// Whether a process holds the lock that the file at `path` stands for. A run that starts at the same moment is not turned away: it waits
/// for the look to end. `/proc/locks` would tell without a lock, but not of a process in another container.
///
/// # Errors
/// [`LockError::Io`] when the file cannot be opened or locked.
pub fn is_held(path: &Path) -> Result<bool, LockError> {
    let of_disk = |error| LockError::Io(path.display().to_string(), error);
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file.map_err(of_disk)?,
    };
    // Shared, so that two processes that look do not see each other.
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(of_disk(error)),
    }
}

/// How long [`hold`] waits: a holder needs milliseconds, or seconds where its disk is slow to sync. Longer, it is stopped or its disk is dying.
const HOLD_LIMIT: Duration = Duration::from_secs(30);
/// Between two looks at a lock that is held.
const HOLD_PAUSE: Duration = Duration::from_millis(2);

/// Waits for the lock at `path` and holds it while the returned file lives; for short steps only. Gives up after [`HOLD_LIMIT`], and at once
/// when `cancelled` is set (then as [`io::ErrorKind::Interrupted`]): the kernel's own wait could not be ended.
pub(crate) fn hold(path: &Path, cancelled: &AtomicBool) -> io::Result<File> {
    let file = open(path)?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if cancelled.load(Ordering::Relaxed) => {
                return Err(io::Error::new(
                    io::ErrorKind::Interrupted,
                    "another process holds it, and this run is stopping",
                ));
            }
            Err(TryLockError::WouldBlock) if began.elapsed() >= HOLD_LIMIT => {
                let path = path.display();
                let held = format!(
                    "another process has held it for {HOLD_LIMIT:?}; it is stopped or its disk hangs (`fuser {path}` names it)"
                );
                return Err(io::Error::new(io::ErrorKind::TimedOut, held));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(HOLD_PAUSE),
        }
    }
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

    #[test]
    fn a_look_sees_a_lock_and_never_turns_away_who_takes_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.lock");
        assert!(!is_held(&path).unwrap());
        assert!(!path.exists(), "a look makes nothing");
        assert_eq!(last_taken(&path), None);
        drop(RunLock::acquire(&path).unwrap());
        assert!(!is_held(&path).unwrap());
        let before = last_taken(&path).unwrap();
        drop(RunLock::acquire(&path).unwrap());
        assert_ne!(last_taken(&path).unwrap(), before, "a run that was over before anybody looked has left its time");
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        is_held(&path).unwrap();
                        thread::sleep(Duration::from_micros(50));
                    }
                });
            }
            let taken = (0..300).map(|_| {
                let lock = RunLock::acquire(&path)?;
                assert!(is_held(&path)?);
                drop(lock);
                Ok(())
            });
            let taken: Result<(), LockError> = taken.collect();
            over.store(true, Ordering::Relaxed);
            taken.unwrap();
        });
    }

    #[test]
    fn the_wait_for_a_lock_that_is_held_ends_with_the_run() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("names.lock");
        let running = AtomicBool::new(false);
        let held = hold(&path, &running).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| hold(&path, &running));
            running.store(true, Ordering::Relaxed);
            assert_eq!(waiting.join().unwrap().unwrap_err().kind(), io::ErrorKind::Interrupted);
        });
        drop(held);
        hold(&path, &running).unwrap();
    }
}
