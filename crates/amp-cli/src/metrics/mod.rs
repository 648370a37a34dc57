//! What a run leaves for Prometheus, in a file that node_exporter's textfile collector reads.

mod file;
mod page;

use std::path::{Path, PathBuf};
use std::time::Instant;

use amp_core::examine::examine_dir;
use chrono::{DateTime, Utc};

use crate::outcome::Outcome;
use crate::settings::Labels;
pub use page::Page;

/// A run and the file that its metrics go to.
#[derive(Debug)]
pub(crate) struct Report {
    /// What the names of the metrics begin with.
    pub(crate) job: String,
    /// What tells the run from others.
    pub(crate) run_id: String,
    pub(crate) version: &'static str,
    pub(crate) started: DateTime<Utc>,
    pub(crate) clock: Instant,
    /// What tells the set-up from others.
    pub(crate) labels: Labels,
    /// As it was given: a file or a directory; `None`: no metrics are left.
    pub(crate) given: Option<PathBuf>,
    /// Whether the run leaves any; one that only looks does not.
    pub(crate) is_written: bool,
}

impl Report {
    /// Finds out, without changing anything, whether the metrics can be written, and to which file; `None` if there are to be none.
    pub(crate) fn examine(&self) -> Option<Result<PathBuf, String>> {
        self.given.as_deref().map(|given| Self::examine_file(self.path(given)))
    }

    fn examine_file(path: PathBuf) -> Result<PathBuf, String> {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let read = file::Target::lock(&path).and_then(|target| target.read());
        read.map_err(|error| format!("cannot write the metrics to {}: {error}", path.display()))?;
        examine_dir(dir).map_err(|error| error.to_string())?;
        Ok(path)
    }

    fn path(&self, given: &Path) -> PathBuf {
        file::resolve(given, &format!("{}{}", self.job, self.labels.file_part()))
    }

    /// Puts the metrics of the run, which ends now with `outcome` and `code`, in place of those of the run before; `measure` adds what it
    /// counted.
    ///
    /// # Errors
    /// A message, when the file cannot be read or replaced.
    pub(crate) fn write(&self, outcome: Outcome, code: u8, measure: impl FnOnce(&mut Page)) -> Result<(), String> {
        let Some(given) = self.given.as_ref().filter(|_| self.is_written) else { return Ok(()) };
        let path = self.path(given);
        self.replace(&path, outcome, code, measure).map_err(|error| {
            format!(
                "cannot write the metrics to {}: {error}; they still have the values of an earlier run",
                path.display()
            )
        })
    }

    fn replace(&self, path: &Path, outcome: Outcome, code: u8, measure: impl FnOnce(&mut Page)) -> std::io::Result<()> {
        let target = file::Target::lock(path)?;
        let former = page::Gauges::parse(&target.read()?);
        let seconds = self.clock.elapsed().as_secs_f64();
        let ended = seconds_of(Utc::now());
        let mut page = Page::new(&self.job, &self.labels);
        page.labelled("build_info", "Version of the program that ran last.", "version", &[(self.version, 1.0)]);
        page.gauge("last_run_start_timestamp_seconds", "When the last run began.", seconds_of(self.started));
        page.gauge("last_run_end_timestamp_seconds", "When the last run ended.", ended);
        page.gauge("last_run_duration_seconds", "How long the last run took.", (seconds * 1000.0).round() / 1000.0);
        page.gauge("last_run_exit_code", "Exit code of the last run.", code.into());
        let outcomes = Outcome::ALL.map(|any| (any.name(), f64::from(any == outcome)));
        page.labelled("last_run_outcome", "1 for how the last run ended, 0 for the others.", "outcome", &outcomes);
        let success = "last_success_timestamp_seconds";
        if let Some(last) = if code == 0 { Some(ended) } else { former.value(&page.name(success), &self.labels) } {
            page.gauge(success, "When the last run with exit code 0 ended.", last);
        }
        measure(&mut page);
        target.replace(former.with(page).to_string().as_bytes())
    }
}

fn seconds_of(time: DateTime<Utc>) -> f64 {
    time.timestamp_millis() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn report(job: &str, given: &Path) -> Report {
        let (labels, given) = (Labels::default(), Some(given.into()));
        Report {
            job: job.into(),
            run_id: "run".into(),
            labels,
            version: "1",
            started: Utc::now(),
            clock: Instant::now(),
            given,
            is_written: true,
        }
    }

    #[test]
    fn of_many_who_write_to_one_file_at_once_none_loses_what_another_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("amp.prom");
        let jobs: Vec<_> = (0..8).map(|number| format!("amp_job{number}")).collect();
        thread::scope(|scope| {
            for job in &jobs {
                scope.spawn(|| (0..5).for_each(|_| report(job, &path).write(Outcome::Empty, 0, |_| {}).unwrap()));
            }
        });
        let former = page::Gauges::parse(&std::fs::read_to_string(&path).unwrap());
        for job in &jobs {
            assert!(
                former.value(&format!("{job}_last_success_timestamp_seconds"), &Labels::default()).is_some(),
                "{job}"
            );
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_last_success_outlives_failures_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("amp.prom");
        let old = "amp_load_last_success_timestamp_seconds 1.5\n";
        std::fs::write(&path, format!("# HELP amp_load_last_success_timestamp_seconds Old.\n{old}")).unwrap();
        for code in [75, 1, 2, 143] {
            report("amp_load", &path).write(Outcome::Empty, code, |_| {}).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains(old) && text.contains(&format!("_exit_code {code}\n")), "{text}");
        }
        report("amp_load", &path).write(Outcome::Empty, 0, |_| {}).unwrap();
        assert!(!std::fs::read_to_string(&path).unwrap().contains(old));
    }
}
