//! Whose hours they are: `sources.jsonl`. Hours belong to a project of a host, not to the key that asked for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::{HourRecord, Ledger, SourceId, files_in};
use crate::disk::DiskError;
use crate::hour::parse_date;
use crate::jsonl::read;
use crate::name::EventFileName;

/// A line of `sources.jsonl`: what became known of a source. A later line adds to earlier ones of the same source, or replaces what they say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// When.
    #[serde(rename = "at")]
    pub time: DateTime<Utc>,
    /// Which source.
    pub source: SourceId,
    /// The Export API's host. Unknown of sources that are in an earlier version's ledger alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The numeric id of the project whose files it delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The marker of the source: the first day of UTC that a call without a window covered. From it on, every day is owed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed_from: Option<NaiveDate>,
}

/// Amplitude began in this year: a clock by which an earlier day was yesterday was wrong.
pub const FIRST_YEAR: i32 = 2012;

impl SourceRecord {
    /// What two machines know of the same source together. The order in which machines are joined makes no difference, nor how often. Of two
    /// first days that are owed the earlier counts: a machine that knows of no other takes its own first call for the first of all.
    #[must_use]
    pub fn joined(self, other: Self) -> Self {
        let possible = |day: &NaiveDate| day.year() >= FIRST_YEAR;
        Self {
            time: self.time.min(other.time),
            host: self.host.max(other.host),
            project: self.project.max(other.project),
            owed_from: [self.owed_from, other.owed_from].into_iter().flatten().filter(possible).min(),
            source: self.source,
        }
    }

    /// Joins it to what is known of its source among `records`.
    pub fn join(self, records: &mut BTreeMap<SourceId, Self>) {
        let record = match records.remove(&self.source) {
            Some(known) => known.joined(self),
            None => self,
        };
        records.insert(record.source.clone(), record);
    }
}

/// Whose hours: those of a project are the same whichever of its keys asked; of a source that has delivered nothing, they are its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// A project of a host.
    Project {
        /// The Export API's host; empty where no source of the project tells one, or several do.
        host: String,
        /// Its numeric id.
        project: String,
    },
    /// A source whose project is not known.
    Source(SourceId),
}

impl Owner {
    /// Whether a project was seen behind it.
    pub fn is_project(&self) -> bool {
        self.project().is_some()
    }

    /// The numeric id of its project, where that is known.
    pub fn project(&self) -> Option<&str> {
        match self {
            Self::Project { project, .. } => Some(project),
            Self::Source(_) => None,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project { host, project } if host.is_empty() => write!(f, "project {project}"),
            Self::Project { host, project } => write!(f, "project {project} of {host}"),
            Self::Source(source) => write!(f, "source {}", source.as_str()),
        }
    }
}

/// What a ledger without `sources.jsonl` tells of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedSource {
    /// Which source.
    pub source: SourceId,
    /// The project whose files it delivered first.
    pub project: Option<String>,
    /// The days of which it asked for hours.
    pub days: BTreeSet<NaiveDate>,
}

#[derive(Debug, Clone, Default)]
struct Facts {
    host: Option<String>,
    project: Option<String>,
    owed_from: Option<NaiveDate>,
    /// Numbers of the first line about it and of the first with a marker. Unlike times, they tell what came first whatever the clocks said.
    seen: usize,
    marked: Option<usize>,
}

/// All that is known of sources.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    sources: BTreeMap<SourceId, Facts>,
    lines: usize,
}

impl Owners {
    /// What `sources.jsonl` says. Without it each source owns its hours.
    ///
    /// # Errors
    /// When it cannot be read; a damaged line is no error.
    pub fn read(ledger: &Ledger) -> Result<Self, DiskError> {
        let mut owners = Self::default();
        read(&ledger.sources, |record: SourceRecord| owners.apply(record))?;
        Ok(owners)
    }

    /// What `sources.jsonl` says, a record a source, with its earliest time.
    ///
    /// # Errors
    /// When it cannot be read; a damaged line is no error.
    pub fn records(ledger: &Ledger) -> Result<BTreeMap<SourceId, SourceRecord>, DiskError> {
        let mut records: BTreeMap<SourceId, SourceRecord> = BTreeMap::new();
        read(&ledger.sources, |later: SourceRecord| {
            let known = records.entry(later.source.clone()).or_insert_with(|| later.clone());
            known.time = known.time.min(later.time);
            known.host = later.host.or(known.host.take());
            known.project = later.project.or(known.project.take());
            known.owed_from = later.owed_from.or(known.owed_from);
        })?;
        Ok(records)
    }

    /// Adds to `sources.jsonl` what these records of other machines say and it does not. It is only appended to, for a run of amp-extract may
    /// do so at any time. Returns how many sources learnt anything.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn join(ledger: &Ledger, records: impl IntoIterator<Item = SourceRecord>) -> Result<usize, DiskError> {
        let known = Self::records(ledger)?;
        let mut all = known.clone();
        records.into_iter().for_each(|record| SourceRecord::join(record, &mut all));
        let mut news: Vec<SourceRecord> =
            all.into_values().filter(|record| known.get(&record.source) != Some(record)).collect();
        // What came first counts, and a file tells that by the order of its lines.
        news.sort_by(|a, b| (a.time, &a.source).cmp(&(b.time, &b.source)));
        if !news.is_empty() {
            ledger.append_sources(&news)?;
        }
        Ok(news.len())
    }

    /// What the hours of the whole ledger tell of its sources, those that delivered nothing first: what they wanted falls to the others.
    /// Slow where the ledger is long.
    ///
    /// # Errors
    /// When a file of the ledger cannot be read; a damaged line is no error.
    pub fn scan(ledger: &Ledger) -> Result<Vec<ScannedSource>, DiskError> {
        let mut found: BTreeMap<SourceId, (Option<String>, BTreeSet<NaiveDate>)> = BTreeMap::new();
        for path in files_in(&ledger.hours)? {
            let day = path.file_stem().and_then(|stem| parse_date(stem.to_str()?).ok());
            read(&path, |record: HourRecord| {
                let (source, files) = match record {
                    HourRecord::Asked { source, .. }
                    | HourRecord::Failed { source, .. }
                    | HourRecord::Accepted { source, .. } => (source, Vec::new()),
                    HourRecord::Fetched { source, files, .. } => (source, files),
                    HourRecord::Staging { .. } | HourRecord::Split { .. } => return,
                };
                let (project, days) = found.entry(source).or_default();
                days.extend(day);
                if project.is_none() {
                    *project = project_of(files.iter().map(|file| file.name.as_str()));
                }
            })?;
        }
        let scanned = found.into_iter().map(|(source, (project, days))| ScannedSource { source, project, days });
        let mut scanned: Vec<_> = scanned.collect();
        scanned.sort_by_key(|found| found.project.is_some());
        Ok(scanned)
    }

    /// Takes in a line.
    pub fn apply(&mut self, record: SourceRecord) {
        let line = self.lines;
        self.lines += 1;
        let facts = self.sources.entry(record.source).or_insert_with(|| Facts { seen: line, ..Facts::default() });
        if record.owed_from.is_some() {
            facts.marked.get_or_insert(line);
        }
        facts.host = record.host.or(facts.host.take());
        facts.project = record.project.or(facts.project.take());
        facts.owed_from = record.owed_from.or(facts.owed_from);
    }

    /// Whether no source is known.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// The projects whose files any source delivered.
    pub fn projects(&self) -> BTreeSet<&str> {
        self.sources.values().filter_map(|facts| facts.project.as_deref()).collect()
    }

    /// The Export API's host at which `source` asks, where it is noted.
    pub fn host_of(&self, source: &SourceId) -> Option<&str> {
        self.sources.get(source)?.host.as_deref()
    }

    /// Whose hours `source` asks for.
    pub fn owner_of(&self, source: &SourceId) -> Owner {
        let known = self.sources.get(source).and_then(|facts| Some((facts, facts.project.as_ref()?)));
        let Some((facts, project)) = known else { return Owner::Source(source.clone()) };
        let host = facts.host.clone().or_else(|| self.only_host_of(project)).unwrap_or_default();
        Owner::Project { host, project: project.clone() }
    }

    /// The host of a project, if those of its sources that tell one agree.
    fn only_host_of(&self, project: &str) -> Option<String> {
        let of_project = self.sources.values().filter(|facts| facts.project.as_deref() == Some(project));
        let hosts: BTreeSet<&String> = of_project.filter_map(|facts| facts.host.as_ref()).collect();
        hosts.first().filter(|_| hosts.len() == 1).map(|host| (*host).clone())
    }

    /// The sources that have a marker, each with its owner and the day from which on every day is owed.
    pub fn markers(&self) -> impl Iterator<Item = (&SourceId, Owner, NaiveDate)> {
        self.sources.iter().filter_map(|(source, facts)| Some((source, self.owner_of(source), facts.owed_from?)))
    }

    /// Whether what `source`, which delivered nothing, asked for counts as asked for by `owner`: its key may have been wrong, and mended since.
    /// It falls to one project, the next that got a marker, and to the one that has none yet where no other came.
    pub fn falls_to(&self, source: &SourceId, owner: &Owner) -> bool {
        let Some(seen) = self.sources.get(source).filter(|facts| facts.project.is_none()).map(|facts| facts.seen)
        else {
            return false;
        };
        let mut marked: Vec<(usize, Owner)> =
            self.sources.iter().filter_map(|(source, facts)| Some((facts.marked?, self.owner_of(source)))).collect();
        marked.retain(|(_, owner)| owner.is_project());
        marked.sort_unstable();
        // Of each project its first marker alone counts.
        let mut met = BTreeSet::new();
        marked.retain(|(_, owner)| met.insert(owner.clone()));
        match marked.iter().find(|(line, _)| *line > seen) {
            Some((_, next)) => next == owner,
            None => owner.is_project() && !met.contains(owner),
        }
    }
}

/// The project that the first of the names with one tells.
pub fn project_of<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<String> {
    names.find_map(|name| Some(EventFileName::parse(name)?.project.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(at: &str, owed_from: Option<&str>) -> SourceRecord {
        SourceRecord {
            time: format!("{at}T01:00:00Z").parse().unwrap(),
            source: SourceId::from_text("0123456789ab"),
            host: None,
            project: None,
            owed_from: owed_from.map(|day| day.parse().unwrap()),
        }
    }

    #[test]
    fn a_machine_that_knows_of_no_other_does_not_move_the_first_day_that_is_owed() {
        let first = line("2025-11-07", Some("2025-11-06"));
        let later = line("2025-12-01", Some("2025-11-30"));
        assert_eq!(later.clone().joined(first).owed_from, Some("2025-11-06".parse().unwrap()));
        for wrong_clock in [line("1970-01-02", Some("1970-01-01")), line("2030-01-02", Some("2030-01-01"))] {
            assert_eq!(wrong_clock.joined(later.clone()).owed_from, Some("2025-11-30".parse().unwrap()));
        }
    }

    #[test]
    fn a_marker_that_its_machine_set_right_is_not_moved_back() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(dir.path());
        ledger
            .append_sources(&[line("2025-11-02", Some("2025-11-01")), line("2025-11-02", Some("2025-11-22"))])
            .unwrap();
        let record = Owners::records(&ledger).unwrap().into_values().next().unwrap();
        assert_eq!(record.owed_from, Some("2025-11-22".parse().unwrap()));
        assert_eq!(Owners::join(&ledger, [record]).unwrap(), 0);
    }

    #[test]
    fn only_what_is_new_is_added_and_only_once() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(dir.path());
        ledger.append_sources(&[line("2025-12-01", Some("2025-11-30"))]).unwrap();
        let others = [SourceRecord { project: Some("7".into()), ..line("2025-11-07", Some("2025-11-06")) }];
        assert_eq!(Owners::join(&ledger, others.clone()).unwrap(), 1);
        assert_eq!(Owners::join(&ledger, others).unwrap(), 0);
        let owners = Owners::read(&ledger).unwrap();
        let markers: Vec<_> = owners.markers().map(|(_, owner, day)| (owner.is_project(), day.to_string())).collect();
        assert_eq!(markers, [(true, "2025-11-06".to_owned())]);
    }

    prop_compose! {
        fn record()(day in 1u32..28, host in proptest::option::of("[ab]"), project in proptest::option::of("[12]"),
                    owed in proptest::option::of(1u32..28)) -> SourceRecord {
            let owed = owed.map(|day| format!("2025-11-{day:02}"));
            SourceRecord { host, project, ..line(&format!("2025-11-{day:02}"), owed.as_deref()) }
        }
    }

    proptest! {
        #[test]
        fn joining_is_associative_commutative_and_idempotent(a in record(), b in record(), c in record()) {
            prop_assert_eq!(a.clone().joined(b.clone()), b.clone().joined(a.clone()));
            prop_assert_eq!(a.clone().joined(b.clone()).joined(c.clone()), a.clone().joined(b.clone().joined(c)));
            prop_assert_eq!(a.clone().joined(b.clone()).joined(b.clone()), a.joined(b));
        }
    }
}
