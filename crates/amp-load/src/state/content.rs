//! What state objects hold: JSON lines, each an object with one key that says where the line belongs. A line with another key is of a newer version.

use std::collections::{BTreeMap, BTreeSet};

use amp_core::ledger::{LineSet, Owner, PartitionLines, SourceId, SourceRecord};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Raised when a line changes its meaning; new lines may come at any time.
pub(super) const FORMAT: u32 = 1;

/// The first object below a prefix, which stays: it tells state that was deleted from state that never was.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Marker {
    pub(super) format: u32,
    /// The first day on which state was kept.
    pub(super) since: NaiveDate,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// A line of `hours/`.
    Hours(Value),
    /// A line of `loads/`.
    Loads(Value),
    /// A line of `manifests.jsonl`.
    Manifests(Value),
    /// What is known of a source.
    Sources(SourceRecord),
    /// A day of which all hours are final.
    Done(DoneClaim),
}

impl Line {
    fn into_text(self) -> Option<String> {
        Some(serde_json::to_string(&self).ok()? + "\n")
    }
}

/// All hours of a day are final by the object of it that has this checksum: as long as there is no other, the day need not be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct DoneClaim {
    pub(super) day: NaiveDate,
    pub(super) crc: String,
    /// Who requested any of its hours, and for whom all of them are final.
    pub(super) owners: BTreeSet<Owner>,
}

/// What is known of a day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DayContent {
    pub(super) lines: PartitionLines,
    /// The newest record of each of its manifests.
    pub(super) manifests: LineSet,
    /// What is known of those who requested any of its hours: the first day that is owed must not be lost with one object.
    pub(super) sources: BTreeMap<SourceId, SourceRecord>,
}

/// What is known besides days.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SummaryContent {
    pub(super) sources: BTreeMap<SourceId, SourceRecord>,
    pub(super) done: BTreeSet<DoneClaim>,
}

impl DayContent {
    /// The same lines make the same bytes, on every machine.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let sets = [("hours", &self.lines.hours), ("loads", &self.lines.loads), ("manifests", &self.manifests)];
        let lines =
            sets.into_iter().flat_map(|(kind, set)| set.portable().map(move |line| format!("{{\"{kind}\":{line}}}\n")));
        let sources = self.sources.values().cloned().map(Line::Sources);
        lines.chain(sources.filter_map(Line::into_text)).collect::<String>().into_bytes()
    }

    /// Reads an object, and counts the lines that this version cannot read.
    pub(super) fn parse(bytes: &[u8]) -> (Self, usize) {
        let mut content = Self::default();
        let unread = parse(bytes, |line| match line {
            Line::Hours(line) => content.lines.insert_hours(&line.to_string()),
            Line::Loads(line) => content.lines.insert_loads(&line.to_string()),
            Line::Manifests(line) => content.manifests.insert(&line.to_string()),
            Line::Sources(record) => {
                record.join(&mut content.sources);
                true
            }
            Line::Done(_) => false,
        });
        (content, unread)
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.lines.merge(other.lines);
        self.manifests.merge(other.manifests);
        other.sources.into_values().for_each(|record| record.join(&mut self.sources));
    }
}

impl SummaryContent {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let sources = self.sources.values().cloned().map(Line::Sources);
        let lines = sources.chain(self.done.iter().cloned().map(Line::Done));
        lines.filter_map(Line::into_text).collect::<String>().into_bytes()
    }

    pub(super) fn parse(bytes: &[u8]) -> (Self, usize) {
        let mut content = Self::default();
        let unread = parse(bytes, |line| match line {
            Line::Sources(record) => {
                record.join(&mut content.sources);
                true
            }
            Line::Done(claim) => {
                content.done.insert(claim);
                true
            }
            Line::Hours(_) | Line::Loads(_) | Line::Manifests(_) => false,
        });
        (content, unread)
    }

    pub(super) fn merge(&mut self, other: Self) {
        other.sources.into_values().for_each(|record| record.join(&mut self.sources));
        self.done.extend(other.done);
    }
}

fn parse(bytes: &[u8], mut take: impl FnMut(Line) -> bool) -> usize {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.filter(|line| !serde_json::from_slice(line).is_ok_and(&mut take)).count()
}
