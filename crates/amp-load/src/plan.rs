//! Which file becomes which object.

use std::collections::HashMap;

use amp_core::disk::DiskError;
use amp_core::ledger::{Ledger, WrittenObject};
use amp_core::stage::Scan;
use serde::Serialize;

use crate::key::{KeyError, KeyTemplate};

/// A file and the key it is to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedUpload {
    /// The file's name.
    pub file: String,
    /// Its object's key.
    pub key: String,
}

/// What a run is to upload.
#[derive(Debug, Default)]
pub struct Plan {
    /// The uploads, by file name.
    pub uploads: Vec<PlannedUpload>,
    /// Files that are not to be uploaded, and why.
    pub refused: Vec<(PlannedUpload, Refusal)>,
}

/// Why a file is not to be uploaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It can have no key; that of its upload is empty.
    #[error(transparent)]
    Keyless(#[from] KeyError),
    /// Its key is another file's by the load records.
    #[error(
        "its key is that of `{0}`, which was loaded before and is not overwritten; use a key template that tells them apart, such as one \
         with {{file}}"
    )]
    KeyTaken(String),
}

/// Files that would overwrite each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} files have the same key as another, for example `{}` and `{}`, which would both be `{}`: nothing more is uploaded; use a key \
     template that tells them apart, such as one with {{file}}",
    .count, .example.0, .example.1, .key
)]
pub struct Collision {
    count: usize,
    example: (String, String),
    key: String,
}

impl Plan {
    /// Gives every file its key.
    ///
    /// # Errors
    /// When two files have the same.
    pub fn make(scan: Scan, keys: &KeyTemplate) -> Result<Self, Collision> {
        let mut plan = Self::default();
        for file in scan.files {
            match keys.key(&file) {
                Ok(key) => plan.uploads.push(PlannedUpload { file, key }),
                Err(error) => plan.refused.push((PlannedUpload { file, key: String::new() }, error.into())),
            }
        }
        plan.check()?;
        Ok(plan)
    }

    fn check(&self) -> Result<(), Collision> {
        let mut first: HashMap<&str, &str> = HashMap::with_capacity(self.uploads.len());
        let mut found: Option<Collision> = None;
        for PlannedUpload { file, key } in &self.uploads {
            let Some(other) = first.insert(key, file) else { continue };
            let example = || (other.to_owned(), file.clone());
            found.get_or_insert_with(|| Collision { count: 0, example: example(), key: key.clone() }).count += 1;
        }
        found.map_or(Ok(()), Err)
    }

    /// Refuses the files whose objects in `bucket` were last written from a file of another name, whatever the endpoint was called then. All load
    /// records are read: a key may come from the file of any day, and from a template of former times.
    ///
    /// # Errors
    /// When a load record cannot be read.
    pub fn refuse_taken(&mut self, ledger: &Ledger, bucket: &str) -> Result<(), DiskError> {
        if self.uploads.is_empty() {
            return Ok(());
        }
        let planned: HashMap<&str, &str> =
            self.uploads.iter().map(|PlannedUpload { file, key }| (key.as_str(), file.as_str())).collect();
        let mut writers: HashMap<String, WrittenObject> = HashMap::new();
        ledger.read_written(|written| {
            let is_wanted = written.bucket == bucket && planned.contains_key(written.key.as_str());
            if is_wanted && writers.get(&written.key).is_none_or(|known| known.time <= written.time) {
                writers.insert(written.key.clone(), written);
            }
        })?;
        for planned in std::mem::take(&mut self.uploads) {
            match writers.remove(&planned.key) {
                Some(written) if written.file != planned.file => {
                    self.refused.push((planned, Refusal::KeyTaken(written.file)));
                }
                _ => self.uploads.push(planned),
            }
        }
        Ok(())
    }

    /// The first file, if there is one, whose key `takes` takes.
    pub fn find_key(&self, takes: impl Fn(&str) -> bool) -> Option<&PlannedUpload> {
        self.uploads.iter().find(|planned| takes(&planned.key))
    }

    /// Leaves out the files that `wanted` does not want.
    pub fn retain(&mut self, mut wanted: impl FnMut(&str) -> bool) {
        self.uploads.retain(|planned| wanted(&planned.file));
        self.refused.retain(|(planned, _)| wanted(&planned.file));
    }

    /// How many files were found.
    pub fn found(&self) -> usize {
        self.uploads.len() + self.refused.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(template: &str, files: &[&str]) -> Result<Plan, Collision> {
        let files = files.iter().map(|file| (*file).to_owned()).collect();
        Plan::make(Scan { files, ignored: vec![] }, &KeyTemplate::parse("p/", template).unwrap())
    }

    #[test]
    fn a_file_without_a_key_does_not_stand_in_the_way_of_the_others() {
        let plan = plan("{hour}/{file}", &["1_2025-11-06_5#0.json", "x.json"]).unwrap();
        assert_eq!(plan.uploads[0].key, "p/05/1_2025-11-06_5#0.json");
        assert_eq!((plan.found(), plan.refused.len()), (2, 1));
    }

    #[test]
    fn files_that_would_overwrite_each_other_are_refused() {
        let error = plan("{hour}.{ext}", &["1_2025-11-05_5#0.json", "1_2025-11-06_5#0.json", "1_2025-11-07_5#0.json"]);
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("2 files") && text.contains("p/05.json"), "{text}");
    }
}
