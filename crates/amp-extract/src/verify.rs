//! `--verify`: hours are exported again and compared with what the ledger says of them. Nothing is staged or recorded.

use std::collections::BTreeMap;

use amp_core::checksum::Digest;
use amp_core::disk::DiskError;
use amp_core::hour::Hour;
use amp_core::ledger::{FileRecord, HourState};
use amp_core::name::EventFileName;
use amp_core::rows::Rows;
use amp_core::window::{HourWindow, contiguous};
use serde::Serialize;

use crate::plan::{Plan, pieces};
use crate::source_ledger::SourceLedger;
use crate::window_hours::StagedWindow;

/// What the metrics of `--verify` begin with: extracting nothing, it must not count as an extract.
pub const VERIFY_JOB: &str = "amp_extract_verify";

/// What an hour that was exported again is beside what was recorded of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// The same files, byte for byte; also none then and none now.
    SameBytes,
    /// The same rows, in another order or cut into other files.
    SameRows,
    /// Other rows.
    Different(RowDifference),
    /// It cannot be compared, for this reason.
    NotVerified(String),
}

/// How the rows of an hour differ. Of two sets of rows only their numbers and what they add up to are known, so what is gone and come is the
/// least that explains them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RowDifference {
    /// How many rows were recorded.
    pub rows_recorded: u64,
    /// How many came now.
    pub rows_now: u64,
    /// How many of the recorded ones are gone at least.
    pub rows_gone: u64,
    /// How many that were not there have come at least.
    pub rows_come: u64,
}

impl RowDifference {
    fn of(rows_recorded: u64, rows_now: u64) -> Self {
        let least = u64::from(rows_recorded == rows_now);
        let beyond = |all: u64, other: u64| all.saturating_sub(other).max(least);
        let (rows_gone, rows_come) = (beyond(rows_recorded, rows_now), beyond(rows_now, rows_recorded));
        Self { rows_recorded, rows_now, rows_gone, rows_come }
    }
}

impl Comparison {
    /// Compares the files of an hour.
    fn of(recorded: &[FileRecord], now: &[&FileRecord]) -> Self {
        let recorded: Vec<&FileRecord> = recorded.iter().collect();
        if sorted(&recorded, |file| (&file.name, key(file.digest)))
            == sorted(now, |file| (&file.name, key(file.digest)))
        {
            return Self::SameBytes;
        }
        if sorted(&recorded, |file| key(file.digest)) == sorted(now, |file| key(file.digest)) {
            return Self::SameRows;
        }
        let rows = |files: &[&FileRecord]| files.iter().map(|file| rows_of(file)).sum::<Option<Rows>>();
        let lines = |files: &[&FileRecord]| files.iter().map(|file| file.lines).sum::<u64>();
        let difference = RowDifference::of(lines(&recorded), lines(now));
        if recorded.iter().chain(now).any(|file| EventFileName::parse(&file.name).is_none()) {
            return Self::NotVerified(
                "the bytes differ, and no hour is in the name of a file: its rows may be of others".into(),
            );
        }
        match (rows(&recorded), rows(now)) {
            (Some(before), Some(after)) if before == after => Self::SameRows,
            (None, _) if difference.rows_recorded == difference.rows_now => Self::NotVerified(
                "the bytes differ, and rows cannot be compared: an earlier version recorded the hour".into(),
            ),
            _ => Self::Different(difference),
        }
    }

    /// Whether the hour is as it was recorded.
    pub fn is_same(&self) -> bool {
        matches!(self, Self::SameBytes | Self::SameRows)
    }

    /// What is said of the hour.
    pub fn text(&self) -> String {
        match self {
            Self::SameBytes => "same bytes".to_owned(),
            Self::SameRows => "same rows, otherwise arranged".to_owned(),
            Self::Different(RowDifference { rows_recorded, rows_now, rows_gone, rows_come }) => format!(
                "rows differ: {rows_recorded} recorded, {rows_now} now; at least {rows_gone} gone, at least {rows_come} come"
            ),
            Self::NotVerified(why) => format!("not verified: {why}"),
        }
    }
}

fn rows_of(file: &FileRecord) -> Option<Rows> {
    Some(Rows { lines: file.lines, fingerprint: file.rows? })
}

fn key(digest: Digest) -> (u64, String) {
    (digest.bytes, digest.crc64nvme.to_string())
}

fn sorted<'a, K: Ord>(files: &[&'a FileRecord], key: impl Fn(&'a FileRecord) -> K) -> Vec<K> {
    let mut keys: Vec<K> = files.iter().map(|file| key(file)).collect();
    keys.sort_unstable();
    keys
}

/// What `--verify` found, hour by hour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified(BTreeMap<Hour, Comparison>);

/// The same in the result.
#[derive(Debug, Serialize)]
struct Document {
    checked: usize,
    same_bytes: usize,
    same_rows: usize,
    different: Vec<DifferentHour>,
    not_verified: Vec<HourNotVerified>,
}

#[derive(Debug, Serialize)]
struct DifferentHour {
    hour: Hour,
    #[serde(flatten)]
    rows: RowDifference,
}

#[derive(Debug, Serialize)]
struct HourNotVerified {
    hour: Hour,
    error: String,
}

impl Serialize for Verified {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let count = |kind: &Comparison| self.0.values().filter(|found| *found == kind).count();
        let different = self.0.iter().filter_map(|(hour, found)| match found {
            Comparison::Different(rows) => Some(DifferentHour { hour: *hour, rows: *rows }),
            _ => None,
        });
        let not_verified = self.0.iter().filter_map(|(hour, found)| match found {
            Comparison::NotVerified(error) => Some(HourNotVerified { hour: *hour, error: error.clone() }),
            _ => None,
        });
        Document {
            checked: self.checked(),
            same_bytes: count(&Comparison::SameBytes),
            same_rows: count(&Comparison::SameRows),
            different: different.collect(),
            not_verified: not_verified.collect(),
        }
        .serialize(serializer)
    }
}

impl Verified {
    /// Adds what was found of an hour.
    pub(crate) fn add(&mut self, hour: Hour, found: Comparison) {
        self.0.insert(hour, found);
    }

    /// How many hours were compared, or can be no more.
    pub fn checked(&self) -> usize {
        self.0.len()
    }

    /// How many are as they were recorded.
    pub fn same(&self) -> usize {
        self.0.values().filter(|found| found.is_same()).count()
    }

    /// The hours in order.
    pub fn hours(&self) -> impl Iterator<Item = (&Hour, &Comparison)> {
        self.0.iter()
    }
}

/// What is requested to verify `window`: its hours that the ledger says were fetched. Of the others, why they are not.
///
/// # Errors
/// When the ledger cannot be read. Damaged lines are no error.
pub(crate) fn plan(window: HourWindow, ledger: &SourceLedger) -> Result<(Plan, Vec<(Hour, Comparison)>), DiskError> {
    let (mut requests, mut others) = (Vec::new(), Vec::new());
    for day in window.days() {
        let (index, owner) = (ledger.index(day.start().date())?, ledger.owner());
        let mut fetched = Vec::new();
        for hour in day.hours() {
            let why = match index.state(hour, &owner) {
                HourState::Fetched { .. } => {
                    fetched.push(hour);
                    continue;
                }
                HourState::NeverAsked => "no run with a key of this project fetched it",
                HourState::Unanswered => "the run that requested it got no answer",
                HourState::Failed(_) => "it could not be fetched when it was last requested",
                HourState::Accepted => "it was given up with --accept-missing",
            };
            others.push((hour, Comparison::NotVerified(why.to_owned())));
        }
        contiguous(fetched).into_iter().for_each(|window| pieces(window, index.splits(), &mut requests));
    }
    Ok((Plan { requests, skipped: Vec::new(), repaired: Vec::new(), older: Vec::new() }, others))
}

/// Compares the hours of a window that was exported again with what the ledger says of them.
///
/// # Errors
/// When the ledger cannot be read. Damaged lines are no error.
pub(crate) fn compare(
    window: HourWindow,
    exported: &StagedWindow,
    ledger: &SourceLedger,
) -> Result<Vec<(Hour, Comparison)>, DiskError> {
    let (index, owner) = (ledger.index(window.start().date())?, ledger.owner());
    let of_hour = |hour: Hour| {
        if let Some(open) = exported.open.iter().find(|open| open.window.contains(hour)) {
            return Comparison::NotVerified(open.why.clone());
        }
        let HourState::Fetched { files, .. } = index.state(hour, &owner) else {
            return Comparison::NotVerified("its record changed while it was exported".to_owned());
        };
        let is_of_hour = |file: &&FileRecord| EventFileName::parse(&file.name).is_none_or(|name| name.hour == hour);
        Comparison::of(files, &exported.files.iter().filter(is_of_hour).collect::<Vec<_>>())
    };
    Ok(window.hours().map(|hour| (hour, of_hour(hour))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use amp_core::checksum::Digester;
    use amp_core::rows::RowCounter;

    fn file(name: &str, text: &str) -> FileRecord {
        let (mut digester, mut counter) = (Digester::default(), RowCounter::default());
        digester.update(text.as_bytes());
        counter.update(text.as_bytes());
        let rows = counter.rows();
        FileRecord {
            name: format!("7_2025-11-06_4#{name}"),
            digest: digester.digest(),
            lines: rows.lines,
            dates: None,
            rows: Some(rows.fingerprint),
            identity: None,
        }
    }

    fn found(recorded: &[FileRecord], now: &[FileRecord]) -> Comparison {
        Comparison::of(recorded, &now.iter().collect::<Vec<_>>())
    }

    fn of_earlier_version(file: FileRecord) -> FileRecord {
        FileRecord { rows: None, ..file }
    }

    #[test]
    fn an_hour_is_the_same_however_it_is_cut_and_ordered() {
        let recorded = [file("0.json", "a\nb\n"), file("1.json", "c\n")];
        let turned = [recorded[1].clone(), recorded[0].clone()];
        assert_eq!(found(&recorded, &turned), Comparison::SameBytes);
        assert_eq!(found(&[], &[]), Comparison::SameBytes);
        for now in [
            vec![file("0.json", "c\nb\na\n")],
            vec![file("0.json", "b\na\n"), file("1.json", "c\n")],
            vec![file("0.json", "c\n"), file("1.json", "a\nb\n")],
        ] {
            assert_eq!(found(&recorded, &now), Comparison::SameRows);
        }
    }

    #[test]
    fn other_rows_are_counted_as_far_as_they_can_be() {
        let recorded = [file("0.json", "a\nb\n")];
        let numbers = |now: &[FileRecord]| match found(&recorded, now) {
            Comparison::Different(rows) => (rows.rows_recorded, rows.rows_now, rows.rows_gone, rows.rows_come),
            other => panic!("{other:?}"),
        };
        assert_eq!(numbers(&[file("0.json", "a\nb\nc\n")]), (2, 3, 0, 1));
        assert_eq!(numbers(&[file("0.json", "a\n")]), (2, 1, 1, 0));
        assert_eq!(numbers(&[file("0.json", "a\nc\n")]), (2, 2, 1, 1));
        assert_eq!(numbers(&[]), (2, 0, 2, 0));
    }

    #[test]
    fn an_hour_of_an_earlier_version_is_compared_by_bytes_and_by_number() {
        let recorded = [of_earlier_version(file("0.json", "a\nb\n"))];
        assert_eq!(found(&recorded, &[file("0.json", "a\nb\n")]), Comparison::SameBytes);
        assert_eq!(found(&recorded, &[file("1.json", "a\nb\n")]), Comparison::SameRows);
        assert!(matches!(found(&recorded, &[file("0.json", "b\na\n")]), Comparison::NotVerified(_)));
        assert!(matches!(found(&recorded, &[file("0.json", "a\n")]), Comparison::Different(_)));
    }

    #[test]
    fn a_file_that_names_no_hour_is_compared_by_its_bytes() {
        let undated = |text| FileRecord { name: "events.json".into(), ..file("", text) };
        assert_eq!(found(&[undated("a\n")], &[undated("a\n")]), Comparison::SameBytes);
        assert!(matches!(found(&[undated("a\n")], &[undated("a\nb\n")]), Comparison::NotVerified(_)));
    }
}
