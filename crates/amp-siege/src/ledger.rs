//! The ledger as any reader of JSON lines sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;

/// What the ledger says of files, by name.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Files of hours that count as got.
    pub(crate) fetched: BTreeSet<String>,
    /// Objects of which S3 confirmed every byte: key by file.
    pub(crate) loaded: BTreeMap<String, String>,
    /// Lines that are no JSON.
    pub(crate) torn: u64,
}

impl Ledger {
    /// Reads the state directory; what is missing says nothing.
    pub(crate) fn read(state: &Path) -> io::Result<Self> {
        let mut ledger = Self::default();
        for line in ledger.lines(&state.join("hours"))? {
            if line["kind"] == "fetched" {
                let files = line["files"].as_array().into_iter().flatten();
                ledger.fetched.extend(files.filter_map(|file| Some(file["name"].as_str()?.to_owned())));
            }
        }
        for line in ledger.lines(&state.join("loads"))? {
            if let (Some(file), Some(key)) = (line["file"].as_str(), line["key"].as_str()) {
                ledger.loaded.insert(file.to_owned(), key.to_owned());
            }
        }
        Ok(ledger)
    }

    fn lines(&mut self, folder: &Path) -> io::Result<Vec<Value>> {
        let mut values = Vec::new();
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(values),
            entries => entries?,
        };
        for entry in entries {
            let bytes = fs::read(entry?.path())?;
            for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
                match serde_json::from_slice(line) {
                    Ok(value) => values.push(value),
                    Err(_) => self.torn += 1,
                }
            }
        }
        Ok(values)
    }
}
