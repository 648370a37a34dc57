//! What a run says at its end.

mod printed;

use amp_cli::{Diagnostic, Ending, Exit, Outcome, RunError};
use amp_core::hour::Hour;
use amp_core::window::HourWindow;
use serde::Serialize;
use url::Url;

use crate::owed::name_older;
use crate::plan::Plan;
use crate::verify::{Comparison, Verified};

/// Hours by what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Hours {
    /// All that the run was about.
    pub asked: u64,
    /// Those with data now staged.
    pub extracted: u64,
    /// Those that Amplitude has nothing of.
    pub no_data: u64,
    /// Those that were done before.
    pub skipped: u64,
    /// Those that were not got.
    pub failed: u64,
    /// Those that nothing became of: the run ended before.
    pub unfinished: u64,
    /// Those that were given up.
    pub accepted: u64,
    /// Those, among the ones got, that were not settled yet.
    pub unsettled: u64,
    /// Those that `--verify` compared, or cannot compare.
    #[serde(skip_serializing_if = "is_zero")]
    pub verified: u64,
}

impl Hours {
    /// Hours that nothing became of yet.
    pub fn unaccounted(&self) -> u64 {
        let accounted = self.extracted + self.no_data + self.skipped + self.failed + self.accepted + self.verified;
        self.asked.saturating_sub(accounted)
    }
}

/// A failure and what it concerns; a run that could not begin has no window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// First hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Hour>,
    /// Last hour, included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Hour>,
    /// What happened and what to do.
    pub error: Diagnostic,
}

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    program: &'static str,
    version: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// The window asked for; null where there is none.
    pub window: Option<HourWindow>,
    /// Hours by what became of them.
    pub hours: Hours,
    /// Requests sent to Amplitude.
    pub requests: u64,
    /// Those of them that were retries.
    pub retries: u64,
    /// Windows that were halved.
    pub splits: u64,
    /// Bytes of archives, those of failed tries included.
    pub bytes_downloaded: u64,
    /// Bytes staged.
    pub bytes_extracted: u64,
    /// Files staged.
    pub files: u64,
    /// Events staged.
    pub events: u64,
    /// How long it took.
    pub seconds: f64,
    /// What failed.
    pub failures: Vec<Failure>,
    /// What `--verify` found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    #[serde(skip_serializing_if = "is_false")]
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    planned: Option<Vec<HourWindow>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    archives: Vec<HourWindow>,
    /// Where a dry run would ask.
    #[serde(skip)]
    pub(crate) base_url: Option<Url>,
    #[serde(skip)]
    skipped: Vec<HourWindow>,
    #[serde(skip)]
    accepted: Vec<HourWindow>,
    #[serde(skip)]
    older: Vec<HourWindow>,
    #[serde(skip)]
    lasting_failures: u64,
    #[serde(skip)]
    error: Option<RunError>,
    #[serde(skip)]
    exit: Exit,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Summary {
    /// An empty result about `window`.
    pub fn new(window: Option<HourWindow>, dry_run: bool) -> Self {
        Self {
            program: "amp-extract",
            version: env!("CARGO_PKG_VERSION"),
            outcome: Outcome::Empty,
            window,
            hours: Hours::default(),
            requests: 0,
            retries: 0,
            splits: 0,
            bytes_downloaded: 0,
            bytes_extracted: 0,
            files: 0,
            events: 0,
            seconds: 0.0,
            failures: Vec::new(),
            verified: None,
            dry_run,
            planned: None,
            archives: Vec::new(),
            base_url: None,
            skipped: Vec::new(),
            accepted: Vec::new(),
            older: Vec::new(),
            lasting_failures: 0,
            error: None,
            exit: Exit::Done,
        }
    }

    /// Notes what the run will be about; a dry run ends with it. What an earlier plan of the run had stays.
    pub fn planned(&mut self, plan: &Plan) {
        self.hours.asked += plan.asked();
        self.hours.skipped += plan.skipped_hours();
        self.skipped.extend(&plan.skipped);
        self.older.clone_from(&plan.older);
        self.planned = self.dry_run.then(|| plan.requests.clone());
    }

    /// Notes for which windows of a dry run there are archives already, and which would be requested.
    pub fn found(&mut self, (archives, requests): (Vec<HourWindow>, Vec<HourWindow>)) {
        (self.archives, self.planned) = (archives, Some(requests));
    }

    /// Notes a window that was not got. `transient`: it may go later.
    pub fn window_failed(&mut self, window: HourWindow, error: Diagnostic, transient: bool) {
        self.hours.failed += window.count();
        self.lasting_failures += u64::from(!transient);
        self.failures.push(Failure { start: Some(window.start()), end: Some(window.end()), error });
    }

    /// Notes what `--verify` found of hours.
    pub(crate) fn compared(&mut self, found: Vec<(Hour, Comparison)>) {
        self.hours.verified += found.len() as u64;
        let verified = self.verified.get_or_insert_default();
        for (hour, comparison) in found {
            let text = format!("{hour}: {}", comparison.text());
            if comparison.is_same() {
                tracing::info!(event = "hour_verified", window = %hour, "{text}");
            } else {
                tracing::error!(event = "hour_verified", window = %hour, "{text}");
                self.lasting_failures += 1;
                self.failures.push(Failure { start: Some(hour), end: Some(hour), error: text.into() });
            }
            verified.add(hour, comparison);
        }
    }

    /// Notes hours that were given up.
    pub fn given_up(&mut self, windows: &[HourWindow]) {
        self.hours.accepted += windows.iter().map(|window| window.count()).sum::<u64>();
        self.accepted.extend(windows);
    }

    /// Notes why the run requests nothing more, though it did something.
    pub fn ended_early(&mut self, error: Diagnostic) {
        error.error();
        self.failures.push(Failure { start: None, end: None, error });
    }

    /// Notes why the run ended early.
    pub fn stopped_by(&mut self, error: RunError) {
        if let Some(error) = &error.message {
            error.error();
            self.failures.push(Failure { start: None, end: None, error: error.clone() });
        }
        self.error = Some(error);
    }

    /// The result in one line, for the log.
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Settles the outcome once all is counted.
    pub fn conclude(&mut self) {
        self.hours.unfinished = self.hours.unaccounted();
        let has_all_asked = self.failures.is_empty();
        if !self.dry_run {
            for (window, error) in name_older(&self.older) {
                let (start, end) = (window.map(HourWindow::start), window.map(HourWindow::end));
                self.failures.push(Failure { start, end, error });
            }
            self.lasting_failures += self.older.len() as u64;
        }
        self.failures.sort_by_key(|failure| failure.start);
        let Hours { extracted, no_data, skipped, accepted, verified, .. } = self.hours;
        let same = self.verified.as_ref().map_or(0, |verified| verified.same() as u64);
        (self.outcome, self.exit) = Ending {
            stopped_by: self.error.as_ref().map(|error| error.exit),
            had_work: extracted + skipped + accepted + verified > 0,
            // What is owed and older is no failure of what was asked for.
            achieved: extracted + no_data + same > 0 || has_all_asked,
            failed: !self.failures.is_empty(),
            lasting: self.lasting_failures > 0,
        }
        .conclude();
    }
}
