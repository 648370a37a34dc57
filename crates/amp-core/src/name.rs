//! Names: of archive entries, which come from outside, and of event files, which carry their project, hour and part.

use std::fmt;

use chrono::NaiveDate;

use crate::hour::{Hour, parse_date};

/// The longest file name that common file systems take, in bytes.
const LONGEST: usize = 255;

/// The last component of an entry's path, fit to be a file's name: it cannot climb, hide or garble a terminal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName(String);

/// Why an entry's name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing is left of it.
    #[error("its name is empty")]
    Empty,
    /// `.`, `..` or a hidden file.
    #[error("its name starts with a dot")]
    Dot,
    /// A control character, NUL and newline among them.
    #[error("its name has a control character")]
    Control,
    /// More bytes than a file's name may have.
    #[error("its name is longer than {LONGEST} bytes")]
    TooLong,
}

/// What an entry is by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// Gzipped events.
    JsonGz,
    /// Plain events.
    Json,
    /// An archive within the archive.
    Zip,
    /// None of ours.
    Other,
}

impl EntryName {
    /// Reduces an entry's path to its last component (both kinds of slash separate), with an ending that is known in lower case.
    ///
    /// # Errors
    /// [`BadName`] when what is left is not fit to be a file's name.
    pub fn from_path(path: &str) -> Result<Self, BadName> {
        let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
        match name {
            "" => Err(BadName::Empty),
            _ if name.starts_with('.') => Err(BadName::Dot),
            _ if name.chars().any(char::is_control) => Err(BadName::Control),
            _ if name.len() > LONGEST => Err(BadName::TooLong),
            _ => Ok(Self(with_small_ending(name))),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the entry is, by its suffix.
    pub fn kind(&self) -> EntryKind {
        if self.0.ends_with(".json.gz") {
            EntryKind::JsonGz
        } else if self.0.ends_with(".json") {
            EntryKind::Json
        } else if self.0.ends_with(".zip") {
            EntryKind::Zip
        } else {
            EntryKind::Other
        }
    }

    /// The name without `.gz`.
    #[must_use]
    pub fn without_gz(&self) -> Self {
        Self(self.0.strip_suffix(".gz").unwrap_or(&self.0).to_owned())
    }
}

fn with_small_ending(name: &str) -> String {
    let ends_with = |ending: &&&str| {
        let end = name.len().checked_sub(ending.len()).and_then(|at| name.get(at..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(ending))
    };
    match [".json.gz", ".json", ".zip"].iter().find(ends_with) {
        Some(ending) => format!("{}{ending}", &name[..name.len() - ending.len()]),
        None => name.to_owned(),
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The parts of an event file's name: `PROJECT_YYYY-MM-DD_H#N.json` or `.json.gz`, the hour without a leading zero
/// (Export API documentation, "Response").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFileName<'a> {
    /// The project's numeric id.
    pub project: &'a str,
    /// The hour in which Amplitude received the events.
    pub hour: Hour,
    /// Which of the hour's parts, as written.
    pub part: &'a str,
    /// `json` or `json.gz`.
    pub ext: &'a str,
}

impl<'a> EventFileName<'a> {
    /// Reads a file's name; `None` when it is not of that form.
    pub fn parse(name: &'a str) -> Option<Self> {
        let digits = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (stem, ext) = name.split_once('.')?;
        let (stem, part) = stem.split_once('#')?;
        let (stem, hour) = stem.rsplit_once('_')?;
        let (project, date) = stem.rsplit_once('_')?;
        let hour_of_day = Some(hour).filter(digits).filter(|hour| hour.len() <= 2)?.parse().ok()?;
        Some(Self {
            project: Some(project).filter(digits)?,
            hour: Hour::of_date(parse_date(date).ok()?, hour_of_day)?,
            part: Some(part).filter(digits)?,
            ext: Some(ext).filter(|ext| matches!(*ext, "json" | "json.gz"))?,
        })
    }

    /// The UTC day of the file's hour.
    pub fn date(&self) -> NaiveDate {
        self.hour.date()
    }
}

/// The hour that an entry's path tells by its last component, whatever the ending: of an entry that is not unpacked, too.
pub fn hour_of_entry(path: &str) -> Option<Hour> {
    let name = path.rsplit(['/', '\\']).next()?;
    let stem = name.split(['#', '.']).next()?;
    EventFileName::parse(&format!("{stem}#0.json")).map(|name| name.hour)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_member_is_named_by_its_last_component() {
        for path in
            ["a/b/x.json.gz", "/x.json.gz", "../../x.json.gz", "..\\..\\x.json.gz", "C:\\x.json.gz", "x.json.gz"]
        {
            assert_eq!(EntryName::from_path(path).unwrap().as_str(), "x.json.gz");
        }
    }

    #[test]
    fn the_hour_of_an_entry_is_read_whatever_its_ending() {
        for path in ["7/7_2025-11-06_4#1.avro", "a.zip/7_2025-11-06_4.json.zst", "7_2025-11-06_4#0.json.gz"] {
            assert_eq!(hour_of_entry(path), Some(Hour::parse("2025-11-06T04").unwrap()), "{path}");
        }
        for path in ["7_2025-11-06_24#1.avro", "2025-11-06_4.avro", "README.md", ""] {
            assert_eq!(hour_of_entry(path), None, "{path}");
        }
    }

    #[test]
    fn an_ending_is_known_in_any_case() {
        for (path, name, kind) in [
            ("a/X.JSON.GZ", "X.json.gz", EntryKind::JsonGz),
            ("x.Json", "x.json", EntryKind::Json),
            ("x.ZIP", "x.zip", EntryKind::Zip),
            ("é.JSON", "é.json", EntryKind::Json),
            ("x.GZ", "x.GZ", EntryKind::Other),
            ("JSON.GZ", "JSON.GZ", EntryKind::Other),
        ] {
            let entry = EntryName::from_path(path).unwrap();
            assert_eq!((entry.as_str(), entry.kind()), (name, kind));
        }
    }

    #[test]
    fn names_that_climb_hide_or_garble_are_refused() {
        let long = "x".repeat(256);
        for (path, why) in [
            ("", BadName::Empty),
            ("a/", BadName::Empty),
            ("..", BadName::Dot),
            ("a/.", BadName::Dot),
            ("a/.hidden.json", BadName::Dot),
            (".json.gz", BadName::Dot),
            ("x\n.json", BadName::Control),
            ("x\0.json", BadName::Control),
            ("x\u{7f}.json", BadName::Control),
            ("x\u{9b}.json", BadName::Control),
            (&long, BadName::TooLong),
        ] {
            assert_eq!(EntryName::from_path(path), Err(why), "{path:?}");
        }
    }

    #[test]
    fn an_event_files_name_tells_project_hour_and_part() {
        let name = EventFileName::parse("100011471_2025-11-06_9#12.json.gz").unwrap();
        assert_eq!((name.project, name.part, name.ext), ("100011471", "12", "json.gz"));
        assert_eq!(name.hour.to_string(), "2025-11-06T09");
        assert_eq!(EventFileName::parse("1_2025-11-06_10#0.json").unwrap().ext, "json");
        for name in [
            "x.json",
            "1_2025-11-06_24#0.json",
            "1_2025-11-06_010#0.json",
            "1_2025-02-30_1#0.json",
            "1_2025-11-06_1.json",
            "1_2025-11-06_1#a.json",
            "_2025-11-06_1#0.json",
            "1_2025-11-06_1#0.json.bak",
            "a_2025-11-06_1#0.json",
        ] {
            assert_eq!(EventFileName::parse(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_path_gives_a_name_that_leaves_its_directory(path in ".*") {
            if let Ok(name) = EntryName::from_path(&path) {
                let mut parts = std::path::Path::new(name.as_str()).components();
                prop_assert!(matches!(parts.next(), Some(std::path::Component::Normal(_))));
                prop_assert!(parts.next().is_none());
                prop_assert!(!name.as_str().starts_with('.') && !name.as_str().contains(['\0', '\n', '\\']));
            }
        }

        #[test]
        fn no_name_makes_the_parser_panic(name in ".*") {
            let _ = EventFileName::parse(&name);
        }
    }
}
