//! A day's manifest: when a day is whole, and what is then said of it. The rest is beside it: `prefix` names the keys, `loads` finds
//! load records, `journal` keeps what was put, `pending` finds what is to be put and `put` puts it.

mod journal;
mod loads;
mod pending;
mod prefix;
mod put;

use std::collections::BTreeMap;

use amp_core::checksum::Crc64;
use amp_core::disk::DiskError;
use amp_core::event_dates::EventDates;
use amp_core::hour::Hour;
use amp_core::ledger::{FileRecord, HourIndex, HourState, Ledger, LoadRecord, Owner, PublishedFile};
use amp_core::receipt::Proof;
use amp_core::window::HourWindow;
use chrono::NaiveDate;
use serde::Serialize;

pub(crate) use journal::ManifestJournal;
pub use loads::{Destination, Listing};
use loads::{ListedFile, ListedRecords};
pub(crate) use pending::{KeyTaken, Manifests};
pub(crate) use prefix::is_hidden;
pub use prefix::{ManifestId, ManifestPrefix, PrefixError};

/// Raised when a field changes its meaning; new fields may come at any time.
const VERSION: u32 = 1;

/// What is said of a whole day. It depends on nothing but the day's data and their objects: the same objects make the same bytes.
#[derive(Debug, Serialize)]
pub struct Manifest<'a> {
    version: u32,
    date: NaiveDate,
    /// Whose, where each project has manifests of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<&'a str>,
    bucket: &'a str,
    /// All 24, in order.
    hours: &'a [ManifestHour],
    /// In the order of keys.
    files: ListedRecords<'a>,
    totals: Totals,
    /// Unknown where those of a file are.
    #[serde(skip_serializing_if = "Option::is_none")]
    dates: Option<EventDates>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ManifestHour {
    hour: Hour,
    /// Whether any file of the day holds events of it.
    data: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ManifestFile {
    key: String,
    bytes: u64,
    /// How many events; unknown where the file changed since it was unpacked and was accepted.
    lines: Option<u64>,
    crc64nvme: Crc64,
    /// What confirmed the object.
    proof: Proof,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<String>,
}

impl ManifestFile {
    fn of(load: LoadRecord, lines: Option<u64>) -> Self {
        let LoadRecord { digest, key, proof, etag, version_id, .. } = load;
        Self { key, bytes: digest.bytes, lines, crc64nvme: digest.crc64nvme, proof, etag, version_id }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Totals {
    files: usize,
    bytes: u64,
    /// Unknown where those of a file are.
    lines: Option<u64>,
    hours_with_data: usize,
    hours_without_data: usize,
}

/// Why a day has no manifest yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// Its ledger names no hour, or none of the project.
    #[error("no run has requested any of its hours")]
    Unknown,
    /// Each project has manifests of its own, and none is known.
    #[error("no run of amp-extract has seen which project its hours belong to")]
    NoProject,
    /// An hour is not done.
    #[error("hour {hour} of {owner}: {why}")]
    Hour {
        /// Which one.
        hour: Hour,
        /// Whose.
        owner: Owner,
        /// What became of it.
        why: String,
    },
    /// A file of the newest fetch is not what was loaded, or was not loaded at all.
    #[error("{0} is not loaded yet")]
    Unloaded(String),
    /// A file is being replaced.
    #[error("{0} is being replaced by amp-extract")]
    Replaced(String),
    /// A file was last loaded to another place than this run's.
    #[error("{file} was last loaded to {location}, which is not where this run loads it")]
    Elsewhere {
        /// The file.
        file: String,
        /// Bucket and key, and the endpoint where it is not Amazon's.
        location: String,
    },
    /// Another file has its key.
    #[error("the object of {file} was overwritten by {by}")]
    Overwritten {
        /// The file.
        file: String,
        /// The other.
        by: String,
    },
}

/// A day of which all hours are done, with the files that its newest fetches brought.
#[derive(Debug)]
pub struct CompleteDay {
    id: ManifestId,
    hours: Vec<ManifestHour>,
    /// In the order of names.
    files: Vec<PublishedFile>,
}

impl CompleteDay {
    /// The day by its part of the ledger, of one project or of all. It is whole when each owner that delivered files for it has all of its hours done, or,
    /// where none delivered any, when the project that was asked last has; without a project, the source.
    ///
    /// A damaged line does not make a day whole by mistake: what is asked for is noted before it is fetched, so an hour whose `fetched` was
    /// lost stands as asked for and unanswered.
    ///
    /// # Errors
    /// What the day lacks.
    pub fn of(id: &ManifestId, known: &HourIndex) -> Result<Self, Incomplete> {
        let hours: Vec<Hour> = HourWindow::day(id.day).hours().collect();
        let is_wanted = |owner: &&Owner| id.project.as_deref().is_none_or(|wanted| owner.project() == Some(wanted));
        let mut owners: BTreeMap<&Owner, bool> = BTreeMap::new();
        let states = hours.iter().flat_map(|hour| known.states(*hour).map(move |(owner, _)| (owner, *hour)));
        for (owner, hour) in states.filter(|(owner, _)| is_wanted(owner)) {
            *owners.entry(owner).or_default() |= !known.last_fetched(hour, owner).is_empty();
        }
        let fetches = |owner: &Owner| hours.iter().map(|hour| done(known, *hour, owner)).collect::<Result<Vec<_>, _>>();
        let mut delivering =
            owners.iter().filter(|(_, delivered)| **delivered).map(|(owner, _)| fetches(owner)).peekable();
        let fetched = if delivering.peek().is_some() {
            delivering.collect::<Result<Vec<_>, _>>()?
        } else {
            // "No data" may mean a wrong key or region: who tried another since does not take it for an answer. A key that never delivered
            // anything says nothing of a project that did.
            let mut asked = known.last_asked().filter(is_wanted);
            let project = known.last_asked().filter(is_wanted).find(|owner| owner.is_project());
            vec![fetches(project.or_else(|| asked.next()).ok_or(Incomplete::Unknown)?)?]
        };
        let mut day = Self { id: id.clone(), hours: Vec::new(), files: Vec::new() };
        for (index, hour) in hours.iter().enumerate() {
            let files = || fetched.iter().flat_map(|hours| hours[index]);
            day.hours.push(ManifestHour { hour: *hour, data: files().next().is_some() });
            for file in files() {
                // Of two sources that deliver a file of that name, the one that published last has it; while one publishes, none has.
                let newest = known.published(&file.name).ok_or_else(|| Incomplete::Replaced(file.name.clone()))?;
                day.files.push(newest.clone());
            }
        }
        day.files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        day.files.dedup_by(|a, b| a.name == b.name);
        Ok(day)
    }
}

impl Listing<'_> {
    /// What is said of the day, every file of which is confirmed where this run loads it.
    ///
    /// # Errors
    /// When the load records cannot be opened.
    pub fn manifest(&self, ledger: &Ledger) -> Result<Manifest<'_>, DiskError> {
        let mut dates = Some(EventDates::default());
        for listed in &self.files {
            dates = dates.zip(listed.file.dates.as_ref().filter(|_| listed.is_same())).map(|(mut sum, of_file)| {
                sum.add(of_file);
                sum
            });
        }
        let CompleteDay { id: ManifestId { day: date, project }, hours, .. } = &self.day;
        let with_data = hours.iter().filter(|hour| hour.data).count();
        let totals = Totals {
            files: self.files.len(),
            bytes: self.files.iter().filter_map(|listed| listed.load).map(|load| load.bytes).sum(),
            lines: self.files.iter().map(ListedFile::lines).sum(),
            hours_with_data: with_data,
            hours_without_data: hours.len() - with_data,
        };
        let (bucket, files) = (&self.to.bucket, self.records(ledger)?);
        Ok(Manifest { version: VERSION, date: *date, project: project.as_deref(), bucket, hours, files, totals, dates })
    }
}

/// The files of an hour that is done.
fn done<'a>(known: &'a HourIndex, hour: Hour, owner: &Owner) -> Result<&'a [FileRecord], Incomplete> {
    let why = match known.state(hour, owner) {
        HourState::Fetched { settled: true, files } => return Ok(files),
        HourState::Fetched { settled: false, .. } => "it was fetched before it was settled".to_owned(),
        HourState::NeverAsked => "no run has requested it".to_owned(),
        HourState::Unanswered => "it was requested and has not arrived yet".to_owned(),
        HourState::Accepted => "it was given up by name".to_owned(),
        HourState::Failed(error) => format!("it failed: {error}"),
    };
    Err(Incomplete::Hour { hour, owner: owner.clone(), why })
}

#[cfg(test)]
mod tests;
