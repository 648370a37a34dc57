//! The folder of a demo or a siege: made fresh each time, and never anyone else's.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::error::context;

/// Says that the folder is the demo's or the siege's, and holds its lock.
const MARKER: &str = ".amp-sandbox-demo";

/// Makes an empty folder, or empties the one of an earlier demo. It is ours while the file is open.
///
/// # Errors
/// When it cannot be made, has contents that are not a demo's, or is in use.
pub fn fresh(folder: &Path) -> io::Result<File> {
    let refuse = |why: &str| io::Error::other(format!("{} {why}; name another with --dir", folder.display()));
    fs::create_dir_all(folder).map_err(context(format!("can't make {}", folder.display())))?;
    let entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    let marker = folder.join(MARKER);
    if !entries.is_empty() && !marker.exists() {
        return Err(refuse("has contents that are not a demo's"));
    }
    let lock = File::create(&marker).map_err(context(format!("can't write to {}", folder.display())))?;
    lock.try_lock().map_err(|_| refuse("is in use by another demo"))?;
    for entry in entries.iter().filter(|entry| entry.file_name() != MARKER) {
        empty(&entry.path(), entry.file_type()?.is_dir())?;
    }
    Ok(lock)
}

/// Deletes a path below a folder that was made fresh, with all that is in it; one that is missing is no error.
///
/// # Errors
/// When it cannot be deleted.
pub fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        found => empty(path, found?.is_dir()),
    }
}

#[expect(clippy::disallowed_methods, reason = "only below a folder that carries the demo's mark")]
fn empty(path: &Path, is_folder: bool) -> io::Result<()> {
    if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_folder_or_an_earlier_demos_is_taken() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("letter"), "dear").unwrap();
        assert!(fresh(home.path()).is_err());
        assert!(home.path().join("letter").exists());

        let ours = home.path().join("demo");
        let lock = fresh(&ours).unwrap();
        fs::create_dir_all(ours.join("lake/b")).unwrap();
        assert!(fresh(&ours).unwrap_err().to_string().contains("another demo"));
        drop(lock);
        let _lock = fresh(&ours).unwrap();
        assert!(!ours.join("lake").exists());
    }
}
