//! What the lines of a partition add up to: of each hour and of each file, what was said of it last.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Deref;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::owners::{Owner, Owners};
use super::record::{FileRecord, HourRecord};
use crate::checksum::Digest;
use crate::hour::Hour;
use crate::name::EventFileName;
use crate::window::HourWindow;

/// The hours of the window of which none of its files holds an event.
pub fn hours_without_files(window: HourWindow, files: &[FileRecord]) -> Vec<Hour> {
    let named: Option<HashSet<Hour>> = files.iter().map(|file| file.hour_within(window)).collect();
    named.map_or_else(Vec::new, |named| window.hours().filter(|hour| !named.contains(hour)).collect())
}

/// What became of an hour when it was last asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HourState<'a> {
    /// No run asked for it.
    NeverAsked,
    /// A run asked, and ended without an answer.
    Unanswered,
    /// It was not got, for this reason.
    Failed(&'a str),
    /// It was given up by name.
    Accepted,
    /// It was got.
    Fetched {
        /// Whether Amplitude had it whole by then.
        settled: bool,
        /// The files it rests on; none means no data.
        files: &'a [FileRecord],
    },
}

/// What is known of the hours and files of a partition.
#[derive(Debug, Default)]
pub struct HourIndex {
    pub(super) hours: HashMap<Hour, BTreeMap<Owner, HourEntry>>,
    /// The files of an hour when it was last got, whatever became of it since.
    last_fetched: HashMap<Hour, BTreeMap<Owner, Arc<[FileRecord]>>>,
    /// What was noted of hours, settled by then, that have no data.
    empty: HashMap<Hour, BTreeMap<Owner, Emptiness>>,
    digests: HashMap<Box<str>, Versions>,
    /// Of files whose names tell no hour: with which windows they came, and with which bytes.
    undated: HashMap<String, Vec<(Option<HourWindow>, Digest)>>,
    /// Owners, the one that asked last at the end.
    asked: Vec<Owner>,
    splits: Vec<HourWindow>,
    pub(super) damaged: u64,
}

/// That an hour has no data, ever since it was first noted.
#[derive(Debug)]
struct Emptiness {
    since: DateTime<Utc>,
    /// How many runs noted it.
    runs: u32,
    /// Whether a run asked since the last of them.
    is_asked: bool,
}

#[derive(Debug)]
pub(super) enum HourEntry {
    Unanswered,
    Failed(String),
    Accepted,
    Fetched { settled: bool, files: Arc<[FileRecord]> },
}

/// A file of an hour that was got, shared with what is known of the hour.
#[derive(Debug, Clone)]
pub struct PublishedFile {
    files: Arc<[FileRecord]>,
    at: usize,
}

impl Deref for PublishedFile {
    type Target = FileRecord;

    fn deref(&self) -> &FileRecord {
        &self.files[self.at]
    }
}

/// What a file of a name may be. A day may have a hundred thousand files: what the hours have too is shared with them.
#[derive(Debug)]
enum Versions {
    Published(PublishedFile),
    /// What a publication was to make it, and what was there before.
    Staging(Vec<FileRecord>),
}

impl Versions {
    fn as_slice(&self) -> &[FileRecord] {
        match self {
            Self::Published(file) => std::slice::from_ref(file),
            Self::Staging(files) => files,
        }
    }
}

impl HourEntry {
    fn state(&self) -> HourState<'_> {
        match self {
            Self::Unanswered => HourState::Unanswered,
            Self::Failed(error) => HourState::Failed(error),
            Self::Accepted => HourState::Accepted,
            Self::Fetched { settled, files } => HourState::Fetched { settled: *settled, files },
        }
    }
}

impl HourIndex {
    pub(super) fn apply(&mut self, record: HourRecord, owners: &Owners) {
        match record {
            HourRecord::Asked { window, source, .. } => {
                let owner = owners.owner_of(&source);
                for hour in window.hours() {
                    if let Some(empty) = self.empty.get_mut(&hour).and_then(|owners| owners.get_mut(&owner)) {
                        empty.is_asked = true;
                    }
                    self.set(hour, &owner, HourEntry::Unanswered);
                }
            }
            HourRecord::Failed { window, source, error, .. } => {
                let owner = owners.owner_of(&source);
                window.hours().for_each(|hour| self.set(hour, &owner, HourEntry::Failed(error.clone())));
            }
            HourRecord::Accepted { window, source, .. } => {
                let owner = owners.owner_of(&source);
                window.hours().for_each(|hour| self.set(hour, &owner, HourEntry::Accepted));
            }
            HourRecord::Split { window, .. } => self.splits.push(window),
            HourRecord::Staging { window, files, .. } => {
                for file in files {
                    if EventFileName::parse(&file.name).is_none() {
                        self.undated.entry(file.name.clone()).or_default().push((window, file.digest));
                    }
                    self.staging(file);
                }
            }
            HourRecord::Fetched { time, window, source, requested_at, unsettled, files, .. } => {
                let owner = owners.owner_of(&source);
                let mut by_hour: HashMap<Hour, Vec<FileRecord>> = HashMap::new();
                for file in files {
                    match file.hour_within(window) {
                        Some(hour) => by_hour.entry(hour).or_default().push(file),
                        None => window.hours().for_each(|hour| by_hour.entry(hour).or_default().push(file.clone())),
                    }
                }
                for hour in window.hours() {
                    let files: Arc<[FileRecord]> = by_hour.remove(&hour).unwrap_or_default().into();
                    let empty = self.empty.entry(hour).or_default();
                    if !files.is_empty() {
                        empty.remove(&owner);
                    } else if requested_at >= hour.settled_at() {
                        let new = Emptiness { since: time, runs: 0, is_asked: true };
                        let empty = empty.entry(owner.clone()).or_insert(new);
                        empty.runs += u32::from(std::mem::take(&mut empty.is_asked));
                    }
                    self.publish(&files);
                    self.last_fetched.entry(hour).or_default().insert(owner.clone(), Arc::clone(&files));
                    self.set(hour, &owner, HourEntry::Fetched { settled: !unsettled.contains(&hour), files });
                }
            }
        }
    }

    fn staging(&mut self, file: FileRecord) {
        match self.digests.get_mut(file.name.as_str()) {
            None => drop(self.digests.insert(file.name.as_str().into(), Versions::Staging(vec![file]))),
            Some(Versions::Staging(versions)) => versions.push(file),
            Some(known) => *known = Versions::Staging(known.as_slice().iter().cloned().chain([file]).collect()),
        }
    }

    /// The files have their names now: what they replaced is gone.
    fn publish(&mut self, files: &Arc<[FileRecord]>) {
        for (at, file) in files.iter().enumerate() {
            let version = Versions::Published(PublishedFile { files: Arc::clone(files), at });
            match self.digests.get_mut(file.name.as_str()) {
                Some(known) => *known = version,
                None => drop(self.digests.insert(file.name.as_str().into(), version)),
            }
        }
    }

    fn set(&mut self, hour: Hour, owner: &Owner, entry: HourEntry) {
        if self.asked.last() != Some(owner) {
            self.asked.retain(|asked| asked != owner);
            self.asked.push(owner.clone());
        }
        self.hours.entry(hour).or_default().insert(owner.clone(), entry);
    }

    /// What became of `hour` of `owner`.
    pub fn state(&self, hour: Hour, owner: &Owner) -> HourState<'_> {
        self.hours.get(&hour).and_then(|owners| owners.get(owner)).map_or(HourState::NeverAsked, HourEntry::state)
    }

    /// What became of `hour`, owner by owner.
    pub fn states(&self, hour: Hour) -> impl Iterator<Item = (&Owner, HourState<'_>)> {
        self.hours.get(&hour).into_iter().flatten().map(|(owner, entry)| (owner, entry.state()))
    }

    /// The owners that asked for any of the hours, the one that asked last first.
    pub fn last_asked(&self) -> impl Iterator<Item = &Owner> {
        self.asked.iter().rev()
    }

    /// The files of `hour` when it was last got, whatever became of it since.
    pub fn last_fetched(&self, hour: Hour, owner: &Owner) -> &[FileRecord] {
        self.last_fetched.get(&hour).and_then(|owners| owners.get(owner)).map_or(&[], |files| files)
    }

    /// Whether fetching an hour again would bring the file of that name: some owner's hour came with it when it was last got. A name without an
    /// hour tells of none.
    pub fn is_part_of_an_hour(&self, name: &str) -> bool {
        let hour = EventFileName::parse(name).map(|name| name.hour);
        let owners = hour.and_then(|hour| self.last_fetched.get(&hour));
        owners.into_iter().flat_map(BTreeMap::values).flat_map(|files| files.iter()).any(|file| file.name == name)
    }

    /// When it was first noted that `hour`, asked for once it was settled, has no data, if that holds ever since. By this machine's clock.
    pub fn empty_since(&self, hour: Hour, owner: &Owner) -> Option<DateTime<Utc>> {
        self.empty.get(&hour)?.get(owner).map(|empty| empty.since)
    }

    /// How many runs in a row noted of `hour`, asked for once it was settled, that it has no data.
    pub fn empty_runs(&self, hour: Hour, owner: &Owner) -> u32 {
        self.empty.get(&hour).and_then(|owners| owners.get(owner)).map_or(0, |empty| empty.runs)
    }

    /// The digests that a staged file of that name may have: its own, and those of a publication that was under way when its run ended.
    /// Empty when amp-extract did not make it.
    pub fn digests(&self, name: &str) -> &[FileRecord] {
        self.digests.get(name).map_or(&[], Versions::as_slice)
    }

    /// The file of that name, unless a publication of another is under way.
    pub fn published(&self, name: &str) -> Option<&PublishedFile> {
        match self.digests.get(name)? {
            Versions::Published(file) => Some(file),
            Versions::Staging(_) => None,
        }
    }

    /// With which windows a file of that name, which tells no hour, came, and with which bytes. Earlier versions did not note the window.
    pub fn undated(&self, name: &str) -> &[(Option<HourWindow>, Digest)] {
        self.undated.get(name).map_or(&[], Vec::as_slice)
    }

    /// Windows that had to be asked for in parts.
    pub fn splits(&self) -> &[HourWindow] {
        &self.splits
    }

    /// How many lines could not be read. What they said of some hour is lost, so that "never asked" is not certain.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }
}
