//! The file of the metrics: read and replaced as one step, whoever else writes to it.
#![expect(clippy::disallowed_methods, reason = "the one module that replaces the metrics file")]

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The other program needs the file for milliseconds.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(100);
/// No page of ours comes near it.
const MOST_BYTES: u64 = 1 << 20;

/// The file that `given` means: of a directory, one of the job's own, called `name`.
pub(super) fn resolve(given: &Path, name: &str) -> PathBuf {
    let is_dir = given.is_dir() || given.as_os_str().as_encoded_bytes().ends_with(b"/");
    let path = if is_dir { given.join(format!("{name}.prom")) } else { given.to_owned() };
    // What a link leads to is replaced, not the link.
    path.canonicalize().unwrap_or(path)
}

/// The file, while nobody else reads it in order to replace it.
pub(super) struct Target {
    path: PathBuf,
    temporary: PathBuf,
    _lock: File,
}

impl Target {
    /// Waits a little for whoever else replaces a file in the directory. It is the directory that is locked, so that no lock file is left in it.
    pub(super) fn lock(path: &Path) -> io::Result<Self> {
        let (Some(name), Some(dir)) = (path.file_name(), path.parent()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it names no file"));
        };
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        let lock = File::open(dir)?;
        for tried in 1.. {
            match lock.try_lock() {
                // Where a file system has no such locks, two at once make the numbers of one of them late, and no more.
                Ok(()) | Err(TryLockError::Error(_)) => break,
                Err(TryLockError::WouldBlock) if tried == LOCK_TRIES => {
                    return Err(io::Error::new(
                        io::ErrorKind::WouldBlock,
                        "another process holds a lock on its directory",
                    ));
                }
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            }
        }
        let temporary = dir.join(format!(".{}.tmp", name.to_string_lossy()));
        Ok(Self { path: path.to_owned(), temporary, _lock: lock })
    }

    /// What the file holds, as far as it is text; nothing when there is none.
    pub(super) fn read(&self) -> io::Result<String> {
        match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            Err(error) => return Err(error),
            Ok(found) if !found.is_file() => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is neither a file nor a directory"));
            }
            Ok(_) => {}
        }
        let mut bytes = Vec::new();
        File::open(&self.path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // The collector reads `.prom` alone; a file of another name may be anything, a `.env` given by mistake.
        let is_for_metrics = self.path.extension().is_some_and(|extension| extension == "prom");
        if is_for_metrics || text.is_empty() || text.lines().any(|line| line.starts_with("# HELP amp_")) {
            return Ok(text);
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it holds something else; name a file that ends in .prom"))
    }

    /// Replaces the file by one that holds `bytes` and that everybody may read: the collector runs as another user.
    pub(super) fn replace(self, bytes: &[u8]) -> io::Result<()> {
        // A killed run may have left it.
        match fs::remove_file(&self.temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).open(&self.temporary)?;
        let written = file
            .set_permissions(Permissions::from_mode(0o644))
            .and_then(|()| file.write_all(bytes))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&self.temporary, &self.path));
        written.inspect_err(|_| {
            fs::remove_file(&self.temporary).ok();
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_directory_each_job_has_its_own_file() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        assert_eq!(resolve(&dir, "amp_load"), dir.join("amp_load.prom"));
        assert_eq!(resolve(Path::new("/nowhere/at/all/"), "amp_load"), Path::new("/nowhere/at/all/amp_load.prom"));
        assert_eq!(resolve(&dir.join("x.prom"), "amp_load"), dir.join("x.prom"));
    }

    #[test]
    fn a_link_stays_and_what_it_leads_to_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("a.prom"), dir.path().join("b.prom"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        Target::lock(&resolve(&link, "j")).unwrap().replace(b"new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_holds_something_else_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        fs::write(&path, "AMP_SECRET_KEY=s\n").unwrap();
        assert!(Target::lock(&path).unwrap().read().unwrap_err().to_string().contains("something else"));
        fs::write(&path, "# HELP amp_x X.\n").unwrap();
        assert!(Target::lock(&path).unwrap().read().is_ok());
        fs::rename(&path, dir.path().join("a.prom")).unwrap();
        fs::write(dir.path().join("a.prom"), "junk").unwrap();
        assert!(Target::lock(&dir.path().join("a.prom")).unwrap().read().is_ok());
    }

    #[test]
    fn what_is_no_file_is_left_as_it_is() {
        let target = Target::lock(Path::new("/dev/null")).unwrap();
        assert!(target.read().unwrap_err().to_string().contains("neither"));
    }
}
