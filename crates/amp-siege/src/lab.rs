//! A folder, the two servers and a dataset: what a round of attacks needs.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use amp_sandbox::events::Dataset;
use amp_sandbox::export::{ExportConfig, ExportServer};
use amp_sandbox::folder;
use amp_sandbox::process::{Ended, Running};
use amp_sandbox::programs::dotenv;
use amp_sandbox::s3::{Quirks, S3Config, S3Server};
use amp_sandbox::time::Window;

use crate::Siege;
use crate::check::Watch;
use crate::contents::{Contents, Expected};
use crate::tally::Tally;

/// The bucket of every siege.
pub(crate) const BUCKET: &str = "amplitude-lake";

/// How a lab is set up.
pub(crate) struct Setup {
    pub(crate) dataset: Dataset,
    pub(crate) window: Window,
    /// Bytes a second of the Export API.
    pub(crate) bandwidth: Option<u64>,
    pub(crate) quirks: Quirks,
}

impl Setup {
    /// Servers that do all as they should.
    pub(crate) fn new(dataset: Dataset, window: Window) -> Self {
        Self { dataset: dataset.only(window), window, bandwidth: None, quirks: Quirks::default() }
    }

    /// Two days of two hours, two small files each.
    pub(crate) fn small(seed: u64) -> io::Result<Self> {
        let dataset = Dataset::new(seed).parts_per_hour(2).events_per_part(20);
        Ok(Self::new(dataset, window("2025-11-06T22..2025-11-07T01")?))
    }
}

pub(crate) fn window(text: &str) -> io::Result<Window> {
    text.parse().map_err(|error| io::Error::other(format!("{error}")))
}

pub(crate) struct Lab<'a> {
    pub(crate) siege: &'a Siege,
    pub(crate) folder: PathBuf,
    pub(crate) export: ExportServer,
    pub(crate) s3: S3Server,
    pub(crate) expected: Expected,
    pub(crate) watch: Watch,
    window: Window,
}

/// What the files of a window must be.
pub(crate) fn expected(dataset: &Dataset, window: Window) -> Expected {
    let files = dataset.files_in(window);
    files.map(|(hour, part)| (dataset.expected_file(hour, part).name, dataset.bytes_of(hour, part))).collect()
}

impl<'a> Lab<'a> {
    pub(crate) fn new(siege: &'a Siege, name: &str, setup: &Setup) -> io::Result<Self> {
        let folder = siege.folder.join(name);
        fs::create_dir_all(&folder)?;
        let config = ExportConfig { bandwidth: setup.bandwidth, ..ExportConfig::new(setup.dataset.clone()) };
        let export = ExportServer::start(config)?;
        let s3 = S3Config { root: Some(folder.join("lake")), quirks: setup.quirks, ..S3Config::new(BUCKET) };
        let s3 = S3Server::start(s3)?;
        let settings = "AMP_RETRY_BASE=10ms\nAMP_READ_TIMEOUT=5s\nAMP_LOG_KEEP=5\n";
        fs::write(folder.join(".env"), dotenv(&export, &s3, BUCKET) + settings)?;
        let expected = expected(&setup.dataset, setup.window);
        Ok(Self { siege, folder, export, s3, expected, watch: Watch::default(), window: setup.window })
    }

    /// Starts a program with its usual arguments and `more`.
    pub(crate) fn start(&self, wrapper: &[String], program: &str, more: &[&str]) -> io::Result<Running> {
        let mut command = self.siege.programs.command(wrapper, program, &self.folder);
        match program {
            "amp-extract" => {
                command.args(["--start", &self.window.start.to_string(), "--end", &self.window.end.to_string()])
            }
            _ => command.args(["--multipart-threshold", "1MiB"]),
        };
        command.args(more);
        Running::start(command, Stdio::null())
    }

    /// Runs a program to its end.
    pub(crate) fn run(&self, program: &str, more: &[&str]) -> io::Result<Ended> {
        self.start(&[], program, more)?.wait()
    }

    /// Whether the bucket has a file under every name.
    pub(crate) fn is_loaded(&self) -> bool {
        self.s3.objects(BUCKET).len() == self.expected.len()
    }

    pub(crate) fn contents(&self) -> Contents<'_> {
        Contents { folder: &self.folder, s3: &self.s3, expected: &self.expected }
    }

    /// Waits for the answers to clients that are gone: what they asked for may still be done.
    pub(crate) fn settle(&self) {
        let begun = Instant::now();
        while self.s3.in_flight() > 0 && begun.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Checks what must hold after an attack.
    pub(crate) fn check(&mut self, tally: &mut Tally, step: &str) -> io::Result<bool> {
        self.settle();
        let mut watch = std::mem::take(&mut self.watch);
        let findings = watch.after_attack(&self.contents())?;
        self.watch = watch;
        Ok(tally.take(findings, step, &self.folder))
    }

    /// One undisturbed call of each program, after which everything must be in the bucket.
    pub(crate) fn peace(&mut self, tally: &mut Tally, step: &str, extract: &[&str]) -> io::Result<bool> {
        self.settle();
        self.export.clear_rules();
        self.s3.clear_rules();
        let before = tally.violations();
        if let Some(problem) = self.run("amp-extract", extract)?.wrong_end(&[0]) {
            tally.violated(&format!("undisturbed amp-extract: {problem}"), step, &self.folder);
        }
        self.load_all(tally, step)?;
        Ok(tally.violations() == before)
    }

    /// One undisturbed call of amp-load, after which everything must be in the bucket.
    pub(crate) fn load_all(&mut self, tally: &mut Tally, step: &str) -> io::Result<()> {
        if let Some(problem) = self.run("amp-load", &[])?.wrong_end(&[0]) {
            tally.violated(&format!("undisturbed amp-load: {problem}"), step, &self.folder);
        }
        let mut watch = std::mem::take(&mut self.watch);
        let findings = watch.after_peace(&self.contents())?;
        self.watch = watch;
        tally.take(findings, step, &self.folder);
        Ok(())
    }

    /// As new: nothing staged, downloaded or in the bucket. The servers go on.
    pub(crate) fn reset(&mut self) -> io::Result<()> {
        self.settle();
        self.export.clear_rules();
        self.s3.clear_rules();
        for name in ["extracted_data", "downloaded_data", "logs"] {
            folder::clear(&self.folder.join(name))?;
        }
        for object in self.s3.objects(BUCKET) {
            self.s3.delete_object_directly(BUCKET, &object.key);
        }
        self.watch = Watch::default();
        Ok(())
    }

    /// Removes the folder, which nobody need inspect.
    pub(crate) fn clear(self) -> io::Result<()> {
        let folder = self.folder.clone();
        drop(self);
        folder::clear(&folder)
    }
}
