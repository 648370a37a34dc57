//! A laboratory per test: an S3 server, an empty working directory and the real binary with a clean environment.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use amp_core::checksum::Digester;
use amp_core::ledger::{HourRecord, Ledger};
use amp_core::name::{EntryName, EventFileName};
use amp_core::stage::Staging;
use amp_sandbox::process::{self, HANG, Running};
use amp_sandbox::s3::{Quirks, S3Config, S3Op, S3Request, S3Server};
use amp_sandbox::schema;
use chrono::Utc;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const BUCKET: &str = "lake";
/// Three files as amp-extract names them.
pub(crate) const FILES: [&str; 3] = ["7_2025-11-06_0#0.json", "7_2025-11-06_9#0.json", "7_2025-11-06_9#1.json"];

pub(crate) struct Lab {
    pub(crate) server: Arc<S3Server>,
    dir: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The most memory it had.
    pub(crate) peak_bytes: u64,
}

/// What either program may use, whatever it is given to do.
pub(crate) const MEMORY: u64 = 64 << 20;

impl Ended {
    /// The one JSON document on stdout, which is as its schema describes it.
    pub(crate) fn document(&self) -> Value {
        let document = serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert_eq!(schema::departure(&document), None, "{document:#}");
        document
    }

    /// The exit code and, in this order, the files found, uploaded, skipped, failed and deleted.
    pub(crate) fn counts(&self) -> (i32, [u64; 5]) {
        let files = &self.document()["files"];
        let count = |name: &str| files[name].as_u64().unwrap();
        (self.code.unwrap(), ["found", "uploaded", "skipped", "failed", "deleted"].map(count))
    }

    /// The error of the n-th failure.
    pub(crate) fn error(&self, index: usize) -> String {
        self.document()["failures"][index]["error"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut S3Config)) -> Self {
        let mut config = S3Config::new(BUCKET);
        change(&mut config);
        Self { server: Arc::new(S3Server::start(config).unwrap()), dir: tempfile::tempdir().unwrap() }
    }

    /// A machine with an empty disk and the same bucket.
    pub(crate) fn another_machine(&self) -> Self {
        Self { server: Arc::clone(&self.server), dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn quirky(quirks: Quirks) -> Self {
        Self::with(|config| config.quirks = quirks)
    }

    /// A laboratory with the three files, as amp-extract leaves them.
    pub(crate) fn staged() -> Self {
        let lab = Self::new();
        lab.stage_all();
        lab
    }

    pub(crate) fn stage_all(&self) {
        FILES.iter().for_each(|name| self.stage(name, &events(name)));
    }

    /// Stages a file as amp-extract does: noted before it gets its name.
    pub(crate) fn stage(&self, name: &str, bytes: &[u8]) {
        let staging = Staging::open(&self.extracted()).unwrap();
        let mut partial = staging.partial().unwrap();
        partial.write_all(bytes).unwrap();
        let mut digester = Digester::default();
        digester.update(bytes);
        let sealed = partial.seal(&EntryName::from_path(name).unwrap(), digester.digest(), 1, None, None).unwrap();
        let record = HourRecord::Staging { time: Utc::now(), window: None, files: vec![sealed.record().clone()] };
        Ledger::at(&staging.state_dir()).append(EventFileName::parse(name).unwrap().date(), &record).unwrap();
        staging.publish(vec![sealed]).unwrap();
    }

    /// Puts a file there by hand.
    pub(crate) fn copy_in(&self, name: &str, bytes: &[u8]) {
        fs::create_dir_all(self.extracted()).unwrap();
        fs::write(self.extracted().join(name), bytes).unwrap();
    }

    pub(crate) fn extracted(&self) -> PathBuf {
        self.path("extracted_data")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The files in `extracted_data/`.
    pub(crate) fn left(&self) -> Vec<String> {
        Staging::existing(&self.extracted()).scan().unwrap().files
    }

    pub(crate) fn rule(&self, rule: &str) {
        self.server.add_rule(rule.parse().unwrap());
    }

    /// The program with no environment but PATH and HOME, in the laboratory's directory.
    pub(crate) fn bare(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_amp-load"));
        command.args(args).env_clear().current_dir(self.dir.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.dir.path());
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    /// The program with the right keys and endpoint, short waits and one JSON document on stdout.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bare(args);
        command.args(["--output", "json"]).envs(self.server.env(BUCKET)).env("AMP_RETRY_BASE", "5ms");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        end(self.command(args))
    }

    /// The requests for an operation.
    pub(crate) fn requests(&self, op: S3Op) -> Vec<S3Request> {
        self.server.requests().into_iter().filter(|request| request.op == op).collect()
    }

    pub(crate) fn count(&self, op: S3Op) -> usize {
        self.requests(op).len()
    }

    /// Waits until a request for that operation has come in.
    pub(crate) fn wait_for(&self, op: S3Op) {
        wait_until(|| self.count(op) > 0);
    }

    /// The bytes of an object.
    pub(crate) fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.server.object_bytes(BUCKET, key)
    }

    /// Everything below the directory of logs.
    pub(crate) fn logs(&self) -> String {
        let Ok(entries) = fs::read_dir(self.path("logs")) else { return String::new() };
        entries.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
    }

    /// The lines of the load records.
    pub(crate) fn loads(&self) -> Vec<Value> {
        let dir = self.extracted().join(".amp/loads");
        let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
        let text: String = entries.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// What the file of that name holds.
pub(crate) fn events(name: &str) -> Vec<u8> {
    format!("{{\"file\":\"{name}\"}}\n").repeat(20).into_bytes()
}

/// Bytes that do not repeat within a part.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

pub(crate) fn end(command: Command) -> Ended {
    ended(begin(command))
}

/// Begins a run that is to be looked at while it goes.
pub(crate) fn begin(command: Command) -> Running {
    Running::start(command, Stdio::piped()).unwrap()
}

pub(crate) fn ended(running: Running) -> Ended {
    let ended = running.wait().unwrap();
    assert!(!ended.hung, "it hangs: {ended:#?}");
    let process::Ended { code, stdout, stderr, peak_bytes, .. } = ended;
    Ended { code, stdout, stderr, peak_bytes }
}

pub(crate) fn wait_until(mut true_at_last: impl FnMut() -> bool) {
    let began = Instant::now();
    while !true_at_last() {
        assert!(began.elapsed() < HANG, "it never happened");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
