//! The two programs, the servers that they reach, and a folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Once;
use std::thread;
use std::time::{Duration, Instant};

use amp_sandbox::export::{ExportConfig, ExportServer, Fault, Hours, Rule, When};
use amp_sandbox::process::{Ended, Running};
use amp_sandbox::programs::{Programs, dotenv};
use amp_sandbox::s3::{S3Config, S3Server};
use amp_sandbox::strace;
use amp_sandbox::time::{Hour, Window};
use amp_sandbox::tools::{faketime, has};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tempfile::TempDir;

use crate::reference::{Command, Extract, Kill, Model, NotFound, all_days, day};

const BUCKET: &str = "lake";
pub(crate) const MANIFESTS: &str = "_manifests/";

pub(crate) struct Machine {
    programs: Programs,
    faketime: String,
    folder: TempDir,
    export: ExportServer,
    s3: S3Server,
    /// Of the hours that have data: those of which Amplitude itself said that they have none.
    pub(crate) denied: BTreeSet<Hour>,
}

impl Machine {
    /// `None` where a tool is missing.
    pub(crate) fn new(model: &Model) -> Option<Self> {
        let faketime = faketime()?;
        if !has("strace", strace::is_there()) {
            return None;
        }
        let programs = Programs::beside(Path::new(env!("CARGO_BIN_EXE_amp-siege")), false).unwrap();
        static BUILT: Once = Once::new();
        BUILT.call_once(|| programs.build().unwrap());
        let config = ExportConfig { settling: true, ..ExportConfig::new(model.dataset.clone()) };
        let export = ExportServer::start(config).unwrap();
        let s3 = S3Server::start(S3Config::new(BUCKET)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let machine = Self { programs, faketime, folder, export, s3, denied: BTreeSet::new() };
        machine.write_settings(machine.export.api_key());
        Some(machine)
    }

    fn write_settings(&self, key: &str) {
        let settings = dotenv(&self.export, &self.s3, BUCKET).replace(self.export.api_key(), key);
        let more = format!("AMP_RETRY_BASE=1ms\nAMP_MAX_RETRIES=1\nAMP_MANIFEST_PREFIX={MANIFESTS}\n");
        fs::write(self.folder.path().join(".env"), settings + &more).unwrap();
    }

    pub(crate) fn staged(&self) -> PathBuf {
        self.folder.path().join("extracted_data")
    }

    /// Every object with what it holds.
    pub(crate) fn objects(&self) -> Vec<(String, Vec<u8>)> {
        let objects = self.s3.objects(BUCKET).into_iter();
        objects.map(|object| (object.key, fs::read(object.path).unwrap())).collect()
    }

    pub(crate) fn carry_out(&mut self, model: &Model, command: &Command) {
        match command {
            Command::Extract(extract) => self.extract(model, extract),
            Command::Load { kill } => {
                let ended = self.run(model.now, "amp-load", &[], kill.as_ref());
                // What was killed may have left its hours open, but what is staged can always be loaded.
                assert_ends(&ended, kill.as_ref(), &[0]);
            }
            Command::Wait(_) => {}
            Command::NewKey => {
                let key = |number| if number == 0 { self.export.api_key().to_owned() } else { format!("key-{number}") };
                self.export.revoke_key(&key(model.keys - 1));
                self.export.add_key(&key(model.keys), self.export.secret_key());
                self.write_settings(&key(model.keys));
            }
            Command::Recut(..) => self.export.set_dataset(model.dataset.clone()),
        }
    }

    fn extract(&mut self, model: &Model, extract: &Extract) {
        let Extract { window, force, clock, not_found, kill } = extract;
        if let Some(NotFound { day: of, amplitudes }) = not_found {
            let fault = if *amplitudes { Fault::NoData } else { Fault::ForeignNotFound };
            self.export.add_rule(Rule::new(When { hours: Some(Hours::Overlap(day(of))), ..When::default() }, fault));
        }
        let mut args = window.map_or_else(Vec::new, |window| arguments(window).to_vec());
        if *force {
            args.push("--force".to_owned());
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let before = self.export.requests().len();
        let moment = model.now + TimeDelta::hours(*clock);
        let ended = self.run_with_clock(model.now, moment, "amp-extract", &args, kill.as_ref());
        // 2: this machine takes all of the window for the future.
        let codes: &[i32] = if window.is_some_and(|window| moment < window.start.start()) { &[2] } else { &[0, 1, 75] };
        assert_ends(&ended, kill.as_ref(), codes);
        if not_found.as_ref().is_some_and(|not_found| not_found.amplitudes) {
            let requests = self.export.requests().into_iter().skip(before).filter(|request| request.status == 404);
            self.denied.extend(requests.filter_map(|request| request.window).flat_map(Window::hours));
        }
        self.export.clear_rules();
    }

    /// One call of each program that nothing disturbs, once everything has settled.
    pub(crate) fn finish(&mut self, model: &Model) {
        let mut model = model.clone();
        model.wait(1_000);
        let args = arguments(all_days());
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        for (program, args) in [("amp-extract", &args[..]), ("amp-load", &[])] {
            assert_ends(&self.run(model.now, program, args, None), None, &[0]);
        }
    }

    /// What `--status` says of each hour of the model's days that has begun.
    pub(crate) fn states(&self, model: &Model) -> Vec<(Hour, String)> {
        let args = arguments(all_days());
        let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
        args.extend(["--status", "--output", "json"]);
        let ended = self.run(model.now, "amp-extract", &args, None);
        assert_ends(&ended, None, &[0]);
        let document: Value = serde_json::from_str(&ended.stdout).unwrap();
        let mut states = Vec::new();
        for status in document["days"].as_array().unwrap() {
            let start = day(status["day"].as_str().unwrap()).start;
            for (hour, state) in (0..).zip(status["hours"].as_array().unwrap()) {
                states.extend(state.as_str().map(|state| (start.plus(hour), state.to_owned())));
            }
        }
        states
    }

    fn run(&self, now: DateTime<Utc>, program: &str, args: &[&str], kill: Option<&Kill>) -> Ended {
        self.run_with_clock(now, now, program, args, kill)
    }

    /// It is `now` at Amplitude, and `moment` by this machine's clock.
    fn run_with_clock(
        &self,
        now: DateTime<Utc>,
        moment: DateTime<Utc>,
        program: &str,
        args: &[&str],
        kill: Option<&Kill>,
    ) -> Ended {
        self.export.set_clock_offset(now - Utc::now());
        let wrapper = match kill {
            Some(Kill::Before(call, number)) => {
                let rest = [format!("trace={call}"), format!("inject={call}:signal=KILL:when={number}")];
                let options = ["strace"].into_iter().chain(strace::FLAGS).chain(["/dev/null", "-e"]);
                options.map(str::to_owned).chain([rest[0].clone(), "-e".to_owned(), rest[1].clone()]).collect()
            }
            _ => Vec::new(),
        };
        let mut command = self.programs.command(&wrapper, program, self.folder.path());
        command.args(args);
        if program == "amp-extract" {
            // amp-load does not care what time it is, and S3 checks the time of its signatures.
            command.env("LD_PRELOAD", &self.faketime).env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1");
            command.env("FAKETIME", format!("{:+}s", (moment - Utc::now()).num_seconds()));
        }
        let begun = Instant::now();
        let mut running = Running::start(command, Stdio::piped()).unwrap();
        if let Some(Kill::After(millis)) = kill {
            while begun.elapsed() < Duration::from_millis(*millis) && !running.is_over().unwrap() {
                thread::sleep(Duration::from_millis(1));
            }
            running.kill();
        }
        let ended = running.wait().unwrap();
        // What a client that is gone asked for may still be done.
        while self.s3.in_flight() > 0 {
            thread::sleep(Duration::from_millis(1));
        }
        ended
    }
}

fn arguments(window: Window) -> [String; 4] {
    ["--start".to_owned(), window.start.to_string(), "--end".to_owned(), window.end.to_string()]
}

fn assert_ends(ended: &Ended, kill: Option<&Kill>, codes: &[i32]) {
    let is_killed = kill.is_some() && ended.was_killed();
    assert_eq!(ended.wrong_end(codes).filter(|_| !is_killed), None);
}
