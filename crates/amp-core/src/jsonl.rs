//! Files of JSON lines that are only ever appended to. A line cut short by a crash, or damaged since, costs itself alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::disk::{DiskContext, DiskError, create_private_dir, sync_dir};

/// The kinds of lines that this version knows, of all files whose lines have one; a test of the ledger holds them against what it writes.
const KINDS: [&str; 7] = ["asked", "staging", "fetched", "split", "failed", "accepted", "lost"];

/// So many bytes of lines are written at a time, or one line that is longer.
const WRITE_BYTES: usize = 256 << 10;

/// Appends lines, few of them in one write, and waits until they are on disk. A last line that a crash cut short is closed first, so that it spoils no other.
///
/// # Errors
/// When the file, or the directory it is missing from, cannot be made, written or synced. Part of the lines may be on disk then.
pub fn append<T: Serialize>(path: &Path, records: &[T]) -> Result<(), DiskError> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600);
    let mut file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let dir = path.parent().unwrap_or(path);
            create_private_dir(dir)?;
            let file = options.create(true).open(path).context("open", path)?;
            sync_dir(dir)?;
            file
        }
        opened => opened.context("open", path)?,
    };
    let mut lines = Vec::new();
    if ends_within_a_line(&mut file).context("read", path)? {
        lines.push(b'\n');
    }
    for record in records {
        serde_json::to_writer(&mut lines, record).map_err(io::Error::from).context("write", path)?;
        lines.push(b'\n');
        if lines.len() >= WRITE_BYTES {
            file.write_all(&lines).context("write", path)?;
            lines.clear();
        }
    }
    file.write_all(&lines).and_then(|()| file.sync_data()).context("write", path)
}

/// Replaces a file by these bytes: whoever reads it sees the old ones or the new ones, whenever the run is killed. For a holder of the locks of all
/// who append to it; a line that somebody else adds meanwhile is lost.
///
/// # Errors
/// When the new file cannot be written, synced or renamed; then the old one stands.
#[expect(clippy::disallowed_methods, reason = "a file of lines below .amp/ takes its own place")]
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let dir = path.parent().unwrap_or(path);
    create_private_dir(dir)?;
    // A name that no reader takes for a file of lines.
    let new = path.with_extension("new");
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new).context("create", &new)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).context("write", &new)?;
    fs::rename(&new, path).context("rename a finished file to", path)?;
    sync_dir(dir)
}

fn ends_within_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Gives each record of a file to `take` and counts the lines that are none: damaged, or of a newer version. A file that is missing has no records.
///
/// # Errors
/// When the file cannot be read; a damaged line is no error.
pub fn read<T: DeserializeOwned>(path: &Path, take: impl FnMut(T)) -> Result<u64, DiskError> {
    read_parsed(path, |line| serde_json::from_slice(line).ok(), take)
}

/// The same, of lines that are read by `parse`.
///
/// # Errors
/// When the file cannot be read; a damaged line is no error.
pub fn read_parsed<T>(
    path: &Path,
    parse: impl Fn(&[u8]) -> Option<T>,
    mut take: impl FnMut(T),
) -> Result<u64, DiskError> {
    read_checked(path, |_, line| parse(line).map(&mut take).is_some())
}

/// The same, where `take` says whether the record makes sense; one that does not is damage too.
pub(crate) fn read_sound<T: DeserializeOwned>(path: &Path, mut take: impl FnMut(T) -> bool) -> Result<u64, DiskError> {
    read_checked(path, |_, line| serde_json::from_slice(line).is_ok_and(&mut take))
}

/// Gives each line of a file, and where it begins, to `take`, which says whether it is sound, and counts those that are not.
pub(crate) fn read_checked(path: &Path, mut take: impl FnMut(u64, &[u8]) -> bool) -> Result<u64, DiskError> {
    let (mut number, mut damaged, mut offset) = (0, 0, 0);
    read_lines(path, |line| {
        let begins = offset;
        number += 1;
        offset += line.len() as u64;
        if !line.trim_ascii().is_empty() && !take(begins, line) {
            damaged += 1;
            let path = path.display();
            match newer_kind(line) {
                Some(kind) => {
                    tracing::warn!("{path}: line {number} is of a newer version (kind `{kind}`), skipping it");
                }
                None => tracing::warn!("{path}: line {number} is damaged, skipping it"),
            }
        }
    })?;
    Ok(damaged)
}

/// The kind of a line that no version up to this one wrote. Damage would hardly leave an object that has another word for its kind.
pub(crate) fn newer_kind(line: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Line {
        kind: String,
    }
    let Line { kind } = serde_json::from_slice(line).ok()?;
    let is_word = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    (is_word && !KINDS.contains(&kind.as_str())).then_some(kind)
}

/// Gives each line of a file to `take`, whatever it is. A file that is missing has none.
pub(crate) fn read_lines(path: &Path, mut take: impl FnMut(&[u8])) -> Result<(), DiskError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file.context("open", path)?,
    };
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).context("read", path)? > 0 {
        take(&line);
        line.clear();
    }
    Ok(())
}
