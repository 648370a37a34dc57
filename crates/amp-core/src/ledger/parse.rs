//! How a line of `hours/DAY.jsonl` is read. It may be about thousands of files, and what serde derives for an enum with a tag would hold
//! them twice, the first time in ten times their size.

use chrono::{DateTime, Utc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::record::{FileRecord, HourRecord, SourceId};
use crate::hour::Hour;
use crate::window::HourWindow;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Asked,
    Staging,
    Fetched,
    Split,
    Failed,
    Accepted,
}

/// A line of any kind, with the fields of all.
#[derive(Deserialize)]
struct RawRecord {
    kind: Kind,
    at: DateTime<Utc>,
    start: Option<Hour>,
    end: Option<Hour>,
    window: Option<HourWindow>,
    source: Option<SourceId>,
    requested_at: Option<DateTime<Utc>>,
    unsettled: Option<Vec<Hour>>,
    no_data: Option<Vec<Hour>>,
    files: Option<Vec<FileRecord>>,
    status: Option<u16>,
    error: Option<String>,
}

/// A line that lacks a field of its kind, or whose window is none.
#[derive(Debug, thiserror::Error)]
#[error("a field is missing")]
struct Incomplete;

impl<'de> Deserialize<'de> for HourRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RawRecord::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
    }
}

impl TryFrom<RawRecord> for HourRecord {
    type Error = Incomplete;

    fn try_from(raw: RawRecord) -> Result<Self, Incomplete> {
        let time = raw.at;
        let window = raw.start.zip(raw.end).and_then(|(start, end)| HourWindow::new(start, end).ok()).ok_or(Incomplete);
        let source = raw.source.ok_or(Incomplete);
        let files = raw.files.ok_or(Incomplete);
        Ok(match raw.kind {
            Kind::Asked => Self::Asked { time, window: window?, source: source? },
            Kind::Staging => Self::Staging { time, window: raw.window, files: files? },
            Kind::Fetched => Self::Fetched {
                time,
                window: window?,
                source: source?,
                requested_at: raw.requested_at.ok_or(Incomplete)?,
                unsettled: raw.unsettled.ok_or(Incomplete)?,
                no_data: raw.no_data.ok_or(Incomplete)?,
                files: files?,
            },
            Kind::Split => Self::Split { time, window: window?, status: raw.status.ok_or(Incomplete)? },
            Kind::Failed => {
                Self::Failed { time, window: window?, source: source?, error: raw.error.ok_or(Incomplete)? }
            }
            Kind::Accepted => Self::Accepted { time, window: window?, source: source? },
        })
    }
}
