//! What the lines of a partition add up to: of each hour and of each file, what was said of it last.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::record::{FileRecord, HourRecord, SourceId};
use crate::hour::Hour;
use crate::name::EventFileName;
use crate::window::HourWindow;

/// The hour of the window that the file's name tells. Without one, the file may hold events of any of them.
fn hour_within(window: HourWindow, file: &FileRecord) -> Option<Hour> {
    EventFileName::parse(&file.name).map(|name| name.hour).filter(|hour| window.contains(*hour))
}

/// The hours of the window of which none of its files holds an event.
pub fn hours_without_files(window: HourWindow, files: &[FileRecord]) -> Vec<Hour> {
    let named: Option<HashSet<Hour>> = files.iter().map(|file| hour_within(window, file)).collect();
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
    pub(super) hours: HashMap<Hour, BTreeMap<SourceId, HourEntry>>,
    /// The names of the files of an hour when it was last got, whatever became of it since.
    last_fetched: HashMap<Hour, BTreeMap<SourceId, Vec<String>>>,
    digests: HashMap<String, Vec<FileRecord>>,
    last_asked: Option<SourceId>,
    splits: Vec<HourWindow>,
    pub(super) damaged: u64,
}

#[derive(Debug)]
pub(super) enum HourEntry {
    Unanswered,
    Failed(String),
    Fetched { settled: bool, files: Vec<FileRecord> },
}

impl HourEntry {
    fn state(&self) -> HourState<'_> {
        match self {
            Self::Unanswered => HourState::Unanswered,
            Self::Failed(error) => HourState::Failed(error),
            Self::Fetched { settled, files } => HourState::Fetched { settled: *settled, files },
        }
    }
}

impl HourIndex {
    pub(super) fn apply(&mut self, record: HourRecord) {
        match record {
            HourRecord::Asked { window, source, .. } => {
                window.hours().for_each(|hour| self.set(hour, &source, HourEntry::Unanswered));
            }
            HourRecord::Failed { window, source, error, .. } => {
                window.hours().for_each(|hour| self.set(hour, &source, HourEntry::Failed(error.clone())));
            }
            HourRecord::Split { window, .. } => self.splits.push(window),
            HourRecord::Staging { files, .. } => {
                for file in files {
                    self.digests.entry(file.name.clone()).or_default().push(file);
                }
            }
            HourRecord::Fetched { window, source, unsettled, files, .. } => {
                let mut by_hour: HashMap<Hour, Vec<FileRecord>> = HashMap::new();
                for file in &files {
                    match hour_within(window, file) {
                        Some(hour) => by_hour.entry(hour).or_default().push(file.clone()),
                        None => window.hours().for_each(|hour| by_hour.entry(hour).or_default().push(file.clone())),
                    }
                }
                for hour in window.hours() {
                    let files = by_hour.remove(&hour).unwrap_or_default();
                    let names = files.iter().map(|file| file.name.clone()).collect();
                    self.last_fetched.entry(hour).or_default().insert(source.clone(), names);
                    self.set(hour, &source, HourEntry::Fetched { settled: !unsettled.contains(&hour), files });
                }
                // The files have their names now: what they replaced is gone.
                for file in files {
                    self.digests.insert(file.name.clone(), vec![file]);
                }
            }
        }
    }

    fn set(&mut self, hour: Hour, source: &SourceId, entry: HourEntry) {
        self.last_asked = Some(source.clone());
        self.hours.entry(hour).or_default().insert(source.clone(), entry);
    }

    /// What became of `hour` of `source`.
    pub fn state(&self, hour: Hour, source: &SourceId) -> HourState<'_> {
        self.hours.get(&hour).and_then(|sources| sources.get(source)).map_or(HourState::NeverAsked, HourEntry::state)
    }

    /// What became of `hour`, source by source.
    pub fn states(&self, hour: Hour) -> impl Iterator<Item = (&SourceId, HourState<'_>)> {
        self.hours.get(&hour).into_iter().flatten().map(|(source, entry)| (source, entry.state()))
    }

    /// The source that was asked last for any of the hours.
    pub fn last_asked(&self) -> Option<&SourceId> {
        self.last_asked.as_ref()
    }

    /// The names of the files of `hour` when it was last got, whatever became of it since.
    pub fn last_fetched(&self, hour: Hour, source: &SourceId) -> &[String] {
        self.last_fetched.get(&hour).and_then(|sources| sources.get(source)).map_or(&[], Vec::as_slice)
    }

    /// The digests that a staged file of that name may have: its own, and those of a publication that was under way when its run ended.
    /// Empty when amp-extract did not make it.
    pub fn digests(&self, name: &str) -> &[FileRecord] {
        self.digests.get(name).map_or(&[], Vec::as_slice)
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
