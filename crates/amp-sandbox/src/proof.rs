//! Whether the bucket holds exactly what was generated.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use amp_sandbox::events::ExpectedFile;
use amp_sandbox::s3::{ObjectInfo, S3Server};
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

/// What was found, and what is wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Proof {
    pub(crate) files: usize,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) differences: Vec<String>,
}

impl Proof {
    /// Compares the bucket with the files that were generated. `extension` is what staging leaves on the names.
    pub(crate) fn compare_bucket(&mut self, s3: &S3Server, bucket: &str, expected: &[ExpectedFile], extension: &str) {
        let mut objects: BTreeMap<String, ObjectInfo> =
            s3.objects(bucket).into_iter().map(|object| (object.key.clone(), object)).collect();
        for file in expected {
            let key = format!("{}{extension}", file.name);
            let Some(object) = objects.remove(&key) else {
                self.differs(format!("{key}: not in the bucket"));
                continue;
            };
            match content(&object, !extension.is_empty()) {
                Ok(found) => self.compare(&key, &found, file),
                Err(error) => self.differs(format!("{key}: can't be read: {error}")),
            }
        }
        for key in objects.keys() {
            self.differs(format!("{key}: in the bucket, but never generated"));
        }
        for (key, id) in s3.open_uploads(bucket) {
            self.differs(format!("{key}: multipart upload {id} is still open"));
        }
    }

    fn compare(&mut self, key: &str, found: &ExpectedFile, expected: &ExpectedFile) {
        self.files += 1;
        self.events += found.lines;
        self.bytes += found.bytes;
        let figures = [("events", found.lines, expected.lines), ("bytes of JSON", found.bytes, expected.bytes)];
        for (what, is, should) in figures.into_iter().filter(|(_, is, should)| is != should) {
            self.differs(format!("{key}: {is} {what} instead of {should}"));
        }
        if found.sha256 != expected.sha256 {
            self.differs(format!("{key}: SHA-256 {} instead of {}", found.sha256, expected.sha256));
        }
    }

    pub(crate) fn differs(&mut self, difference: String) {
        self.differences.push(difference);
    }

    /// Nothing but `except` may be left in a folder; an absent one is empty too.
    pub(crate) fn expect_empty(&mut self, folder: &Path, except: &str) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for name in entries.filter_map(|entry| Some(entry.ok()?.file_name())).filter(|name| name != except) {
            self.differs(format!("{}: left behind", folder.join(name).display()));
        }
    }
}

/// The JSON of an object.
fn content(object: &ObjectInfo, gzip: bool) -> io::Result<ExpectedFile> {
    let file = File::open(&object.path)?;
    let mut reader: Box<dyn Read> = if gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut found = ExpectedFile { name: object.key.clone(), bytes: 0, lines: 0, sha256: String::new() };
    let (mut digest, mut buffer, mut last) = (Sha256::new(), vec![0; 256 * 1024], b'\n');
    loop {
        let got = reader.read(&mut buffer)?;
        let piece = &buffer[..got];
        let Some(end) = piece.last() else { break };
        digest.update(piece);
        found.bytes += got as u64;
        found.lines += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
        last = *end;
    }
    found.lines += u64::from(last != b'\n');
    found.sha256 = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use amp_sandbox::events::Dataset;
    use amp_sandbox::s3::S3Config;

    use super::*;

    #[test]
    fn a_missing_a_strange_and_a_changed_object_are_found() {
        let dataset = Dataset::new(1).parts_per_hour(1).events_per_part(3);
        let window = "2025-11-06T00..2025-11-06T02".parse().unwrap();
        let s3 = S3Server::start(S3Config::new("b")).unwrap();
        let expected = dataset.expected_files(window);
        for ((hour, part), file) in dataset.files_in(window).zip(&expected) {
            s3.put_object_directly("b", &file.name, &dataset.bytes_of(hour, part)).unwrap();
        }
        let prove = || {
            let mut proof = Proof::default();
            proof.compare_bucket(&s3, "b", &expected, "");
            proof
        };
        let proof = prove();
        assert_eq!((proof.files, proof.events, &proof.differences[..]), (3, 9, &[][..]));

        assert!(s3.delete_object_directly("b", &expected[0].name));
        s3.put_object_directly("b", &expected[1].name, b"{}\n").unwrap();
        s3.put_object_directly("b", "stranger", b"").unwrap();
        let text = prove().differences.join("\n");
        for part in ["not in the bucket", "1 events instead of 3", "SHA-256", "never generated"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
