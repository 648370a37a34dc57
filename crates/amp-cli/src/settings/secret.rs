//! Secrets: a value, a file that is named, or one that systemd lays; and what in them is surely a mistake.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use amp_core::secret::Secret;

use super::Resolver;
use super::resolver::{Level, Setting};

/// No key is longer. It keeps a file that never ends from being read.
const MOST_BYTES: u64 = 64 << 10;

enum Source {
    Value(String),
    File(PathBuf),
}

impl Resolver {
    /// A secret that may be absent: `X`, the file that `X_FILE` names, or `$CREDENTIALS_DIRECTORY/x`, as systemd lays it. Two of one level are a
    /// problem. Line ends around it are taken off.
    ///
    /// A secret that cannot be used is a problem and comes back empty, lest it be called missing as well.
    pub fn secret(&mut self, setting: &Setting) -> Option<Secret> {
        let name = *setting.names().first()?;
        let sources = self.levels().into_iter().map(|level| self.sources(name, level));
        let mut sources = sources.into_iter().find(|sources| !sources.is_empty())?;
        let unusable = Some(Secret::new(String::new()));
        if let [(first, _), (second, _), ..] = sources.as_slice() {
            self.problem(format!("{first} and {second} are both set; keep one"));
            return unusable;
        }
        let (origin, source) = sources.pop()?;
        match source.read().and_then(|text| clean(&text).map(str::to_owned).map_err(str::to_owned)) {
            Ok(text) => {
                self.used(setting, "set", &origin);
                Some(Secret::new(text))
            }
            Err(flaw) => {
                self.problem(format!("{origin}: {flaw}"));
                unusable
            }
        }
    }

    /// What a level has of the secret of that name, each with where it is.
    fn sources(&self, name: &str, level: Level) -> Vec<(String, Source)> {
        let file = format!("{name}_FILE");
        let value = self.at(level, name).filter(|value| !value.trim_matches(LINE_ENDS).is_empty());
        let mut sources: Vec<_> =
            value.map(|value| (self.origin(level, name), Source::Value(value.to_owned()))).into_iter().collect();
        if let Some(path) = self.at(level, &file) {
            sources.push((
                self.origin(level, &file),
                Source::File(self.expand_home(path).unwrap_or_else(|_| path.into())),
            ));
        }
        let laid = self.at(level, "CREDENTIALS_DIRECTORY").filter(|_| level == Level::Environment);
        if let Some(dir) = laid {
            let path = PathBuf::from(dir).join(name.to_ascii_lowercase());
            if path.exists() {
                sources.push((format!("$CREDENTIALS_DIRECTORY/{}", name.to_ascii_lowercase()), Source::File(path)));
            }
        }
        sources
    }

    /// Refuses a standard AWS name, which the AWS SDK reads by itself, if its value cannot be meant: the SDK would panic at a line end in a key.
    /// Returns whether it is set.
    pub fn inspect(&mut self, name: &'static str) -> bool {
        let level = self.levels().into_iter().find(|level| self.at(*level, name).is_some());
        let Some((level, value)) = level.and_then(|level| Some((level, self.at(level, name)?.to_owned()))) else {
            return false;
        };
        let origin = self.origin(level, name);
        match flaw(&value) {
            Some(flaw) => self.problem(format!("{origin}: {flaw}")),
            None => self.used(&Setting::variable(&[], name), "set", &origin),
        }
        true
    }
}

impl Source {
    fn read(self) -> Result<String, String> {
        let path = match self {
            Self::Value(value) => return Ok(value),
            Self::File(path) => path,
        };
        let cannot = |error: std::io::Error| format!("cannot read `{}`: {error}", path.display());
        let mut bytes = Vec::new();
        File::open(&path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes)).map_err(cannot)?;
        let text = String::from_utf8(bytes).map_err(|_| format!("`{}` is not UTF-8", path.display()))?;
        if text.trim_matches(LINE_ENDS).is_empty() { Err(format!("`{}` is empty", path.display())) } else { Ok(text) }
    }
}

const LINE_ENDS: [char; 2] = ['\r', '\n'];

/// A secret without the line ends around it.
fn clean(text: &str) -> Result<&str, &'static str> {
    let text = text.trim_matches(LINE_ENDS);
    flaw(text).map_or(Ok(text), Err)
}

/// What about a key or a name is surely a mistake. It never repeats the value.
fn flaw(text: &str) -> Option<&'static str> {
    let quote = ['"', '\''];
    if text.trim_matches(LINE_ENDS) != text {
        Some("it has a line end at its beginning or end; take it off")
    } else if text.chars().any(char::is_control) {
        Some("it has a control character in it")
    } else if text.trim() != text {
        Some("it has a blank at its beginning or end; take it off")
    } else if text.starts_with(quote) || text.ends_with(quote) {
        Some("it has a quote at its beginning or end, which would be part of it; take it off")
    } else {
        None
    }
}

/// Reads a name or region as it is written.
///
/// # Errors
/// A message for control characters, and for blanks or quotes around it.
pub fn parse_plain(text: &str) -> Result<String, &'static str> {
    flaw(text).map_or_else(|| Ok(text.to_owned()), Err)
}
