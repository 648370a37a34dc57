//! `.env`: finding it, reading it, and naming the line that is wrong.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Why a `.env` could not be used. It names the line, never its content.
#[derive(Debug, thiserror::Error)]
pub enum DotEnvError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A line is not `NAME=value`.
    #[error("{}: line {line} is not NAME=value; quote values that have spaces, quotes, `$` or `#`", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
}

/// The settings of a `.env` file.
#[derive(Clone, Default)]
pub struct DotEnv {
    pub(super) path: PathBuf,
    pub(super) values: HashMap<String, String>,
    /// Whether every user of the machine can read the file.
    pub(super) is_world_readable: bool,
}

impl fmt::Debug for DotEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DotEnv").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Hands a text on one line a read, so that its reader is never ahead of the line it parses.
struct Lines {
    text: Vec<u8>,
    at: usize,
    /// The line being read, counted from 1.
    line: Rc<Cell<usize>>,
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.text[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |newline| newline + 1);
        let read = end.min(buffer.len());
        if self.at == 0 || self.text[self.at - 1] == b'\n' {
            self.line.set(self.line.get() + usize::from(read > 0));
        }
        buffer[..read].copy_from_slice(&rest[..read]);
        self.at += read;
        Ok(read)
    }
}

impl DotEnv {
    /// Reads the file at `path`. Of a name that stands twice, the first counts.
    ///
    /// # Errors
    /// When it cannot be read or a line cannot be parsed.
    pub fn read(path: &Path) -> Result<Self, DotEnvError> {
        let mut text = fs::read(path).map_err(|source| DotEnvError::Unreadable { path: path.to_owned(), source })?;
        if text.starts_with(b"\xef\xbb\xbf") {
            text.drain(..3);
        }
        let line = Rc::new(Cell::new(0));
        let mut values = HashMap::new();
        let entries = dotenvy::from_read_iter(Lines { text: text.clone(), at: 0, line: Rc::clone(&line) });
        let mut parsed = 0;
        for entry in entries {
            // A value with NUL cannot stand in an environment.
            let Some((name, value)) = entry.ok().filter(|(name, value)| !name.contains('\0') && !value.contains('\0'))
            else {
                return Err(DotEnvError::Syntax { path: path.to_owned(), line: first_entry_after(&text, parsed) });
            };
            parsed = line.get();
            values.entry(name).or_insert(value);
        }
        let is_world_readable =
            fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o004 != 0);
        Ok(Self { path: path.to_owned(), values, is_world_readable })
    }

    /// Looks for `.env` in `dir` and its parents.
    ///
    /// # Errors
    /// As [`Self::read`], of the first one found.
    pub fn find(dir: &Path) -> Result<Option<Self>, DotEnvError> {
        let found = dir.ancestors().map(|dir| dir.join(".env")).find(|path| path.is_file());
        found.map(|path| Self::read(&path)).transpose()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the `.env` that was named (`-`: stdin), or else the nearest one to the working directory.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn named_or_nearest(named: Option<&Path>) -> Result<Option<Self>, DotEnvError> {
        match named {
            Some(path) if path == Path::new("-") => Self::read(Path::new("/dev/stdin")).map(Some),
            Some(path) => Self::read(path).map(Some),
            // Without a working directory there is no `.env` to look for.
            None => std::env::current_dir().ok().map_or(Ok(None), |dir| Self::find(&dir)),
        }
    }

    /// The non-empty values whose names `wanted` takes.
    pub fn matching(&self, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = (&str, &str)> {
        let set = self.values.iter().filter(|(_, value)| !value.is_empty());
        set.map(|(name, value)| (name.as_str(), value.as_str())).filter(move |(name, _)| wanted(name))
    }
}

/// The first line after `line` that is neither blank nor a comment; an entry may span several lines, and its first is what a person looks for.
fn first_entry_after(text: &[u8], line: usize) -> usize {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    let entry = lines.skip(line).find(|(_, text)| !text.is_empty() && !text.starts_with(b"#"));
    entry.map_or(line, |(before, _)| before) + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dotenv(text: &str) -> Result<DotEnv, DotEnvError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        fs::write(&path, text).unwrap();
        DotEnv::read(&path)
    }

    #[test]
    fn a_bad_dotenv_names_the_line_and_not_its_content() {
        for (text, line) in [
            ("A=1\n\n# c\nhunter2 is bad\nB=2\n", 4),
            ("hunter2", 1),
            ("A='two\nlines'\nhunter2 x\n", 3),
            ("A=1\nB=\"hunter2\nC=3\n", 2),
            ("A=1\nB=hunter2 hunter3\n", 2),
            ("A=1\nB=\"hunter2\0\"\n", 2),
            ("\u{feff}A=1\nhunter2 x", 2),
        ] {
            let error = dotenv(text).unwrap_err();
            assert!(matches!(error, DotEnvError::Syntax { line: found, .. } if found == line), "{text:?}: {error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn the_nearest_dotenv_above_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        fs::write(dir.path().join(".env"), "AMP_REGION=far").unwrap();
        fs::create_dir(below.join(".env")).unwrap();
        let found = DotEnv::find(&below).unwrap().unwrap();
        assert_eq!(found.matching(|_| true).collect::<Vec<_>>(), [("AMP_REGION", "far")]);
    }

    proptest! {
        #[test]
        fn no_dotenv_makes_the_reader_panic(text in "[A-Z=' \"#$\\\\\n\u{feff}é]{0,40}") {
            let _ = dotenv(&text);
        }

        #[test]
        fn what_dotenv_holds_in_single_quotes_comes_back_as_written(value in "[ -&(-~]{0,30}") {
            prop_assume!(!value.contains('\\') && !value.is_empty());
            let env = dotenv(&format!("A='{value}'\n")).unwrap();
            prop_assert_eq!(env.matching(|_| true).collect::<Vec<_>>(), [("A", value.as_str())]);
        }
    }
}
