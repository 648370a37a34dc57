//! What was asked of Amplitude, what came of it, and what S3 confirmed: JSON lines below `extracted_data/.amp/`.
//!
//! `hours/DAY.jsonl` is written by amp-extract alone, `loads/DAY.jsonl` by amp-load alone, so they need no lock between them. DAY is the
//! UTC day of the hours or of the file's name, or `undated`. Lines are only ever appended; a line cut short by a crash is passed over.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::checksum::Digest;
use crate::disk::{DiskContext, DiskError, create_private_dir, sync_dir};
use crate::hour::{Hour, parse_date};
use crate::name::EventFileName;
use crate::receipt::{Checksum, Proof};
use crate::secret::Secret;
use crate::stage::Staging;
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
    /// By what the same file is known again without reading it.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub identity: Option<FileIdentity>,
}

/// A file's identity on its file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    /// Its inode.
    pub inode: u64,
    /// When its bytes last changed, in nanoseconds since 1970.
    pub mtime: i64,
}

/// Whose hours they are: a short digest of the Export API's host and the API key. The same hour of another project, or asked with a wrong
/// key or region, is another hour.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceId(String);

impl SourceId {
    /// The source that `api_key` opens at `host`. The key cannot be had back from it.
    #[must_use]
    pub fn new(host: &str, api_key: &Secret) -> Self {
        let hash = Sha256::new().chain_update(host).chain_update([0]).chain_update(api_key.expose()).finalize();
        Self(hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect())
    }

    /// As it stands in the ledger: twelve hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A line of `hours/DAY.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl HourRecord {
    /// The window it is about; never more than a day of UTC in a sound record, for no request is.
    fn window(&self) -> Option<HourWindow> {
        match self {
            Self::Staging { .. } => None,
            Self::Asked { window, .. }
            | Self::Fetched { window, .. }
            | Self::Split { window, .. }
            | Self::Failed { window, .. } => Some(*window),
        }
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
    /// What was unpacked under the name, where other bytes were loaded in its place because the operator accepted them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_place_of: Vec<Digest>,
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
    #[must_use]
    pub fn of_file(name: &str) -> Self {
        EventFileName::parse(name).map_or(Self::Undated, |name| Self::Day(name.date()))
    }

    fn file_name(self) -> String {
        match self {
            Self::Day(day) => format!("{day}.jsonl"),
            Self::Undated => "undated.jsonl".to_owned(),
        }
    }
}

/// How far a file of the ledger had come. Lines are only appended: while the mark is the same, so is what the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerPosition {
    /// Its size in bytes.
    pub bytes: u64,
    /// When it last changed, in nanoseconds since 1970.
    pub mtime: i64,
}

/// How far a partition had come; a file that is missing has no mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerPositions {
    /// Of its hours.
    pub hours: Option<LedgerPosition>,
    /// Of its loads.
    pub loads: Option<LedgerPosition>,
}

/// The ledger of one `extracted_data/`.
#[derive(Debug, Clone)]
pub struct Ledger {
    hours: PathBuf,
    loads: PathBuf,
}

impl Ledger {
    /// The ledger of `staging`; nothing is read or made yet.
    #[must_use]
    pub fn of(staging: &Staging) -> Self {
        let state = staging.state_dir();
        Self { hours: state.join("hours"), loads: state.join("loads") }
    }

    /// Notes `record` and waits until it is on disk. It stands in the partition of `day`; files that belong to another day by their name
    /// are noted there too, so that they are found by it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn append(&self, day: NaiveDate, record: &HourRecord) -> Result<(), DiskError> {
        if let HourRecord::Staging { time, files } = record {
            let mut strays: BTreeMap<Partition, Vec<FileRecord>> = BTreeMap::new();
            for file in files {
                let partition = Partition::of_file(&file.name);
                if partition != Partition::Day(day) {
                    strays.entry(partition).or_default().push(file.clone());
                }
            }
            for (partition, files) in strays {
                append(&self.hours.join(partition.file_name()), &[HourRecord::Staging { time: *time, files }])?;
            }
        }
        append(&self.hours.join(Partition::Day(day).file_name()), std::slice::from_ref(record))
    }

    /// Notes files that S3 confirmed and waits until the notes are on disk.
    ///
    /// # Errors
    /// When the disk refuses; then nothing may be deleted.
    pub fn append_loads(&self, records: &[LoadRecord]) -> Result<(), DiskError> {
        let mut partitions: BTreeMap<Partition, Vec<&LoadRecord>> = BTreeMap::new();
        for record in records {
            partitions.entry(Partition::of_file(&record.file)).or_default().push(record);
        }
        partitions
            .into_iter()
            .try_for_each(|(partition, records)| append(&self.loads.join(partition.file_name()), &records))
    }

    /// Whether no hour was ever asked for.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn is_empty(&self) -> Result<bool, DiskError> {
        Ok(files_in(&self.hours)?.is_empty())
    }

    /// What is known of the hours and files of a partition.
    ///
    /// # Errors
    /// When the disk refuses; a damaged line is no error.
    pub fn hours(&self, partition: Partition) -> Result<HourIndex, DiskError> {
        let mut index = HourIndex::default();
        index.damaged = read_sound(&self.hours.join(partition.file_name()), |record: HourRecord| {
            let is_sound = record.window().is_none_or(|window| window.days().nth(1).is_none());
            if is_sound {
                index.apply(record);
            }
            is_sound
        })?;
        Ok(index)
    }

    /// The files of a partition that S3 confirmed, whichever the bucket.
    ///
    /// # Errors
    /// When the disk refuses; a damaged line is no error.
    pub fn loaded_digests(&self, partition: Partition) -> Result<HashSet<(String, Digest)>, DiskError> {
        let mut loaded = HashSet::new();
        read(&self.loads.join(partition.file_name()), |record: LoadRecord| {
            loaded.extend(record.in_place_of.into_iter().map(|digest| (record.file.clone(), digest)));
            loaded.insert((record.file, record.digest));
        })?;
        Ok(loaded)
    }

    /// The load records of a partition, oldest first.
    ///
    /// # Errors
    /// When the disk refuses; a damaged line is no error.
    pub fn load_records(&self, partition: Partition) -> Result<Vec<LoadRecord>, DiskError> {
        let mut records = Vec::new();
        read(&self.loads.join(partition.file_name()), |record| records.push(record))?;
        Ok(records)
    }

    /// The days of which hours are known, in order.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn days(&self) -> Result<Vec<NaiveDate>, DiskError> {
        let day = |path: PathBuf| parse_date(path.file_stem()?.to_str()?).ok();
        Ok(files_in(&self.hours)?.into_iter().filter_map(day).collect())
    }

    /// How far a partition has come, without reading it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn positions(&self, partition: Partition) -> Result<LedgerPositions, DiskError> {
        let name = partition.file_name();
        Ok(LedgerPositions { hours: position(&self.hours.join(&name))?, loads: position(&self.loads.join(&name))? })
    }

    /// The newest record of each object, of all partitions, among those that `wanted` takes.
    ///
    /// # Errors
    /// When the disk refuses; a damaged line is no error.
    pub fn latest_loads(&self, wanted: impl Fn(&LoadRecord) -> bool) -> Result<(Vec<LoadRecord>, u64), DiskError> {
        let mut newest: BTreeMap<(String, String), LoadRecord> = BTreeMap::new();
        let mut damaged = 0;
        for path in files_in(&self.loads)? {
            damaged += read(&path, |record: LoadRecord| {
                if wanted(&record) {
                    newest.insert((record.bucket.clone(), record.key.clone()), record);
                }
            })?;
        }
        Ok((newest.into_values().collect(), damaged))
    }
}

fn position(path: &Path) -> Result<Option<LedgerPosition>, DiskError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.context("look at", path).map(|found| {
            let mtime = found.mtime().saturating_mul(1_000_000_000).saturating_add(found.mtime_nsec());
            Some(LedgerPosition { bytes: found.len(), mtime })
        }),
    }
}

fn files_in(dir: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context("read", dir)?,
    };
    let mut paths =
        entries.map(|entry| entry.map(|entry| entry.path()).context("read", dir)).collect::<Result<Vec<_>, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.sort_unstable();
    Ok(paths)
}

/// Appends lines in one write and waits until they are on disk. A last line that a crash cut short is closed first, so that it spoils no other.
///
/// # Errors
/// When the disk refuses.
pub fn append<T: Serialize>(path: &Path, records: &[T]) -> Result<(), DiskError> {
    let mut lines = Vec::new();
    for record in records {
        serde_json::to_writer(&mut lines, record).map_err(io::Error::from).context("write", path)?;
        lines.push(b'\n');
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600);
    let opened = options.open(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            let dir = path.parent().unwrap_or(path);
            create_private_dir(dir).map_err(|error| error.source)?;
            let file = options.create(true).open(path)?;
            sync_dir(dir).map_err(|error| error.source)?;
            Ok(file)
        }
        _ => Err(error),
    });
    let mut file = opened.context("open", path)?;
    if ends_within_a_line(&mut file).context("read", path)? {
        lines.insert(0, b'\n');
    }
    file.write_all(&lines).and_then(|()| file.sync_data()).context("write", path)
}

fn ends_within_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Gives each record of a file to `take` and counts the lines that are none. A file that is missing has no records.
///
/// # Errors
/// When the disk refuses.
pub fn read<T: DeserializeOwned>(path: &Path, mut take: impl FnMut(T)) -> Result<u64, DiskError> {
    read_sound(path, |record| {
        take(record);
        true
    })
}

/// The same, where `take` says whether the record makes sense; one that does not is damage too.
fn read_sound<T: DeserializeOwned>(path: &Path, mut take: impl FnMut(T) -> bool) -> Result<u64, DiskError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        file => file.context("open", path)?,
    };
    let mut reader = BufReader::new(file);
    let (mut line, mut number, mut damaged) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        number += 1;
        if reader.read_until(b'\n', &mut line).context("read", path)? == 0 {
            break;
        }
        let is_sound = match serde_json::from_slice(&line) {
            Ok(record) => take(record),
            Err(_) => line.trim_ascii().is_empty(),
        };
        if !is_sound {
            damaged += 1;
            tracing::warn!("{}: line {number} is damaged and passed over", path.display());
        }
    }
    Ok(damaged)
}

/// The hour of the window that the file's name tells. Without one, the file may hold events of any of them.
fn hour_within(window: HourWindow, file: &FileRecord) -> Option<Hour> {
    EventFileName::parse(&file.name).map(|name| name.hour).filter(|hour| window.contains(*hour))
}

/// The hours of the window of which none of its files holds an event.
#[must_use]
pub fn hours_without_files(window: HourWindow, files: &[FileRecord]) -> Vec<Hour> {
    let named: Option<HashSet<Hour>> = files.iter().map(|file| hour_within(window, file)).collect();
    named.map_or_else(Vec::new, |named| window.hours().filter(|hour| !named.contains(hour)).collect())
}

/// What became of an hour when it was last asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HourState<'a> {
    /// No run asked for it.
    NeverAsked,
    /// A run asked, and ended without an answer.
    Unanswered,
    /// It was not got, for this reason.
    Failed(&'a str),
    /// It was got.
    Fetched {
        /// Whether Amplitude had it whole by then.
        settled: bool,
        /// The files it rests on; none means no data.
        files: &'a [FileRecord],
    },
}

/// What is known of the hours and files of a partition.
#[derive(Debug, Default)]
pub struct HourIndex {
    hours: HashMap<Hour, BTreeMap<SourceId, HourEntry>>,
    /// The names of the files of an hour when it was last got, whatever became of it since.
    last_fetched: HashMap<Hour, BTreeMap<SourceId, Vec<String>>>,
    digests: HashMap<String, Vec<FileRecord>>,
    last_asked: Option<SourceId>,
    splits: Vec<HourWindow>,
    damaged: u64,
}

#[derive(Debug)]
enum HourEntry {
    Unanswered,
    Failed(String),
    Fetched { settled: bool, files: Vec<FileRecord> },
}

impl HourEntry {
    fn state(&self) -> HourState<'_> {
        match self {
            Self::Unanswered => HourState::Unanswered,
            Self::Failed(error) => HourState::Failed(error),
            Self::Fetched { settled, files } => HourState::Fetched { settled: *settled, files },
        }
    }
}

impl HourIndex {
    fn apply(&mut self, record: HourRecord) {
        match record {
            HourRecord::Asked { window, source, .. } => {
                window.hours().for_each(|hour| self.set(hour, &source, HourEntry::Unanswered));
            }
            HourRecord::Failed { window, source, error, .. } => {
                window.hours().for_each(|hour| self.set(hour, &source, HourEntry::Failed(error.clone())));
            }
            HourRecord::Split { window, .. } => self.splits.push(window),
            HourRecord::Staging { files, .. } => {
                for file in files {
                    self.digests.entry(file.name.clone()).or_default().push(file);
                }
            }
            HourRecord::Fetched { window, source, unsettled, files, .. } => {
                let mut by_hour: HashMap<Hour, Vec<FileRecord>> = HashMap::new();
                for file in &files {
                    match hour_within(window, file) {
                        Some(hour) => by_hour.entry(hour).or_default().push(file.clone()),
                        None => window.hours().for_each(|hour| by_hour.entry(hour).or_default().push(file.clone())),
                    }
                }
                for hour in window.hours() {
                    let files = by_hour.remove(&hour).unwrap_or_default();
                    let names = files.iter().map(|file| file.name.clone()).collect();
                    self.last_fetched.entry(hour).or_default().insert(source.clone(), names);
                    self.set(hour, &source, HourEntry::Fetched { settled: !unsettled.contains(&hour), files });
                }
                // The files have their names now: what they replaced is gone.
                for file in files {
                    self.digests.insert(file.name.clone(), vec![file]);
                }
            }
        }
    }

    fn set(&mut self, hour: Hour, source: &SourceId, entry: HourEntry) {
        self.last_asked = Some(source.clone());
        self.hours.entry(hour).or_default().insert(source.clone(), entry);
    }

    /// What became of `hour` of `source`.
    #[must_use]
    pub fn state(&self, hour: Hour, source: &SourceId) -> HourState<'_> {
        self.hours.get(&hour).and_then(|sources| sources.get(source)).map_or(HourState::NeverAsked, HourEntry::state)
    }

    /// What became of `hour`, source by source.
    pub fn states(&self, hour: Hour) -> impl Iterator<Item = (&SourceId, HourState<'_>)> {
        self.hours.get(&hour).into_iter().flatten().map(|(source, entry)| (source, entry.state()))
    }

    /// The source that was asked last for any of the hours.
    #[must_use]
    pub fn last_asked(&self) -> Option<&SourceId> {
        self.last_asked.as_ref()
    }

    /// The names of the files of `hour` when it was last got, whatever became of it since.
    #[must_use]
    pub fn last_fetched(&self, hour: Hour, source: &SourceId) -> &[String] {
        self.last_fetched.get(&hour).and_then(|sources| sources.get(source)).map_or(&[], Vec::as_slice)
    }

    /// The digests that a staged file of that name may have: its own, and those of a publication that was under way when its run ended.
    /// Empty when amp-extract did not make it.
    #[must_use]
    pub fn digests(&self, name: &str) -> &[FileRecord] {
        self.digests.get(name).map_or(&[], Vec::as_slice)
    }

    /// Windows that had to be asked for in parts.
    #[must_use]
    pub fn splits(&self) -> &[HourWindow] {
        &self.splits
    }

    /// How many lines could not be read. What they said of some hour is lost, so that "never asked" is not certain.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::Algorithm;

    fn hour(text: &str) -> Hour {
        Hour::parse(text).unwrap()
    }

    fn window(start: &str, end: &str) -> HourWindow {
        HourWindow::new(hour(start), hour(end)).unwrap()
    }

    fn file(name: &str, bytes: u64) -> FileRecord {
        let digest = Digest { bytes, ..Digest::default() };
        FileRecord { name: name.into(), digest, lines: 1, identity: Some(FileIdentity { inode: 7, mtime: -1 }) }
    }

    fn source() -> SourceId {
        SourceId::new("amplitude.com", &Secret::new("key".into()))
    }

    fn time() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    fn fetched(window: HourWindow, unsettled: Vec<Hour>, files: Vec<FileRecord>) -> HourRecord {
        HourRecord::Fetched {
            time: time(),
            window,
            source: source(),
            requested_at: time(),
            unsettled,
            no_data: vec![],
            files,
        }
    }

    fn ledger() -> (tempfile::TempDir, Ledger, NaiveDate) {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::of(&Staging::open(dir.path()).unwrap());
        (dir, ledger, NaiveDate::from_ymd_opt(2025, 11, 6).unwrap())
    }

    fn names(files: &[FileRecord]) -> Vec<&str> {
        files.iter().map(|file| file.name.as_str()).collect()
    }

    #[test]
    fn an_hour_is_what_its_last_record_says() {
        let (_dir, ledger, day) = ledger();
        let all = window("2025-11-06T00", "2025-11-06T03");
        ledger.append(day, &HourRecord::Asked { time: time(), window: all, source: source() }).unwrap();
        let files = vec![file("1_2025-11-06_0#0.json", 1), file("odd.json", 2)];
        ledger
            .append(day, &fetched(window("2025-11-06T00", "2025-11-06T01"), vec![hour("2025-11-06T01")], files))
            .unwrap();
        let failed = window("2025-11-06T02", "2025-11-06T02");
        ledger
            .append(
                day,
                &HourRecord::Failed { time: time(), window: failed, source: source(), error: "HTTP 500".into() },
            )
            .unwrap();

        let index = ledger.hours(Partition::Day(day)).unwrap();
        let HourState::Fetched { settled: true, files } = index.state(hour("2025-11-06T00"), &source()) else {
            panic!()
        };
        assert_eq!(names(files), ["1_2025-11-06_0#0.json", "odd.json"]);
        let HourState::Fetched { settled: false, files } = index.state(hour("2025-11-06T01"), &source()) else {
            panic!()
        };
        assert_eq!(names(files), ["odd.json"]);
        assert_eq!(index.state(hour("2025-11-06T02"), &source()), HourState::Failed("HTTP 500"));
        assert_eq!(index.state(hour("2025-11-06T03"), &source()), HourState::Unanswered);
        assert_eq!(index.state(hour("2025-11-06T04"), &source()), HourState::NeverAsked);
    }

    #[test]
    fn an_hour_of_another_project_is_another_hour_and_its_key_is_not_told() {
        let (dir, ledger, day) = ledger();
        let one = window("2025-11-06T00", "2025-11-06T00");
        ledger.append(day, &fetched(one, vec![], vec![])).unwrap();
        let index = ledger.hours(Partition::Day(day)).unwrap();
        let other = SourceId::new("amplitude.com", &Secret::new("other key".into()));
        assert_eq!(index.state(one.start(), &other), HourState::NeverAsked);
        assert_eq!(index.states(one.start()).count(), 1);
        assert!(!fs::read_to_string(dir.path().join(".amp/hours/2025-11-06.jsonl")).unwrap().contains("key\""));
    }

    #[test]
    fn a_publication_under_way_leaves_both_digests_valid_and_its_end_one() {
        let (_dir, ledger, day) = ledger();
        let (old, new) = (file("1_2025-11-06_0#0.json", 1), file("1_2025-11-06_0#0.json", 2));
        let one = window("2025-11-06T00", "2025-11-06T00");
        let digests = || ledger.hours(Partition::Day(day)).unwrap().digests("1_2025-11-06_0#0.json").to_vec();
        ledger.append(day, &fetched(one, vec![], vec![old.clone()])).unwrap();
        ledger.append(day, &HourRecord::Staging { time: time(), files: vec![new.clone()] }).unwrap();
        assert_eq!(digests(), [old, new.clone()]);
        ledger.append(day, &fetched(one, vec![], vec![new.clone()])).unwrap();
        assert_eq!(digests(), [new]);
    }

    #[test]
    fn a_file_of_another_day_is_found_by_its_name() {
        let (_dir, ledger, day) = ledger();
        let strays = vec![file("1_2025-11-05_23#0.json", 1), file("odd.json", 2)];
        ledger.append(day, &HourRecord::Staging { time: time(), files: strays.clone() }).unwrap();
        for stray in strays {
            let index = ledger.hours(Partition::of_file(&stray.name)).unwrap();
            assert_eq!(index.digests(&stray.name), [stray]);
        }
    }

    #[test]
    fn a_torn_or_damaged_line_costs_itself_alone() {
        let (dir, ledger, day) = ledger();
        let path = dir.path().join(".amp/hours/2025-11-06.jsonl");
        let asked = |text| HourRecord::Asked { time: time(), window: window(text, text), source: source() };
        ledger.append(day, &asked("2025-11-06T00")).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(b"\xff\x00 not json\n\n{\"kind\":\"asked\",\"at\":\"2025-");
        fs::write(&path, bytes).unwrap();
        ledger.append(day, &asked("2025-11-06T01")).unwrap();
        let index = ledger.hours(Partition::Day(day)).unwrap();
        assert_eq!(index.damaged(), 2);
        assert_eq!(index.state(hour("2025-11-06T00"), &source()), HourState::Unanswered);
        assert_eq!(index.state(hour("2025-11-06T01"), &source()), HourState::Unanswered);
    }

    #[test]
    fn a_line_about_more_than_a_day_is_damaged() {
        let (_dir, ledger, day) = ledger();
        let over_midnight = window("2025-11-06T23", "2025-11-07T00");
        ledger.append(day, &HourRecord::Asked { time: time(), window: over_midnight, source: source() }).unwrap();
        let index = ledger.hours(Partition::Day(day)).unwrap();
        assert_eq!((index.damaged(), index.hours.len()), (1, 0));
    }

    #[test]
    fn a_line_about_ages_is_damaged_and_costs_no_memory() {
        let (_dir, ledger, day) = ledger();
        let ages = window("0001-01-01T00", "9999-12-31T23");
        ledger.append(day, &HourRecord::Asked { time: time(), window: ages, source: source() }).unwrap();
        let index = ledger.hours(Partition::Day(day)).unwrap();
        assert_eq!((index.damaged(), index.hours.len()), (1, 0));
    }

    #[test]
    fn a_window_that_leaves_its_day_is_damage() {
        let (dir, ledger, day) = ledger();
        let path = dir.path().join(".amp/hours/2025-11-06.jsonl");
        ledger
            .append(day, &fetched(window("2025-11-06T00", "2025-11-06T03"), vec![], vec![file("odd.json", 1)]))
            .unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for (whole, flipped) in [("\"end\":\"2", "\"end\":\"9"), ("\"start\":\"2", "\"start\":\"0")] {
            fs::write(&path, text.replacen(whole, flipped, 1)).unwrap();
            let index = ledger.hours(Partition::Day(day)).unwrap();
            assert_eq!(index.damaged(), 1);
            assert_eq!(index.state(hour("2025-11-06T00"), &source()), HourState::NeverAsked);
        }
    }

    #[test]
    fn days_are_those_with_hours_and_a_mark_moves_with_every_line() {
        let (dir, ledger, day) = ledger();
        assert_eq!(ledger.days().unwrap(), []);
        let nothing = ledger.positions(Partition::Day(day)).unwrap();
        assert_eq!(nothing, LedgerPositions { hours: None, loads: None });
        let one = window("2025-11-06T00", "2025-11-06T00");
        ledger.append(day, &fetched(one, vec![], vec![])).unwrap();
        ledger.append(day, &HourRecord::Staging { time: time(), files: vec![file("odd.json", 2)] }).unwrap();
        fs::write(dir.path().join(".amp/hours/notes.txt"), "x").unwrap();
        assert_eq!(ledger.days().unwrap(), [day], "what is undated or foreign is no day");
        let before = ledger.positions(Partition::Day(day)).unwrap();
        assert!(before.hours.is_some() && before.loads.is_none());
        ledger.append(day, &fetched(one, vec![], vec![])).unwrap();
        assert_ne!(ledger.positions(Partition::Day(day)).unwrap(), before);
    }

    #[test]
    fn loads_are_found_by_file_and_by_object() {
        let (_dir, ledger, day) = ledger();
        let load = |file: &str, bytes, seconds| LoadRecord {
            time: time() + chrono::TimeDelta::seconds(seconds),
            file: file.into(),
            digest: Digest { bytes, ..Digest::default() },
            bucket: "lake".into(),
            key: file.into(),
            endpoint: None,
            checksum: Checksum { algorithm: Algorithm::Crc64nvme, value: "AAAAAAAAAAA=".into() },
            proof: Proof::Checksum,
            in_place_of: vec![Digest { bytes: bytes + 100, ..Digest::default() }],
        };
        ledger.append_loads(&[load("1_2025-11-06_0#0.json", 1, 0), load("odd.json", 5, 1)]).unwrap();
        ledger.append_loads(&[load("1_2025-11-06_0#0.json", 2, 2)]).unwrap();
        let loaded = ledger.loaded_digests(Partition::Day(day)).unwrap();
        assert!(loaded.contains(&("1_2025-11-06_0#0.json".into(), Digest { bytes: 2, ..Digest::default() })));
        assert!(!loaded.contains(&("odd.json".into(), Digest { bytes: 5, ..Digest::default() })));
        let replaced = ("1_2025-11-06_0#0.json".into(), Digest { bytes: 102, ..Digest::default() });
        assert!(loaded.contains(&replaced), "the operator accepted other bytes in its place");
        let (all, damaged) = ledger.latest_loads(|_| true).unwrap();
        assert_eq!((all.len(), all[0].digest.bytes, damaged), (2, 2, 0));
        assert_eq!(
            ledger.latest_loads(|record| record.time > time() + chrono::TimeDelta::seconds(1)).unwrap().0.len(),
            1
        );
    }
}
