//! The keys of state objects, and where they must not be.

use std::fmt;

use amp_core::checksum::Digest;
use amp_core::ledger::Partition;

use crate::key::{KeyTemplate, MAX_KEY_BYTES};
use crate::manifest::{ManifestPrefix, is_hidden};

/// `days/2025-11-06/0123456789abcdef-0123456789abcdef.jsonl`
const LONGEST_NAME: usize = 55;
const DAYS: &str = "days/";
const SUMMARY: &str = "summary/";
const MARKER: &str = "state.json";

/// What stands before every state object's name; it ends in a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePrefix(String);

/// What a state object is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// The hours, loads and manifest of a day.
    Lines(Partition),
    /// The sources, and which days are done.
    Summary,
}

/// A state object: which machine wrote it, and what its bytes are. Nothing is ever written to a key twice but the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StateObject {
    pub(super) subject: Subject,
    pub(super) machine: String,
    /// The CRC64NVME of its bytes in hexadecimal.
    pub(super) crc: String,
}

/// What a key below the prefix is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyKind {
    Object(StateObject),
    Marker,
    /// Somebody else's.
    Foreign,
}

impl StatePrefix {
    /// Reads a prefix; a slash is added where it ends in none.
    ///
    /// # Errors
    /// A message, when its keys would be too long, or are not the keys of anything below a folder.
    pub fn parse(text: &str) -> Result<Self, String> {
        let prefix = text.strip_suffix('/').unwrap_or(text);
        if prefix.starts_with('/') || prefix.starts_with("s3://") || prefix.is_empty() {
            return Err(format!("`{text}` is not a folder in the bucket; write it like `_state/`"));
        }
        match prefix.len() + 1 + LONGEST_NAME {
            bytes if bytes > MAX_KEY_BYTES => Err(format!(
                "the keys of state objects would have {bytes} bytes, S3 takes {MAX_KEY_BYTES}; shorten the prefix"
            )),
            _ => Ok(Self(format!("{prefix}/"))),
        }
    }

    /// Makes sure that state does not lie among data or manifests, nor they among state: each is listed, read and expired as a whole.
    ///
    /// # Errors
    /// A message that says which it would lie among, and where to put it instead.
    pub fn check(&self, keys: &KeyTemplate, manifests: Option<&ManifestPrefix>) -> Result<(), String> {
        let data = keys.folder();
        let overlaps = |other: &str| self.0.starts_with(other) || other.starts_with(&self.0);
        // In the bucket itself, readers of all that is data pass over hidden folders.
        let is_among_data =
            if data.is_empty() { !self.0.split('/').next().is_some_and(is_hidden) } else { overlaps(&data) };
        if is_among_data {
            let of = if data.is_empty() { "the bucket itself".to_owned() } else { format!("`{data}`") };
            return Err(format!(
                "state below `{}` would lie among the data, in {of}; use a folder beside it, such as `_state/`",
                self.0
            ));
        }
        match manifests.map(ManifestPrefix::folder).filter(|manifests| !manifests.is_empty() && overlaps(manifests)) {
            Some(manifests) => Err(format!(
                "state below `{}` would lie among the manifests, in `{manifests}`; use another folder, such as `_state/`",
                self.0
            )),
            None => Ok(()),
        }
    }

    /// The prefix, ending in a slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of an object that says when state was first kept here, and which version of its format.
    pub(crate) fn marker(&self) -> String {
        format!("{}{MARKER}", self.0)
    }

    pub(super) fn key(&self, object: &StateObject) -> String {
        format!("{}{object}", self.0)
    }

    /// A key before all those of `partition` and of later days, and after those of earlier ones.
    pub(super) fn before(&self, partition: Partition) -> String {
        format!("{}{DAYS}{partition}/", self.0)
    }

    pub(super) fn kind(&self, key: &str) -> KeyKind {
        match key.strip_prefix(&self.0) {
            Some(MARKER) => KeyKind::Marker,
            Some(name) => StateObject::named(name).map_or(KeyKind::Foreign, KeyKind::Object),
            None => KeyKind::Foreign,
        }
    }
}

impl StateObject {
    pub(super) fn new(subject: Subject, machine: &str, digest: Digest) -> Self {
        Self { subject, machine: machine.to_owned(), crc: crc_of(digest) }
    }

    /// The object of that name, without the prefix.
    pub(super) fn named(name: &str) -> Option<Self> {
        let (subject, file) = match name.strip_prefix(DAYS) {
            Some(rest) => {
                let (day, file) = rest.split_once('/')?;
                (Subject::Lines(Partition::named(day)?), file)
            }
            None => (Subject::Summary, name.strip_prefix(SUMMARY)?),
        };
        let (machine, crc) = file.strip_suffix(".jsonl")?.split_once('-')?;
        let is_hexadecimal =
            |text: &str| text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_ours = is_hexadecimal(machine) && is_hexadecimal(crc);
        is_ours.then(|| Self { subject, machine: machine.to_owned(), crc: crc.to_owned() })
    }

    /// Whether these are the bytes that the object was written with.
    pub(super) fn has(&self, digest: Digest) -> bool {
        self.crc == crc_of(digest)
    }
}

/// Displays as its key without the prefix.
impl fmt::Display for StateObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject {
            Subject::Lines(partition) => write!(f, "{DAYS}{partition}/")?,
            Subject::Summary => f.write_str(SUMMARY)?,
        }
        write!(f, "{}-{}.jsonl", self.machine, self.crc)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lines(partition) => write!(f, "{partition}"),
            Self::Summary => f.write_str("summary"),
        }
    }
}

/// How the names of objects tell what their bytes are.
pub(super) fn crc_of(digest: Digest) -> String {
    format!("{:016x}", digest.crc64nvme)
}

#[cfg(test)]
mod tests {
    use super::*;
    use amp_core::checksum::Digester;

    #[test]
    fn an_objects_name_tells_what_it_is() {
        let prefix = StatePrefix::parse("a/_state").unwrap();
        let digest = Digester::digest_of(b"lines");
        for (subject, folder) in [
            (Subject::Lines(Partition::named("2025-11-06").unwrap()), "days/2025-11-06/"),
            (Subject::Lines(Partition::Undated), "days/undated/"),
            (Subject::Summary, "summary/"),
        ] {
            let object = StateObject::new(subject, "0123456789abcdef", digest);
            let key = prefix.key(&object);
            assert!(
                key.starts_with(&format!("a/_state/{folder}0123456789abcdef-"))
                    && key.len() <= "a/_state/".len() + LONGEST_NAME
            );
            assert_eq!(prefix.kind(&key), KeyKind::Object(object.clone()));
            assert!(object.has(digest) && !object.has(Digest::default()));
        }
        assert_eq!(prefix.kind(&prefix.marker()), KeyKind::Marker);
        for name in
            ["notes.txt", "days/x/0123456789abcdef-0123456789abcdef.jsonl", "days/2025-11-06/a-b.jsonl", "summary/"]
        {
            assert_eq!(prefix.kind(&format!("a/_state/{name}")), KeyKind::Foreign, "{name}");
        }
    }

    #[test]
    fn state_lies_neither_among_data_nor_among_manifests() {
        let check = |state: &str, data: &str, template: &str, manifests: Option<&str>| {
            let keys = KeyTemplate::parse(data, template).unwrap();
            let manifests = manifests.map(|text| ManifestPrefix::parse(text).unwrap());
            StatePrefix::parse(state).unwrap().check(&keys, manifests.as_ref()).is_ok()
        };
        for (state, data, template, manifests, fine) in [
            ("_state", "", "{file}", None, true),
            ("state", "", "{file}", None, false),
            ("state", "raw/", "{file}", None, true),
            ("raw", "raw/", "{file}", None, false),
            ("raw/_state", "raw/", "{file}", None, false),
            ("s", "s/raw/", "{file}", None, false),
            ("raw-state", "raw/", "{file}", None, true),
            ("events/_state", "", "events/{file}", None, false),
            ("_m", "", "{file}", Some("_m"), false),
            ("_m/s", "", "{file}", Some("_m/"), false),
            ("_m", "", "{file}", Some("_m/x"), false),
            ("_m/7", "", "{file}", Some("_m/{project}"), false),
            ("_state", "", "{file}", Some("{project}/_m"), true),
            ("_state", "", "{file}", Some("_m"), true),
        ] {
            assert_eq!(check(state, data, template, manifests), fine, "{state} {data} {template} {manifests:?}");
        }
        for text in ["/", "/x", "s3://bucket/x"] {
            assert!(StatePrefix::parse(text).is_err(), "{text}");
        }
        assert!(StatePrefix::parse(&"x".repeat(1024)).is_err());
    }
}
