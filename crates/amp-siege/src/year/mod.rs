//! A year of daily calls, as cron makes them, most of which something goes wrong with. In the end each hour of each day is in the bucket once.

mod closing;
mod machine;
mod mishaps;
mod truth;
mod verdict;

use std::collections::BTreeSet;
use std::io;

use amp_sandbox::events::Dataset;
use amp_sandbox::export::{Fault, Hours, Rule, When};
use amp_sandbox::process::Ended;
use amp_sandbox::time::{Hour, Window};
use chrono::{Days, NaiveDate, TimeDelta};
use fastrand::Rng;

use self::machine::{How, Machine, Project};
use self::mishaps::{Calendar, Day, Mishap, yesterday};
pub(crate) use self::truth::ranges;
use self::truth::{REPAIR_DAYS, Truth};
use crate::Siege;
use crate::clock::ZONES;
use crate::faketime::Faketime;
use crate::tally::Tally;

const FIRST: NaiveDate = NaiveDate::from_ymd_opt(2024, 12, 20).unwrap();

pub(crate) fn run(siege: &Siege, tally: &mut Tally) -> io::Result<()> {
    let Some(faketime) = Faketime::find() else {
        tally.note("SKIPPED: faketime is missing");
        return Ok(());
    };
    let days = if siege.short { 30 } else { 365 };
    let mut year = Year::new(siege, faketime, tally, days)?;
    if year.machine.disk.is_none() {
        year.tally.note("no tmpfs can be mounted here, so the disk was never full");
    }
    let mut lived = 0;
    while lived < days && !year.tally.is_lost() {
        year.live(FIRST + Days::new(lived), lived == 0)?;
        lived += 1;
    }
    if lived == days {
        year.close(FIRST + Days::new(days))?;
    }
    let Year { machine, tally, .. } = year;
    machine.end(tally.held())
}

struct Year<'a> {
    machine: Machine<'a>,
    calendar: Calendar,
    random: Rng,
    tally: &'a mut Tally,
    truths: [Truth; 2],
    /// A line a call, to tell what led to a violation.
    diary: Vec<(NaiveDate, String)>,
    /// How many requests were judged, by project.
    seen: [usize; 2],
    flaky: BTreeSet<NaiveDate>,
    reported: BTreeSet<Hour>,
    needs_new_key: bool,
}

impl<'a> Year<'a> {
    fn new(siege: &'a Siege, faketime: Faketime, tally: &'a mut Tally, days: u64) -> io::Result<Self> {
        let mut random = siege.random("year", 0);
        let calendar = Calendar::new(siege.random("year", 1), FIRST, days as i64);
        let all = Window::new(Hour::of(FIRST, 0).plus(-24 * 10), Hour::of(FIRST + Days::new(days + 10), 23));
        let mut data = Dataset::new(random.u64(..)).parts_per_hour(2).events_per_part(1).only(all);
        // Nights without an event, and days.
        for hour in all.hours().filter(|hour| hour.date() >= FIRST) {
            if calendar.is_empty(hour.date()) || (hour.hour_of_day() < 5 && random.u8(..4) == 0) {
                data = data.without_hour(hour);
            }
        }
        let second = Dataset::new(random.u64(..)).project(200_022).parts_per_hour(2).events_per_part(1).only(all);
        let machine = Machine::new(siege, faketime, [&data, &second])?;
        let truths = [Truth::new(data), Truth::new(second)];
        let (diary, flaky, reported) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        Ok(Self {
            machine,
            calendar,
            random,
            tally,
            truths,
            diary,
            seen: [0; 2],
            flaky,
            reported,
            needs_new_key: false,
        })
    }

    /// One day: what cron calls, and what goes wrong.
    fn live(&mut self, date: NaiveDate, is_calm: bool) -> io::Result<()> {
        let mut day = self.calendar.day(date, is_calm);
        day.mishaps.retain(|mishap| *mishap != Mishap::FlakyEmpty || self.may_be_flaky(date));
        if self.machine.disk.is_none() {
            day.mishaps.retain(|mishap| !matches!(mishap, Mishap::DiskFull(_)));
        }
        day.mishaps.iter().for_each(|mishap| self.tally.count(kind(mishap), 1));
        if day.mishaps.contains(&Mishap::Off) {
            self.diary.push((date, "off".to_owned()));
            return Ok(());
        }
        self.machine.set_time(day.moment);
        if std::mem::take(&mut self.needs_new_key) {
            self.machine.take_new_key()?;
        }
        if day.mishaps.is_empty() && !day.beside_another {
            self.calm_day(&day, Project::First)?;
        } else {
            self.tally.attacks += 1;
            self.hard_day(&day)?;
        }
        self.check(date)
    }

    /// Yesterday may be reported as empty for once if the day before is known to have data and nothing of yesterday is known yet.
    fn may_be_flaky(&mut self, date: NaiveDate) -> bool {
        let day = yesterday(date);
        let truth = &self.truths[0];
        let is_known = truth.wanted.is_some_and(|[first, _]| first <= yesterday(day));
        let staged = self.machine.staged();
        let missing =
            |day| truth.missing([day].into_iter(), &staged, &self.machine.s3).get(&day).map_or(0, BTreeSet::len);
        let hours = |day: NaiveDate| truth.names(day).map(|(hour, _)| hour).collect::<BTreeSet<_>>().len();
        let before = yesterday(day);
        is_known
            && hours(before) > 0
            && missing(before) == 0
            && hours(day) > 0
            && missing(day) == hours(day)
            && self.flaky.insert(day)
    }

    /// Nothing goes wrong: what was missed on the days before is made good, and what is older is named and fetched by name.
    fn calm_day(&mut self, day: &Day, project: Project) -> io::Result<()> {
        let how = How { second: project == Project::Second, zone: self.zone(), ..How::default() };
        let [announced, archives] = self.announced(day, &how)?;
        // A key whose project is not known yet asks for what is missing of that once it is: for more, or for less.
        let is_known = self.truths[truth::of(project)].knows(self.machine.key_of(project));
        self.truths[truth::of(project)].want(day.date);
        let ended = self.extract(day, &how)?;
        let asked = self.judge(day, project, true);
        // An archive may turn out to be of another window; then it is asked for anew.
        let is_told = |window: &String| announced.contains(window) || archives.contains(window);
        if is_known && !(announced.is_subset(&asked) && asked.iter().all(is_told)) {
            let text = format!("--status announced {announced:?}, and the run asked for {asked:?}");
            self.violated(&text, day.date);
        }
        self.fetch_older(day, project, &how, ended)?;
        let loading = self.machine.load(&[])?;
        let ended = self.machine.finish(loading, 1, None)?;
        self.note(day.date, "amp-load", &ended);
        if let Some(problem) = ended.wrong_end(&[0]) {
            self.violated(&format!("amp-load on a calm day: {problem}"), day.date);
        }
        self.expect_recent(day.date, project)
    }

    /// Fetches by name what a call names as owed and too old, until none is; a call names ten windows at most.
    fn fetch_older(&mut self, day: &Day, project: Project, how: &How, mut ended: Ended) -> io::Result<()> {
        for _ in 0..5 {
            let too_old = self.too_old(&ended, day.date);
            if let Some(problem) = ended.wrong_end(if too_old.is_empty() { &[0] } else { &[1] }) {
                self.violated(&format!("on a calm day: {problem}"), day.date);
            }
            if too_old.is_empty() {
                return Ok(());
            }
            for [start, end] in &too_old {
                self.tally.count("windows fetched by name", 1);
                let running = self.machine.extract(how, &["--start", start, "--end", end])?;
                let ended = self.machine.finish(running, 0, None)?;
                self.note(day.date, &format!("amp-extract --start {start} --end {end}"), &ended);
                self.judge(day, project, true);
                if let Some(problem) = ended.wrong_end(&[0]) {
                    self.violated(&format!("--start {start} --end {end} on a calm day: {problem}"), day.date);
                }
            }
            ended = self.extract(day, how)?;
            self.judge(day, project, true);
        }
        self.violated("what is named as too old does not become less", day.date);
        Ok(())
    }

    /// Something goes wrong.
    fn hard_day(&mut self, day: &Day) -> io::Result<()> {
        let mut how = How { zone: self.zone(), ..How::default() };
        let (mut kill_load, mut locks) = (None, Vec::new());
        for mishap in &day.mishaps {
            match mishap {
                Mishap::Off | Mishap::Early => {}
                Mishap::Export(rule) => self.machine.export.add_rule(rule.parse().map_err(other)?),
                Mishap::FlakyEmpty => {
                    let hours = Some(Hours::Exactly(Window::day(yesterday(day.date))));
                    let on = When { hours, times: Some(1), ..When::default() };
                    self.machine.export.add_rule(Rule::new(on, Fault::NoData));
                }
                Mishap::S3(rule) => self.machine.s3.add_rule(rule.parse().map_err(other)?),
                Mishap::KillExtract(part) => how.kill = Some(*part),
                Mishap::KillLoad(part) => kill_load = Some(*part),
                Mishap::DiskFull(but) => self.machine.fill_disk(*but)?,
                Mishap::ExtractLocked => locks.push(self.machine.hold_lock("extract")?),
                Mishap::LoadLocked => locks.push(self.machine.hold_lock("load")?),
                Mishap::Clock(off) => how.clock = *off,
                Mishap::BadSetting => how.set.push(("AMP_REGION", "mars")),
                Mishap::WrongKey => how.set.push(("AMP_API_KEY", "nobodys-key")),
                Mishap::Rotated => {
                    self.machine.revoke_key();
                    self.machine.take_new_key()?;
                }
                Mishap::RotatedLate => {
                    self.machine.revoke_key();
                    self.needs_new_key = true;
                }
            }
        }
        let beside = match day.beside_another {
            true => Some(self.machine.extract(&How { second: true, zone: "UTC", ..How::default() }, &[])?),
            false => None,
        };
        let running = self.machine.extract(&how, &[])?;
        let ended = self.machine.finish(running, 0, how.kill)?;
        self.note(day.date, &format!("amp-extract at {} ({})", day.moment.format("%H:%M"), text(&day.mishaps)), &ended);
        self.expect_end(day, &ended, how.kill.is_some());
        if let Some(beside) = beside {
            let ended = self.machine.finish(beside, 0, None)?;
            self.note(day.date, "amp-extract of the second project", &ended);
            self.expect_end(day, &ended, false);
            self.truths[1].want(day.date);
            self.judge(day, Project::Second, false);
        }
        // A call that could not even read its settings or write to the disk wanted nothing that could be known.
        self.truths[0].want(day.date);
        let is_kept = ended.code.is_some_and(|code| code < 2) && day.mishaps.iter().all(leaves_answers_kept);
        self.judge(day, Project::First, is_kept);
        let loading = self.machine.load(&[])?;
        let ended = self.machine.finish(loading, 1, kill_load)?;
        self.note(day.date, "amp-load", &ended);
        self.expect_end(day, &ended, kill_load.is_some());
        drop(locks);
        self.machine.settle();
        self.machine.calm()
    }

    fn zone(&mut self) -> &'static str {
        self.random.choice(ZONES).unwrap_or("UTC")
    }

    fn extract(&mut self, day: &Day, how: &How) -> io::Result<Ended> {
        let running = self.machine.extract(how, &[])?;
        let ended = self.machine.finish(running, 0, None)?;
        let which = if how.second { " of the second project" } else { "" };
        self.note(day.date, &format!("amp-extract{which} at {}", day.moment.format("%H:%M")), &ended);
        Ok(ended)
    }

    fn note(&mut self, date: NaiveDate, what: &str, ended: &Ended) {
        let end = ended.code.map_or_else(|| "killed".to_owned(), |code| format!("exit {code}"));
        self.diary.push((date, format!("{what}: {end}")));
    }

    /// The calls that should have brought that day.
    fn diary_of(&self, day: NaiveDate) -> String {
        let span = day..=day + TimeDelta::days(REPAIR_DAYS + 2);
        let lines = self.diary.iter().filter(|(date, _)| span.contains(date));
        lines.map(|(date, line)| format!("    {date} {line}")).collect::<Vec<_>>().join("\n")
    }

    fn violated(&mut self, what: &str, date: NaiveDate) {
        let text = format!("{what}\n{}", self.diary_of(date - TimeDelta::days(2)));
        self.tally.violated(&text, &date.to_string(), &self.machine.folder);
    }
}

/// How the figures call it.
fn kind(mishap: &Mishap) -> &'static str {
    match mishap {
        Mishap::Off => "days off",
        Mishap::Early => "early starts",
        Mishap::Export(rule) if rule.contains("archive-of") || rule.contains("foreign-hour") => "other days' archives",
        Mishap::Export(rule) if rule.contains("404") => "foreign 404s",
        Mishap::Export(_) => "outages of the Export API",
        Mishap::FlakyEmpty => "flaky 404s",
        Mishap::S3(_) => "outages of S3",
        Mishap::KillExtract(_) | Mishap::KillLoad(_) => "kills",
        Mishap::DiskFull(_) => "full disks",
        Mishap::ExtractLocked | Mishap::LoadLocked => "locks held",
        Mishap::Clock(_) => "wrong clocks",
        Mishap::BadSetting => "bad settings",
        Mishap::WrongKey => "wrong keys",
        Mishap::Rotated | Mishap::RotatedLate => "rotated keys",
    }
}

/// Whether a run keeps what it is rightly told, so that no other need ask again.
fn leaves_answers_kept(mishap: &Mishap) -> bool {
    use Mishap::{Early, Export, FlakyEmpty, KillLoad, LoadLocked, Rotated, S3};
    matches!(mishap, Early | Export(_) | FlakyEmpty | S3(_) | KillLoad(_) | LoadLocked | Rotated)
}

fn text(mishaps: &[Mishap]) -> String {
    mishaps.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn other(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}
