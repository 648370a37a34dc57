//! What there must be: the files of each project's days, and which hours were received so surely that nothing need ask for them again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use amp_sandbox::events::Dataset;
use amp_sandbox::export::ExportRequest;
use amp_sandbox::s3::S3Server;
use amp_sandbox::time::{Hour, Window};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::machine::Project;
use super::mishaps::yesterday;
use crate::lab::BUCKET;

/// Days that a default call repairs, its default.
pub(super) const REPAIR_DAYS: i64 = 7;

/// What is known of one project.
pub(super) struct Truth {
    pub(super) data: Dataset,
    /// The days that default calls wanted: from the first one's yesterday to the last one's.
    pub(super) wanted: Option<[NaiveDate; 2]>,
    proved: BTreeSet<Hour>,
    known_keys: BTreeSet<String>,
    /// The earliest day that was yesterday to a call with each key.
    first_days: BTreeMap<String, NaiveDate>,
    /// How often a key of the project was told of no data in an hour that had settled.
    empty: BTreeMap<Hour, u32>,
}

impl Truth {
    pub(super) fn new(data: Dataset) -> Self {
        Self {
            data,
            wanted: None,
            proved: BTreeSet::new(),
            known_keys: BTreeSet::new(),
            first_days: BTreeMap::new(),
            empty: BTreeMap::new(),
        }
    }

    /// A default call of that day was made.
    pub(super) fn want(&mut self, date: NaiveDate) {
        let day = yesterday(date);
        self.wanted = Some(self.wanted.map_or([day, day], |[first, last]| [first, last.max(day)]));
    }

    /// The wanted days that a default call of `date` with that key has to see to. Those of before a key that brought nothing yet may be another
    /// project's.
    pub(super) fn recent(&self, date: NaiveDate, api_key: &str) -> impl Iterator<Item = NaiveDate> + use<> {
        let mut oldest = date - TimeDelta::days(REPAIR_DAYS);
        if !self.knows(api_key) {
            oldest = self.first_days.get(api_key).map_or(oldest, |first| oldest.max(*first));
        }
        self.days().filter(move |day| *day >= oldest)
    }

    /// All wanted days.
    pub(super) fn days(&self) -> impl Iterator<Item = NaiveDate> + use<> {
        self.wanted.into_iter().flat_map(|[first, last]| first.iter_days().take_while(move |day| *day <= last))
    }

    /// Names of a day's files.
    pub(super) fn names(&self, day: NaiveDate) -> impl Iterator<Item = (Hour, String)> + '_ {
        let name = |(hour, part)| (hour, self.data.member_name(hour, part).trim_end_matches(".gz").to_owned());
        self.data.files_in(Window::day(day)).map(name)
    }

    /// The days' hours of which a file is neither staged nor in the bucket.
    pub(super) fn missing(
        &self,
        days: impl Iterator<Item = NaiveDate>,
        staged: &Path,
        s3: &S3Server,
    ) -> BTreeMap<NaiveDate, BTreeSet<Hour>> {
        let mut missing = BTreeMap::<_, BTreeSet<_>>::new();
        for day in days {
            for (hour, name) in self.names(day) {
                if fs::symlink_metadata(staged.join(&name)).is_err() && s3.object(BUCKET, &name).is_none() {
                    missing.entry(day).or_default().insert(hour);
                }
            }
        }
        missing
    }

    /// Whether that key brought something before. Only then is it known to be one of the project's.
    pub(super) fn knows(&self, api_key: &str) -> bool {
        self.known_keys.contains(api_key)
    }

    /// Hours that these requests asked for though they had been received for sure. A key that brought nothing yet cannot know that, of the
    /// days from the first one on that was `yesterday` to it.
    pub(super) fn needless<'a>(
        &mut self,
        requests: impl Iterator<Item = &'a ExportRequest>,
        yesterday: NaiveDate,
    ) -> Vec<Hour> {
        let mut needless = Vec::new();
        for request in requests {
            let first = self.first_days.entry(request.api_key.clone()).or_insert(yesterday);
            // A clock that went back had it ask for an earlier one.
            *first = (*first).min(yesterday);
            let first = *first;
            let is_known = self.knows(&request.api_key);
            let hours = request.window.into_iter().flat_map(Window::hours);
            needless.extend(hours.filter(|hour| (is_known || hour.date() < first) && self.proved.contains(hour)));
        }
        needless
    }

    /// Takes in what a run was told, at that moment by Amplitude's clock, if it kept all that was right. What it asked for and did not surely
    /// get is owed again, though it had been received before: by another key, of which this one could not know.
    pub(super) fn learn<'a>(
        &mut self,
        requests: impl Iterator<Item = &'a ExportRequest>,
        moment: DateTime<Utc>,
        is_kept: bool,
    ) {
        for request in requests {
            let hours = || request.window.into_iter().flat_map(Window::hours);
            let is_right = request.finished && !request.faulty && matches!(request.status, 200 | 404);
            if !(is_kept && is_right) {
                for hour in hours() {
                    self.proved.remove(&hour);
                }
                continue;
            }
            if request.status == 200 {
                self.known_keys.insert(request.api_key.clone());
            }
            let told_empty_by_ours = request.status == 404 && self.knows(&request.api_key);
            // `Date` tells whole seconds: what settles in this minute may count as unsettled.
            let is_settled = |hour: &Hour| hour.plus(3).start() + TimeDelta::minutes(1) <= moment;
            for hour in hours().filter(is_settled) {
                let told_empty = self.empty.entry(hour).or_default();
                *told_empty += u32::from(told_empty_by_ours);
                // A day that is empty is believed the second time, and a key that brought nothing never: it may be of another project.
                if request.status == 200 || *told_empty >= 2 {
                    self.proved.insert(hour);
                }
            }
        }
    }

    /// What the day's manifest has to list, if the project has anything of it in the bucket.
    pub(super) fn keys(&self, day: NaiveDate, s3: &S3Server) -> BTreeSet<String> {
        let names: BTreeSet<String> = self.names(day).map(|(_, name)| name).collect();
        if names.iter().any(|name| s3.object(BUCKET, name).is_some()) { names } else { BTreeSet::new() }
    }
}

/// Hours as a person writes them: `00-05, 09`.
pub(crate) fn ranges(hours: &BTreeSet<Hour>) -> String {
    let mut runs: Vec<[u32; 2]> = Vec::new();
    for hour in hours.iter().map(|hour| hour.hour_of_day()) {
        match runs.last_mut() {
            Some(run) if run[1] + 1 == hour => run[1] = hour,
            _ => runs.push([hour, hour]),
        }
    }
    let text = |[from, to]: &[u32; 2]| if from == to { format!("{from:02}") } else { format!("{from:02}-{to:02}") };
    runs.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// The projects' index, in the order in which they came.
pub(super) fn of(project: Project) -> usize {
    match project {
        Project::First => 0,
        Project::Second => 1,
    }
}
