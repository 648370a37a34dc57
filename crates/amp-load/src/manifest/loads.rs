//! Which objects hold the files of a day, by the load records.

use std::collections::{BTreeMap, BTreeSet};

use amp_core::checksum::Digest;
use amp_core::disk::DiskError;
use amp_core::ledger::{Ledger, LinePosition, LoadLine, LoadReader, LoadRecord, ObjectRef, Partition, PublishedFile};
use serde::ser::{Error, SerializeSeq};
use serde::{Serialize, Serializer};

use super::{CompleteDay, Incomplete, ManifestFile};
use crate::key::KeyTemplate;

/// Where a run loads to.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The bucket.
    pub bucket: String,
    /// The endpoint as records name it.
    pub endpoint: Option<String>,
    /// The keys of files.
    pub keys: KeyTemplate,
}

impl Destination {
    /// The object of that key.
    pub(super) fn object(&self, key: &str) -> ObjectRef {
        ObjectRef { bucket: self.bucket.clone(), endpoint: self.endpoint.clone(), key: key.to_owned() }
    }

    /// Whether that object lies in this run's bucket.
    pub fn has(&self, load: &LoadRecord) -> bool {
        load.bucket == self.bucket && load.endpoint == self.endpoint
    }
}

fn object_url(load: &LoadRecord) -> String {
    let at = load.endpoint.as_ref().map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
    format!("s3://{}/{}{at}", load.bucket, load.key)
}

/// The files of a complete day, in the order of their keys, and their loads as far as they were added, in the order of their records.
#[derive(Debug)]
pub struct Listing<'a> {
    pub(super) day: CompleteDay,
    pub(super) to: &'a Destination,
    /// The key of the manifest.
    key: &'a str,
    /// Which file was loaded under that key.
    pub(super) taken_by: Option<String>,
    pub(super) files: Vec<ListedFile>,
}

/// A file of the day. There may be a hundred thousand: of its load, what decides is kept, and where the rest is.
#[derive(Debug)]
pub(super) struct ListedFile {
    key: Box<str>,
    pub(super) file: PublishedFile,
    pub(super) load: Option<Load>,
    /// Which other file was loaded under its key since.
    overwritten_by: Option<Box<str>>,
}

/// The newest load of a file, wherever it went.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// None of one that is planned.
    record: Option<LinePosition>,
    pub(super) bytes: u64,
    content: Content,
    /// Whether it went where this run loads the file.
    is_here: bool,
}

/// What was loaded, by what was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Same,
    /// Other bytes, which the operator accepted.
    Accepted,
    Other,
}

impl ListedFile {
    /// How many events the object holds; unknown where it is not what was unpacked.
    pub(super) fn lines(&self) -> Option<u64> {
        self.is_same().then_some(self.file.lines)
    }

    pub(super) fn is_same(&self) -> bool {
        self.load.is_some_and(|load| load.content == Content::Same)
    }
}

impl<'a> Listing<'a> {
    /// The files of the day and the keys under which they are loaded to that destination.
    ///
    /// # Errors
    /// Which file has no key, so that it cannot be loaded.
    pub fn of(mut day: CompleteDay, to: &'a Destination, manifest_key: &'a str) -> Result<Self, Incomplete> {
        let mut files = Vec::with_capacity(day.files.len());
        for file in std::mem::take(&mut day.files) {
            let key = to.keys.key(&file.name).map_err(|_| Incomplete::Unloaded(file.name.clone()))?;
            files.push(ListedFile { key: key.into_boxed_str(), file, load: None, overwritten_by: None });
        }
        files.sort_unstable_by(|a, b| (&a.key, &a.file.name).cmp(&(&b.key, &b.file.name)));
        Ok(Self { day, to, key: manifest_key, taken_by: None, files })
    }

    /// Where the load records of its files are: a file may carry another day in its name, or none.
    pub fn partitions(&self) -> BTreeSet<Partition> {
        self.files.iter().map(|listed| Partition::of_file(&listed.file.name)).collect()
    }

    /// Adds the loads of a partition.
    ///
    /// # Errors
    /// When a file of the ledger cannot be read; a damaged line is no error.
    pub fn read(&mut self, ledger: &Ledger, partition: Partition) -> Result<(), DiskError> {
        ledger.read_loads(partition, |line, position| match line {
            LoadLine::Loaded(record) => self.add(&record, Some(position)),
            LoadLine::Lost(lost) => {
                if self.taken_by.as_ref() == Some(&lost.file) && lost.key == self.key && lost.bucket == self.to.bucket {
                    self.taken_by = None;
                }
                self.listed(&lost.file).into_iter().for_each(|listed| listed.load = None);
            }
        })
    }

    /// Adds a load that is only planned, where this run loads the file.
    pub fn plan(&mut self, record: &LoadRecord) {
        self.add(record, None);
    }

    /// Whether a load of it is only planned.
    pub fn is_planned(&self) -> bool {
        self.files.iter().any(|listed| listed.load.is_some_and(|load| load.record.is_none()))
    }

    fn add(&mut self, record: &LoadRecord, position: Option<LinePosition>) {
        let is_in_bucket = self.to.has(record);
        if is_in_bucket {
            if record.key == self.key {
                self.taken_by = Some(record.file.clone());
            }
            for listed in self.with_key(&record.key) {
                listed.overwritten_by = (listed.file.name != record.file).then(|| record.file.as_str().into());
            }
        }
        let Some(listed) = self.listed(&record.file) else { return };
        let unpacked: Digest = listed.file.digest;
        let content = match record.digest == unpacked {
            true => Content::Same,
            false if record.in_place_of.contains(&unpacked) => Content::Accepted,
            false => Content::Other,
        };
        let is_here = is_in_bucket && *listed.key == record.key;
        listed.load = Some(Load { record: position, bytes: record.digest.bytes, content, is_here });
    }

    fn with_key(&mut self, key: &str) -> impl Iterator<Item = &mut ListedFile> {
        let first = self.files.partition_point(|listed| &*listed.key < key);
        self.files[first..].iter_mut().take_while(move |listed| &*listed.key == key)
    }

    fn listed(&mut self, file: &str) -> Option<&mut ListedFile> {
        let key = self.to.keys.key(file).ok()?;
        self.with_key(&key).find(|listed| listed.file.name == file)
    }

    /// Which file is not confirmed where this run loads it.
    ///
    /// # Errors
    /// When its record cannot be read.
    pub fn lacks(&self, ledger: &Ledger) -> Result<Option<Incomplete>, DiskError> {
        for ListedFile { file, load, overwritten_by, .. } in &self.files {
            let name = || file.name.clone();
            let Some(load) = load.filter(|load| load.content != Content::Other) else {
                return Ok(Some(Incomplete::Unloaded(name())));
            };
            if let (false, Some(position)) = (load.is_here, load.record) {
                let record = ledger.load_reader(Partition::of_file(&file.name))?.read(position)?;
                return Ok(Some(Incomplete::Elsewhere { file: name(), location: object_url(&record) }));
            }
            if let Some(by) = overwritten_by {
                return Ok(Some(Incomplete::Overwritten { file: name(), by: by.to_string() }));
            }
        }
        Ok(None)
    }

    /// Opens the records of its files, to list them.
    ///
    /// # Errors
    /// When they cannot be opened.
    pub(super) fn records<'b>(&'b self, ledger: &Ledger) -> Result<ListedRecords<'b>, DiskError> {
        let readers = self.partitions().into_iter().map(|partition| Ok((partition, ledger.load_reader(partition)?)));
        Ok(ListedRecords { files: &self.files, readers: readers.collect::<Result<_, DiskError>>()? })
    }
}

/// The files as a manifest lists them, each read again from its load record as it is written.
#[derive(Debug)]
pub(super) struct ListedRecords<'a> {
    files: &'a [ListedFile],
    readers: BTreeMap<Partition, LoadReader>,
}

impl Serialize for ListedRecords<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.files.len()))?;
        for listed in self.files {
            let reader = self.readers.get(&Partition::of_file(&listed.file.name));
            let position = listed.load.and_then(|load| load.record);
            let (reader, position) =
                reader.zip(position).ok_or_else(|| S::Error::custom(format!("{} has no load", listed.file.name)))?;
            let record = reader.read(position).map_err(S::Error::custom)?;
            if record.file != listed.file.name {
                return Err(S::Error::custom(format!(
                    "the load records of {} were replaced meanwhile",
                    listed.file.name
                )));
            }
            list.serialize_element(&ManifestFile::of(record, listed.lines()))?;
        }
        list.end()
    }
}
