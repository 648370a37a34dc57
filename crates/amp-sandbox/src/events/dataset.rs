//! Which hours have data, in how many parts, and every byte of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write};
use std::iter;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::row::{self, RowId};
use crate::time::{Hour, Window};

/// How a day's events spread over its hours, in parts of 1000: people sleep.
const CURVE: [u64; 24] = [18, 14, 11, 9, 9, 12, 19, 30, 42, 50, 54, 56, 58, 57, 56, 55, 56, 58, 60, 62, 64, 58, 52, 40];

/// What one file must be once it is extracted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedFile {
    /// The member's name without `.gz`, such as `100011471_2025-11-06_9#0.json`.
    pub name: String,
    /// Length of the JSON.
    pub bytes: u64,
    /// Events in it; a last line without newline counts.
    pub lines: u64,
    /// SHA-256 of the JSON, in hex.
    pub sha256: String,
}

/// What an hour is now, other than when its rows came in.
#[derive(Debug, Clone, Copy, Default)]
struct Change {
    parts: Option<u32>,
    added: u64,
    removed: u64,
}

#[derive(Debug, Clone, Copy)]
enum Volume {
    PerPart(u64),
    PerDay(u64),
}

/// Events of a project, the same for the same settings, made when they are asked for.
#[derive(Debug, Clone)]
pub struct Dataset {
    seed: u64,
    project: u64,
    parts: u32,
    volume: Volume,
    window: Option<Window>,
    empty_hours: BTreeSet<Hour>,
    special: BTreeMap<(Hour, u32), u64>,
    changes: BTreeMap<Hour, Change>,
    last_newline: bool,
    known: Arc<Mutex<HashMap<(Hour, u32), ExpectedFile>>>,
}

impl Dataset {
    /// 2 parts an hour of 100 events each, for every hour up to the present one, of project 100011471.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            project: 100_011_471,
            parts: 2,
            volume: Volume::PerPart(100),
            window: None,
            empty_hours: BTreeSet::new(),
            special: BTreeMap::new(),
            changes: BTreeMap::new(),
            last_newline: true,
            known: Arc::default(),
        }
    }

    fn changed(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self.known = Arc::default();
        self
    }

    /// The numeric project id, in the archive's folder and file names.
    pub fn project(self, project: u64) -> Self {
        self.changed(|d| d.project = project)
    }

    /// Files an hour.
    pub fn parts_per_hour(self, parts: u32) -> Self {
        self.changed(|d| d.parts = parts)
    }

    /// The same number of events in every file.
    pub fn events_per_part(self, events: u64) -> Self {
        self.changed(|d| d.volume = Volume::PerPart(events))
    }

    /// Exactly so many events a day, more of them in the daytime.
    pub fn events_per_day(self, events: u64) -> Self {
        self.changed(|d| d.volume = Volume::PerDay(events))
    }

    /// No data outside of this window.
    pub fn only(self, window: Window) -> Self {
        self.changed(|d| d.window = Some(window))
    }

    /// Data in every hour again.
    pub(crate) fn everywhere(self) -> Self {
        self.changed(|d| d.window = None)
    }

    /// No data, and so no file, in this hour.
    pub fn without_hour(self, hour: Hour) -> Self {
        self.changed(|d| {
            d.empty_hours.insert(hour);
        })
    }

    /// A file without a single event.
    pub fn empty_member(self, hour: Hour, part: u32) -> Self {
        self.events_in_file(hour, part, 0)
    }

    /// So many events in this one file.
    pub fn events_in_file(self, hour: Hour, part: u32, events: u64) -> Self {
        self.changed(|d| {
            d.special.insert((hour, part), events);
        })
    }

    fn change(self, hour: Hour, change: impl FnOnce(&mut Change)) -> Self {
        self.changed(|d| change(d.changes.entry(hour).or_default()))
    }

    /// The hour's same rows, dealt out in turn to so many files: another order and other files.
    pub fn recut(self, hour: Hour, parts: u32) -> Self {
        self.change(hour, |change| change.parts = Some(parts))
    }

    /// So many rows more in the hour's last file, as of events that were received late or restored.
    pub fn add_rows(self, hour: Hour, rows: u64) -> Self {
        self.change(hour, |change| change.added = rows)
    }

    /// The hour without its first rows, as after a deletion of users.
    pub fn remove_rows(self, hour: Hour, rows: u64) -> Self {
        self.change(hour, |change| change.removed = rows)
    }

    /// Whether the last event of a file ends with a newline (it does by default).
    pub fn last_newline(self, present: bool) -> Self {
        self.changed(|d| d.last_newline = present)
    }

    /// The numeric project id.
    pub fn project_id(&self) -> u64 {
        self.project
    }

    /// Whether any file exists for the hour.
    pub fn has_data(&self, hour: Hour) -> bool {
        let inside = self.window.is_none_or(|window| window.contains(hour));
        inside && hour <= Hour::now() && self.parts > 0 && !self.empty_hours.contains(&hour)
    }

    /// The hour's files are numbered 0 up to this.
    pub fn parts_of(&self, hour: Hour) -> u32 {
        if !self.has_data(hour) {
            return 0;
        }
        self.changes.get(&hour).and_then(|change| change.parts).unwrap_or(self.parts)
    }

    /// Events in one file.
    pub fn events_of(&self, hour: Hour, part: u32) -> u64 {
        self.rows(hour, part).count() as u64
    }

    /// The rows of one file.
    fn rows(&self, hour: Hour, part: u32) -> Box<dyn Iterator<Item = RowId> + '_> {
        if part >= self.parts_of(hour) {
            return Box::new(iter::empty());
        }
        let Some(change) = self.changes.get(&hour) else { return Box::new(self.first_rows(hour, part)) };
        let came = (0..self.parts).flat_map(move |part| self.first_rows(hour, part).map(move |row| (part, row)));
        let added = (0..change.added).map(|index| (self.parts - 1, RowId { part: u32::MAX, index, of: change.added }));
        let all = came.skip(usize::try_from(change.removed).unwrap_or(usize::MAX)).chain(added);
        match change.parts {
            Some(parts) => Box::new((0..).zip(all).filter_map(move |(n, (_, row))| (n % parts == part).then_some(row))),
            None => Box::new(all.filter_map(move |(home, row)| (home == part).then_some(row))),
        }
    }

    /// The rows of one file as the hour was first exported.
    fn first_rows(&self, hour: Hour, part: u32) -> impl Iterator<Item = RowId> + use<> {
        let of = match (self.special.get(&(hour, part)), self.volume) {
            (Some(events), _) => *events,
            (None, Volume::PerPart(events)) => events,
            (None, Volume::PerDay(events)) => {
                let (h, parts) = (hour.hour_of_day() as usize, u64::from(self.parts));
                let before: u64 = CURVE[..h].iter().sum();
                // Cumulative, so that the day's sum is exact whatever the rounding.
                let upto = |n: u64| events * (before * parts + CURVE[h] * n) / (1000 * parts);
                upto(u64::from(part) + 1) - upto(u64::from(part))
            }
        };
        (0..of).map(move |index| RowId { part, index, of })
    }

    /// Events in all of the window's files.
    pub fn events_in(&self, window: Window) -> u64 {
        self.files_in(window).map(|(hour, part)| self.events_of(hour, part)).sum()
    }

    /// The archive member's name: `100011471_2025-11-06_9#0.json.gz`. The hour isn't padded, as Amplitude has it.
    pub fn member_name(&self, hour: Hour, part: u32) -> String {
        format!("{}_{}_{}#{}.json.gz", self.project, hour.date(), hour.hour_of_day(), part)
    }

    /// Hour and part of every file in the window.
    pub fn files_in(&self, window: Window) -> impl Iterator<Item = (Hour, u32)> {
        window.hours().flat_map(|hour| (0..self.parts_of(hour)).map(move |part| (hour, part)))
    }

    /// What the window's files must be once extracted, in the order of hours and parts.
    pub fn expected_files(&self, window: Window) -> Vec<ExpectedFile> {
        self.files_in(window).map(|(hour, part)| self.expected_file(hour, part)).collect()
    }

    /// What one file must be once extracted.
    pub fn expected_file(&self, hour: Hour, part: u32) -> ExpectedFile {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&(hour, part)).cloned();
        known.unwrap_or_else(|| {
            // A sink takes everything, so there is no error to lose.
            self.write_part(hour, part, &mut io::sink()).unwrap_or_else(|_| ExpectedFile {
                name: String::new(),
                bytes: 0,
                lines: 0,
                sha256: String::new(),
            })
        })
    }

    /// The JSON of one file.
    pub fn bytes_of(&self, hour: Hour, part: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A Vec takes everything.
        let _ = self.write_part(hour, part, &mut bytes);
        bytes
    }

    /// Writes the JSON of one file, and says what was written.
    pub fn write_part(&self, hour: Hour, part: u32, out: &mut dyn Write) -> io::Result<ExpectedFile> {
        let (mut digest, mut bytes, mut lines) = (Sha256::new(), 0, 0);
        let mut buffer = String::with_capacity(70 * 1024);
        let mut rows = self.rows(hour, part).peekable();
        while let Some(row) = rows.next() {
            row::write(&mut buffer, [self.seed, self.project], hour, row);
            lines += 1;
            let last = rows.peek().is_none();
            if last && !self.last_newline {
                buffer.pop();
            }
            if last || buffer.len() > 64 * 1024 {
                digest.update(&buffer);
                bytes += buffer.len() as u64;
                out.write_all(buffer.as_bytes())?;
                buffer.clear();
            }
        }
        let name = self.member_name(hour, part).trim_end_matches(".gz").to_owned();
        let file = ExpectedFile { name, bytes, lines, sha256: crate::http::hex(&digest.finalize()) };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert((hour, part), file.clone());
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(text: &str) -> Hour {
        text.parse().unwrap()
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let h = hour("2025-11-06T09");
        let bytes = Dataset::new(1).bytes_of(h, 0);
        assert_eq!(bytes, Dataset::new(1).bytes_of(h, 0));
        assert_ne!(bytes, Dataset::new(2).bytes_of(h, 0));
        assert_ne!(bytes, Dataset::new(1).bytes_of(h, 1));
    }

    #[test]
    fn an_hour_cut_anew_has_the_same_rows_in_other_files() {
        let h = hour("2025-11-06T09");
        let lines = |data: &Dataset| {
            let files = (0..data.parts_of(h)).map(|part| String::from_utf8(data.bytes_of(h, part)).unwrap());
            files.flat_map(|file| file.lines().map(str::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        let data = Dataset::new(1).events_per_part(5);
        let recut = data.clone().recut(h, 3);
        assert_eq!((recut.parts_of(h), recut.events_of(h, 0), recut.events_of(h, 1)), (3, 4, 3));
        assert_eq!(recut.events_of(hour("2025-11-06T08"), 0), 5);
        let (before, mut after) = (lines(&data), lines(&recut));
        assert_ne!(before, after);
        after.sort();
        assert_eq!(
            {
                let mut sorted = before.clone();
                sorted.sort();
                sorted
            },
            after
        );

        let fewer = lines(&data.clone().remove_rows(h, 6));
        assert_eq!(fewer, before[6..]);
        let more = lines(&data.clone().add_rows(h, 2));
        assert_eq!((&more[..10], more.len()), (&before[..], 12));
        assert_eq!(lines(&data.remove_rows(h, 10)), [""; 0]);
    }

    #[test]
    fn a_days_events_add_up_exactly() {
        let day: Window = "2025-11-06".parse().unwrap();
        assert_eq!(CURVE.iter().sum::<u64>(), 1000);
        for events in [0, 1, 48, 100_003] {
            assert_eq!(Dataset::new(1).parts_per_hour(3).events_per_day(events).events_in(day), events);
        }
    }

    #[test]
    fn names_have_unpadded_hours_and_empty_hours_have_no_files() {
        let data = Dataset::new(1).without_hour(hour("2025-11-06T04")).last_newline(false);
        let files = data.expected_files("2025-11-06".parse().unwrap());
        assert_eq!(files.len(), 46);
        assert_eq!(data.member_name(hour("2025-11-06T09"), 0), "100011471_2025-11-06_9#0.json.gz");
        assert_eq!(files[0].name, "100011471_2025-11-06_0#0.json");
        assert!(!data.bytes_of(hour("2025-11-06T09"), 0).ends_with(b"\n"));
        assert_eq!(files[0].lines, 100);
    }
}
