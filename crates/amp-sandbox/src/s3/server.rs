//! The server: its settings and what a test may ask of it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;

use super::checksum::Algorithm;
use super::quirks::Quirks;
use super::rule::{S3Rule, Scripted};
use super::sigv4::Signer;
use super::state::{S3Request, State, Upload, lock};
use super::store::{Description, Disk, Object, ObjectInfo};
use crate::credentials::Credentials;
use crate::http::{Exchange, Listener};
use crate::tls::Tls;

/// How the server behaves when nothing goes wrong.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// The access key id that may sign.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
    /// The buckets that exist.
    pub buckets: Vec<String>,
    /// The region that signatures must be for.
    pub region: String,
    /// 0 for any free port.
    pub port: u16,
    /// Objects are files below this folder, `BUCKET/KEY`; without one, below a temporary folder.
    pub root: Option<PathBuf>,
    /// The account that owns the buckets.
    pub owner: String,
    /// Differences from S3.
    pub quirks: Quirks,
    /// A path before the bucket, such as `/s3`. Below it alone lies this server; any other path names a bucket itself.
    pub base_path: String,
    /// A domain, such as `s3.localtest`, whose hosts `BUCKET.DOMAIN` name the bucket.
    pub domain: Option<String>,
    /// Objects have version ids. Only the newest version is kept.
    pub versioned: bool,
    /// Waited before each answer, as for a round trip.
    pub latency: Duration,
    /// Its https; plain http without.
    pub tls: Option<Tls>,
}

impl S3Config {
    /// One bucket of account 111122223333 in us-east-1, keys `SANDBOXACCESSKEY` and `sandbox/secret+key`, a free port.
    pub fn new(bucket: &str) -> Self {
        Self {
            access_key: "SANDBOXACCESSKEY".into(),
            secret_key: "sandbox/secret+key".into(),
            buckets: vec![bucket.to_owned()],
            region: "us-east-1".into(),
            port: 0,
            root: None,
            owner: "111122223333".into(),
            quirks: Quirks::default(),
            base_path: String::new(),
            domain: None,
            versioned: false,
            latency: Duration::ZERO,
            tls: None,
        }
    }
}

/// A running server; it stops when dropped.
pub struct S3Server {
    // First, so that the connections end before what they use.
    listener: Listener,
    state: Arc<State>,
    config: S3Config,
}

impl S3Server {
    /// Listens on 127.0.0.1. Files already below the folder are objects.
    pub fn start(config: S3Config) -> io::Result<Self> {
        let keys = vec![Credentials::lasting(&config.access_key, &config.secret_key)];
        let signer = Signer { keys, region: config.region.clone() };
        let disk = Disk::open(config.root.clone())?;
        let state = Arc::new(State::new(disk, signer, &config)?);
        let shared = Arc::clone(&state);
        let answer = move |exchange: &mut Exchange<'_>| super::answer::answer(&shared, exchange);
        let listener = Listener::start("s3", config.port, config.tls.clone(), answer)?;
        Ok(Self { listener, state, config })
    }

    /// `http://127.0.0.1:PORT` (or https) and the base path, for `AWS_ENDPOINT_URL_S3`.
    pub fn endpoint_url(&self) -> String {
        self.listener.url() + &self.config.base_path
    }

    /// The settings it was started with.
    pub fn config(&self) -> &S3Config {
        &self.config
    }

    /// The environment that leads amp-load to a bucket here.
    pub fn env(&self, bucket: &str) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_BUCKET_NAME", bucket.to_owned()),
            ("AWS_ACCESS_KEY", self.config.access_key.clone()),
            ("AWS_SECRET_KEY", self.config.secret_key.clone()),
            ("AWS_REGION", self.config.region.clone()),
            ("AWS_ENDPOINT_URL_S3", self.endpoint_url()),
        ]
    }

    /// The bucket's objects in the order of keys; none if there is no such bucket.
    pub fn objects(&self, bucket: &str) -> Vec<ObjectInfo> {
        let all = self.state.bucket(bucket, |b| b.objects.iter().map(|(key, o)| ObjectInfo::of(key, o)).collect());
        all.unwrap_or_default()
    }

    /// One object.
    pub fn object(&self, bucket: &str, key: &str) -> Option<ObjectInfo> {
        self.state.bucket(bucket, |b| b.objects.get(key).map(|object| ObjectInfo::of(key, object))).ok().flatten()
    }

    /// The bytes of one object.
    pub fn object_bytes(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        std::fs::read(self.object(bucket, key)?.path).ok()
    }

    /// Puts an object without a request.
    pub fn put_object_directly(&self, bucket: &str, key: &str, bytes: &[u8]) -> io::Result<()> {
        self.put_object_with_checksum(bucket, key, bytes, Some("CRC64NVME"))
    }

    /// Puts an object without a request, as a client would that sends a checksum of this algorithm, or none.
    pub fn put_object_with_checksum(
        &self,
        bucket: &str,
        key: &str,
        bytes: &[u8],
        algorithm: Option<&str>,
    ) -> io::Result<()> {
        let unknown = || io::Error::other("S3 has no such checksum");
        let algorithm = algorithm.map(|name| Algorithm::named(name).ok_or_else(unknown)).transpose()?;
        let mut file = self.state.disk.temporary()?;
        file.write_all(bytes)?;
        let path = self.state.disk.path(bucket, key);
        let mut object = Object::of_file(file.path().to_owned(), algorithm)?;
        object.path.clone_from(&path);
        object.version = self.state.version();
        let put = |b: &mut super::state::Bucket| {
            self.state.disk.publish(file, &path)?;
            b.objects.insert(key.to_owned(), object);
            Ok(())
        };
        self.state.bucket(bucket, put).map_err(|error| io::Error::other(error.message))?
    }

    /// Deletes an object without a request; says whether there was one.
    pub fn delete_object_directly(&self, bucket: &str, key: &str) -> bool {
        let removed = self.state.bucket(bucket, |b| b.objects.remove(key)).ok().flatten();
        removed.is_some_and(|object| self.state.disk.remove(&object.path).is_ok())
    }

    /// Begins a multipart upload without a request, as someone who never comes back; its id.
    pub fn begin_upload_directly(&self, bucket: &str, key: &str) -> io::Result<String> {
        let id = format!("upload-{:08}-directly", self.state.serial());
        let upload = Upload {
            algorithm: None,
            composite: false,
            description: Description::default(),
            parts: Default::default(),
            initiated: Utc::now(),
        };
        let begin = |b: &mut super::state::Bucket| b.uploads.insert((key.to_owned(), id.clone()), upload);
        self.state.bucket(bucket, begin).map_err(|error| io::Error::other(error.message))?;
        Ok(id)
    }

    /// Key and upload id of each multipart upload that was neither completed nor aborted.
    pub fn open_uploads(&self, bucket: &str) -> Vec<(String, String)> {
        self.state.bucket(bucket, |b| b.uploads.keys().cloned().collect()).unwrap_or_default()
    }

    /// Everything asked so far, in order.
    pub fn requests(&self) -> Vec<S3Request> {
        self.state.requests()
    }

    /// Requests that are being answered now, among them those whose clients are gone.
    pub fn in_flight(&self) -> usize {
        self.state.in_flight()
    }

    /// The most requests that were being answered at one time.
    pub fn max_in_flight(&self) -> usize {
        self.state.most_in_flight()
    }

    /// Adds a rule after those there are; its count starts now.
    pub fn add_rule(&self, rule: S3Rule) {
        lock(&self.state.rules).push(Scripted::new(rule));
    }

    /// No faults from now on.
    pub fn clear_rules(&self) {
        lock(&self.state.rules).clear();
    }

    /// Accepts these keys only from now on, as when credentials are rotated.
    pub fn set_credentials(&self, access_key: &str, secret_key: &str) {
        lock(&self.state.signer).keys = vec![Credentials::lasting(access_key, secret_key)];
    }

    /// Accepts these too.
    pub fn add_credentials(&self, credentials: Credentials) {
        lock(&self.state.signer).keys.push(credentials);
    }

    /// Expires all that have a session token now, whatever was said of them when they were given out.
    pub fn expire_temporary_credentials(&self) {
        let mut signer = lock(&self.state.signer);
        signer.keys.iter_mut().filter(|key| key.session_token.is_some()).for_each(|key| key.expires = Some(Utc::now()));
    }

    /// Adds credentials from another thread.
    pub(crate) fn registrar(&self) -> impl Fn(Credentials) + Send + Sync + 'static {
        let state = Arc::clone(&self.state);
        move |credentials| lock(&state.signer).keys.push(credentials)
    }
}
