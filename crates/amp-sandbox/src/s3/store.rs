//! Objects: their bytes in files below a folder, their descriptions in memory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use md5::Md5;
use sha2::{Digest, Sha256};
use tempfile::{NamedTempFile, TempDir};

use super::checksum::{Algorithm, Checksum, Hasher};
use crate::http::{encode_path, hex, percent_decode};

const BUFFER: usize = 256 * 1024;
const WORKSHOP: &str = ".amp-sandbox";

/// What a client says of an object besides its bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Description {
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) storage_class: Option<String>,
    pub(super) sse: Option<String>,
    pub(super) kms_key_id: Option<String>,
    pub(super) tags: Option<String>,
    pub(super) acl: Option<String>,
    pub(super) metadata: Vec<(String, String)>,
}

/// An object as the server keeps it.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) bytes: u64,
    pub(super) etag: String,
    pub(super) checksum: Option<Checksum>,
    pub(super) description: Description,
    pub(super) parts: Option<usize>,
    pub(super) modified: DateTime<Utc>,
    pub(super) version: Option<String>,
    pub(super) path: PathBuf,
}

/// An object as a test sees it.
#[derive(Debug, Clone)]
pub struct ObjectInfo {
    /// The key.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// Without the quotes.
    pub etag: String,
    /// Such as `CRC64NVME`, if a checksum is stored.
    pub checksum_algorithm: Option<String>,
    /// Base64 (with `-N` if composite).
    pub checksum: Option<String>,
    /// `FULL_OBJECT` or `COMPOSITE`.
    pub checksum_type: Option<String>,
    /// `Content-Type` as it was put.
    pub content_type: Option<String>,
    /// `Content-Encoding` as it was put.
    pub content_encoding: Option<String>,
    /// `x-amz-storage-class` as it was put.
    pub storage_class: Option<String>,
    /// `x-amz-server-side-encryption` as it was put.
    pub sse: Option<String>,
    /// Its KMS key.
    pub kms_key_id: Option<String>,
    /// `x-amz-tagging` as it was put.
    pub tags: Option<String>,
    /// `x-amz-acl` as it was put.
    pub acl: Option<String>,
    /// `x-amz-meta-*` headers, without that prefix.
    pub metadata: Vec<(String, String)>,
    /// Number of parts, if it came in parts.
    pub parts: Option<usize>,
    /// Its version, if the server gives them ids.
    pub version_id: Option<String>,
    /// The file that holds its bytes.
    pub path: PathBuf,
}

impl ObjectInfo {
    pub(super) fn of(key: &str, object: &Object) -> Self {
        let checksum = object.checksum.as_ref();
        let Description { content_type, content_encoding, storage_class, sse, kms_key_id, tags, acl, metadata } =
            object.description.clone();
        Self {
            key: key.to_owned(),
            bytes: object.bytes,
            etag: object.etag.clone(),
            checksum_algorithm: checksum.map(|c| c.algorithm.name().to_owned()),
            checksum: checksum.map(|c| c.value.clone()),
            checksum_type: checksum.map(|c| c.kind().to_owned()),
            content_type,
            content_encoding,
            storage_class,
            sse,
            kms_key_id,
            tags,
            acl,
            metadata,
            parts: object.parts,
            version_id: object.version.clone(),
            path: object.path.clone(),
        }
    }

    /// SHA-256 of the bytes that the file holds now, in hex.
    pub fn sha256(&self) -> io::Result<String> {
        let mut digest = Sha256::new();
        each_piece(&mut File::open(&self.path)?, |piece| digest.update(piece))?;
        Ok(hex(&digest.finalize()))
    }
}

/// Reads to the end.
pub(super) fn each_piece(reader: &mut impl Read, mut sink: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let mut total = 0;
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(total),
            got => {
                total += got as u64;
                sink(&buffer[..got]);
            }
        }
    }
}

/// The folder.
pub(super) struct Disk {
    root: PathBuf,
    /// Removed with the server if the folder was its own.
    _own: Option<TempDir>,
}

impl Disk {
    pub(super) fn open(root: Option<PathBuf>) -> io::Result<Self> {
        let own =
            if root.is_none() { Some(tempfile::Builder::new().prefix("amp-sandbox-s3-").tempdir()?) } else { None };
        let root = root.or_else(|| own.as_ref().map(|dir| dir.path().to_owned())).unwrap_or_default();
        let disk = Self { root, _own: own };
        // What a killed server left half-received.
        disk.clear_workshop();
        fs::create_dir_all(disk.root.join(WORKSHOP))?;
        Ok(disk)
    }

    /// A file for bytes that aren't an object yet; it goes with the handle.
    pub(super) fn temporary(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(self.root.join(WORKSHOP))
    }

    pub(super) fn create_bucket(&self, bucket: &str) -> io::Result<()> {
        fs::create_dir_all(self.root.join(bucket))
    }

    /// The file of a key. Components that mean something to the file system are escaped.
    pub(super) fn path(&self, bucket: &str, key: &str) -> PathBuf {
        let safe = |part: &str| match part {
            "" => "%".to_owned(),
            "." => "%2E".to_owned(),
            ".." => "%2E%2E".to_owned(),
            part => part.replace('%', "%25").replace('\0', "%00"),
        };
        let mut path = self.root.join(bucket);
        path.extend(key.split('/').map(safe));
        path
    }

    /// Gives the bytes their final name.
    pub(super) fn publish(&self, file: NamedTempFile, path: &Path) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        file.persist(path).map(drop).map_err(|error| error.error)
    }

    #[expect(clippy::disallowed_methods, reason = "objects of the double, not staged files")]
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    #[expect(clippy::disallowed_methods, reason = "the double's own working folder")]
    fn clear_workshop(&self) {
        let _ = fs::remove_dir_all(self.root.join(WORKSHOP));
    }

    /// The objects that an earlier server left in the folder.
    pub(super) fn scan(&self, bucket: &str) -> io::Result<BTreeMap<String, Object>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![(self.root.join(bucket), String::new())];
        while let Some((folder, prefix)) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let part = if name == "%" { Some(Vec::new()) } else { percent_decode(&name) };
                let part = part.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or(name);
                let key = format!("{prefix}{part}");
                match entry.file_type()? {
                    kind if kind.is_dir() => folders.push((entry.path(), format!("{key}/"))),
                    _ => {
                        let object = Object::of_file(entry.path(), Some(Algorithm::Crc64Nvme))?;
                        found.insert(key, object);
                    }
                }
            }
        }
        Ok(found)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.clear_workshop();
    }
}

impl Object {
    /// A plain object of the bytes in a file.
    pub(super) fn of_file(path: PathBuf, algorithm: Option<Algorithm>) -> io::Result<Self> {
        let (mut md5, mut hasher) = (Md5::new(), algorithm.map(Hasher::new));
        let bytes = each_piece(&mut File::open(&path)?, |piece| {
            md5.update(piece);
            hasher.iter_mut().for_each(|hasher| hasher.update(piece));
        })?;
        let checksum = algorithm.zip(hasher).map(|(algorithm, hasher)| Checksum::whole(algorithm, &hasher.finish()));
        Ok(Self {
            bytes,
            etag: hex(&md5.finalize()),
            checksum,
            description: Description::default(),
            parts: None,
            modified: Utc::now(),
            version: None,
            path,
        })
    }
}

/// A key as it is written where `encoding-type=url` was asked for.
pub(super) fn url_encoded(key: &str) -> String {
    encode_path(key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_leaves_its_bucket_and_every_key_is_found_again() {
        let disk = Disk::open(None).unwrap();
        disk.create_bucket("b").unwrap();
        let keys = ["plain#0.json", "a/../../up", "//double", "per%41cent", "ends/", "./dot"];
        for key in keys {
            let path = disk.path("b", key);
            assert!(path.starts_with(disk.root.join("b")), "{key}");
            disk.publish(disk.temporary().unwrap(), &path).unwrap();
        }
        let mut expected = keys.to_vec();
        expected.sort_unstable();
        assert_eq!(disk.scan("b").unwrap().into_keys().collect::<Vec<_>>(), expected);
    }
}
