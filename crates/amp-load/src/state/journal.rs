//! The journal of state objects, `.amp/state.jsonl`: which of them say all that they say in the ledger here too, and how far it had come then.

use std::collections::BTreeMap;
use std::path::PathBuf;

use amp_core::checksum::Digest;
use amp_core::disk::DiskError;
use amp_core::jsonl::{append, read};
use amp_core::ledger::{LedgerPositions, SourceId};
use amp_core::stage::Staging;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::prefix::{StateObject, Subject};

/// Where state objects are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) bucket: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) endpoint: Option<String>,
    pub(super) prefix: String,
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct JournalRecord {
    #[serde(rename = "at")]
    time: DateTime<Utc>,
    #[serde(flatten)]
    place: Place,
    /// The partition, `summary` or `marker`.
    subject: String,
    #[serde(flatten)]
    known: Known,
}

/// What is known of the objects of a subject.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// The checksum of an object that says all that was known here when the ledger had come so far; of a day that was left in the bucket, of
    /// its only one.
    pub(super) crc: String,
    /// The names of the objects of which every line is in the ledger here.
    pub(super) objects: Vec<String>,
    /// How far the ledger had come.
    pub(super) positions: LedgerPositions,
    /// What was said of the day's manifest.
    pub(super) manifest: Digest,
    /// Who requested any of its hours.
    pub(super) sources: Vec<SourceId>,
}

impl Known {
    /// Whether one of the objects says it all.
    pub(super) fn is_put(&self) -> bool {
        self.objects.iter().any(|name| StateObject::named(name).is_some_and(|object| object.crc == self.crc))
    }

    /// The names of the objects that say nothing that another does not. Of several that say it all the first by name stays: were it the first
    /// that was read, two machines could each delete the one that the other keeps.
    pub(super) fn superseded(&self) -> impl Iterator<Item = &String> {
        let says_all = |name: &&String| StateObject::named(name).is_some_and(|object| object.crc == self.crc);
        let kept = self.objects.iter().filter(says_all).min();
        self.objects.iter().filter(move |name| kept.is_some() && Some(*name) != kept)
    }
}

/// The subject under which the journal has the marker.
const MARKER: &str = "marker";

/// The journal, for the holder of amp-load's lock. Losing it costs requests.
#[derive(Debug)]
pub(super) struct StateJournal {
    path: PathBuf,
    place: Place,
    newest: BTreeMap<String, Known>,
}

impl StateJournal {
    /// Reads what the journal of `staging` says of the objects in `place`.
    ///
    /// # Errors
    /// When it cannot be read; a damaged line is no error.
    pub(super) fn open(staging: &Staging, place: Place) -> Result<Self, DiskError> {
        let path = staging.state_dir().join("state.jsonl");
        let mut newest = BTreeMap::new();
        read(&path, |line: JournalRecord| {
            if line.place == place {
                newest.insert(line.subject, line.known);
            }
        })?;
        Ok(Self { path, place, newest })
    }

    pub(super) fn known(&self, subject: Subject) -> Option<&Known> {
        self.newest.get(&subject.to_string())
    }

    /// What is known of each partition.
    pub(super) fn partitions(&self) -> impl Iterator<Item = (Subject, &Known)> {
        let partition = |name: &str| amp_core::ledger::Partition::named(name).map(Subject::Lines);
        self.newest.iter().filter_map(move |(name, known)| Some((partition(name)?, known)))
    }

    pub(super) fn has_marker(&self) -> bool {
        self.newest.contains_key(MARKER)
    }

    /// Adds lines, where they say anything new, and waits until they are on disk.
    pub(super) fn append(&mut self, lines: Vec<(Subject, Known)>) -> Result<(), DiskError> {
        self.append_named(lines.into_iter().map(|(subject, known)| (subject.to_string(), known)).collect())
    }

    pub(super) fn append_marker(&mut self) -> Result<(), DiskError> {
        self.append_named(vec![(MARKER.to_owned(), Known::default())])
    }

    fn append_named(&mut self, lines: Vec<(String, Known)>) -> Result<(), DiskError> {
        let (time, place) = (Utc::now(), &self.place);
        let is_new = |(subject, known): &(String, Known)| self.newest.get(subject) != Some(known);
        let records: Vec<_> = lines
            .into_iter()
            .filter(is_new)
            .map(|(subject, known)| JournalRecord { time, place: place.clone(), subject, known })
            .collect();
        if !records.is_empty() {
            append(&self.path, &records)?;
        }
        self.newest.extend(records.into_iter().map(|record| (record.subject, record.known)));
        Ok(())
    }
}
