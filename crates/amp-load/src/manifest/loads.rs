//! Which objects hold what, by the load records.

use std::collections::HashMap;

use amp_core::ledger::{LoadRecord, ObjectRef};

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

pub(super) fn object_url(load: &LoadRecord) -> String {
    let at = load.endpoint.as_ref().map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
    format!("s3://{}/{}{at}", load.bucket, load.key)
}

/// The loads of some partitions, added in the order of their records.
#[derive(Debug, Default)]
pub struct LoadIndex {
    newest: HashMap<String, LoadRecord>,
    writers: HashMap<ObjectRef, String>,
}

impl LoadIndex {
    /// Adds a record.
    pub fn add(&mut self, record: LoadRecord) {
        self.writers.insert(record.object(), record.file.clone());
        self.newest.insert(record.file.clone(), record);
    }

    /// The newest load of a file, wherever it went.
    pub(super) fn newest(&self, file: &str) -> Option<&LoadRecord> {
        self.newest.get(file)
    }

    /// Which file the object of that load was last written from.
    pub(super) fn last_writer(&self, load: &LoadRecord) -> Option<&str> {
        self.writers.get(&load.object()).map(String::as_str)
    }

    /// Which file was loaded as the object of that key.
    pub(super) fn writer_of(&self, to: &Destination, key: &str) -> Option<&str> {
        self.writers.get(&to.object(key)).map(String::as_str)
    }
}
