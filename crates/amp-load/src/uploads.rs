//! The journal of uploads in parts, `.amp/uploads.jsonl`: what a killed run left open in the bucket is found by it and aborted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use amp_core::disk::{DiskContext, DiskError};
use amp_core::jsonl::{append, read};
use amp_core::stage::Staging;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    at: DateTime<Utc>,
    #[serde(flatten)]
    object: Object,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upload_id: Option<String>,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Object {
    bucket: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    key: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// An id is about to be asked for.
    Begun,
    /// It was given.
    Open,
    /// The upload is complete, aborted, or was never there.
    Closed,
}

/// An upload that an earlier run left open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leftover {
    /// Its id is known.
    Open {
        /// The key.
        key: String,
        /// The id.
        id: String,
    },
    /// It may have been begun.
    Begun {
        /// The key.
        key: String,
        /// When, by our clock.
        at: DateTime<Utc>,
    },
}

/// The journal, for the holder of amp-load's lock.
#[derive(Debug)]
pub struct Uploads {
    path: PathBuf,
    bucket: String,
    endpoint: Option<String>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    begun: BTreeMap<Object, DateTime<Utc>>,
    ids: BTreeSet<(Object, String)>,
    lines: u64,
}

impl Open {
    fn take(&mut self, Line { at, object, upload_id, state }: Line) {
        self.lines += 1;
        match (state, upload_id) {
            (State::Begun, _) => drop(self.begun.insert(object, at)),
            (State::Open, Some(id)) => {
                self.begun.remove(&object);
                self.ids.insert((object, id));
            }
            (State::Closed, Some(id)) => drop(self.ids.remove(&(object, id))),
            (State::Closed | State::Open, None) => drop(self.begun.remove(&object)),
        }
    }
}

impl Uploads {
    /// Reads the journal of `staging`, for uploads to that bucket.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(staging: &Staging, bucket: &str, endpoint: Option<String>) -> Result<Self, DiskError> {
        let path = staging.state_dir().join("uploads.jsonl");
        let mut open = Open::default();
        open.lines += read(&path, |line| open.take(line))?;
        Ok(Self { path, bucket: bucket.to_owned(), endpoint, open: Mutex::new(open) })
    }

    /// What earlier runs left open in this bucket.
    #[must_use]
    pub fn leftovers(&self) -> Vec<Leftover> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let here = |object: &Object| object.bucket == self.bucket && object.endpoint == self.endpoint;
        let ids = open.ids.iter().filter(|(object, _)| here(object));
        let begun = open.begun.iter().filter(|(object, _)| here(object));
        ids.map(|(object, id)| Leftover::Open { key: object.key.clone(), id: id.clone() })
            .chain(begun.map(|(object, at)| Leftover::Begun { key: object.key.clone(), at: *at }))
            .collect()
    }

    /// An id is about to be asked for.
    ///
    /// # Errors
    /// When the disk refuses; then the upload must not begin.
    pub fn begun(&self, key: &str) -> Result<(), DiskError> {
        self.note(key, None, State::Begun)
    }

    /// It was given.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn opened(&self, key: &str, id: &str) -> Result<(), DiskError> {
        self.note(key, Some(id), State::Open)
    }

    /// The upload of that id, or the attempt to begin one, left nothing open.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn closed(&self, key: &str, id: Option<&str>) -> Result<(), DiskError> {
        self.note(key, id, State::Closed)
    }

    fn note(&self, key: &str, id: Option<&str>, state: State) -> Result<(), DiskError> {
        let object = Object { bucket: self.bucket.clone(), endpoint: self.endpoint.clone(), key: key.to_owned() };
        let line = Line { at: Utc::now(), object, upload_id: id.map(str::to_owned), state };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        append(&self.path, std::slice::from_ref(&line))?;
        open.take(line);
        Ok(())
    }

    /// Empties the journal if nothing is open.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn tidy(&self) -> Result<(), DiskError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.lines > 0 && open.begun.is_empty() && open.ids.is_empty() {
            let emptied = OpenOptions::new().write(true).open(&self.path).and_then(|file| file.set_len(0));
            emptied.context("empty", &self.path)?;
            open.lines = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_found_again_by_bucket_and_endpoint() {
        let dir = tempfile::tempdir().unwrap();
        let staging = Staging::open(dir.path()).unwrap();
        let uploads = Uploads::open(&staging, "lake", None).unwrap();
        for key in ["a", "b", "c", "d"] {
            uploads.begun(key).unwrap();
        }
        for key in ["a", "b"] {
            uploads.opened(key, &format!("id-{key}")).unwrap();
        }
        uploads.closed("a", Some("id-a")).unwrap();
        uploads.closed("c", None).unwrap();
        uploads.tidy().unwrap();

        let left = Uploads::open(&staging, "lake", None).unwrap().leftovers();
        assert_eq!(left[0], Leftover::Open { key: "b".into(), id: "id-b".into() });
        assert!(matches!(&left[1], Leftover::Begun { key, .. } if key == "d"));
        assert_eq!(left.len(), 2);
        assert!(Uploads::open(&staging, "pond", None).unwrap().leftovers().is_empty());
        assert!(Uploads::open(&staging, "lake", Some("http://x".into())).unwrap().leftovers().is_empty());
    }

    #[test]
    fn a_journal_without_open_uploads_is_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let staging = Staging::open(dir.path()).unwrap();
        let uploads = Uploads::open(&staging, "lake", None).unwrap();
        uploads.tidy().unwrap();
        uploads.begun("a").unwrap();
        uploads.opened("a", "1").unwrap();
        uploads.closed("a", Some("1")).unwrap();
        uploads.tidy().unwrap();
        assert_eq!(std::fs::metadata(dir.path().join(".amp/uploads.jsonl")).unwrap().len(), 0);
    }
}
