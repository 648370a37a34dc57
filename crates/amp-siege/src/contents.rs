//! Where files are, and whether they are what they should be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use amp_sandbox::s3::S3Server;
use chrono::NaiveDate;
use serde_json::Value;

use crate::lab::BUCKET;

/// Below it manifests are put.
pub(crate) const MANIFESTS: &str = "_manifests/";

/// Every file that there must be, with its bytes.
pub(crate) type Expected = BTreeMap<String, Vec<u8>>;

/// What is wrong.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) lost_events: u64,
    pub(crate) wrong_files: u64,
    pub(crate) details: Vec<String>,
}

impl Findings {
    pub(crate) fn is_empty(&self) -> bool {
        self.details.is_empty()
    }

    pub(crate) fn wrong(&mut self, detail: String) {
        self.wrong_files += 1;
        self.details.push(detail);
    }

    pub(crate) fn lost(&mut self, bytes: &[u8], detail: String) {
        self.lost_events += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.details.push(detail);
    }
}

/// Where things are.
pub(crate) struct Contents<'a> {
    /// The folder in which the programs run.
    pub(crate) folder: &'a Path,
    pub(crate) s3: &'a S3Server,
    pub(crate) expected: &'a Expected,
}

impl Contents<'_> {
    /// Names of the staged files, each of which must be whole.
    pub(crate) fn staged(&self, findings: &mut Findings) -> io::Result<BTreeSet<String>> {
        let folder = self.folder.join("extracted_data");
        let mut staged = BTreeSet::new();
        for name in names(&folder)?.into_iter().filter(|name| name != ".amp") {
            let found = fs::read(folder.join(&name))?;
            if let Some(difference) = self.difference(&name, &found) {
                findings.wrong(format!("extracted_data/{name}: {difference}"));
            }
            staged.insert(name);
        }
        Ok(staged)
    }

    /// Keys of the objects, each of which must be whole; those of manifests and state begin with an underscore and are passed over.
    pub(crate) fn objects(&self, findings: &mut Findings) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        for object in self.s3.objects(BUCKET).into_iter().filter(|object| !object.key.starts_with('_')) {
            let found = fs::read(&object.path).unwrap_or_default();
            if let Some(difference) = self.difference(&object.key, &found) {
                findings.wrong(format!("object {}: {difference}", object.key));
            }
            keys.insert(object.key);
        }
        keys
    }

    /// Even if the server lied: what is no longer staged is in the bucket, byte for byte.
    pub(crate) fn nothing_gone(&self) -> io::Result<Findings> {
        let mut findings = Findings::default();
        let staged = self.staged(&mut findings)?;
        for (name, bytes) in self.expected.iter().filter(|(name, _)| !staged.contains(*name)) {
            match self.s3.object_bytes(BUCKET, name) {
                None => findings.lost(bytes, format!("{name}: neither staged nor in the bucket")),
                Some(found) if found != *bytes => {
                    findings.wrong(format!("{name}: no longer staged, and the bucket has other bytes"));
                }
                Some(_) => {}
            }
        }
        Ok(findings)
    }

    fn difference(&self, name: &str, found: &[u8]) -> Option<String> {
        let Some(right) = self.expected.get(name) else { return Some("no such file was ever exported".to_owned()) };
        if found.len() != right.len() {
            return Some(format!("{} bytes instead of {}", found.len(), right.len()));
        }
        let at = found.iter().zip(right).position(|(a, b)| a != b)?;
        Some(format!("byte {at} is another"))
    }
}

/// What is wrong with the manifest of a day, which has to list these keys.
pub(crate) fn wrong_manifest(s3: &S3Server, day: NaiveDate, right: &BTreeSet<String>) -> Option<String> {
    let Some(bytes) = s3.object_bytes(BUCKET, &format!("{MANIFESTS}{day}.json")) else {
        return Some(format!("{day} has no manifest"));
    };
    let manifest: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let files = manifest["files"].as_array().into_iter().flatten();
    let listed: BTreeSet<String> = files.filter_map(|file| Some(file["key"].as_str()?.to_owned())).collect();
    let differing: Vec<_> = listed.symmetric_difference(right).take(3).collect();
    (!differing.is_empty()).then(|| {
        format!("the manifest of {day} lists {} files instead of {}: {differing:?} …", listed.len(), right.len())
    })
}

/// Names in a folder; one that is missing holds none.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
    }
}
