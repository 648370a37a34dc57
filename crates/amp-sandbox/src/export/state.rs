//! What the connections of a server share: projects and their keys, the clock, rules, requests, archives.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

use super::archive::{ArchiveSource, Member};
use super::bandwidth::Bandwidth;
use super::fault::Fault;
use super::rule::Rule;
use super::server::{ExportConfig, ExportRequest, Limit};
use crate::events::Dataset;
use crate::http::Head;
use crate::time::{Hour, Window};

/// The project that the server begins with, among all of its projects.
pub(super) const PRIMARY: usize = 0;

pub(super) struct State {
    pub(super) config: ExportConfig,
    pub(super) bandwidth: Option<Bandwidth>,
    projects: Mutex<Vec<Dataset>>,
    keys: Mutex<Vec<Key>>,
    clock_offset: Mutex<TimeDelta>,
    requests: Mutex<Vec<ExportRequest>>,
    rules: Mutex<Vec<(Rule, u32)>>,
    given: Mutex<Vec<(Option<Window>, ArchiveSource)>>,
    built: Mutex<HashMap<(usize, Window), ArchiveSource>>,
}

struct Key {
    api: String,
    secret: String,
    project: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    pub(super) fn new(config: ExportConfig) -> Self {
        let state = Self {
            bandwidth: config.bandwidth.map(Bandwidth::new),
            projects: Mutex::new(vec![config.dataset.clone()]),
            keys: Mutex::default(),
            clock_offset: Mutex::default(),
            requests: Mutex::default(),
            rules: Mutex::default(),
            given: Mutex::default(),
            built: Mutex::default(),
            config,
        };
        state.add_key(PRIMARY, &state.config.api_key, &state.config.secret_key);
        state
    }

    pub(super) fn set_dataset(&self, project: usize, dataset: Dataset) {
        if let Some(known) = lock(&self.projects).get_mut(project) {
            *known = dataset;
        }
        lock(&self.built).clear();
    }

    /// The new project's number.
    pub(super) fn add_project(&self, dataset: Dataset) -> usize {
        let mut projects = lock(&self.projects);
        projects.push(dataset);
        projects.len() - 1
    }

    pub(super) fn add_key(&self, project: usize, api: &str, secret: &str) {
        lock(&self.keys).push(Key { api: api.to_owned(), secret: secret.to_owned(), project });
    }

    pub(super) fn revoke_key(&self, api: &str) {
        lock(&self.keys).retain(|key| key.api != api);
    }

    /// The project that these credentials open.
    pub(super) fn project_of(&self, (api, secret): &(String, String)) -> Option<usize> {
        lock(&self.keys).iter().find(|key| key.api == *api && key.secret == *secret).map(|key| key.project)
    }

    pub(super) fn set_clock_offset(&self, offset: TimeDelta) {
        *lock(&self.clock_offset) = offset;
        lock(&self.built).clear();
    }

    /// By the server's clock.
    pub(super) fn now(&self) -> DateTime<Utc> {
        Utc::now() + *lock(&self.clock_offset)
    }

    pub(super) fn rules(&self) -> MutexGuard<'_, Vec<(Rule, u32)>> {
        lock(&self.rules)
    }

    pub(super) fn requests(&self) -> Vec<ExportRequest> {
        lock(&self.requests).clone()
    }

    pub(super) fn give(&self, window: Option<Window>, archive: ArchiveSource) {
        let mut given = lock(&self.given);
        given.retain(|(of, _)| *of != window);
        given.push((window, archive));
    }

    /// Registers a request and finds the fault for it.
    pub(super) fn arrived(
        &self,
        head: &Head,
        api_key: Option<&str>,
        window: Option<Window>,
        pairs: &[(String, String)],
    ) -> (usize, Option<Fault>) {
        let parameter = |name: &str| pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap_or_default();
        let masked = |(name, value): &(String, String)| {
            let secret = name.eq_ignore_ascii_case("authorization");
            (name.clone(), if secret { "***".to_owned() } else { value.clone() })
        };
        let mut requests = lock(&self.requests);
        let number = requests.len() as u32 + 1;
        let mut rules = lock(&self.rules);
        let rule = rules.iter_mut().find(|(rule, used)| rule.applies(number, api_key, window, *used));
        let fault = rule.map(|(rule, used)| {
            *used += 1;
            rule.fault.clone()
        });
        requests.push(ExportRequest {
            method: head.method.clone(),
            path: head.path().to_owned(),
            start: parameter("start"),
            end: parameter("end"),
            api_key: api_key.unwrap_or_default().to_owned(),
            window,
            status: 0,
            bytes_sent: 0,
            faulty: fault.is_some(),
            authorized: false,
            headers: head.headers.iter().map(masked).collect(),
            at: Instant::now(),
            finished: false,
        });
        (requests.len() - 1, fault)
    }

    pub(super) fn update(&self, index: usize, change: impl FnOnce(&mut ExportRequest)) {
        if let Some(request) = lock(&self.requests).get_mut(index) {
            change(request);
        }
    }

    pub(super) fn exceeds(&self, project: usize, window: Window, limit: &Limit) -> bool {
        let dataset = self.dataset(project);
        let bytes = || dataset.expected_files(window).iter().map(|file| file.bytes).sum::<u64>();
        limit.hours.is_some_and(|most| window.hours().count() as u64 > most)
            || limit.events.is_some_and(|most| dataset.events_in(window) > most)
            || limit.bytes.is_some_and(|most| bytes() > most)
    }

    fn dataset(&self, project: usize) -> Dataset {
        lock(&self.projects)[project].clone()
    }

    /// The files of the window that there are at `now`.
    fn files(&self, dataset: &Dataset, window: Window, now: DateTime<Utc>) -> Vec<(Hour, u32)> {
        let parts = |hour: Hour| match dataset.parts_of(hour) {
            parts if !self.config.settling || hour.plus(3).start() <= now => parts,
            parts if hour.start() <= now => parts / 2,
            _ => 0,
        };
        window.hours().flat_map(|hour| (0..parts(hour)).map(move |part| (hour, part))).collect()
    }

    /// The archive to serve, which the fault may have changed; `None` if the window has no data.
    pub(super) fn archive(
        &self,
        project: usize,
        window: Window,
        fault: Option<&Fault>,
    ) -> io::Result<Option<ArchiveSource>> {
        if let Some(Fault::ArchiveOf(other)) = fault {
            return self.archive(project, *other, None);
        }
        {
            let given = lock(&self.given);
            let exact = given.iter().find(|(of, _)| *of == Some(window));
            if let Some((_, source)) = exact.or_else(|| given.iter().find(|(of, _)| of.is_none())) {
                return Ok(Some(source.clone()));
            }
        }
        let mut dataset = self.dataset(project);
        match fault {
            Some(Fault::Recut(parts)) => dataset = window.hours().fold(dataset, |data, hour| data.recut(hour, *parts)),
            Some(Fault::Rows(more @ 0..)) => {
                dataset = window.hours().fold(dataset, |data, hour| data.add_rows(hour, more.unsigned_abs()));
            }
            Some(Fault::Rows(fewer)) => {
                dataset = window.hours().fold(dataset, |data, hour| data.remove_rows(hour, fewer.unsigned_abs()));
            }
            _ => {}
        }
        let now = self.now();
        let files = self.files(&dataset, window, now);
        if files.is_empty() {
            return Ok(None);
        }
        let mut members = Member::all(&dataset, &files);
        match fault {
            Some(Fault::ForeignHour(hour)) => {
                dataset = dataset.everywhere();
                members.extend(Member::all(&dataset, &[(*hour, 0)]));
            }
            Some(Fault::Undated) => members = vec![Member::undated(files)],
            Some(Fault::Ending { ending, part }) => {
                members = members.into_iter().map(|member| member.ending(ending, *part)).collect();
            }
            Some(Fault::Recut(_) | Fault::Rows(_)) => {}
            _ => return self.unchanged(&dataset, (project, window), &members, now).map(Some),
        }
        ArchiveSource::build(&dataset, &members, &self.config.layout).map(Some)
    }

    /// Built once. `now` is when `members` were listed: the clock may be moved while the archive is built.
    fn unchanged(
        &self,
        dataset: &Dataset,
        of: (usize, Window),
        members: &[Member],
        now: DateTime<Utc>,
    ) -> io::Result<ArchiveSource> {
        if let Some(source) = lock(&self.built).get(&of) {
            return Ok(source.clone());
        }
        let source = ArchiveSource::build(dataset, members, &self.config.layout)?;
        // An hour that is not complete may be the next time.
        if !self.config.settling || of.1.end.plus(3).start() <= now {
            lock(&self.built).insert(of, source.clone());
        }
        Ok(source)
    }
}
