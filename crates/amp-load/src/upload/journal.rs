//! The journal of uploads in parts, `.amp/uploads.jsonl`: what a killed run left open in the bucket is found by it and aborted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use amp_core::disk::{DiskContext, DiskError};
use amp_core::jsonl::read;
use amp_core::ledger::ObjectRef;
use amp_core::reserve::Reserve;
use amp_core::stage::Staging;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct JournalRecord {
    #[serde(rename = "at")]
    time: DateTime<Utc>,
    #[serde(flatten)]
    object: ObjectRef,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upload_id: Option<String>,
    state: UploadState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum UploadState {
    /// An id is about to be asked for.
    Begun,
    /// It was given.
    Open,
    /// The upload is complete, aborted, or was never there.
    Closed,
}

/// An upload that an earlier run left open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its object, which may be in another bucket than this run's.
    pub object: ObjectRef,
    /// How far it had come.
    pub progress: LeftoverProgress,
}

/// How far an upload had come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftoverProgress {
    /// It has this id.
    Open(String),
    /// It may have been begun, at this time by our clock.
    Begun(DateTime<Utc>),
}

/// The journal, for the holder of amp-load's lock.
#[derive(Debug)]
pub struct UploadJournal {
    path: PathBuf,
    reserve: Reserve,
    bucket: String,
    endpoint: Option<String>,
    open: Mutex<OpenUploads>,
}

#[derive(Debug, Default)]
struct OpenUploads {
    begun: BTreeMap<ObjectRef, DateTime<Utc>>,
    ids: BTreeSet<(ObjectRef, String)>,
    lines: u64,
}

impl OpenUploads {
    fn apply(&mut self, JournalRecord { time, object, upload_id, state }: JournalRecord) {
        self.lines += 1;
        match (state, upload_id) {
            (UploadState::Begun, _) => drop(self.begun.insert(object, time)),
            (UploadState::Open, Some(id)) => {
                self.begun.remove(&object);
                self.ids.insert((object, id));
            }
            (UploadState::Closed, Some(id)) => drop(self.ids.remove(&(object, id))),
            (UploadState::Closed | UploadState::Open, None) => drop(self.begun.remove(&object)),
        }
    }
}

impl UploadJournal {
    /// Reads the journal of `staging`, for uploads to that bucket.
    pub fn open(staging: &Staging, bucket: &str, endpoint: Option<String>) -> Result<Self, DiskError> {
        let reserve = Reserve::at(&staging.state_dir());
        let path = staging.state_dir().join("uploads.jsonl");
        let mut open = OpenUploads::default();
        open.lines += read(&path, |line| open.apply(line))?;
        Ok(Self { path, reserve, bucket: bucket.to_owned(), endpoint, open: Mutex::new(open) })
    }

    /// Whether nothing was left open anywhere, by the size of the journal of `staging` alone.
    pub fn is_empty(staging: &Staging) -> bool {
        std::fs::metadata(staging.state_dir().join("uploads.jsonl")).map_or(true, |journal| journal.len() == 0)
    }

    /// What earlier runs left open at this endpoint, whatever the bucket.
    pub fn leftovers(&self) -> Vec<Leftover> {
        self.select(|object| object.endpoint == self.endpoint)
    }

    /// What earlier runs left open at other endpoints.
    pub fn leftovers_elsewhere(&self) -> Vec<Leftover> {
        self.select(|object| object.endpoint != self.endpoint)
    }

    fn select(&self, wanted: impl Fn(&ObjectRef) -> bool) -> Vec<Leftover> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let ids = open.ids.iter().filter(|(object, _)| wanted(object));
        let begun = open.begun.iter().filter(|(object, _)| wanted(object));
        ids.map(|(object, id)| Leftover { object: object.clone(), progress: LeftoverProgress::Open(id.clone()) })
            .chain(
                begun.map(|(object, time)| Leftover {
                    object: object.clone(),
                    progress: LeftoverProgress::Begun(*time),
                }),
            )
            .collect()
    }

    /// An id is about to be asked for.
    ///
    /// # Errors
    /// When the disk refuses; then the upload must not begin.
    pub fn record_begun(&self, key: &str) -> Result<(), DiskError> {
        self.append(self.object(key), None, UploadState::Begun)
    }

    /// It was given.
    pub fn record_open(&self, key: &str, id: &str) -> Result<(), DiskError> {
        self.append(self.object(key), Some(id), UploadState::Open)
    }

    /// The upload of that id, or the attempt to begin one, left nothing open.
    pub fn record_closed(&self, key: &str, id: Option<&str>) -> Result<(), DiskError> {
        self.record_leftover_closed(&self.object(key), id)
    }

    /// The same of an upload that an earlier run left open, in its bucket.
    pub fn record_leftover_closed(&self, object: &ObjectRef, id: Option<&str>) -> Result<(), DiskError> {
        self.append(object.clone(), id, UploadState::Closed)
    }

    fn object(&self, key: &str) -> ObjectRef {
        ObjectRef { bucket: self.bucket.clone(), endpoint: self.endpoint.clone(), key: key.to_owned() }
    }

    fn append(&self, object: ObjectRef, id: Option<&str>, state: UploadState) -> Result<(), DiskError> {
        let line = JournalRecord { time: Utc::now(), object, upload_id: id.map(str::to_owned), state };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        self.reserve.append(&self.path, std::slice::from_ref(&line))?;
        open.apply(line);
        Ok(())
    }

    /// Empties the journal if nothing is open.
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
    fn what_is_open_is_found_again_by_its_endpoint() {
        let dir = tempfile::tempdir().unwrap();
        let staging = Staging::open(dir.path()).unwrap();
        let uploads = UploadJournal::open(&staging, "lake", None).unwrap();
        for key in ["a", "b", "c", "d"] {
            uploads.record_begun(key).unwrap();
        }
        for key in ["a", "b"] {
            uploads.record_open(key, &format!("id-{key}")).unwrap();
        }
        uploads.record_closed("a", Some("id-a")).unwrap();
        uploads.record_closed("c", None).unwrap();
        uploads.tidy().unwrap();

        let left = UploadJournal::open(&staging, "lake", None).unwrap().leftovers();
        assert_eq!((left[0].object.key.as_str(), &left[0].progress), ("b", &LeftoverProgress::Open("id-b".into())));
        assert!(left[1].object.key == "d" && matches!(left[1].progress, LeftoverProgress::Begun(_)));
        assert_eq!(left.len(), 2);
        assert_eq!(UploadJournal::open(&staging, "pond", None).unwrap().leftovers(), left, "in the bucket of before");
        let elsewhere = UploadJournal::open(&staging, "lake", Some("http://x".into())).unwrap();
        assert_eq!((elsewhere.leftovers(), elsewhere.leftovers_elsewhere()), (vec![], left));
    }

    #[test]
    fn a_journal_without_open_uploads_is_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let staging = Staging::open(dir.path()).unwrap();
        let uploads = UploadJournal::open(&staging, "lake", None).unwrap();
        uploads.tidy().unwrap();
        uploads.record_begun("a").unwrap();
        uploads.record_open("a", "1").unwrap();
        uploads.record_closed("a", Some("1")).unwrap();
        uploads.tidy().unwrap();
        assert_eq!(std::fs::metadata(dir.path().join(".amp/uploads.jsonl")).unwrap().len(), 0);
    }

    #[test]
    fn its_keys_on_disk_stay_what_they_were() {
        for line in [
            r#"{"at":"2026-11-25T16:26:09.100Z","bucket":"lake","key":"a","state":"begun"}"#,
            r#"{"at":"2026-11-25T16:26:09.200Z","bucket":"lake","endpoint":"http://x","key":"a","upload_id":"1","state":"open"}"#,
            r#"{"at":"2026-11-25T16:26:09.300Z","bucket":"lake","key":"a","upload_id":"1","state":"closed"}"#,
        ] {
            let record: JournalRecord = serde_json::from_str(line).unwrap();
            let text = serde_json::to_string(&record).unwrap();
            assert_eq!(text, line);
        }
    }
}
