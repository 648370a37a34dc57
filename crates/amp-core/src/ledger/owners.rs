//! Whose hours they are: `sources.jsonl`. Hours belong to a project of a host, not to the key that asked for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
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
