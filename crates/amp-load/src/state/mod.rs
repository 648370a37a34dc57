//! The ledger in the bucket, so that it outlives the machine. `prefix` names the objects, `content` says what they hold, `journal` keeps which of
//! them say nothing new, `put` writes them, `fetch` reads them and `restore` merges them.
//!
//! An object is written once, under a key of its machine and its bytes, and holds all that the machine knows of a day; once it is confirmed,
//! the objects whose every line it holds are deleted. So no machine overwrites another's, and merging is a union of lines.

mod content;
mod fetch;
mod journal;
mod prefix;
mod put;
mod restore;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::Path;

use amp_core::checksum::{Digest, Digester};
use amp_core::disk::{DiskContext, DiskError};
use amp_core::ledger::{Ledger, LedgerPositions, LineSet, Owner, Owners, Partition, SourceId, SourceRecord, done_days};
use amp_core::stage::Staging;
use chrono::NaiveDate;

use self::content::{DayContent, DoneClaim, SummaryContent};
pub(crate) use self::fetch::{Reader, RestoreError, Scope};
use self::journal::{Known, Place, StateJournal};
pub use self::prefix::StatePrefix;
use self::prefix::{Subject, crc_of};
pub use self::put::PutCounts;
pub use self::restore::RestoreCounts;
use crate::manifest::ManifestJournal;

/// The state of one directory in one bucket, for the holder of amp-load's lock.
pub(crate) struct State {
    staging: Staging,
    ledger: Ledger,
    prefix: StatePrefix,
    machine: String,
    journal: StateJournal,
}

impl State {
    /// The state of the directory `root` below `prefix` of a bucket. Gives the machine an id where it has none.
    ///
    /// # Errors
    /// When the id or the journal cannot be read or written.
    pub(crate) fn open(
        root: &Path,
        prefix: &StatePrefix,
        bucket: &str,
        endpoint: Option<String>,
    ) -> Result<Self, DiskError> {
        let staging = Staging::existing(root);
        let place = Place { bucket: bucket.to_owned(), endpoint, prefix: prefix.as_str().to_owned() };
        Ok(Self {
            ledger: Ledger::at(&staging.state_dir()),
            prefix: prefix.clone(),
            machine: machine(&staging.state_dir().join("machine"))?,
            journal: StateJournal::open(&staging, place)?,
            staging,
        })
    }

    /// What days' objects say besides the lines of their partition.
    fn surroundings(&self) -> Result<Surroundings, DiskError> {
        let manifests = ManifestJournal::open(&self.staging)?.lines();
        Ok(Surroundings { manifests, sources: Owners::records(&self.ledger)? })
    }

    /// What is known here of a partition, and what the journal is to say of it; `objects` are those of which every line is here.
    fn read(
        &self,
        partition: Partition,
        around: &Surroundings,
        objects: Vec<String>,
    ) -> Result<(Vec<u8>, Known), DiskError> {
        // Before the lines: what is added meanwhile is looked at by the next run.
        let positions = self.ledger.positions(partition)?;
        let lines = self.ledger.lines(partition)?;
        let sources = lines.sources();
        let manifests = around.manifests_of(partition);
        let manifest = digest_of_lines(&manifests);
        let known = |source: &SourceId| Some((source.clone(), around.sources.get(source)?.clone()));
        let content = DayContent { sources: sources.iter().filter_map(known).collect(), lines, manifests };
        let bytes = content.to_bytes();
        let crc = crc_of(Digester::digest_of(&bytes));
        Ok((bytes, Known { crc, objects, positions, manifest, sources }))
    }

    /// What is known here besides days. A day is said to be done where amp-extract found it to be, for all who requested any of its hours.
    fn summary(&self) -> Result<SummaryContent, DiskError> {
        let owners = Owners::read(&self.ledger)?;
        let mut done: HashMap<NaiveDate, HashMap<Owner, LedgerPositions>> = HashMap::new();
        done_days(&self.staging.state_dir(), |line| {
            done.entry(line.day).or_default().insert(line.owner, line.positions);
        })?;
        let claim = |(subject, known): (Subject, &Known)| {
            let Subject::Lines(Partition::Day(day)) = subject else { return None };
            let found = done.get(&day)?.iter().filter(|(_, positions)| **positions == known.positions);
            let found: BTreeSet<Owner> = found.map(|(owner, _)| owner.clone()).collect();
            let all = !found.is_empty() && known.sources.iter().all(|source| found.contains(&owners.owner_of(source)));
            all.then(|| DoneClaim { day, crc: known.crc.clone(), owners: found })
        };
        let done = self.journal.partitions().filter_map(claim).collect();
        Ok(SummaryContent { sources: Owners::records(&self.ledger)?, done })
    }
}

/// What the ledger knows besides hours and loads.
struct Surroundings {
    /// The newest records of the manifests of each day.
    manifests: BTreeMap<NaiveDate, LineSet>,
    sources: BTreeMap<SourceId, SourceRecord>,
}

impl Surroundings {
    fn manifests_of(&self, partition: Partition) -> LineSet {
        match partition {
            Partition::Day(day) => self.manifests.get(&day).cloned().unwrap_or_default(),
            Partition::Undated => LineSet::default(),
        }
    }
}

fn digest_of_lines(lines: &LineSet) -> Digest {
    let mut digester = Digester::default();
    lines.portable().for_each(|line| digester.update(line.as_bytes()));
    digester.digest()
}

/// The id of this machine, or rather of this directory: sixteen hexadecimal digits, drawn once.
fn machine(path: &Path) -> Result<String, DiskError> {
    let known = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        known => known.context("read", path)?,
    };
    let id = known.trim();
    if id.len() == 16 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(id.to_owned());
    }
    let id = format!("{:016x}", fastrand::u64(..));
    amp_core::jsonl::replace(path, format!("{id}\n").as_bytes())?;
    Ok(id)
}
