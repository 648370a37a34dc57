//! A month of machines with empty disks, whose only memory is the bucket: they come and go, die, overlap, share days and sleep over one, and
//! state is deleted, damaged and set back behind their backs. In the end each hour is in the bucket once, and was asked for once but for a
//! reason.
//!
//! Longer than 350 lines: what may happen on a day, and by what each day and the month are judged, share one state.

mod life;
mod memory;
mod requests;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use amp_sandbox::events::Dataset;
use amp_sandbox::export::{ExportConfig, ExportServer};
use amp_sandbox::folder;
use amp_sandbox::process::Ended;
use amp_sandbox::programs::dotenv;
use amp_sandbox::s3::{S3Config, S3Fault, S3Rule, S3Server};
use amp_sandbox::time::{Hour, Window};
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use fastrand::Rng;

use self::life::{Body, Death, EXTRACT, LOAD, Life, RESTORE, STEPS};
use self::memory::Memory;
use self::requests::Requests;
use crate::Siege;
use crate::contents::{Contents, Findings, wrong_manifest};
use crate::faketime::Faketime;
use crate::lab::{BUCKET, expected};
use crate::tally::Tally;

const STATE: &str = "_state/";
/// On this many days in a row, no call may be left alone: default calls repair seven.
const MOST_HARD_DAYS: u32 = 2;
/// Machines that share a day.
const SHARDS: u32 = 3;

pub(crate) fn run(siege: &Siege, tally: &mut Tally) -> io::Result<()> {
    let Some(faketime) = Faketime::find() else {
        tally.note("SKIPPED: faketime is missing");
        return Ok(());
    };
    let days = if siege.short { 6 } else { 30 };
    let mut month = Month::new(siege, faketime, tally, days)?;
    for day in 0..days {
        if month.tally.is_lost() {
            break;
        }
        month.day(day)?;
    }
    month.close()?;
    let Month { folder, tally, export, s3, .. } = month;
    drop((export, s3));
    if tally.held() { folder::clear(&folder) } else { Ok(()) }
}

struct Month<'a> {
    siege: &'a Siege,
    faketime: Faketime,
    tally: &'a mut Tally,
    random: Rng,
    folder: PathBuf,
    export: ExportServer,
    s3: S3Server,
    data: Dataset,
    /// The day of the first call. amp-load lives in the present, so the month ends there.
    first: NaiveDate,
    today: NaiveDate,
    moment: DateTime<Utc>,
    bodies: u32,
    hard_days: u32,
    /// How long each step takes undisturbed.
    usual: [Duration; 3],
    requests: Requests,
    memory: Memory,
    /// A machine that fetched and did not load yet.
    asleep: Option<Body>,
    diary: Vec<String>,
}

impl<'a> Month<'a> {
    fn new(siege: &'a Siege, faketime: Faketime, tally: &'a mut Tally, days: u64) -> io::Result<Self> {
        let mut random = siege.random("machines", 0);
        let first = Utc::now().date_naive() - Days::new(days + 2);
        let all = Window::new(Hour::of(first - Days::new(3), 0), Hour::of(first + Days::new(days + 3), 23));
        let mut data = Dataset::new(random.u64(..)).parts_per_hour(2).events_per_part(1).only(all);
        // Nights without an event, and days; the first has one, by which the project is known.
        let empty: BTreeSet<NaiveDate> =
            first.iter_days().take(days as usize).filter(|_| random.u8(..12) == 0).collect();
        for hour in all.hours().filter(|hour| hour.date() >= first) {
            if empty.contains(&hour.date()) || (hour.hour_of_day() < 5 && random.u8(..4) == 0) {
                data = data.without_hour(hour);
            }
        }
        let folder = siege.folder.join("machines");
        fs::create_dir_all(&folder)?;
        let export = ExportServer::start(ExportConfig { settling: true, ..ExportConfig::new(data.clone()) })?;
        let s3 = S3Server::start(S3Config { root: Some(folder.join("lake")), ..S3Config::new(BUCKET) })?;
        // So that kills land everywhere.
        s3.add_rule(S3Rule::always(S3Fault::Delay(Duration::from_millis(3))));
        Ok(Self {
            siege,
            faketime,
            tally,
            random,
            folder,
            export,
            s3,
            requests: Requests::new(data.clone()),
            data,
            first,
            today: first,
            moment: DateTime::UNIX_EPOCH,
            bodies: 0,
            hard_days: 0,
            usual: [Duration::from_millis(300); 3],
            memory: Memory::default(),
            asleep: None,
            diary: Vec::new(),
        })
    }

    fn day(&mut self, number: u64) -> io::Result<()> {
        self.begin(number);
        let is_calm = number == 0 || self.hard_days >= MOST_HARD_DAYS;
        if is_calm {
            self.hard_days = 0;
            self.calm_call()?;
        } else {
            self.hard_days += 1;
            self.tally.attacks += 1;
            match self.random.u8(..10) {
                0 => self.note("no machine"),
                1..=3 => self.dying_call()?,
                4..=5 => self.overlapping_calls()?,
                6..=8 => self.shards()?,
                _ => self.sleeping_call()?,
            }
        }
        if number > 0 && self.random.u8(..4) == 0 {
            let done = self.memory.disturb(&self.s3, self.today, &mut self.random)?;
            done.lost.iter().for_each(|day| self.requests.allow(Window::day(*day).hours()));
            self.tally.count(done.what, 1);
            self.note(&format!("{}: {:?}", done.what, done.lost));
        }
        self.memory.remember(&self.s3);
        Ok(())
    }

    fn begin(&mut self, number: u64) {
        self.today = self.first + Days::new(number);
        self.moment = Hour::of(self.today, 3).start() + TimeDelta::minutes(self.random.i64(5..55));
        self.export.set_clock_offset(self.moment - Utc::now());
    }

    /// One machine, left alone.
    fn calm_call(&mut self) -> io::Result<()> {
        let life = self.life();
        self.live("a machine", vec![life])?;
        self.wake()
    }

    /// A machine that dies, and often one more in its place.
    fn dying_call(&mut self) -> io::Result<()> {
        let mut life = self.life();
        life.death = Some(self.death());
        self.live("a machine to die", vec![life])?;
        if self.random.bool() {
            let life = self.life();
            self.live("a machine in its place", vec![life])?;
        }
        self.wake()
    }

    /// Machines that make the same call at the same time, of which one may die.
    fn overlapping_calls(&mut self) -> io::Result<()> {
        let usual: Duration = self.usual.iter().sum();
        let mut lives = Vec::new();
        for _ in 0..self.random.usize(2..4) {
            let mut life = self.life();
            life.begins = usual.mul_f64(self.random.f64());
            life.death = (self.random.u8(..4) == 0).then(|| self.death());
            lives.push(life);
        }
        self.live("machines beside each other", lives)?;
        self.wake()
    }

    /// Machines that fetch a part of yesterday each, and may die; who died is replaced, or left to the next daily call.
    fn shards(&mut self) -> io::Result<()> {
        let mut lives = Vec::new();
        for shard in 0..SHARDS {
            let yesterday = self.today - Days::new(1);
            let hours = 24 / SHARDS;
            let mut life = self.life();
            let [from, to] = [shard * hours, (shard + 1) * hours - 1].map(|hour| Hour::of(yesterday, hour));
            life.window = Some(Window::new(from, to));
            life.begins = self.usual[RESTORE].mul_f64(self.random.f64());
            life.death = (self.random.u8(..4) == 0).then(|| self.death());
            lives.push(life);
        }
        let dead = self.live("shards", lives)?;
        if self.random.bool() && !dead.is_empty() {
            let mut lives = Vec::new();
            for window in dead {
                lives.push(Life { window, ..self.life() });
            }
            self.live("shards in their place", lives)?;
        }
        self.wake()
    }

    /// A machine that fetches, and loads only when another one made the next day's call.
    fn sleeping_call(&mut self) -> io::Result<()> {
        if self.asleep.is_some() {
            return self.calm_call();
        }
        let mut life = self.life();
        life.steps = RESTORE..LOAD;
        let body = life.body.clone();
        self.live("a machine to sleep", vec![life])?;
        self.asleep = Some(body);
        Ok(())
    }

    /// Has the machine that fetched on an earlier day load.
    fn wake(&mut self) -> io::Result<()> {
        let Some(body) = self.asleep.take() else { return Ok(()) };
        let life = Life { body, steps: LOAD..STEPS.len(), ..self.life() };
        self.live("the machine that slept", vec![life]).map(drop)
    }

    fn life(&mut self) -> Life {
        self.bodies += 1;
        let body = Body { folder: self.folder.join(format!("machine-{}", self.bodies)) };
        // Of earlier days only what is not done is read.
        let days = self.random.choice([None, None, Some("3"), Some("3650")]).flatten();
        Life { body, days, window: None, steps: RESTORE..STEPS.len(), begins: Duration::ZERO, death: None }
    }

    fn death(&mut self) -> Death {
        let step = self.random.usize(..STEPS.len());
        Death { step, after: self.usual[step].mul_f64(self.random.f64() * 1.1) }
    }

    /// Has machines live beside each other, judges what they asked for and returns the windows of those that died.
    fn live(&mut self, what: &str, lives: Vec<Life>) -> io::Result<Vec<Option<Window>>> {
        let settings = dotenv(&self.export, &self.s3, BUCKET)
            + "AMP_RETRY_BASE=5ms\nAMP_STATE_PREFIX=_state/\nAMP_MANIFEST_PREFIX=_manifests/\n";
        let (siege, faketime, moment) = (self.siege, &self.faketime, self.moment);
        let lived = thread::scope(|scope| {
            let begin = |life: &'_ Life| {
                let (life, settings) = (life.clone(), settings.as_str());
                scope.spawn(move || life.live(siege, faketime, moment, settings))
            };
            let running: Vec<_> = lives.iter().map(begin).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|_| Err(io::Error::other("a machine's thread panicked")))
            };
            running.into_iter().map(join).collect::<io::Result<Vec<Vec<Ended>>>>()
        })?;
        self.settle();
        let mut dead = Vec::new();
        for (life, ended) in lives.iter().zip(&lived) {
            self.judge_ends(what, life, ended);
            if ended.last().is_some_and(Ended::was_killed) {
                dead.push(life.window);
            }
        }
        self.tally.count("machines", lives.len() as u64);
        self.tally.count("deaths", dead.len() as u64);
        let is_asleep = lives.iter().any(|life| life.steps.end == LOAD);
        let asked = self.requests.take(&self.export);
        for window in &dead {
            self.requests
                .allow(asked.iter().copied().filter(|hour| window.is_none_or(|window| window.contains(*hour))));
        }
        // Of machines beside each other, none can know what the others ask for.
        let alike = lives.iter().filter(|life| life.window.is_none()).count().saturating_sub(1);
        for _ in 0..alike + usize::from(is_asleep) {
            self.requests.allow(asked.iter().copied());
        }
        let needless = self.requests.needless();
        if !needless.is_empty() {
            self.violated(&format!("asked for once too often: {needless}"));
        }
        self.tally.checks += 1;
        for life in lives.iter().filter(|life| life.steps.end == STEPS.len() && self.tally.held()) {
            folder::clear(&life.body.folder)?;
        }
        Ok(dead)
    }

    fn judge_ends(&mut self, what: &str, life: &Life, ended: &[Ended]) {
        for (step, ended) in life.steps.clone().zip(ended) {
            let window = life.window.map(|window| format!(" {window}")).unwrap_or_default();
            let end = ended.code.map_or_else(|| "killed".to_owned(), |code| format!("exit {code}"));
            self.note(&format!("{what} {}{window}, {}: {end}", life.body, STEPS[step]));
            let may_be_killed = life.death.is_some_and(|death| death.step == step);
            match ended.wrong_end(&[0]) {
                Some(problem) if !(may_be_killed && ended.was_killed()) => {
                    self.violated(&format!("{what}, {}: {problem}", STEPS[step]));
                }
                None if life.death.is_none() => self.usual[step] = (self.usual[step] * 3 + ended.took) / 4,
                _ => {}
            }
        }
    }

    /// Two more days without a death: the second call asks once more for what was empty. Then nobody needs anything.
    fn close(&mut self) -> io::Result<()> {
        let last = (self.today - self.first).num_days() as u64;
        for number in [last + 1, last + 2] {
            self.begin(number);
            self.calm_call()?;
        }
        let before = self.requests.count();
        let mut last = self.life();
        last.days = None;
        self.live("one more machine", vec![last.clone()])?;
        if self.requests.count() > before {
            self.violated("one more machine asked for something");
        }
        last.steps = RESTORE..EXTRACT;
        self.live("a machine to verify", vec![last.clone()])?;
        let ended = last.verify(self.siege)?;
        if let Some(problem) = ended.wrong_end(&[0]) {
            self.violated(&format!("amp-load --verify: {problem}"));
        }
        let mut findings = Findings::default();
        self.check_bucket(&mut findings);
        if !self.tally.take(findings, "the end", &self.folder) {
            self.violated("see above");
        }
        let again = self.requests.hours_again();
        self.tally.count("hours asked for again", again);
        Ok(())
    }

    /// Each hour is in the bucket once, and each day has its manifest.
    fn check_bucket(&self, findings: &mut Findings) {
        let days = || (self.first - Days::new(1)).iter_days().take_while(|day| *day < self.today);
        let expected = days().flat_map(|day| expected(&self.data, Window::day(day))).collect();
        let keys = Contents { folder: &self.folder, s3: &self.s3, expected: &expected }.objects(findings);
        for (name, bytes) in expected.iter().filter(|(name, _)| !keys.contains(*name)) {
            findings.lost(bytes, format!("{name} is not in the bucket"));
        }
        for day in days() {
            let files = self.data.files_in(Window::day(day));
            let right = files.map(|(hour, part)| self.data.expected_file(hour, part).name).collect();
            wrong_manifest(&self.s3, day, &right).into_iter().for_each(|problem| findings.wrong(problem));
        }
        self.memory.foreign_gone(&self.s3).into_iter().for_each(|problem| findings.wrong(problem));
    }

    /// Waits for the answers to clients that are gone: what they asked for may still be done.
    fn settle(&self) {
        while self.s3.in_flight() > 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn note(&mut self, what: &str) {
        self.diary.push(format!("    {} {what}", self.today));
    }

    fn violated(&mut self, what: &str) {
        let diary = self.folder.join("diary");
        let written = match fs::write(&diary, self.diary.join("\n") + "\n") {
            Ok(()) => format!("what led to it is in {}", diary.display()),
            Err(error) => format!("its diary cannot be written: {error}"),
        };
        self.tally.violated(&format!("{what}; {written}"), &self.today.to_string(), &self.folder);
    }
}
