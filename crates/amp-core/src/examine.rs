//! Whether a run could write to a directory, found out without changing anything.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{Access, OFlags};
use rustix::io::Errno;

use crate::disk::{DiskContext, DiskError, check_links, free_bytes};

/// What a file system says (open(2)) that has no unnamed files.
const NO_UNNAMED_FILES: [Errno; 3] = [Errno::OPNOTSUPP, Errno::ISDIR, Errno::NOENT];

/// How a directory is that a run would write to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirCondition {
    /// Whether it is there; if not, it can be made.
    pub exists: bool,
    /// Its permission bits, such as `0o700`; those of the nearest parent where it is missing.
    pub mode: u32,
    /// Bytes that an ordinary user may still write there.
    pub free_bytes: u64,
}

/// Finds out, without changing anything, whether a run could write to the directory `path`, or make it.
///
/// # Errors
/// When it could not.
pub fn examine_dir(path: &Path) -> Result<DirCondition, DiskError> {
    check_links("create directory", path)?;
    let nearest = path.ancestors().find(|dir| dir.symlink_metadata().is_ok()).unwrap_or(Path::new("."));
    let exists = nearest == path;
    let action = if exists { "write to" } else { "create directory" };
    let metadata = fs::metadata(nearest).context(action, path)?;
    if !metadata.is_dir() {
        return Err(DiskError::new(action, path, io::ErrorKind::NotADirectory.into()));
    }
    rustix::fs::access(nearest, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)
        .map_err(io::Error::from)
        .context(action, path)?;
    let unnamed = OFlags::TMPFILE.bits().cast_signed();
    match OpenOptions::new().write(true).custom_flags(unnamed).open(nearest) {
        Ok(_) => {}
        Err(error) if Errno::from_io_error(&error).is_some_and(|code| NO_UNNAMED_FILES.contains(&code)) => {}
        Err(error) => return Err(DiskError::new(action, path, error)),
    }
    Ok(DirCondition { exists, mode: metadata.mode() & 0o777, free_bytes: free_bytes(nearest)? })
}

/// Finds out, without changing anything, whether all that is in the directory `path` can be read and written, as it could not where another
/// user once ran. A directory that is missing has nothing in it.
///
/// # Errors
/// Names the first file or directory that cannot be.
pub fn examine_tree(path: &Path) -> Result<(), DiskError> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.context("read", path)?,
    };
    for entry in entries {
        let path = entry.context("read", path)?.path();
        if path.is_dir() {
            examine_dir(&path)?;
            examine_tree(&path)?;
        } else {
            rustix::fs::access(&path, Access::READ_OK | Access::WRITE_OK)
                .map_err(io::Error::from)
                .context("write to", &path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::create_private_dir;

    #[test]
    fn a_directory_is_examined_and_nothing_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("a/b");
        let condition = examine_dir(&missing).unwrap();
        assert!(!condition.exists && condition.free_bytes > 0, "{condition:?}");
        assert_eq!(examine_tree(&missing).map_err(|error| error.to_string()), Ok(()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        create_private_dir(&missing).unwrap();
        let condition = examine_dir(&missing).unwrap();
        assert_eq!((condition.exists, condition.mode), (true, 0o700));
    }

    #[test]
    fn a_file_where_a_directory_must_be_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let error = examine_dir(&path).unwrap_err().to_string();
            assert!(error.contains(&*path.display().to_string()), "{error}");
        }
    }
}
