//! `extracted_data/`, the directory in which the two programs meet. The only module that renames or deletes in it.
//!
//! A file gets its final name only when it is whole and on disk: [`PartialFile`] is written under another name, [`PartialFile::seal`]
//! syncs it, [`Staging::publish`] renames it and syncs the directory. It goes only against a [`Receipt`], by [`StagedFile::remove`].
//!
//! Longer than most: that no name is seen before its bytes and none goes before its receipt is one argument, read in one piece.
#![expect(clippy::disallowed_methods, reason = "the one module that renames and deletes here")]

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use crate::checksum::{Digest, Digester};
use crate::disk::{DiskContext, DiskError, check_links, create_private_dir, create_private_file, sync_dir};
use crate::event_dates::EventDates;
use crate::ledger::{FileIdentity, FileRecord, UnpackedFile};
use crate::lock::{self, LockError, RunLock};
use crate::name::EntryName;
use crate::receipt::Receipt;
use crate::reserve::Reserve;
use crate::rows::RowFingerprint;

/// The directory of the programs' own state within `extracted_data/`.
pub const STATE_DIR: &str = ".amp";

/// `extracted_data/` and the state directory in it.
#[derive(Debug)]
pub struct Staging {
    root: PathBuf,
    next_partial: AtomicU64,
    cancelled: Arc<AtomicBool>,
}

/// What lies in `extracted_data/`.
#[derive(Debug, Default)]
pub struct Scan {
    /// Names of the files to load, in order.
    pub files: Vec<String>,
    /// What is left alone: name and why.
    pub ignored: Vec<(String, &'static str)>,
}

impl Staging {
    /// Opens the directory `root`, making it and its state directory, and filling the reserve, where they are missing.
    ///
    /// # Errors
    /// When a part cannot be made or is no directory.
    pub fn open(root: &Path) -> Result<Self, DiskError> {
        let staging = Self::existing(root);
        create_private_dir(&staging.partials())?;
        Reserve::at(&staging.state_dir()).fill();
        Ok(staging)
    }

    /// The same, where waiting for the other program ends as soon as `cancelled` is set.
    pub fn until(self, cancelled: Arc<AtomicBool>) -> Self {
        Self { cancelled, ..self }
    }

    /// The directory `root` as it stands, for looking only: nothing is made.
    pub fn existing(root: &Path) -> Self {
        Self { root: root.to_owned(), next_partial: AtomicU64::new(0), cancelled: Arc::default() }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of the programs' own state.
    pub fn state_dir(&self) -> PathBuf {
        self.root.join(STATE_DIR)
    }

    fn partials(&self) -> PathBuf {
        self.state_dir().join("partial")
    }

    fn names_lock(&self) -> PathBuf {
        self.state_dir().join("names.lock")
    }

    /// Holds off other runs of `program` on this directory.
    ///
    /// # Errors
    /// [`LockError::Held`] when another run is at work.
    pub fn lock(&self, program: &str) -> Result<RunLock, LockError> {
        RunLock::acquire(&self.run_lock(program))
    }

    /// Whether a run of `program` is at work on this directory: whether one holds its lock.
    ///
    /// # Errors
    /// [`LockError::Io`] when the lock cannot be looked at.
    pub fn is_at_work(&self, program: &str) -> Result<bool, LockError> {
        lock::is_held(&self.run_lock(program))
    }

    /// When a run of `program` last began here; `None` when none ever did.
    pub fn last_begun(&self, program: &str) -> Option<SystemTime> {
        lock::last_taken(&self.run_lock(program))
    }

    fn run_lock(&self, program: &str) -> PathBuf {
        self.state_dir().join(format!("{program}.lock"))
    }

    /// Deletes the partial files that killed runs left. Only for the holder of amp-extract's lock, who owns them all.
    ///
    /// # Errors
    /// When one cannot be deleted.
    pub fn sweep(&self) -> Result<usize, DiskError> {
        let dir = self.partials();
        let mut swept = 0;
        for entry in fs::read_dir(&dir).context("read", &dir)? {
            let path = entry.context("read", &dir)?.path();
            fs::remove_file(&path).context("delete", &path)?;
            swept += 1;
        }
        Ok(swept)
    }

    /// A new file that nobody sees until it is published.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn partial(&self) -> Result<PartialFile, DiskError> {
        let number = self.next_partial.fetch_add(1, Ordering::Relaxed);
        let path = self.partials().join(format!("{}-{number}", std::process::id()));
        let file = create_private_file(&path)?;
        Ok(PartialFile { file, temporary: Temporary { path } })
    }

    /// A file without a name, gone with its handle.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn anonymous(&self) -> Result<File, DiskError> {
        let PartialFile { file, temporary } = self.partial()?;
        drop(temporary);
        Ok(file)
    }

    /// Gives `files` their final names, replacing what has them, and waits until the names are on disk.
    ///
    /// # Errors
    /// When one cannot be renamed; those before it stay, they are whole.
    pub fn publish(&self, files: Vec<SealedFile>) -> Result<(), DiskError> {
        let _names = hold_names(&self.names_lock(), &self.cancelled)?;
        for SealedFile { temporary, record } in files {
            let path = self.root.join(&record.name);
            fs::rename(&temporary.path, &path).context("rename a finished file to", &path)?;
            temporary.released();
        }
        sync_dir(&self.root)
    }

    /// Whether the very file that `record` tells of lies here. One that is not known again by its identity, as after a restore, is read.
    pub fn holds(&self, record: &FileRecord) -> bool {
        let path = self.root.join(&record.name);
        match fs::symlink_metadata(&path) {
            Ok(found) if !found.is_file() || found.len() != record.digest.bytes => false,
            Ok(found) if record.identity == Some(file_identity(&found)) => true,
            Ok(_) => File::open(&path).and_then(digest_of).is_ok_and(|digest| digest == record.digest),
            Err(_) => false,
        }
    }

    /// What lies here, by name. A directory that does not exist holds nothing.
    ///
    /// # Errors
    /// When it cannot be read, or is a link to nothing.
    pub fn scan(&self) -> Result<Scan, DiskError> {
        let mut scan = Scan::default();
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                check_links("read", &self.root)?;
                return Ok(scan);
            }
            entries => entries.context("read", &self.root)?,
        };
        for entry in entries {
            let entry = entry.context("read", &self.root)?;
            let kind = entry.file_type().context("look at", &entry.path())?;
            match entry.file_name().into_string() {
                Err(name) => scan.ignored.push((name.to_string_lossy().into_owned(), "its name is not UTF-8")),
                Ok(name) if name == STATE_DIR => {}
                Ok(name) if !name.ends_with(".json") && !name.ends_with(".json.gz") => {
                    scan.ignored.push((name, "its name ends neither in .json nor in .json.gz"));
                }
                Ok(name) if !kind.is_file() => scan.ignored.push((name, "it is not a regular file")),
                Ok(name) => scan.files.push(name),
            }
        }
        scan.files.sort_unstable();
        scan.ignored.sort_unstable();
        Ok(scan)
    }

    /// Bytes of the files here that are to be loaded.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn bytes_staged(&self) -> Result<u64, DiskError> {
        let files = self.scan()?.files;
        // One that is gone meanwhile holds nothing.
        Ok(files.iter().filter_map(|name| fs::symlink_metadata(self.root.join(name)).ok()).map(|file| file.len()).sum())
    }

    /// By what the file `name` is known again; `None` when it is gone.
    pub fn identity(&self, name: &str) -> Option<FileIdentity> {
        fs::symlink_metadata(self.root.join(name)).ok().map(|metadata| file_identity(&metadata))
    }

    /// Opens the file `name` to load it; `None` when it is gone.
    ///
    /// # Errors
    /// When it cannot be opened or is not a regular file.
    pub fn staged(&self, name: &str) -> Result<Option<StagedFile>, DiskError> {
        let path = self.root.join(name);
        // Without following links: what is uploaded must be what is deleted.
        let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.context("open", &path)?,
        };
        let metadata = file.metadata().context("look at", &path)?;
        let (names_lock, cancelled) = (self.names_lock(), Arc::clone(&self.cancelled));
        Ok(Some(StagedFile { names_lock, cancelled, name: name.to_owned(), path, file, metadata }))
    }
}

/// A file's name that is deleted unless it is released.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
}

impl Temporary {
    fn released(mut self) {
        self.path = PathBuf::new();
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // What cannot be deleted now is swept by the next run.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A file being written; dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct PartialFile {
    file: File,
    temporary: Temporary,
}

impl PartialFile {
    /// Waits until the bytes are on disk and closes the file. `digest` is what was written, `lines` how many events it holds, `dates` of which
    /// dates they are and `rows` what they add up to, where that is known.
    ///
    /// # Errors
    /// When the disk fails, or holds another number of bytes than the digest says.
    pub fn seal(
        self,
        name: &EntryName,
        digest: Digest,
        lines: u64,
        dates: Option<EventDates>,
        rows: Option<RowFingerprint>,
    ) -> Result<SealedFile, DiskError> {
        let path = &self.temporary.path;
        self.file.sync_all().context("sync", path)?;
        let metadata = self.file.metadata().context("look at", path)?;
        if metadata.len() != digest.bytes {
            let other = io::Error::other(format!("{} bytes were written, {} are there", digest.bytes, metadata.len()));
            return Err(other).context("sync", path);
        }
        let identity = Some(file_identity(&metadata));
        let record = FileRecord { name: name.to_string(), digest, lines, dates, rows, identity };
        Ok(SealedFile { temporary: self.temporary, record })
    }

    /// Where it lies, for messages.
    pub fn path(&self) -> &Path {
        &self.temporary.path
    }
}

impl Write for PartialFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // With its path: whoever writes reads from another file at the same time.
        let path = &self.temporary.path;
        self.file.write(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, DiskError { action: "write", path: path.clone(), source: error }),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A whole file, on disk, that lacks its final name; dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct SealedFile {
    temporary: Temporary,
    record: FileRecord,
}

impl SealedFile {
    /// Its final name and what is in it.
    pub fn record(&self) -> &FileRecord {
        &self.record
    }
}

/// Held for the moment of publishing or deleting, so that no file is deleted that was replaced after it was looked at.
fn hold_names(path: &Path, cancelled: &AtomicBool) -> Result<File, DiskError> {
    lock::hold(path, cancelled).context("lock", path)
}

fn digest_of(mut file: File) -> io::Result<Digest> {
    let mut digester = Digester::default();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(digester.digest()),
            read => digester.update(&buffer[..read]),
        }
    }
}

fn file_identity(metadata: &Metadata) -> FileIdentity {
    FileIdentity {
        inode: metadata.ino(),
        mtime: metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec()),
    }
}

/// A file under its final name, open for reading.
#[derive(Debug)]
pub struct StagedFile {
    names_lock: PathBuf,
    cancelled: Arc<AtomicBool>,
    name: String,
    path: PathBuf,
    file: File,
    metadata: Metadata,
}

/// What became of a file that was to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Deleted,
    /// Another file took its name meanwhile, or it was written to: what lies there was not uploaded and stays.
    Replaced,
}

impl StagedFile {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its size in bytes when it was opened.
    pub fn bytes(&self) -> u64 {
        self.metadata.len()
    }

    /// The open file, which stays the same whatever becomes of the name.
    ///
    /// # Errors
    /// When the handle cannot be doubled.
    pub fn handle(&self) -> Result<File, DiskError> {
        self.file.try_clone().context("open", &self.path)
    }

    /// Whether it is the very file that was unpacked, untouched since, so that its digest need not be taken again.
    pub fn is_untouched(&self, unpacked: &UnpackedFile) -> bool {
        unpacked.identity == Some(file_identity(&self.metadata)) && unpacked.digest.bytes == self.metadata.len()
    }

    /// Deletes the file, of which S3 holds every byte, unless it is no longer the one that was opened.
    ///
    /// # Errors
    /// When the file cannot be deleted, or the receipt is another file's.
    pub fn remove(self, receipt: &Receipt) -> Result<Removal, DiskError> {
        if receipt.digest().bytes != self.metadata.len() {
            return Err(io::Error::other("the receipt is not this file's")).context("delete", &self.path);
        }
        let _names = hold_names(&self.names_lock, &self.cancelled)?;
        match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Removal::Deleted),
            Err(error) => Err(error).context("look at", &self.path),
            Ok(found) if same_file(&found, &self.metadata) => match fs::remove_file(&self.path) {
                // Somebody else deleted it in between: it is gone, which is all that was wanted.
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context("delete", &self.path),
                _ => Ok(Removal::Deleted),
            },
            Ok(_) => Ok(Removal::Replaced),
        }
    }
}

fn same_file(a: &Metadata, b: &Metadata) -> bool {
    a.dev() == b.dev() && a.len() == b.len() && file_identity(a) == file_identity(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::{Algorithm, Checksum, Expected, Stored};
    use std::os::unix::fs::PermissionsExt;

    fn sealed(staging: &Staging, name: &str, bytes: &[u8]) -> SealedFile {
        let mut partial = staging.partial().unwrap();
        partial.write_all(bytes).unwrap();
        let mut digester = Digester::default();
        digester.update(bytes);
        partial.seal(&EntryName::from_path(name).unwrap(), digester.digest(), 1, None, None).unwrap()
    }

    fn receipt(bytes: u64) -> Receipt {
        let checksum = Checksum { algorithm: Algorithm::Crc64nvme, value: String::new() };
        let expected = Expected { digest: Digest { bytes, ..Digest::default() }, checksum, etag: None };
        Receipt::compare(&expected, &Stored { checksum: Some(String::new()), ..Stored::default() }).unwrap()
    }

    fn names(staging: &Staging) -> Vec<String> {
        staging.scan().unwrap().files
    }

    #[test]
    fn a_file_is_seen_only_when_published_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let staging = Staging::open(&dir.path().join("a/b")).unwrap();
        let file = sealed(&staging, "x.json", b"{}\n");
        assert!(names(&staging).is_empty());
        staging.publish(vec![file]).unwrap();
        assert_eq!(names(&staging), ["x.json"]);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(staging.root()), mode(&staging.root().join("x.json"))), (0o700, 0o600));
        assert_eq!(mode(&dir.path().join("a")), 0o700);
    }

    #[test]
    fn what_is_not_published_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let staging = Staging::open(dir.path()).unwrap();
        drop(sealed(&staging, "x.json", b"{}"));
        drop(staging.partial().unwrap());
        drop(staging.anonymous().unwrap());
        assert_eq!(fs::read_dir(staging.partials()).unwrap().count(), 0);
        std::mem::forget(staging.partial().unwrap());
        assert_eq!(staging.sweep().unwrap(), 1);
    }

    #[test]
    fn a_file_replaced_or_changed_since_it_was_opened_stays() {
        let dir = tempfile::tempdir().unwrap();
        let staging = Staging::open(dir.path()).unwrap();
        staging.publish(vec![sealed(&staging, "x.json", b"{}")]).unwrap();
        let opened = staging.staged("x.json").unwrap().unwrap();
        staging.publish(vec![sealed(&staging, "x.json", b"[]")]).unwrap();
        assert_eq!(opened.remove(&receipt(2)).unwrap(), Removal::Replaced);
        let opened = staging.staged("x.json").unwrap().unwrap();
        fs::write(dir.path().join("x.json"), b"{ }").unwrap();
        assert_eq!(opened.remove(&receipt(2)).unwrap(), Removal::Replaced);
        let opened = staging.staged("x.json").unwrap().unwrap();
        assert_eq!(opened.remove(&receipt(3)).unwrap(), Removal::Deleted);
        assert!(staging.staged("x.json").unwrap().is_none());
    }

    #[test]
    fn a_receipt_of_another_size_deletes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let staging = Staging::open(dir.path()).unwrap();
        let file = sealed(&staging, "x.json", b"{}");
        let record = file.record().clone();
        staging.publish(vec![file]).unwrap();
        assert!(staging.staged("x.json").unwrap().unwrap().remove(&receipt(3)).is_err());
        assert!(staging.holds(&record));
    }

    #[test]
    fn the_very_file_of_a_record_is_known_again_and_no_other_of_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let staging = Staging::open(dir.path()).unwrap();
        let file = sealed(&staging, "x.json", b"{}");
        let record = file.record().clone();
        assert!(!staging.holds(&record));
        staging.publish(vec![file]).unwrap();
        assert!(staging.holds(&record));
        let path = dir.path().join("x.json");
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"{}").unwrap();
        assert!(staging.holds(&record), "the same bytes, copied back");
        for other in [&b"[]"[..], b"{}\n", b""] {
            fs::write(&path, other).unwrap();
            assert!(!staging.holds(&record), "{other:?}");
        }
    }

    #[test]
    fn what_is_not_an_event_file_is_told_and_left() {
        let dir = tempfile::tempdir().unwrap();
        let staging = Staging::open(dir.path()).unwrap();
        for name in ["b.json", "a.json.gz", "notes.txt", "c.json.tmp"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        fs::create_dir(dir.path().join("d.json")).unwrap();
        std::os::unix::fs::symlink("b.json", dir.path().join("e.json")).unwrap();
        let scan = staging.scan().unwrap();
        assert_eq!(scan.files, ["a.json.gz", "b.json"]);
        assert_eq!(
            scan.ignored.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["c.json.tmp", "d.json", "e.json", "notes.txt"]
        );
        assert!(staging.staged("e.json").is_err());
    }
}
