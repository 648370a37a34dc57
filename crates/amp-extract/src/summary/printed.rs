//! The result for people, and as metrics.

use std::io::{self, Write};

use amp_cli::{Document, Exit, Outcome, Page, Printed, RunError, counted, human_bytes};
use url::Url;

use super::{Failure, Hours, Summary};
use crate::verify::{Comparison, VERIFY_JOB, Verified};

impl Summary {
    /// What to do about a run that did not do all.
    fn next(&self) -> Option<&'static str> {
        match self.exit {
            Exit::Refused => {
                Some("`amp-extract --check` tests the keys; then run amp-extract again: the hours stay owed")
            }
            Exit::Temporary | Exit::Interrupted => Some("run amp-extract again: it fetches what is missing"),
            Exit::Incomplete => Some("do what the errors say and run amp-extract again: it fetches what is missing"),
            Exit::Done | Exit::Unusable => None,
        }
    }

    fn measure_verified(&self, page: &mut Page) {
        let of = |is: fn(&Comparison) -> bool| {
            self.verified.iter().flat_map(Verified::hours).filter(|(_, found)| is(found)).count() as f64
        };
        let states = [
            ("same_bytes", of(|found| *found == Comparison::SameBytes)),
            ("same_rows", of(|found| *found == Comparison::SameRows)),
            ("different", of(|found| matches!(found, Comparison::Different(_)))),
            ("not_verified", of(|found| matches!(found, Comparison::NotVerified(_)))),
            ("failed", self.hours.failed as f64),
            ("unfinished", self.hours.unfinished as f64),
        ];
        page.labelled("last_run_hours", "Hours by what the last run found of them.", "state", &states);
        page.gauge("last_run_requests", "Requests that the last run sent to Amplitude.", self.requests as f64);
    }

    fn write_verified(&self, verified: &Verified, out: &mut dyn Write) -> io::Result<()> {
        let window = self.window.map(|window| window.to_string()).unwrap_or_default();
        writeln!(out, "amp-extract verify {} {window}", self.outcome.name())?;
        // The others stand on stderr, each once.
        let mut same_hours = verified.hours().filter(|(_, found)| found.is_same());
        same_hours.try_for_each(|(hour, found)| writeln!(out, "  {hour}  {}", found.text()))?;
        let Hours { asked, failed, unfinished, .. } = self.hours;
        let same = verified.same();
        writeln!(
            out,
            "  hours      {asked} asked: {same} same, {} differ or are not verified, {failed} failed, {unfinished} unfinished",
            verified.checked() - same
        )?;
        writeln!(out, "  requests   {} ({} retries, {} splits)", self.requests, self.retries, self.splits)?;
        writeln!(out, "  seconds    {:.1}", self.seconds)
    }

    fn write_skipped(&self, out: &mut dyn Write) -> io::Result<()> {
        for window in &self.skipped {
            writeln!(out, "  skipped    {window}: done by an earlier run (--force fetches it again)")?;
        }
        self.accepted.iter().try_for_each(|window| {
            writeln!(out, "  given up   {window}: no later run reports it; a run that names it fetches it")
        })
    }
}

impl Document for Summary {
    fn unusable(problems: &[String]) -> Self {
        let mut summary = Self::new(None, false);
        summary.failures =
            problems.iter().map(|error| Failure { start: None, end: None, error: error.as_str().into() }).collect();
        summary.error = Some(RunError::told(Exit::Unusable));
        summary.conclude();
        summary
    }

    fn exit(&self) -> Exit {
        self.exit
    }

    fn outcome(&self) -> Outcome {
        self.outcome
    }

    fn measure(&self, page: &mut Page) {
        if page.job() == VERIFY_JOB {
            return self.measure_verified(page);
        }
        let hours = &self.hours;
        let states = [
            ("extracted", hours.extracted),
            ("no_data", hours.no_data),
            ("skipped", hours.skipped),
            ("failed", hours.failed),
            ("accepted", hours.accepted),
            ("unfinished", hours.unfinished),
        ];
        let states = states.map(|(state, hours)| (state, hours as f64));
        page.labelled("last_run_hourly_exports", "Hours by what the last run made of them.", "state", &states);
        for (metric, help, value) in [
            (
                "last_run_unsettled_hourly_exports",
                "Hours got before they were settled; they will be fetched again.",
                hours.unsettled,
            ),
            (
                "last_run_overdue_hourly_exports",
                "Owed hours that are older than the repair days; they are fetched only by name.",
                self.older.iter().map(|window| window.count()).sum(),
            ),
            ("last_run_requests", "Requests that the last run sent to Amplitude.", self.requests),
            ("last_run_retries", "Those of them that were retries.", self.retries),
            ("last_run_splits", "Windows that were halved.", self.splits),
            ("last_run_downloaded_bytes", "Bytes of archives, those of failed tries included.", self.bytes_downloaded),
            ("last_run_extracted_bytes", "Bytes staged.", self.bytes_extracted),
            ("last_run_files", "Files staged.", self.files),
            ("last_run_events", "Events staged.", self.events),
        ] {
            page.gauge(metric, help, value as f64);
        }
    }
}

impl Printed for Summary {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.error.as_ref().is_some_and(|error| error.message.is_some()) {
            // Nothing was done, and stderr says why.
            return Ok(());
        }
        if let Some(planned) = &self.planned {
            writeln!(
                out,
                "amp-extract dry run: {} would be made, nothing was done",
                counted(planned.len(), "request")
            )?;
            self.write_skipped(out)?;
            self.archives.iter().try_for_each(|window| {
                writeln!(out, "  archive    {window}: downloaded by an earlier run, no request")
            })?;
            let url = self.base_url.as_ref().map_or("", Url::as_str).trim_end_matches('/');
            return planned.iter().try_for_each(|window| {
                let (start, end) = (window.start().compact(), window.end().compact());
                writeln!(out, "  request    {window}: GET {url}/api/2/export?start={start}&end={end}")
            });
        }
        if let Some(verified) = &self.verified {
            return self.write_verified(verified, out);
        }
        let Hours { asked, extracted, no_data, skipped, failed, unfinished, accepted, unsettled, .. } = &self.hours;
        let Some(window) = self.window else {
            return writeln!(out, "amp-extract empty: the shard has no hour that has begun");
        };
        writeln!(out, "amp-extract {} {window}", self.outcome.name())?;
        write!(
            out,
            "  hours      {asked} asked: {extracted} extracted, {no_data} no data, {skipped} skipped, {failed} failed, {unsettled} unsettled"
        )?;
        for (count, what) in
            [(unfinished, "unfinished"), (accepted, "given up")].into_iter().filter(|(count, _)| **count > 0)
        {
            write!(out, ", {count} {what}")?;
        }
        writeln!(out)?;
        writeln!(out, "  requests   {} ({} retries, {} splits)", self.requests, self.retries, self.splits)?;
        writeln!(out, "  downloaded {}", human_bytes(self.bytes_downloaded))?;
        writeln!(
            out,
            "  staged     {} files, {} events, {}",
            self.files,
            self.events,
            human_bytes(self.bytes_extracted)
        )?;
        writeln!(out, "  seconds    {:.1}", self.seconds)?;
        self.write_skipped(out)?;
        // What failed stands on stderr, each once.
        self.next().map_or(Ok(()), |next| writeln!(out, "next: {next}"))
    }
}
