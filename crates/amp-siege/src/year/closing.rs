//! The end of a year: what was named too old is fetched, all is loaded, and everything that speaks of it says the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

use amp_sandbox::time::{Hour, Window};
use chrono::{Days, NaiveDate};
use serde_json::Value;

use super::machine::{How, Project};
use super::truth;
use super::{Year, other};
use crate::contents::{Findings, MANIFESTS, names, wrong_manifest};
use crate::lab::BUCKET;

impl Year<'_> {
    pub(super) fn close(&mut self, mut date: NaiveDate) -> io::Result<()> {
        // The second call asks once more for what was empty the first time.
        for _ in 0..2 {
            for project in [Project::First, Project::Second] {
                let day = self.calendar.day(date, true);
                self.machine.set_time(day.moment);
                self.calm_day(&day, project)?;
            }
            date = date + Days::new(1);
        }
        self.machine.settle();
        self.verify_export(date)?;
        let mut findings = Findings::default();
        self.wrong_among_staged(&mut findings)?;
        self.wrong_in_bucket(&mut findings);
        self.left_behind(&mut findings)?;
        self.wrong_manifests(&mut findings);
        self.tally.take(findings, "the end", &self.machine.folder);
        self.statuses(date)?;
        self.verify_bucket(date)
    }

    /// What a staged file or an object must be.
    fn expected(&self, name: &str) -> Option<Vec<u8>> {
        let (hour, part) = hour_and_part(name)?;
        let truth = self.truths.iter().find(|truth| name.starts_with(&format!("{}_", truth.data.project_id())))?;
        (part < truth.data.parts_of(hour)).then(|| truth.data.bytes_of(hour, part))
    }

    pub(super) fn wrong_among_staged(&self, findings: &mut Findings) -> io::Result<()> {
        let staged = self.machine.staged();
        for name in names(&staged)?.into_iter().filter(|name| name != ".amp") {
            if self.expected(&name) != Some(fs::read(staged.join(&name))?) {
                findings.wrong(format!("extracted_data/{name} is not what was exported"));
            }
        }
        Ok(())
    }

    /// Each file of each wanted day is an object, byte for byte, and nothing else is.
    fn wrong_in_bucket(&self, findings: &mut Findings) {
        let mut objects: BTreeMap<String, _> =
            self.machine.s3.objects(BUCKET).into_iter().map(|object| (object.key, object.path)).collect();
        objects.retain(|key, _| !key.starts_with(MANIFESTS));
        let mut lost = BTreeMap::<NaiveDate, BTreeSet<Hour>>::new();
        for truth in &self.truths {
            for (day, (hour, name)) in truth.days().flat_map(|day| truth.names(day).map(move |name| (day, name))) {
                let Some(path) = objects.remove(&name) else {
                    lost.entry(day).or_default().insert(hour);
                    continue;
                };
                if self.expected(&name) != fs::read(path).ok() {
                    findings.wrong(format!("object {name} is not what was exported"));
                }
            }
        }
        for (day, hours) in lost {
            let text = format!("{day}: hours {} are not in the bucket\n{}", truth::ranges(&hours), self.diary_of(day));
            findings.lost(&vec![b'\n'; 2 * hours.len()], text);
        }
        for name in objects.keys().filter(|name| self.expected(name).is_none()) {
            findings.wrong(format!("object {name} was never exported"));
        }
        for (key, id) in self.machine.s3.open_uploads(BUCKET) {
            findings.wrong(format!("{key}: multipart upload {id} is still open"));
        }
    }

    fn left_behind(&self, findings: &mut Findings) -> io::Result<()> {
        for folder in ["extracted_data", "extracted_data/.amp/partial", "downloaded_data"] {
            for name in names(&self.machine.folder.join(folder))?.into_iter().filter(|name| name != ".amp") {
                findings.wrong(format!("{folder}/{name}: left behind"));
            }
        }
        Ok(())
    }

    /// Each wanted day has a manifest, which lists its files.
    fn wrong_manifests(&self, findings: &mut Findings) {
        for day in self.truths[0].days() {
            let right: BTreeSet<String> =
                self.truths.iter().flat_map(|truth| truth.keys(day, &self.machine.s3)).collect();
            wrong_manifest(&self.machine.s3, day, &right).into_iter().for_each(|problem| findings.wrong(problem));
        }
    }

    /// `--status` says of every wanted hour that it is loaded or empty.
    fn statuses(&mut self, date: NaiveDate) -> io::Result<()> {
        for (project, second) in [(Project::First, false), (Project::Second, true)] {
            let Some([first, last]) = self.truths[truth::of(project)].wanted else { continue };
            let window = [first.to_string(), last.to_string()];
            let how = How { second, zone: "UTC", ..How::default() };
            let args = ["--status", "--start", &window[0], "--end", &window[1]];
            let running = self.machine.extract(&how, &args)?;
            let ended = self.machine.finish(running, 0, None)?;
            let document: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
            let totals = document["totals"].as_object().cloned().unwrap_or_default();
            let others =
                totals.iter().filter(|(state, hours)| *state != "loaded" && *state != "no_data" && **hours != 0);
            let others: Vec<String> = others.map(|(state, hours)| format!("{hours} {state}")).collect();
            let with_data: BTreeSet<Hour> = {
                let truth = &self.truths[truth::of(project)];
                truth.days().flat_map(|day| truth.names(day).map(|(hour, _)| hour).collect::<Vec<_>>()).collect()
            };
            if !others.is_empty() || totals.get("loaded").and_then(Value::as_u64) != Some(with_data.len() as u64) {
                let text = format!(
                    "--status of the {project:?} project: {others:?}, {totals:?}, and {} hours have data",
                    with_data.len()
                );
                self.violated(&text, date);
            }
        }
        Ok(())
    }

    /// Of some days, what was recorded is exported still, byte for byte, and the same rows where Amplitude cuts its hours otherwise.
    fn verify_export(&mut self, date: NaiveDate) -> io::Result<()> {
        let days: Vec<NaiveDate> = self.truths[0].days().collect();
        for day in self.random.choose_multiple(days, 5) {
            let data = &self.truths[0].data;
            let with_data = Window::day(day).hours().filter(|hour| data.parts_of(*hour) > 0).count() as u64;
            for is_recut in [false, true] {
                if is_recut {
                    self.machine.export.add_rule(":recut=1".parse().map_err(other)?);
                }
                let how = How { zone: "UTC", ..How::default() };
                let running = self.machine.extract(&how, &["--verify", "--date", &day.to_string()])?;
                let ended = self.machine.finish(running, 0, None)?;
                self.machine.export.clear_rules();
                let document: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
                let found = ["same_bytes", "same_rows"].map(|kind| document["verified"][kind].as_u64());
                let same_rows = if is_recut { with_data } else { 0 };
                if ended.code != Some(0) || found != [Some(24 - same_rows), Some(same_rows)] {
                    self.violated(&format!("amp-extract --verify of {day}, recut {is_recut}: {ended:?}"), date);
                }
            }
        }
        Ok(())
    }

    /// What was recorded as loaded is in the bucket still.
    fn verify_bucket(&mut self, date: NaiveDate) -> io::Result<()> {
        let running = self.machine.load(&["--verify"])?;
        let ended = self.machine.finish(running, 1, None)?;
        if let Some(problem) = ended.wrong_end(&[0]) {
            self.violated(&format!("amp-load --verify: {problem}"), date);
        }
        Ok(())
    }
}

/// From `7_2025-11-06_9#1.json`.
fn hour_and_part(name: &str) -> Option<(Hour, u32)> {
    let mut words = name.strip_suffix(".json")?.splitn(3, '_').skip(1);
    let date: NaiveDate = words.next()?.parse().ok()?;
    let (hour, part) = words.next()?.split_once('#')?;
    Some((Hour::of(date, hour.parse().ok()?), part.parse().ok()?))
}
