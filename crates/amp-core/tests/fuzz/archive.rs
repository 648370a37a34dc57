//! The archive reader: no bytes make it panic, leave a file, leave its directory or stage other bytes than the archive has.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use amp_core::archive::{ArchiveError, ExportArchive, Format, Formats, Limits, StreamingUnpacker, Unpacking, unpack};
use amp_core::progress::NoProgress;
use amp_core::stage::Staging;

use super::build;
use super::peer;
use super::script::{Script, scratch};

const FORMATS: [Format; 2] = [Format::Json, Format::JsonGz];
/// Above what [`build`] makes, below what a bomb makes.
const MAX_UNPACKED: u64 = 512 << 10;
const MAX_RATIO: u64 = 2000;

/// Bytes as they come.
pub(crate) fn any_bytes(zip: &[u8]) {
    for format in FORMATS {
        let staged = unpacked(zip, format);
        agrees(zip, format, staged.as_ref());
    }
}

/// An archive built as the bytes say, and damaged as they say.
pub(crate) fn built(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let built = build::archive(&mut script, 0);
    let mut zip = built.zip.clone();
    let mut edits = 0;
    if script.byte() & 1 != 0 {
        zip.truncate(script.word() % (zip.len() + 1));
        edits += 1;
    }
    edits += script.damage(&mut zip, 8);
    for (format, expected) in FORMATS.into_iter().zip(&built.expected) {
        let staged = unpacked(&zip, format);
        agrees(&zip, format, staged.as_ref());
        if built.ambiguous {
            continue;
        }
        match (&staged, expected) {
            (Ok(staged), Some(expected)) if edits <= 1 => assert_eq!(staged, expected, "{edits} edits"),
            (Err(error), Some(_)) if zip == built.zip => panic!("a whole archive is refused: {error}"),
            (Ok(staged), None) if zip == built.zip => panic!("what must be refused was staged: {staged:?}"),
            _ => {}
        }
    }
}

/// Unpacks and publishes in a directory of its own and gives what lies there then.
fn unpacked(zip: &[u8], format: Format) -> Result<BTreeMap<String, Vec<u8>>, ArchiveError> {
    let dir = scratch();
    let path = dir.path().join("export.zip");
    fs::write(&path, zip).unwrap();
    let root = dir.path().join("staging");
    let staging = Arc::new(Staging::open(&root).unwrap());
    let before = files_below(dir.path());
    let cancelled = AtomicBool::new(false);
    let limits = Limits { max_unpacked: MAX_UNPACKED, max_ratio: MAX_RATIO };
    let formats = Formats::from(format);
    let how = Unpacking {
        staging: &staging,
        formats: &formats,
        limits,
        threads: 2,
        transfer: &NoProgress,
        cancelled: &cancelled,
    };
    // With a head start where the size is odd: what comes of it must be the same.
    let streaming = (zip.len() % 2 == 1).then(|| {
        let streaming =
            StreamingUnpacker::start(File::open(&path).unwrap(), &path, Arc::clone(&staging), formats.clone(), limits);
        streaming.arrived(zip.len() as u64);
        thread::sleep(Duration::from_micros(100));
        streaming
    });
    let result = ExportArchive::from_file(File::open(&path).unwrap(), &path)
        .and_then(|zip| unpack(&zip, &how, streaming.as_ref()));
    drop(streaming);
    let unpacked = match result {
        Ok(unpacked) => unpacked,
        Err(error) => {
            assert_eq!(files_below(dir.path()), before, "a refused archive left files");
            assert!(!matches!(error, ArchiveError::Disk(_) | ArchiveError::Cancelled), "{error}");
            assert!(!error.to_string().is_empty());
            return Err(error);
        }
    };
    let total: u64 = unpacked.files.iter().map(|file| file.record().digest.bytes).sum();
    assert!(total <= MAX_UNPACKED, "{total} bytes came out");
    let records: Vec<_> = unpacked.files.iter().map(|file| file.record().clone()).collect();
    staging.publish(unpacked.files).unwrap();
    let mut staged = BTreeMap::new();
    let mut expected = before;
    for record in records {
        let path = root.join(&record.name);
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len() as u64, record.digest.bytes);
        let text = if record.name.ends_with(".gz") { peer::gunzip(&bytes).unwrap() } else { bytes.clone() };
        let newlines = text.iter().filter(|byte| **byte == b'\n').count() as u64;
        assert_eq!(record.lines, newlines + u64::from(text.last().is_some_and(|last| *last != b'\n')));
        expected.push(path);
        assert!(staged.insert(record.name, bytes).is_none(), "a name was given twice");
    }
    expected.push(root.join(".amp/names.lock"));
    expected.sort();
    assert_eq!(files_below(dir.path()), expected, "files lie where none should");
    Ok(staged)
}

/// What is staged is what a second reader finds in the archive.
fn agrees(zip: &[u8], format: Format, staged: Result<&BTreeMap<String, Vec<u8>>, &ArchiveError>) {
    let Ok(staged) = staged else { return };
    let mut staged: peer::Staged =
        staged.iter().map(|(name, bytes)| (peer::ascii(name.as_bytes()), bytes.clone())).collect();
    staged.sort();
    staged.dedup();
    let meanings = peer::meanings(zip, format == Format::JsonGz, 0);
    assert!(meanings.contains(&staged), "staged {staged:?}, a second reader finds {meanings:?}");
}

/// Every file below `dir`, sorted.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.append(&mut files_below(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}
