//! What must hold after every attack, and what after a run that nobody disturbed.

use std::collections::BTreeSet;
use std::io;

use crate::contents::{Contents, Findings, names};
use crate::lab::BUCKET;
use crate::ledger::Ledger;

/// What was seen so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch {
    staged: BTreeSet<String>,
    /// Lines of the ledger that a kill cut short.
    pub(crate) torn: u64,
}

impl Watch {
    /// After an attack: what has its final name is whole, and what was ever staged is staged or in the bucket, and known to be.
    pub(crate) fn after_attack(&mut self, contents: &Contents<'_>) -> io::Result<Findings> {
        let mut findings = Findings::default();
        let staged = contents.staged(&mut findings)?;
        let objects = contents.objects(&mut findings);
        let ledger = Ledger::read(&contents.folder.join("extracted_data/.amp"))?;
        self.torn = ledger.torn;
        self.staged.extend(staged.iter().cloned());
        for name in &self.staged {
            let bytes = contents.expected.get(name).map_or(&[][..], Vec::as_slice);
            if !staged.contains(name) && !objects.contains(name) {
                findings.lost(bytes, format!("{name}: was staged; now it is neither staged nor in the bucket"));
            }
            if !staged.contains(name) && !ledger.loaded.contains_key(name) {
                findings.details.push(format!("{name}: was staged and is gone, though the ledger has no load of it"));
            }
        }
        for name in ledger.fetched.iter().filter(|name| !self.staged.contains(*name)) {
            if !ledger.loaded.contains_key(name) {
                findings.details.push(format!("{name}: noted as fetched, but neither staged nor noted as loaded"));
            }
        }
        for (name, key) in ledger.loaded.iter().filter(|(_, key)| !objects.contains(*key)) {
            findings.details.push(format!("{name}: noted as loaded, but {key} is not in the bucket"));
        }
        Ok(findings)
    }

    /// After both programs were left to themselves: the bucket is the dataset, and nothing else is left anywhere.
    pub(crate) fn after_peace(&mut self, contents: &Contents<'_>) -> io::Result<Findings> {
        let mut findings = self.after_attack(contents)?;
        let objects: BTreeSet<String> = contents.s3.objects(BUCKET).into_iter().map(|object| object.key).collect();
        for (name, bytes) in contents.expected.iter().filter(|(name, _)| !objects.contains(*name)) {
            findings.lost(bytes, format!("{name}: not in the bucket"));
        }
        let ledger = Ledger::read(&contents.folder.join("extracted_data/.amp"))?;
        let is_known = |name: &String| ledger.fetched.contains(name) && ledger.loaded.contains_key(name);
        for name in contents.expected.keys().filter(|name| !is_known(name)) {
            findings.details.push(format!("{name}: the ledger does not know that it was fetched and loaded"));
        }
        for (key, id) in contents.s3.open_uploads(BUCKET) {
            findings.details.push(format!("{key}: multipart upload {id} is still open"));
        }
        for (folder, except) in
            [("extracted_data", ".amp"), ("extracted_data/.amp/partial", ""), ("downloaded_data", "")]
        {
            for name in names(&contents.folder.join(folder))?.into_iter().filter(|name| name != except) {
                findings.details.push(format!("{folder}/{name}: left behind"));
            }
        }
        Ok(findings)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use amp_sandbox::s3::{S3Config, S3Server};

    use super::*;
    use crate::contents::Expected;

    /// A folder and a bucket that are as they should be after an undisturbed run of three files, and what was seen of them staged.
    struct Stage {
        folder: tempfile::TempDir,
        s3: S3Server,
        expected: Expected,
        watch: Watch,
    }

    const STATE: &str = "extracted_data/.amp";

    impl Stage {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let s3 = S3Server::start(S3Config::new(BUCKET)).unwrap();
            let expected: Expected = ["a.json", "b.json", "c.json"]
                .map(|name| (name.to_owned(), format!("{{\"in\":\"{name}\"}}\n").into()))
                .into();
            for dir in ["extracted_data/.amp/partial", "extracted_data/.amp/hours", "extracted_data/.amp/loads"] {
                fs::create_dir_all(folder.path().join(dir)).unwrap();
            }
            let stage = Self { folder, s3, expected, watch: Watch::default() };
            let mut lines = String::new();
            for (name, bytes) in &stage.expected {
                stage.s3.put_object_directly(BUCKET, name, bytes).unwrap();
                lines.push_str(&format!("{{\"file\":\"{name}\",\"key\":\"{name}\"}}\n"));
            }
            stage.write(&format!("{STATE}/loads/undated.jsonl"), lines.as_bytes());
            let files: Vec<String> = stage.expected.keys().map(|name| format!("{{\"name\":\"{name}\"}}")).collect();
            let line = format!("{{\"kind\":\"fetched\",\"files\":[{}]}}\n", files.join(","));
            stage.write(&format!("{STATE}/hours/undated.jsonl"), line.as_bytes());
            stage
        }

        fn write(&self, path: &str, bytes: &[u8]) {
            fs::write(self.folder.path().join(path), bytes).unwrap();
        }

        fn found(&mut self, peace: bool) -> Findings {
            let mut watch = std::mem::take(&mut self.watch);
            let contents = Contents { folder: self.folder.path(), s3: &self.s3, expected: &self.expected };
            let findings = if peace { watch.after_peace(&contents) } else { watch.after_attack(&contents) }.unwrap();
            self.watch = watch;
            findings
        }

        /// What an attack must not leave.
        fn sees(&mut self, peace: bool, detail: &str) -> Findings {
            let findings = self.found(peace);
            assert!(findings.details.iter().any(|found| found.contains(detail)), "{detail}: {findings:?}");
            findings
        }
    }

    #[test]
    fn what_is_right_is_not_complained_about() {
        let mut stage = Stage::new();
        assert!(stage.found(false).is_empty() && stage.found(true).is_empty());
        // Staged again, noted as fetched, half unpacked: nothing of it is wrong after an attack.
        let bytes = stage.expected["a.json"].clone();
        stage.write("extracted_data/a.json", &bytes);
        stage.write("extracted_data/.amp/partial/1-0", b"{");
        stage.write(
            &format!("{STATE}/hours/x.jsonl"),
            b"{\"kind\":\"fetched\",\"files\":[{\"name\":\"a.json\"}]}\n{\"ki",
        );
        assert!(stage.found(false).is_empty());
        assert_eq!(stage.watch.torn, 1);
    }

    #[test]
    fn a_missing_event_a_wrong_byte_and_a_strange_file_are_seen_here_and_there() {
        for (bytes, what) in [
            (&b"{\"in\":\"a.json\"}"[..], "15 bytes instead of 16"),
            (b"{\"in\":\"b.json\"}\n", "byte 7 is another"),
            (b"", "0 bytes"),
        ] {
            let mut stage = Stage::new();
            stage.write("extracted_data/a.json", bytes);
            assert_eq!(stage.sees(false, &format!("extracted_data/a.json: {what}")).wrong_files, 1);
            let mut stage = Stage::new();
            stage.s3.put_object_directly(BUCKET, "a.json", bytes).unwrap();
            assert_eq!(stage.sees(false, &format!("object a.json: {what}")).wrong_files, 1);
        }
        let mut stage = Stage::new();
        stage.write("extracted_data/a.json.part", b"{");
        stage.s3.put_object_directly(BUCKET, "z.json", b"{}\n").unwrap();
        stage.sees(false, "extracted_data/a.json.part: no such file");
        stage.sees(false, "object z.json: no such file");
    }

    #[test]
    fn a_file_that_was_staged_and_is_nowhere_is_lost() {
        let mut stage = Stage::new();
        let bytes = stage.expected["b.json"].clone();
        stage.write("extracted_data/b.json", &bytes);
        assert!(stage.found(false).is_empty());
        amp_sandbox::folder::clear(&stage.folder.path().join("extracted_data/b.json")).unwrap();
        assert!(stage.found(false).is_empty(), "it is in the bucket");
        stage.s3.delete_object_directly(BUCKET, "b.json");
        assert_eq!(stage.sees(false, "neither staged nor in the bucket").lost_events, 1);
        assert_eq!(stage.sees(true, "b.json: not in the bucket").lost_events, 2);
    }

    #[test]
    fn a_file_that_went_without_a_note_and_a_note_without_a_file_are_seen() {
        let mut stage = Stage::new();
        let bytes = stage.expected["c.json"].clone();
        stage.write("extracted_data/c.json", &bytes);
        stage.found(false);
        amp_sandbox::folder::clear(&stage.folder.path().join("extracted_data/c.json")).unwrap();
        stage.write(&format!("{STATE}/loads/undated.jsonl"), b"");
        stage.sees(false, "c.json: was staged and is gone, though the ledger has no load of it");
        stage.watch = Watch::default();
        stage.write(&format!("{STATE}/hours/x.jsonl"), b"{\"kind\":\"fetched\",\"files\":[{\"name\":\"c.json\"}]}\n");
        stage.sees(false, "c.json: noted as fetched, but neither staged nor noted as loaded");
        let mut stage = Stage::new();
        stage.s3.delete_object_directly(BUCKET, "a.json");
        stage.sees(false, "a.json: noted as loaded, but a.json is not in the bucket");
    }

    #[test]
    fn what_an_undisturbed_run_must_not_leave_is_seen() {
        let mut stage = Stage::new();
        fs::create_dir(stage.folder.path().join("downloaded_data")).unwrap();
        let bytes = stage.expected["a.json"].clone();
        stage.write("extracted_data/a.json", &bytes);
        stage.write("extracted_data/.amp/partial/1-0", b"{");
        stage.write("downloaded_data/x.zip", b"PK");
        stage.found(false);
        for left in ["extracted_data/a.json", "extracted_data/.amp/partial/1-0", "downloaded_data/x.zip"] {
            stage.sees(true, &format!("{left}: left behind"));
        }
        stage.write(&format!("{STATE}/hours/undated.jsonl"), b"");
        stage.sees(true, "a.json: the ledger does not know");
        stage.s3.begin_upload_directly(BUCKET, "a.json").unwrap();
        stage.sees(true, "is still open");
    }

    #[test]
    fn with_a_server_that_lies_what_is_gone_here_must_be_there() {
        let stage = Stage::new();
        let nothing_gone = || {
            Contents { folder: stage.folder.path(), s3: &stage.s3, expected: &stage.expected }.nothing_gone().unwrap()
        };
        assert!(nothing_gone().is_empty());
        stage.s3.put_object_directly(BUCKET, "a.json", b"{}").unwrap();
        stage.s3.delete_object_directly(BUCKET, "b.json");
        assert_eq!((nothing_gone().wrong_files, nothing_gone().lost_events), (1, 1));
        for name in ["a.json", "b.json"] {
            stage.write(&format!("extracted_data/{name}"), &stage.expected[name]);
        }
        assert!(nothing_gone().is_empty());
    }
}
