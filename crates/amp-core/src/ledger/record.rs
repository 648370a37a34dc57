//! The lines of the ledger, as they stand on disk. Longer than 350 lines: each field says what it means, for they are read by other tools.

use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::checksum::Digest;
use crate::event_dates::EventDates;
use crate::hour::{Hour, parse_date};
use crate::name::EventFileName;
use crate::receipt::{Checksum, Proof};
use crate::rows::RowFingerprint;
use crate::secret::Secret;
use crate::window::HourWindow;

/// A file as it was unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its name in `extracted_data/`.
    pub name: String,
    /// Size and CRC64NVME of its bytes.
    #[serde(flatten)]
    pub digest: Digest,
    /// How many events it holds.
    pub lines: u64,
    /// Of which dates they are by their `event_time`. Records of earlier versions lack it, and those of `staging`, which say what a file is
    /// and not what is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dates: Option<EventDates>,
    /// What they add up to; missing where `dates` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<RowFingerprint>,
    /// By what the same file is known again without reading it.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub identity: Option<FileIdentity>,
}

impl FileRecord {
    /// The hour of the window that the file's name tells. Without one, the file may hold events of any of them.
    pub(super) fn hour_within(&self, window: HourWindow) -> Option<Hour> {
        EventFileName::parse(&self.name).map(|name| name.hour).filter(|hour| window.contains(*hour))
    }
}

/// A file's identity on its file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    /// Its inode.
    pub inode: u64,
    /// When its bytes last changed, in nanoseconds since 1970.
    pub mtime: i64,
}

/// Who asked: a short digest of the Export API's host and the API key. Whose hours those are, [`super::Owners`] tell.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceId(String);

impl SourceId {
    /// The source that `api_key` opens at `host`. The key cannot be had back from it.
    pub fn new(host: &str, api_key: &Secret) -> Self {
        let hash = Sha256::new().chain_update(host).chain_update([0]).chain_update(api_key.expose()).finalize();
        Self(hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect())
    }

    /// The source that stood somewhere as `text`.
    pub fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As it stands in the ledger: twelve hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A line of `hours/DAY.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HourRecord {
    /// A run is about to ask for these hours.
    Asked {
        /// When.
        #[serde(rename = "at")]
        time: DateTime<Utc>,
        /// Which hours.
        #[serde(flatten)]
        window: HourWindow,
        /// Of which project.
        source: SourceId,
    },
    /// These files are whole and about to get their names.
    Staging {
        /// When.
        #[serde(rename = "at")]
        time: DateTime<Utc>,
        /// The window they came with; lines of earlier versions lack it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        window: Option<HourWindow>,
        /// What they are.
        files: Vec<FileRecord>,
    },
    /// These hours were got.
    Fetched {
        /// When the record was made.
        #[serde(rename = "at")]
        time: DateTime<Utc>,
        /// Which hours.
        #[serde(flatten)]
        window: HourWindow,
        /// Of which project.
        source: SourceId,
        /// When the export was asked for.
        requested_at: DateTime<Utc>,
        /// Those of the hours that were not yet settled then.
        unsettled: Vec<Hour>,
        /// Those of the hours that have no file.
        no_data: Vec<Hour>,
        /// All files that came.
        files: Vec<FileRecord>,
    },
    /// The window must be asked for in parts.
    Split {
        /// When.
        #[serde(rename = "at")]
        time: DateTime<Utc>,
        /// Which window.
        #[serde(flatten)]
        window: HourWindow,
        /// The HTTP status that said so.
        status: u16,
    },
    /// These hours were not got.
    Failed {
        /// When.
        #[serde(rename = "at")]
        time: DateTime<Utc>,
        /// Which hours.
        #[serde(flatten)]
        window: HourWindow,
        /// Of which project.
        source: SourceId,
        /// Why.
        error: String,
    },
    /// These hours were given up by name: nobody waits for them any more.
    Accepted {
        /// When.
        #[serde(rename = "at")]
        time: DateTime<Utc>,
        /// Which hours.
        #[serde(flatten)]
        window: HourWindow,
        /// Of which project.
        source: SourceId,
    },
}

impl HourRecord {
    /// The same in lines of at most so many files, hour by hour: whoever reads or writes a line holds all of it in memory. An hour is not
    /// divided, nor is a record with files that may be of any of its hours.
    pub(super) fn in_lines(&self, most_files: usize) -> Vec<Self> {
        match self {
            Self::Staging { time, window, files } if files.len() > most_files => files
                .chunks(most_files)
                .map(|files| Self::Staging { time: *time, window: *window, files: files.to_vec() })
                .collect(),
            Self::Fetched { time, window, source, requested_at, unsettled, no_data, files }
                if files.len() > most_files && files.iter().all(|file| file.hour_within(*window).is_some()) =>
            {
                let of = |hours: &[Hour], hour: Hour| hours.iter().copied().filter(|other| *other == hour).collect();
                let of_hour = |hour| Self::Fetched {
                    time: *time,
                    window: HourWindow::single(hour),
                    source: source.clone(),
                    requested_at: *requested_at,
                    unsettled: of(unsettled, hour),
                    no_data: of(no_data, hour),
                    files: files.iter().filter(|file| file.hour_within(*window) == Some(hour)).cloned().collect(),
                };
                window.hours().map(of_hour).collect()
            }
            record => vec![record.clone()],
        }
    }

    /// The window it is about; never more than a day of UTC in a sound record, for no request is.
    pub(super) fn window(&self) -> Option<HourWindow> {
        match self {
            Self::Staging { .. } => None,
            Self::Asked { window, .. }
            | Self::Fetched { window, .. }
            | Self::Split { window, .. }
            | Self::Failed { window, .. }
            | Self::Accepted { window, .. } => Some(*window),
        }
    }
}

/// A line of `loads/DAY.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadLine {
    /// S3 confirmed a file.
    Loaded(LoadRecord),
    /// Its object was lost.
    Lost(LostRecord),
}

impl LoadLine {
    /// Reads a line. A [`LostRecord`] lacks what every [`LoadRecord`] has, so that versions which do not know it skip it as damaged.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let loaded = serde_json::from_slice(line).map(Self::Loaded);
        loaded.or_else(|_| serde_json::from_slice(line).map(Self::Lost)).ok()
    }
}

/// `amp-load --verify --heal` did not find an object as it was loaded: its file counts as loaded no more, until it is loaded again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename = "lost")]
pub struct LostRecord {
    /// When.
    #[serde(rename = "at")]
    pub time: DateTime<Utc>,
    /// The name of the file that it was loaded from.
    pub file: String,
    /// The bucket.
    pub bucket: String,
    /// The object key.
    pub key: String,
    /// The S3 endpoint, where it is not Amazon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

impl LostRecord {
    /// That the object of `load` is lost.
    pub fn of(load: &LoadRecord, time: DateTime<Utc>) -> Self {
        let LoadRecord { file, bucket, key, endpoint, .. } = load.clone();
        Self { time, file, bucket, key, endpoint }
    }

    /// Where the object was.
    pub fn object(&self) -> ObjectRef {
        ObjectRef { bucket: self.bucket.clone(), endpoint: self.endpoint.clone(), key: self.key.clone() }
    }
}

/// A line of `loads/DAY.jsonl`: S3 confirmed this file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadRecord {
    /// When.
    #[serde(rename = "at")]
    pub time: DateTime<Utc>,
    /// The file's name.
    pub file: String,
    /// Size and CRC64NVME of its bytes.
    #[serde(flatten)]
    pub digest: Digest,
    /// The bucket.
    pub bucket: String,
    /// The object key.
    pub key: String,
    /// The S3 endpoint, where it is not Amazon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The checksum the object was stored with.
    pub checksum: Checksum,
    /// What the confirmation rests on.
    pub proof: Proof,
    /// The object's ETag, quotes removed; records of earlier versions lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The object's version, in a bucket that keeps versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// What was unpacked under the name, where other bytes were loaded in its place because the operator accepted them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_place_of: Vec<Digest>,
}

impl LoadRecord {
    /// Where the object is.
    pub fn object(&self) -> ObjectRef {
        ObjectRef { bucket: self.bucket.clone(), endpoint: self.endpoint.clone(), key: self.key.clone() }
    }
}

/// Of a load record, what tells which object was written from which file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WrittenObject {
    /// When.
    #[serde(rename = "at")]
    pub time: DateTime<Utc>,
    /// The file's name.
    pub file: String,
    /// The bucket.
    pub bucket: String,
    /// The object key.
    pub key: String,
}

/// An object in S3, as all records name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectRef {
    /// The bucket.
    pub bucket: String,
    /// The S3 endpoint, where it is not Amazon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The object key.
    pub key: String,
}

/// Which file of the ledger a record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Partition {
    /// A day of UTC.
    Day(NaiveDate),
    /// Files whose names carry no hour.
    Undated,
}

impl Partition {
    /// The partition of a file by its name.
    pub fn of_file(name: &str) -> Self {
        EventFileName::parse(name).map_or(Self::Undated, |name| Self::Day(name.date()))
    }

    /// The partition of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            UNDATED => Some(Self::Undated),
            day => parse_date(day).ok().map(Self::Day),
        }
    }

    pub(super) fn file_name(self) -> String {
        format!("{self}.jsonl")
    }
}

/// Displays as its file of the ledger is named: `2025-11-06` or `undated`.
impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => write!(f, "{day}"),
            Self::Undated => f.write_str(UNDATED),
        }
    }
}

const UNDATED: &str = "undated";
