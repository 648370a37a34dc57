//! What a call did: how it ended, what it asked for, what is there after it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use amp_sandbox::export::ExportRequest;
use amp_sandbox::process::Ended;
use amp_sandbox::time::{Hour, Window};
use chrono::{NaiveDate, TimeDelta};
use serde_json::Value;

use super::Year;
use super::machine::{How, Project};
use super::mishaps::Day;
use super::truth::{self, REPAIR_DAYS, ranges};
use crate::contents::Findings;

impl Year<'_> {
    /// The requests that `--status` says the next run would make, and the windows for which it would use an archive. `--dry-run` says the same.
    pub(super) fn announced(&mut self, day: &Day, how: &How) -> io::Result<[BTreeSet<String>; 2]> {
        let mut document = |flag| -> io::Result<Value> {
            let running = self.machine.extract(how, &[flag])?;
            let ended = self.machine.finish(running, 0, None)?;
            Ok(serde_json::from_str(&ended.stdout).unwrap_or_default())
        };
        let (status, dry_run) = (document("--status")?, document("--dry-run")?);
        let announced = [&status["next"]["requests"], &status["next"]["archives"]].map(windows);
        let planned = [&dry_run["planned"], &dry_run["archives"]].map(windows);
        if announced != planned {
            self.violated(&format!("--status announced {announced:?}, and --dry-run {planned:?}"), day.date);
        }
        Ok(announced)
    }

    /// What was asked for since the last look, of which nothing may have been needless.
    pub(super) fn judge(&mut self, day: &Day, project: Project, is_kept: bool) -> BTreeSet<String> {
        let all = self.machine.export.requests();
        let is_ours = |request: &&ExportRequest| self.machine.is_key_of(project, &request.api_key);
        let new = || all.iter().skip(self.seen[truth::of(project)]).filter(is_ours);
        let needless = self.truths[truth::of(project)].needless(new(), day.yesterday_by_clock());
        let windows = new().filter_map(|request| request.window.map(|window| window.to_string())).collect();
        self.tally.count("requests", new().count() as u64);
        self.truths[truth::of(project)].learn(new(), day.moment, is_kept);
        self.seen[truth::of(project)] = all.len();
        let mut days = BTreeMap::<NaiveDate, BTreeSet<Hour>>::new();
        for hour in needless.into_iter().filter(|hour| self.reported.insert(*hour)) {
            days.entry(hour.date()).or_default().insert(hour);
        }
        if !days.is_empty() {
            let days: Vec<_> = days.iter().map(|(day, hours)| format!("{} of {day}", ranges(hours))).collect();
            self.violated(&format!("needless requests for {}", days.join(", ")), day.date);
        }
        windows
    }

    /// Windows that the run named as owed and too old to be repaired.
    pub(super) fn too_old(&self, ended: &Ended, date: NaiveDate) -> Vec<[String; 2]> {
        let document: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
        let failures = document["failures"].as_array().cloned().unwrap_or_default();
        let window =
            |failure: &Value| Some([failure["start"].as_str()?.to_owned(), failure["end"].as_str()?.to_owned()]);
        let oldest = Hour::of(date - TimeDelta::days(REPAIR_DAYS), 0);
        let is_old = |[_, end]: &[String; 2]| end.parse::<Hour>().is_ok_and(|end| end < oldest);
        failures.iter().filter_map(window).filter(is_old).collect()
    }

    pub(super) fn expect_end(&mut self, day: &Day, ended: &Ended, may_be_killed: bool) {
        if may_be_killed && ended.was_killed() {
            return;
        }
        if let Some(problem) = ended.wrong_end(&[0, 1, 2, 3, 75]) {
            self.violated(&problem, day.date);
        }
    }

    /// After a run that nothing disturbed, all that it had to see to is here or in the bucket.
    pub(super) fn expect_recent(&mut self, date: NaiveDate, project: Project) -> io::Result<()> {
        let truth = &self.truths[truth::of(project)];
        let days = truth.recent(date, self.machine.key_of(project));
        let missing = truth.missing(days, &self.machine.staged(), &self.machine.s3);
        let mut findings = Findings::default();
        for (day, hours) in missing {
            let hours: BTreeSet<Hour> = hours.into_iter().filter(|hour| self.reported.insert(*hour)).collect();
            if !hours.is_empty() {
                let text = format!(
                    "{day}: hours {} of the {project:?} project are neither staged nor in the bucket",
                    ranges(&hours)
                );
                findings.lost(&vec![b'\n'; 2 * hours.len()], format!("{text}\n{}", self.diary_of(day)));
            }
        }
        self.tally.take(findings, &date.to_string(), &self.machine.folder);
        Ok(())
    }

    /// What is staged is right, whatever happened.
    pub(super) fn check(&mut self, date: NaiveDate) -> io::Result<()> {
        self.machine.settle();
        let mut findings = Findings::default();
        self.wrong_among_staged(&mut findings)?;
        self.tally.take(findings, &date.to_string(), &self.machine.folder);
        Ok(())
    }
}

/// The windows that a list in a result names.
fn windows(list: &Value) -> BTreeSet<String> {
    let window = |named: &Value| {
        let hour = |end: &str| named[end].as_str()?.parse().ok();
        Some(Window::new(hour("start")?, hour("end")?))
    };
    list.as_array().into_iter().flatten().filter_map(window).map(|window| window.to_string()).collect()
}
