//! The lines of the ledger as sets, so that what several machines wrote can be merged: in any order and any number of times, the result is the same.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::record::HourRecord;
use super::{Ledger, LoadLine, Partition, SourceId, files_in};
use crate::disk::{DiskContext, DiskError};
use crate::jsonl::replace;

/// Lines of one file of the ledger, ordered by their time and, where that is the same, by their text: of lines about the same thing the last
/// counts, so all machines must agree on an order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineSet {
    lines: BTreeMap<LineKey, String>,
    /// Damaged lines of this machine, which stay in its own file and go nowhere else.
    damaged: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct LineKey {
    time: DateTime<Utc>,
    /// The line without what means something on this machine alone.
    portable: String,
}

impl LineKey {
    /// `None` of a line that is not one of a ledger.
    fn of(mut line: Value) -> Option<Self> {
        let time = DateTime::parse_from_rfc3339(line.get("at")?.as_str()?).ok()?.to_utc();
        let fields = line.as_object_mut()?;
        // How far this machine's files had come.
        fields.remove("marks");
        // By what a file is known again on its file system; another machine digests the file instead.
        for file in fields.get_mut("files").and_then(Value::as_array_mut).into_iter().flatten() {
            let file = file.as_object_mut()?;
            file.remove("inode");
            file.remove("mtime");
        }
        Some(Self { time, portable: line.to_string() })
    }
}

impl LineSet {
    /// Takes in a line as it stands in a file; says whether it is one of a ledger. Of two that differ only in what means something on one
    /// machine alone, the first stays.
    pub fn insert(&mut self, line: &str) -> bool {
        let key = serde_json::from_str(line).ok().and_then(LineKey::of);
        key.map(|key| self.lines.entry(key).or_insert_with(|| line.to_owned())).is_some()
    }

    /// Takes in all lines of another set and returns how many were new.
    pub fn merge(&mut self, other: Self) -> usize {
        let before = self.lines.len();
        for (key, line) in other.lines {
            self.lines.entry(key).or_insert(line);
        }
        self.lines.len() - before
    }

    /// The lines as another machine may have them, in order.
    pub fn portable(&self) -> impl Iterator<Item = &str> {
        self.lines.keys().map(|key| key.portable.as_str())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn read(path: &Path) -> Result<Self, DiskError> {
        let mut set = Self::default();
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(set),
            bytes => bytes.context("read", path)?,
        };
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            if !str::from_utf8(line).is_ok_and(|line| set.insert(line)) {
                set.damaged.push(line.to_owned());
            }
        }
        Ok(set)
    }

    /// Damaged lines come first: what is said later counts.
    fn to_bytes(&self) -> Vec<u8> {
        let lines = self.damaged.iter().map(Vec::as_slice).chain(self.lines.values().map(String::as_bytes));
        lines.flat_map(|line| [line, b"\n"]).flatten().copied().collect()
    }
}

/// The lines of a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionLines {
    /// Those of `hours/`.
    pub hours: LineSet,
    /// Those of `loads/`.
    pub loads: LineSet,
}

impl PartitionLines {
    /// Takes in the lines of another machine and returns how many were new.
    pub fn merge(&mut self, other: Self) -> usize {
        self.hours.merge(other.hours) + self.loads.merge(other.loads)
    }

    /// Takes in a line of `hours/`, if this version can read it.
    pub fn insert_hours(&mut self, line: &str) -> bool {
        serde_json::from_str::<HourRecord>(line).is_ok() && self.hours.insert(line)
    }

    /// Takes in a line of `loads/`, if this version can read it.
    pub fn insert_loads(&mut self, line: &str) -> bool {
        LoadLine::parse(line.as_bytes()).is_some() && self.loads.insert(line)
    }

    /// The sources that requested any of the hours, sorted, each once.
    pub fn sources(&self) -> Vec<SourceId> {
        let source = |line: &str| match serde_json::from_str(line).ok()? {
            HourRecord::Asked { source, .. }
            | HourRecord::Fetched { source, .. }
            | HourRecord::Failed { source, .. }
            | HourRecord::Accepted { source, .. } => Some(source),
            HourRecord::Staging { .. } | HourRecord::Split { .. } => None,
        };
        let mut sources: Vec<_> = self.hours.portable().filter_map(source).collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }
}

impl Ledger {
    /// The partitions that have a file.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn partitions(&self) -> Result<Vec<Partition>, DiskError> {
        let named = |path: std::path::PathBuf| Partition::named(path.file_stem()?.to_str()?);
        let (hours, loads) = (files_in(&self.hours)?, files_in(&self.loads)?);
        let mut partitions: Vec<_> = hours.into_iter().chain(loads).filter_map(named).collect();
        partitions.sort_unstable();
        partitions.dedup();
        Ok(partitions)
    }

    /// The lines of a partition.
    ///
    /// # Errors
    /// When a file cannot be read; a damaged line is no error.
    pub fn lines(&self, partition: Partition) -> Result<PartitionLines, DiskError> {
        let name = partition.file_name();
        let (hours, loads) = (LineSet::read(&self.hours.join(&name))?, LineSet::read(&self.loads.join(&name))?);
        Ok(PartitionLines { hours, loads })
    }

    /// Merges lines of other machines into a partition, and returns what it holds then and how many lines were new. No line is lost, whenever
    /// the run is killed. For the holder of the locks of both programs.
    ///
    /// # Errors
    /// When a file cannot be read or replaced.
    pub fn merge(&self, partition: Partition, others: PartitionLines) -> Result<(PartitionLines, usize), DiskError> {
        let mut lines = self.lines(partition)?;
        let PartitionLines { hours, loads } = others;
        let mut added = 0;
        // Loads first: an hour whose loads are unknown is fetched again, but no load is of an hour that nobody requested.
        for (dir, own, others) in [(&self.loads, &mut lines.loads, loads), (&self.hours, &mut lines.hours, hours)] {
            let new = own.merge(others);
            if new > 0 {
                replace(&dir.join(partition.file_name()), &own.to_bytes())?;
            }
            added += new;
        }
        Ok((lines, added))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STAGED: &str = r#"{"kind":"staging","at":"2025-11-07T01:00:00Z","files":[{"name":"a.json","bytes":3,"crc64nvme":"rosUhgp5mIg=","lines":1,"inode":7,"mtime":8}]}"#;

    fn set(lines: &[String]) -> LineSet {
        let mut set = LineSet::default();
        assert!(lines.iter().all(|line| set.insert(line)));
        set
    }

    fn merged(mut a: LineSet, b: &LineSet) -> LineSet {
        a.merge(b.clone());
        a
    }

    #[test]
    fn what_means_something_on_one_machine_alone_stays_there() {
        let own = set(&[STAGED.to_owned()]);
        let away: Vec<String> = own.portable().map(str::to_owned).collect();
        assert!(
            away[0].contains("rosUhgp5mIg=") && !away[0].contains("inode") && !away[0].contains("mtime"),
            "{away:?}"
        );
        let mut back = own.clone();
        assert_eq!(back.merge(set(&away)), 0, "the same line came back");
        assert_eq!(back, own);
    }

    #[test]
    fn a_damaged_line_stays_in_its_file_and_goes_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(dir.path());
        let day = Partition::named("2025-11-06").unwrap();
        fs::create_dir(dir.path().join("hours")).unwrap();
        let path = dir.path().join("hours/2025-11-06.jsonl");
        fs::write(&path, format!("{STAGED}\n{{\"kind\":\"fet\n\n")).unwrap();
        assert_eq!(ledger.lines(day).unwrap().hours.portable().count(), 1);
        let other = STAGED.replace("01:00", "00:30");
        let mut others = PartitionLines::default();
        assert!(others.insert_hours(&other) && !others.insert_hours("{}") && !others.insert_loads(&other));
        let (lines, added) = ledger.merge(day, others.clone()).unwrap();
        assert_eq!((lines.hours.portable().count(), added), (2, 1));
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{{\"kind\":\"fet\n{other}\n{STAGED}\n"), "the earlier line stands first");
        assert_eq!(ledger.merge(day, others).unwrap().1, 0);
        assert_eq!(ledger.partitions().unwrap(), [day]);
    }

    prop_compose! {
        fn lines()(parts in proptest::collection::vec((0u32..4, 0u32..3, 0u64..3), 0..12)) -> LineSet {
            let line = |(second, text, inode): (u32, u32, u64)| format!(
                r#"{{"at":"2025-11-07T01:00:0{second}Z","text":{text},"files":[{{"name":"a","inode":{inode}}}]}}"#
            );
            set(&parts.into_iter().map(line).collect::<Vec<_>>())
        }
    }

    proptest! {
        #[test]
        fn merging_is_associative_commutative_and_idempotent(a in lines(), b in lines(), c in lines()) {
            let portable = |set: &LineSet| set.portable().map(str::to_owned).collect::<Vec<_>>();
            let left = merged(merged(a.clone(), &b), &c);
            let right = merged(a.clone(), &merged(b.clone(), &c));
            prop_assert_eq!(&left, &right);
            prop_assert_eq!(portable(&merged(a.clone(), &b)), portable(&merged(b.clone(), &a)));
            prop_assert_eq!(&merged(left.clone(), &b), &left);
            prop_assert!(portable(&a).iter().all(|line| portable(&left).contains(line)), "no line is lost");
        }
    }
}
