//! `--status`: what became of each hour of a window, and what the next run without a window would request. It only reads.

use std::collections::HashSet;
use std::io::{self, Write};

use amp_cli::{Document, Exit, Outcome, Page, Printed, Session};
use amp_core::disk::DiskError;
use amp_core::hour::Hour;
use amp_core::ledger::{Ledger, SourceId};
use amp_core::stage::Staging;
use amp_core::window::{HourWindow, WindowSpec};
use chrono::{DateTime, NaiveDate, Utc};
use console::{Style, style};
use serde::{Serialize, Serializer};

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
            self.totals[index] += 1;
            *state = Some(index);
        }
        self.days.push(Day { day: date, hours: states });
        Ok(())
    }

    fn write_picture(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\n            00     06     12     18")?;
        for Day { day, hours } in &self.days {
            write!(out, "{day} ")?;
            // Nothing behind the last hour of the window, so that no line ends in blanks.
            let last = hours.iter().rposition(Option::is_some).unwrap_or_default();
            for (number, state) in hours.iter().enumerate().take(last + 1) {
                let gap = if number % 6 == 0 { " " } else { "" };
                match state.map(|state| &STATES[state]) {
                    Some(state) => write!(out, "{gap}{}", (state.style)().apply_to(state.letter))?,
                    None => write!(out, "{gap} ")?,
                }
            }
            writeln!(out)?;
        }
        writeln!(out)?;
        for (state, total) in STATES.iter().zip(self.totals).filter(|(_, total)| *total > 0) {
            let State { letter, name, means, style } = state;
            let name = name.replace('_', " ");
            writeln!(out, "  {} {name:<11} {total:>6}  {means}", style().apply_to(letter))?;
        }
        Ok(())
    }

    fn write_next(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.source.is_none() {
            writeln!(out, "\nAMP_API_KEY is not set: this combines the hours of all keys and hosts.")?;
        }
        let requests = &self.next.requests;
        let run = style("The next run without a window").bold();
        match requests.len() {
            0 => writeln!(out, "\n{run} would request nothing.")?,
            1 => writeln!(out, "\n{run} would make 1 request:")?,
            count => writeln!(out, "\n{run} would make {count} requests:")?,
        }
        requests.iter().try_for_each(|request| writeln!(out, "  {request}"))?;
        if !self.next.archives.is_empty() {
            writeln!(out, "\nAn earlier run downloaded these archives; the next run stages them without a request:")?;
            self.next.archives.iter().try_for_each(|window| writeln!(out, "  {window}"))?;
        }
        if !self.owed_older.is_empty() {
            writeln!(out, "\n{}", style("Owed, and older than --repair-days:").bold())?;
            self.owed_older.iter().try_for_each(|window| writeln!(out, "  {window}"))?;
            writeln!(out, "--start and --end fetch them; with --accept-missing they are given up.")?;
        }
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
        let status = match self {
            Self::Run(summary) => return summary.write_text(out),
            Self::Status(status) => status,
        };
        let window = status.window.map_or_else(|| "no hours".to_owned(), |window| window.to_string());
        writeln!(out, "amp-extract status {window}, hours of UTC")?;
        match &status.no_ledger {
            Some(dir) => writeln!(out, "\nNo run has requested anything yet: there is no ledger in {dir}")?,
            None => status.write_picture(out)?,
        }
        if status.hours_of_others > 0 {
            let count = status.hours_of_others;
            writeln!(
                out,
                "\n{count} of the hours never requested were requested with another key or from another host."
            )?;
        }
        if status.damaged_lines > 0 {
            let count = status.damaged_lines;
            writeln!(out, "\nDamaged lines of the ledger, skipped: {count}.")?;
        }
        status.write_next(out)
    }
}
