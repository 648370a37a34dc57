//! The machine on which the daily calls are made: its disk, clock, keys and locks, and the servers that it reaches.

use std::fs::{self, File};
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
use amp_sandbox::s3::{S3Config, S3Server};
use chrono::{DateTime, TimeDelta, Utc};

use crate::Siege;
use crate::disk::{self, Tmpfs};
use crate::faketime::Faketime;
use crate::lab::BUCKET;

/// Whose events a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Project {
    First,
    Second,
}

/// The key of the second project, which never changes.
const SECOND_KEY: [&str; 2] = ["second-project-key", "second-project-secret"];
/// Room for a year's ledger, and little enough to fill.
const DISK_MIB: u32 = 96;

pub(super) struct Machine<'a> {
    siege: &'a Siege,
    faketime: Faketime,
    /// Where the programs run.
    pub(super) folder: PathBuf,
    pub(super) disk: Option<Tmpfs>,
    pub(super) export: ExportServer,
    pub(super) s3: S3Server,
    key: String,
    secret: String,
    rotations: u32,
    /// How far the time of the year is from the present.
    offset: TimeDelta,
    /// How long amp-extract and amp-load take undisturbed.
    usual: [Duration; 2],
}

/// What is told to a call besides the settings.
#[derive(Debug, Default, Clone)]
pub(super) struct How {
    /// How far the machine's clock is off.
    pub(super) clock: TimeDelta,
    pub(super) zone: &'static str,
    /// The second project's key instead of the first one's.
    pub(super) second: bool,
    /// Further variables.
    pub(super) set: Vec<(&'static str, &'static str)>,
    /// SIGKILL at this part of the usual time.
    pub(super) kill: Option<f64>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(siege: &'a Siege, faketime: Faketime, [first, second]: [&Dataset; 2]) -> io::Result<Self> {
        let folder = siege.folder.join("year");
        let lake = siege.folder.join("year-lake");
        fs::create_dir_all(&folder)?;
        let disk = Tmpfs::mount(&folder, DISK_MIB);
        let export = ExportServer::start(ExportConfig { settling: true, ..ExportConfig::new(first.clone()) })?;
        export.add_project(second.clone(), SECOND_KEY[0], SECOND_KEY[1]);
        let s3 = S3Server::start(S3Config { root: Some(lake), ..S3Config::new(BUCKET) })?;
        let (key, secret) = (export.api_key().to_owned(), export.secret_key().to_owned());
        let usual = [Duration::from_millis(150); 2];
        let machine = Self {
            siege,
            faketime,
            folder,
            disk,
            export,
            s3,
            key,
            secret,
            rotations: 0,
            offset: TimeDelta::zero(),
            usual,
        };
        machine.write_settings()?;
        Ok(machine)
    }

    fn write_settings(&self) -> io::Result<()> {
        let mut settings = dotenv(&self.export, &self.s3, BUCKET);
        settings = settings.replace(self.export.api_key(), &self.key).replace(self.export.secret_key(), &self.secret);
        settings += "AMP_RETRY_BASE=5ms\nAMP_MAX_RETRIES=1\nAMP_READ_TIMEOUT=5s\nAMP_LOG_KEEP=3\nAMP_MANIFEST_PREFIX=_manifests/\n";
        fs::write(self.folder.join(".env"), settings)
    }

    /// The API keys under which requests of that project come.
    pub(super) fn is_key_of(&self, project: Project, api_key: &str) -> bool {
        (api_key == SECOND_KEY[0]) == (project == Project::Second)
    }

    /// The API key that the settings give a call for that project.
    pub(super) fn key_of(&self, project: Project) -> &str {
        match project {
            Project::First => &self.key,
            Project::Second => SECOND_KEY[0],
        }
    }

    /// The old key is revoked; the new one is in the settings only after [`Self::take_new_key`].
    pub(super) fn revoke_key(&mut self) {
        self.export.revoke_key(&self.key);
        self.rotations += 1;
        self.export.add_key(&self.new_key(), "rotated-secret");
    }

    /// Puts the newest key into the settings.
    pub(super) fn take_new_key(&mut self) -> io::Result<()> {
        if self.rotations == 0 {
            return Ok(());
        }
        (self.key, self.secret) = (self.new_key(), "rotated-secret".to_owned());
        self.write_settings()
    }

    fn new_key(&self) -> String {
        format!("rotated-key-{}", self.rotations)
    }

    /// It is that time, and goes on from there.
    pub(super) fn set_time(&mut self, moment: DateTime<Utc>) {
        self.offset = moment - Utc::now();
        self.export.set_clock_offset(self.offset);
    }

    fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.offset
    }

    pub(super) fn staged(&self) -> PathBuf {
        self.folder.join("extracted_data")
    }

    /// Starts amp-extract.
    pub(super) fn extract(&self, how: &How, args: &[&str]) -> io::Result<Running> {
        let mut command = self.siege.programs.command(&[], "amp-extract", &self.folder);
        self.faketime.set(&mut command, self.now() + how.clock);
        command.env("TZ", how.zone).args(["--output", "json"]).args(args);
        if how.second {
            command.env("AMP_API_KEY", SECOND_KEY[0]).env("AMP_SECRET_KEY", SECOND_KEY[1]);
        }
        command.envs(how.set.iter().copied());
        Running::start(command, Stdio::piped())
    }

    /// Starts amp-load, which does not care what time it is.
    pub(super) fn load(&self, args: &[&str]) -> io::Result<Running> {
        let mut command = self.siege.programs.command(&[], "amp-load", &self.folder);
        command.args(args);
        Running::start(command, Stdio::piped())
    }

    /// Waits for a run's end, or kills it before that.
    pub(super) fn finish(&mut self, mut running: Running, program: usize, kill: Option<f64>) -> io::Result<Ended> {
        let Some(part) = kill else {
            let ended = running.wait()?;
            if ended.code == Some(0) {
                self.usual[program] = (self.usual[program] * 7 + ended.took) / 8;
            }
            return Ok(ended);
        };
        let (begun, after) = (Instant::now(), self.usual[program].mul_f64(part));
        while begun.elapsed() < after && !running.is_over()? {
            thread::sleep(Duration::from_micros(300));
        }
        running.kill();
        running.wait()
    }

    /// Takes a program's lock, as another run of it would hold it.
    pub(super) fn hold_lock(&self, program: &str) -> io::Result<File> {
        let state = self.staged().join(".amp");
        fs::create_dir_all(&state)?;
        let file = File::options().create(true).append(true).open(state.join(format!("{program}.lock")))?;
        file.lock()?;
        Ok(file)
    }

    /// Fills the disk but for so many bytes.
    pub(super) fn fill_disk(&self, but: u64) -> io::Result<()> {
        disk::fill(&self.folder.join("reserve"), but)?;
        disk::fill(&self.folder.join("ballast"), u64::MAX)?;
        folder::clear(&self.folder.join("reserve"))
    }

    pub(super) fn empty_disk(&self) -> io::Result<()> {
        folder::clear(&self.folder.join("ballast"))
    }

    /// As after a night without faults.
    pub(super) fn calm(&self) -> io::Result<()> {
        self.export.clear_rules();
        self.s3.clear_rules();
        self.empty_disk()
    }

    /// Removes the folders, unless they are to be inspected.
    pub(super) fn end(self, is_well: bool) -> io::Result<()> {
        let Self { siege, folder, disk, export, s3, .. } = self;
        drop((export, s3));
        if !is_well {
            // It stays mounted until the next siege.
            std::mem::forget(disk);
            return Ok(());
        }
        drop(disk);
        folder::clear(&folder)?;
        folder::clear(&siege.folder.join("year-lake"))
    }

    /// Waits for the answers to clients that are gone: what they asked for may still be done.
    pub(super) fn settle(&self) {
        let begun = Instant::now();
        while self.s3.in_flight() > 0 && begun.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(1));
        }
    }
}
