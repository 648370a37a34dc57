//! What the connections of a server share.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tempfile::NamedTempFile;

use super::call::{Addressing, Call, S3Op};
use super::checksum::{Algorithm, Checksum};
use super::error::S3Error;
use super::quirks::Quirks;
use super::rule::{S3Fault, Scripted};
use super::server::S3Config;
use super::sigv4::Signer;
use super::store::{Description, Disk, Object};
use crate::http::Head;

/// A request and what became of it.
#[derive(Debug, Clone)]
pub struct S3Request {
    /// The operation.
    pub op: S3Op,
    /// The bucket.
    pub bucket: String,
    /// The key; empty for operations on the bucket.
    pub key: String,
    /// The decoded query.
    pub query: Vec<(String, String)>,
    /// The status answered; 0 if none was.
    pub status: u16,
    /// All but `Authorization`.
    pub headers: Vec<(String, String)>,
    /// Bytes of the request body read, chunk framing included.
    pub body_bytes: u64,
}

impl S3Request {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

#[derive(Default)]
pub(super) struct Bucket {
    pub(super) objects: BTreeMap<String, Object>,
    /// By key, then by upload id, which is the order of ListMultipartUploads.
    pub(super) uploads: BTreeMap<(String, String), Upload>,
}

pub(super) struct Upload {
    pub(super) algorithm: Option<Algorithm>,
    pub(super) composite: bool,
    pub(super) description: Description,
    pub(super) parts: BTreeMap<u32, std::sync::Arc<Part>>,
    pub(super) initiated: DateTime<Utc>,
}

pub(super) struct Part {
    pub(super) file: NamedTempFile,
    pub(super) bytes: u64,
    pub(super) md5: Vec<u8>,
    pub(super) etag: String,
    pub(super) checksum: Option<Checksum>,
    pub(super) modified: DateTime<Utc>,
}

pub(super) struct State {
    pub(super) disk: Disk,
    pub(super) quirks: Quirks,
    pub(super) addressing: Addressing,
    pub(super) latency: Duration,
    pub(super) owner: String,
    versioned: bool,
    pub(super) signer: Mutex<Signer>,
    pub(super) rules: Mutex<Vec<Scripted>>,
    buckets: Mutex<BTreeMap<String, Bucket>>,
    requests: Mutex<Vec<S3Request>>,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    serial: AtomicU64,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts a request while it is being answered.
pub(super) struct InFlight<'a> {
    state: &'a State,
    /// How many there were when it came, itself included.
    pub(super) among: usize,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.state.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

impl State {
    pub(super) fn new(disk: Disk, signer: Signer, config: &S3Config) -> io::Result<Self> {
        let mut all = BTreeMap::new();
        for name in &config.buckets {
            disk.create_bucket(name)?;
            all.insert(name.clone(), Bucket { objects: disk.scan(name)?, ..Bucket::default() });
        }
        Ok(Self {
            disk,
            quirks: config.quirks,
            addressing: Addressing { base_path: config.base_path.clone(), domain: config.domain.clone() },
            latency: config.latency,
            owner: config.owner.clone(),
            versioned: config.versioned,
            signer: Mutex::new(signer),
            rules: Mutex::default(),
            buckets: Mutex::new(all),
            requests: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
            serial: AtomicU64::new(0),
        })
    }

    /// The id of a version that is written now, if versions have ids.
    pub(super) fn version(&self) -> Option<String> {
        self.versioned.then(|| format!("version-{:08}", self.serial()))
    }

    /// A number never given before.
    pub(super) fn serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) fn enter(&self) -> InFlight<'_> {
        let among = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_flight.fetch_max(among, Ordering::SeqCst);
        InFlight { state: self, among }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    pub(super) fn most_in_flight(&self) -> usize {
        self.most_in_flight.load(Ordering::SeqCst)
    }

    /// Registers a request; its place serves [`Self::finished`].
    pub(super) fn arrived(&self, head: &Head, call: &Call) -> usize {
        let headers = head.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
        let mut requests = lock(&self.requests);
        requests.push(S3Request {
            op: call.op,
            bucket: call.bucket.clone(),
            key: call.key.clone(),
            query: call.query.clone(),
            status: 0,
            headers: headers.cloned().collect(),
            body_bytes: 0,
        });
        requests.len() - 1
    }

    pub(super) fn finished(&self, index: usize, status: u16, body_bytes: u64) {
        if let Some(request) = lock(&self.requests).get_mut(index) {
            (request.status, request.body_bytes) = (status, body_bytes);
        }
    }

    pub(super) fn requests(&self) -> Vec<S3Request> {
        lock(&self.requests).clone()
    }

    /// The fault for a call: that of the first rule that applies.
    pub(super) fn fault_for(&self, call: &Call, head: &Head) -> Option<S3Fault> {
        let mut fault = None;
        for scripted in lock(&self.rules).iter_mut() {
            // Every rule counts every call it matches, whichever rule decides.
            let due = scripted.sees(call.op, &call.key, head);
            if due && fault.is_none() {
                scripted.used += 1;
                fault = Some(scripted.rule.fault.clone());
            }
        }
        fault
    }

    /// Does something to a bucket that must exist.
    pub(super) fn bucket<T>(&self, name: &str, act: impl FnOnce(&mut Bucket) -> T) -> Result<T, S3Error> {
        let missing = || S3Error::new(404, "NoSuchBucket", "The specified bucket does not exist");
        Ok(act(lock(&self.buckets).get_mut(name).ok_or_else(missing)?))
    }
}
