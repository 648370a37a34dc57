//! `--status`: what became of each hour of a window, and what the next run without a window would request. It only reads. `text` shows it
//! on a terminal, `html` in a browser, with what `runs` finds in the logs.

mod html;
mod runs;
mod text;

use std::collections::HashSet;
use std::io::{self, Write};

use amp_cli::{Document, Exit, Outcome, Page, Printed, Session};
use amp_core::disk::DiskError;
use amp_core::hour::Hour;
use amp_core::ledger::{HourIndex, HourState, Ledger, SourceId};
use amp_core::stage::Staging;
use amp_core::window::{HourWindow, WindowSpec};
use chrono::{DateTime, NaiveDate, Utc};
use console::Style;
use serde::{Serialize, Serializer};

use self::runs::LoggedRun;
use crate::downloads::Downloads;
use crate::hour_status::{HourStatus, HourStatusReader};
use crate::plan::{Planner, Scope};
use crate::settings::Settings;
use crate::sources::{Known, first_owed};
use crate::summary::Summary;

/// How the status of an hour is shown.
#[derive(Debug)]
struct State {
    letter: char,
    name: &'static str,
    means: &'static str,
    style: fn() -> Style,
}

static STATES: [State; 9] = [
    State { letter: 'L', name: "loaded", means: "every file of the hour is in S3", style: || Style::new().green() },
    State {
        letter: 'S',
        name: "staged",
        means: "every file is in extracted_data/ or in S3",
        style: || Style::new().cyan(),
    },
    State { letter: 'N', name: "no_data", means: "Amplitude has no data for that hour", style: || Style::new().dim() },
    State { letter: 'G', name: "accepted", means: "given up by --accept-missing", style: || Style::new().dim() },
    State {
        letter: 'U',
        name: "unsettled",
        means: "fetched before Amplitude had all of it",
        style: || Style::new().yellow(),
    },
    State {
        letter: 'A',
        name: "asked",
        means: "requested, but the run ended before an answer came",
        style: || Style::new().magenta(),
    },
    State { letter: 'F', name: "failed", means: "the last request for it failed", style: || Style::new().red() },
    State {
        letter: 'V',
        name: "vanished",
        means: "a staged file is gone and was never loaded",
        style: || Style::new().red().bold(),
    },
    State { letter: '.', name: "never_asked", means: "no run requested it", style: || Style::new().dim() },
];

/// Which of [`STATES`] shows that status.
fn state_of(status: &HourStatus) -> usize {
    match status {
        HourStatus::Loaded => 0,
        HourStatus::Staged => 1,
        HourStatus::NoData => 2,
        HourStatus::Accepted => 3,
        HourStatus::Unsettled => 4,
        HourStatus::Unanswered => 5,
        HourStatus::Failed => 6,
        HourStatus::Vanished(_) => 7,
        HourStatus::NeverAsked => 8,
    }
}

/// A day of UTC, its 24 hours by their states; `None` outside the window.
#[derive(Debug, Serialize)]
struct Day {
    day: NaiveDate,
    #[serde(serialize_with = "by_name")]
    hours: [Option<usize>; 24],
}

fn by_name<S: Serializer>(hours: &[Option<usize>; 24], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(hours.iter().map(|state| state.map(|state| STATES[state].name)))
}

fn with_names<S: Serializer>(totals: &[u64; STATES.len()], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(STATES.iter().map(|state| state.name).zip(totals))
}

/// What the next run without a window would do.
#[derive(Debug, Serialize)]
struct Next {
    requests: Vec<HourWindow>,
    /// Windows whose archives an earlier run left: nothing is requested for them.
    archives: Vec<HourWindow>,
}

/// Hours that need a person, for one reason.
#[derive(Debug)]
struct Trouble {
    window: HourWindow,
    /// Which of [`STATES`].
    state: usize,
    reason: String,
}

/// Which set-up it is, and when it was looked at.
#[derive(Debug)]
struct About {
    time: DateTime<Utc>,
    dir: String,
    labels: String,
    runs: Vec<LoggedRun>,
}

impl About {
    fn of(settings: &Settings, session: &Session) -> Self {
        let dir = std::path::absolute(&session.common.extracted_dir).unwrap_or_default().display().to_string();
        let runs = if settings.html { runs::latest(&session.common.log_dir) } else { Vec::new() };
        Self { time: session.started, dir, labels: session.common.labels.to_string(), runs }
    }
}

/// What became of each hour of a window.
#[derive(Debug, Serialize)]
pub struct Status {
    program: &'static str,
    version: &'static str,
    window: Option<HourWindow>,
    source: Option<SourceId>,
    days: Vec<Day>,
    #[serde(serialize_with = "with_names")]
    totals: [u64; STATES.len()],
    hours_of_others: u64,
    damaged_lines: u64,
    /// Settled hours of the window that are neither loaded, nor without data, nor given up.
    not_loaded: u64,
    next: Next,
    /// What no run asks for until it is named.
    owed_older: Vec<HourWindow>,
    /// Why hours failed or vanished, for people.
    #[serde(skip)]
    troubles: Vec<Trouble>,
    /// What a page shows besides.
    #[serde(skip)]
    about: About,
    #[serde(skip)]
    fails: bool,
    #[serde(skip)]
    no_ledger: Option<String>,
}

impl Status {
    /// Looks at the hours of `window`, reading no more of the ledger than its days and those of the next run.
    ///
    /// # Errors
    /// When the ledger cannot be read. Damaged lines are no error.
    pub(crate) fn take(window: Option<HourWindow>, settings: &Settings, session: &Session) -> Result<Self, DiskError> {
        let staging = Staging::existing(&session.common.extracted_dir);
        let ledger = Ledger::at(&staging.state_dir());
        let source = (!settings.lacks_key).then(|| settings.source());
        let Known { owners, .. } = Known::read(&ledger, settings, session.started)?;
        let owner = source.as_ref().map(|source| owners.owner_of(source));
        let first_owed = first_owed(&owners, owner.as_ref(), session.started);
        let first_known = ledger.days()?.first().copied().map_or(first_owed, |day| day.min(first_owed));
        let window = window.map(|window| match settings.daily {
            true => HourWindow::new(window.start().max(Hour::first_of(first_known)), window.end()).unwrap_or(window),
            false => window,
        });
        let mut reader = HourStatusReader::new(&staging, &ledger, &owners, owner);
        let mut status = Self {
            program: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            window,
            source,
            days: Vec::new(),
            totals: [0; STATES.len()],
            hours_of_others: 0,
            damaged_lines: 0,
            not_loaded: 0,
            owed_older: Vec::new(),
            troubles: Vec::new(),
            about: About::of(settings, session),
            fails: settings.fail,
            next: Next { requests: Vec::new(), archives: Vec::new() },
            no_ledger: None,
        };
        for day in window.into_iter().flat_map(HourWindow::days) {
            status.look(day, session.started, &mut reader)?;
        }
        // As if it began now.
        let planned = WindowSpec::Yesterday.resolve(session.started, settings.shard);
        if let Some(yesterday) = planned.ok().and_then(|planned| planned.window) {
            let planner = Planner { settings, started: session.started, staging: &staging, ledger: &ledger };
            let (plan, _) = planner.plan_by(&mut reader, yesterday, &HashSet::new(), Scope::All)?;
            let is_ours = |source: &SourceId| reader.owner() == Some(&owners.owner_of(source));
            let downloads = Downloads::existing(&settings.download_dir);
            (status.next.archives, status.next.requests) = downloads.partition(plan.requests, is_ours);
            status.owed_older = plan.older;
        }
        let hours = staging.state_dir().join("hours");
        status.no_ledger = ledger.is_empty()?.then(|| hours.display().to_string());
        Ok(status)
    }

    /// Keeps why an hour failed or vanished, together with the hours before it that did so for the same reason.
    fn note_trouble(&mut self, hour: Hour, status: &HourStatus, known: &HourIndex) {
        let reason = match status {
            HourStatus::Failed => known.states(hour).find_map(|(_, state)| match state {
                HourState::Failed(error) => Some(error.to_owned()),
                _ => None,
            }),
            HourStatus::Vanished(file) => Some(format!("{file} is gone and was never loaded")),
            _ => None,
        };
        let Some(reason) = reason else { return };
        let before = self.troubles.last_mut().filter(|last| last.reason == reason && last.window.end().plus(1) == hour);
        match before.map(|last| (HourWindow::new(last.window.start(), hour), last)) {
            Some((Ok(window), last)) => last.window = window,
            _ => self.troubles.push(Trouble { window: HourWindow::single(hour), state: state_of(status), reason }),
        }
    }

    /// Takes in the hours of one day.
    fn look(
        &mut self,
        day: HourWindow,
        now: DateTime<Utc>,
        reader: &mut HourStatusReader<'_>,
    ) -> Result<(), DiskError> {
        let date = day.start().date();
        self.damaged_lines += reader.index(date)?.damaged();
        let mut states = [None; 24];
        for (hour, state) in HourWindow::day(date).hours().zip(&mut states).filter(|(hour, _)| day.contains(*hour)) {
            let status = reader.status(hour)?;
            if status == HourStatus::NeverAsked && reader.index(date)?.states(hour).next().is_some() {
                self.hours_of_others += 1;
            }
            self.not_loaded += u64::from(hour.settled_at() <= now && !status.is_final());
            let index = state_of(&status);
            self.note_trouble(hour, &status, reader.index(date)?);
            self.totals[index] += 1;
            *state = Some(index);
        }
        self.days.push(Day { day: date, hours: states });
        Ok(())
    }
}

/// What the program says at its end.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Report {
    /// Of a run.
    Run(Summary),
    /// Of a look.
    Status(Status),
}

impl Document for Report {
    fn unusable(problems: &[String]) -> Self {
        Self::Run(Summary::unusable(problems))
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Run(summary) => summary.exit(),
            Self::Status(status) if status.fails && status.not_loaded > 0 => Exit::Incomplete,
            Self::Status(_) => Exit::Done,
        }
    }

    fn outcome(&self) -> Outcome {
        match self {
            Self::Run(summary) => summary.outcome(),
            Self::Status(_) => Outcome::Complete,
        }
    }

    fn measure(&self, page: &mut Page) {
        if let Self::Run(summary) = self {
            summary.measure(page);
        }
    }
}

impl Printed for Report {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Run(summary) => summary.write_text(out),
            Self::Status(status) => status.write_text(out),
        }
    }

    fn write_html(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Run(summary) => summary.write_text(out),
            Self::Status(status) => status.write_html(out),
        }
    }
}
