//! A run that has no settings yet, and its end when it never gets any.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use chrono::{DateTime, Utc};
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::args::{METRICS_FILE, OutputFormat};
use crate::check::CheckReport;
use crate::document::{Document, print, write_metrics};
use crate::metrics::Report;
use crate::outcome::Exit;
use crate::program::Program;
use crate::settings::{DotEnv, Labels, Resolver};

/// The beginning of a run.
#[derive(Debug)]
pub(crate) struct Start {
    program: Program,
    words: Vec<String>,
    /// The wall clock.
    pub(crate) started: DateTime<Utc>,
    /// The clock that measures how long it takes.
    pub(crate) clock: Instant,
}

impl Start {
    pub(crate) fn now(program: Program) -> Self {
        let words = std::env::args_os().filter_map(|word| word.into_string().ok()).collect();
        Self { program, words, started: Utc::now(), clock: Instant::now() }
    }

    /// What the run is to leave at its end: the labels that `resolver` and the flags tell, and metrics in the file or directory that they
    /// name, unless it only looks. With labels that cannot be read there are no metrics: they would pass for another set-up's.
    pub(crate) fn report(&self, mut resolver: Resolver, metrics_file: Option<&str>, labels: &[String]) -> Report {
        let job = match self.program.other_job {
            Some((flag, job)) if self.has(flag) => job.to_owned(),
            _ => self.program.name.replace('-', "_"),
        };
        let Self { program: Program { version, .. }, started, clock, .. } = *self;
        let given = resolver.path(&METRICS_FILE, metrics_file);
        let labels = Labels::resolve(labels, &mut resolver);
        let usable = resolver.finish().is_ok();
        let labels = if usable { labels } else { Labels::default() };
        let given = given.filter(|_| usable);
        // As sortable as a time, and the same on no two hosts.
        let run_id = format!("{}-{:08x}", started.format("%Y%m%dT%H%M%SZ"), fastrand::u32(..));
        Report { job, run_id, labels, version, started, clock, given, is_written: !self.only_looks() }
    }

    /// Whether the run changes nothing, and what it shows is all that it is for.
    pub(crate) fn only_looks(&self) -> bool {
        self.program.looks.iter().any(|flag| self.has(flag))
    }

    /// Ends a run that cannot begin, for these reasons.
    pub(crate) fn unusable<D: Document>(&self, problems: &[String], output: OutputFormat, report: &Report) -> ExitCode {
        problems.iter().for_each(|problem| self.complain("error", problem));
        self.refuse::<D>(problems, output, report)
    }

    /// Ends a check that cannot go beyond the settings.
    pub(crate) fn end_check(&self, report: &CheckReport, run: &Report, output: OutputFormat) -> ExitCode {
        // The exit code says it too, should stdout be closed.
        print(report, run, output).ok();
        ExitCode::from(report.exit().code(0))
    }

    /// Ends a run that was only asked for a text. A reader that went away is no error.
    pub(crate) fn print(&self, text: &[u8]) -> ExitCode {
        let mut out = io::stdout().lock();
        match out.write_all(text).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                self.complain("error", &format!("cannot write to stdout: {error}"));
                ExitCode::from(Exit::Incomplete.code(0))
            }
            _ => ExitCode::SUCCESS,
        }
    }

    /// A command line that was not taken; `--help` and `--version` are no errors.
    pub(crate) fn unparsed<D: Document>(
        &self,
        mut error: clap::Error,
        environment: HashMap<String, String>,
    ) -> ExitCode {
        if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            // A stdout that is closed (`--help | head -1`) is no error either.
            error.print().ok();
            return ExitCode::SUCCESS;
        }
        if let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg)
            && let Some(instead) = (self.program.instead_of)(unknown)
        {
            // What is merely spelt alike would lead elsewhere.
            error.remove(ContextKind::SuggestedArg);
            error.remove(ContextKind::Usage);
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![instead.into()]));
        }
        // As all others, it names the program: mail of cron has those of two.
        write!(io::stderr(), "{}: {error}", self.program.name).ok();
        let dotenv = DotEnv::named_or_nearest(self.value("--env-file").map(Path::new)).ok().flatten();
        let labels: Vec<_> = self.values("--label").map(str::to_owned).collect();
        let report = self.report(Resolver::new(environment, dotenv), self.value("--metrics-file"), &labels);
        let text = error.to_string();
        let problem = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let wants_json = self.value("--output") == Some("json");
        self.refuse::<D>(&[problem], if wants_json { OutputFormat::Json } else { OutputFormat::Text }, &report)
    }

    /// The result of a run that could not begin; for people stderr has said it all.
    fn refuse<D: Document>(&self, problems: &[String], output: OutputFormat, report: &Report) -> ExitCode {
        let document = D::unusable(problems);
        if output == OutputFormat::Json {
            print(&document, report, output).ok();
        }
        let code = Exit::Unusable.code(0);
        if let Err(error) = write_metrics(report, &document, code) {
            self.complain("warning", &error);
        }
        ExitCode::from(code)
    }

    pub(crate) fn complain(&self, what: &str, problem: &str) {
        writeln!(io::stderr(), "{}: {what}: {problem}", self.program.name).ok();
    }

    fn has(&self, flag: &str) -> bool {
        self.words.iter().any(|word| word == flag)
    }

    /// The value of a flag on a command line that could not be read as a whole; the last one counts.
    fn value(&self, flag: &str) -> Option<&str> {
        self.values(flag).next_back()
    }

    fn values(&self, flag: &str) -> impl DoubleEndedIterator<Item = &str> {
        self.words.iter().enumerate().filter_map(move |(at, word)| match word.strip_prefix(flag)? {
            "" => self.words.get(at + 1).map(String::as_str),
            rest => rest.strip_prefix('='),
        })
    }
}
