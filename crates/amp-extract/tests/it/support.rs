//! A laboratory per test: an Export API, an empty working directory and the real binary with a clean environment.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use amp_sandbox::events::Dataset;
use amp_sandbox::export::{ExportConfig, ExportServer};
pub(crate) use amp_sandbox::process::HANG;
use amp_sandbox::time::{Hour, Window};
pub(crate) use amp_sandbox::tools::faketime;
use chrono::{DateTime, Utc};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) use crate::run::{Ran, Run, Running};

/// A day long settled, and one of its hours.
pub(crate) const DAY: &str = "2025-11-06";
pub(crate) const HOUR: &str = "2025-11-06T04";

pub(crate) struct Lab {
    pub(crate) server: ExportServer,
    pub(crate) dataset: Dataset,
    dir: TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut ExportConfig)) -> Self {
        let mut config = ExportConfig::new(Dataset::new(7).parts_per_hour(1).events_per_part(3));
        change(&mut config);
        let dataset = config.dataset.clone();
        Self { server: ExportServer::start(config).unwrap(), dataset, dir: tempfile::tempdir().unwrap() }
    }

    /// A laboratory whose API answers `bytes` to everything.
    pub(crate) fn serving(bytes: Vec<u8>) -> Self {
        let lab = Self::new();
        lab.server.set_archive(None, bytes);
        lab
    }

    /// A laboratory whose API follows these rules.
    pub(crate) fn faulty(rules: &[&str]) -> Self {
        let lab = Self::new();
        rules.iter().for_each(|rule| lab.rule(rule));
        lab
    }

    pub(crate) fn rule(&self, rule: &str) {
        self.server.add_rule(rule.parse().unwrap());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// A run with no environment but PATH and HOME, in the laboratory's directory.
    pub(crate) fn bare(&self, args: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_amp-extract"));
        command.args(args).env_clear().current_dir(self.dir.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.dir.path());
        Run::new(command)
    }

    /// A run with the right keys and endpoint, short waits and one JSON document on stdout.
    pub(crate) fn command(&self, args: &[&str]) -> Run {
        self.for_people(args).args(&["--output", "json"])
    }

    /// The same with a table on stdout.
    pub(crate) fn for_people(&self, args: &[&str]) -> Run {
        self.bare(args)
            .env("AMP_API_KEY", self.server.api_key())
            .env("AMP_SECRET_KEY", self.server.secret_key())
            .env("AMP_BASE_URL", self.server.base_url())
            .env("AMP_RETRY_BASE", "1ms")
    }

    /// The same as [`Lab::command`], when it is `time`, such as `2025-11-07 03:15:00`, here and by the API's clock.
    pub(crate) fn at(&self, library: &str, time: &str, args: &[&str]) -> Run {
        let now: DateTime<Utc> = format!("{time}Z").parse().unwrap();
        self.server.set_clock_offset(now - Utc::now());
        self.with_clock(library, time, args)
    }

    /// The same, by this machine's clock alone.
    pub(crate) fn with_clock(&self, library: &str, time: &str, args: &[&str]) -> Run {
        self.command(args)
            .env("LD_PRELOAD", library)
            .env("FAKETIME", format!("@{time}"))
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("TZ", "UTC")
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.command(args).run()
    }

    /// The windows asked for so far, in the order they came, as the API writes them.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.server.requests().iter().map(|request| format!("{}-{}", request.start, request.end)).collect()
    }

    /// What lies in a directory of the laboratory, without the programs' own state.
    pub(crate) fn names(&self, dir: &str) -> Vec<String> {
        names(&self.path(dir)).into_iter().filter(|name| name != ".amp").collect()
    }

    pub(crate) fn staged(&self) -> BTreeMap<String, Vec<u8>> {
        let dir = self.path("extracted_data");
        self.names("extracted_data")
            .into_iter()
            .map(|name| (name.clone(), fs::read(dir.join(&name)).unwrap()))
            .collect()
    }

    pub(crate) fn staged_names(&self) -> Vec<String> {
        self.names("extracted_data")
    }

    /// What the events of a window must be once staged.
    pub(crate) fn expected(&self, windows: &[&str]) -> BTreeMap<String, Vec<u8>> {
        let files = windows.iter().flat_map(|window| {
            let window: Window = window.parse().unwrap();
            self.dataset.files_in(window).collect::<Vec<_>>()
        });
        files
            .map(|(hour, part)| {
                let name = self.dataset.member_name(hour, part).trim_end_matches(".gz").to_owned();
                (name, self.dataset.bytes_of(hour, part))
            })
            .collect()
    }

    /// Checks that exactly these windows are staged, byte for byte, and that nothing half done lies about.
    pub(crate) fn assert_staged(&self, windows: &[&str]) {
        let (staged, expected) = (self.staged(), self.expected(windows));
        assert_eq!(staged.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        assert!(staged == expected, "the bytes differ");
        self.assert_clean();
    }

    /// Checks that neither downloads nor partial files are left.
    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.names("downloaded_data"), [""; 0]);
        self.assert_no_partials();
    }

    pub(crate) fn assert_no_partials(&self) {
        assert_eq!(self.names("extracted_data/.amp/partial"), [""; 0]);
        let in_flight = |name: &String| name.contains("part");
        assert_eq!(self.names("downloaded_data").into_iter().filter(in_flight).collect::<Vec<_>>(), [""; 0]);
    }

    /// The logs, oldest first, with their names.
    pub(crate) fn logs(&self) -> Vec<(String, String)> {
        let dir = self.path("logs");
        self.names("logs").into_iter().map(|name| (name.clone(), fs::read_to_string(dir.join(name)).unwrap())).collect()
    }
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Hours of a document: asked, extracted, no data, skipped, failed, unsettled.
pub(crate) fn hours(document: &Value) -> [u64; 6] {
    ["asked", "extracted", "no_data", "skipped", "failed", "unsettled"]
        .map(|name| document["hours"][name].as_u64().unwrap())
}

/// Waits until something outside of this process's control has come about.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + HANG;
    while !is_so() {
        assert!(Instant::now() < until, "never came about: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The running hour. Near its end the next one is waited for, lest a test see two.
pub(crate) fn this_hour() -> Hour {
    let into_hour = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() % 3600;
    // Not in its first seconds either: a server's clock in whole seconds may still be in the hour before.
    while !(3..3570).contains(&into_hour()) {
        std::thread::sleep(Duration::from_millis(200));
    }
    Hour::now()
}

/// The day so many days before today, as `2025-11-06`.
pub(crate) fn days_ago(days: i64) -> String {
    this_hour().plus(-24 * days).date().to_string()
}

/// A whole day as the API's parameters write it.
pub(crate) fn whole_day(day: &str) -> String {
    let day = day.replace('-', "");
    format!("{day}T00-{day}T23")
}

/// One hour as the API's parameters write it.
pub(crate) fn one_hour(hour: Hour) -> String {
    format!("{}-{}", hour.compact(), hour.compact())
}

/// A port on which nothing listens.
pub(crate) fn closed_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
