//! The result of `--check`: what was tested of a set-up, how it is, and what to do about it.

use std::io::{self, Write};
use std::path::Path;

use amp_core::examine::{examine_dir, examine_tree};
use serde::Serialize;

use crate::diagnostic::Diagnostic;
use crate::document::Printed;
use crate::human::{counted, human_bytes};
use crate::metrics::Report;
use crate::outcome::{Exit, Outcome};
use crate::program::Program;
use crate::session::Session;

/// Of less room than that a person should know: it is about what a day of a large project needs.
const LITTLE_ROOM: u64 = 1 << 30;

/// How what was tested is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it must be.
    Ok,
    /// A run goes, but a person should know.
    Warning,
    /// A run would fail.
    Failed,
}

/// One thing that was tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was tested, such as `keys`.
    pub name: &'static str,
    /// How it is.
    pub level: Level,
    /// What was found.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// How a run would end for it.
    #[serde(skip)]
    exit: Exit,
}

impl Finding {
    /// Something that is as it must be.
    pub fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, level: Level::Ok, message: message.into(), hint: None, exit: Exit::Done }
    }

    /// Something that a run gets over.
    pub fn warning(name: &'static str, message: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::ok(name, message) }
    }

    /// Something for which a run would end with `exit`.
    pub fn failed(name: &'static str, exit: Exit, error: impl Into<Diagnostic>) -> Self {
        let Diagnostic { message, hint } = error.into();
        Self { level: Level::Failed, exit, hint, ..Self::ok(name, message) }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Tests a directory that a run writes to, and the state in it; `private`: events are in it, which are nobody else's business.
pub fn check_dir(name: &'static str, path: &Path, private: bool) -> Finding {
    let shown = std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
    let condition = match examine_dir(path) {
        Ok(condition) => condition,
        Err(error) => return Finding::failed(name, Exit::Unusable, error),
    };
    let free = human_bytes(condition.free_bytes);
    let there = if condition.exists { "" } else { " will be made" };
    let message = format!("`{shown}`{there}, {free} free");
    if condition.free_bytes < LITTLE_ROOM {
        return Finding::warning(name, message).with_hint("make room: a day of a large project needs more");
    }
    if private && condition.exists && condition.mode & 0o077 != 0 {
        let open = format!("{message}; other users may look into it (mode {:04o})", condition.mode);
        return Finding::warning(name, open).with_hint(format!("events carry personal data: chmod 700 {shown}"));
    }
    Finding::ok(name, message)
}

/// Tests whether the ledger in the state directory `path` can be read and written throughout.
pub fn check_ledger(path: &Path) -> Finding {
    match examine_tree(path) {
        Ok(()) if path.exists() => Finding::ok("ledger", format!("`{}` can be read and written", path.display())),
        Ok(()) => Finding::ok("ledger", format!("`{}` will be made", path.display())),
        Err(error) => Finding::failed("ledger", Exit::Temporary, error),
    }
}

/// Tests whether the metrics can be written, if there are to be any. A run goes without them.
pub(crate) fn check_metrics(report: &Report) -> Option<Finding> {
    Some(match report.examine()? {
        Ok(path) => Finding::ok("metrics_file", format!("`{}` can be written", path.display())),
        Err(error) => Finding::warning("metrics_file", error).with_hint(
            "make the directory and let this user read and write it: runs leave no metrics, and alerts stay silent",
        ),
    })
}

/// What `--check` found.
#[derive(Debug, Serialize)]
pub(crate) struct CheckReport {
    program: &'static str,
    version: &'static str,
    outcome: Outcome,
    /// The settings with where each came from.
    settings: Vec<String>,
    findings: Vec<Finding>,
    seconds: f64,
    /// Only what is not as it must be is shown.
    #[serde(skip)]
    quiet: bool,
}

impl CheckReport {
    /// A report of `settings`, about which there are `warnings`; `place`: where the run is and which `.env` it reads.
    pub(crate) fn new(program: &Program, place: &str, settings: &[String], warnings: &[String], quiet: bool) -> Self {
        let Program { name, version, .. } = *program;
        let warnings = warnings.iter().map(|warning| Finding::warning("settings", warning));
        let findings = [Finding::ok("settings", place)].into_iter().chain(warnings).collect();
        let settings = settings.to_vec();
        Self { program: name, version, outcome: Outcome::Complete, settings, findings, seconds: 0.0, quiet }
    }

    /// Adds what is wrong with the settings, without which nothing else can be tested.
    pub(crate) fn unusable(mut self, problems: &[String]) -> Self {
        self.findings.remove(0);
        self.findings
            .extend(problems.iter().map(|problem| Finding::failed("settings", Exit::Unusable, problem.as_str())));
        self.conclude(false)
    }

    /// Adds all that was tested.
    pub(crate) fn with(mut self, findings: Vec<Finding>, session: &Session) -> Self {
        self.findings.extend(findings);
        self.seconds = session.seconds();
        self.conclude(session.stop.is_requested())
    }

    fn conclude(mut self, interrupted: bool) -> Self {
        self.outcome = match self.count(Level::Failed) {
            _ if interrupted => Outcome::Interrupted,
            0 => Outcome::Complete,
            _ => Outcome::Failed,
        };
        self
    }

    fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    /// What the exit code is to say: what a person must mend first comes first.
    pub(crate) fn exit(&self) -> Exit {
        if self.outcome == Outcome::Interrupted {
            return Exit::Interrupted;
        }
        let has = |exit: &Exit| self.findings.iter().any(|finding| finding.exit == *exit);
        [Exit::Unusable, Exit::Refused, Exit::Temporary].into_iter().find(has).unwrap_or(Exit::Done)
    }
}

impl Printed for CheckReport {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        for Finding { name, level, message, hint, .. } in &self.findings {
            let level = match level {
                Level::Ok if self.quiet => continue,
                Level::Ok => "ok",
                Level::Warning => "warning",
                Level::Failed => "failed",
            };
            writeln!(out, "{level:<8} {name:<30} {message}")?;
            if let Some(hint) = hint {
                writeln!(out, "{:39} {hint}", "")?;
            }
            if *name == "settings" && level == "ok" {
                self.settings.iter().try_for_each(|setting| writeln!(out, "{:39} {setting}", ""))?;
            }
        }
        let (failed, warnings) = (self.count(Level::Failed), self.count(Level::Warning));
        match self.outcome {
            Outcome::Interrupted => writeln!(out, "the check was stopped before its end"),
            _ if failed > 0 => writeln!(out, "next: mend what failed, then {} --check again", self.program),
            _ if self.quiet => Ok(()),
            _ if warnings > 0 => writeln!(out, "{} can run; {}", self.program, counted(warnings, "warning")),
            _ => writeln!(out, "{} can run", self.program),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const PROGRAM: Program = Program {
        name: "amp-load",
        version: "1",
        log_prefix: "",
        max_retries: 0,
        retry_base: Duration::ZERO,
        other_job: None,
        looks: &[],
        instead_of: |_| None,
    };

    fn report(findings: &[Finding], quiet: bool) -> CheckReport {
        let mut report = CheckReport::new(&PROGRAM, "in /x", &["a=b (default)".into()], &[], quiet);
        report.findings.extend_from_slice(findings);
        report.conclude(false)
    }

    fn text(report: &CheckReport) -> String {
        let mut text = Vec::new();
        report.write_text(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn the_exit_code_is_that_of_what_must_be_mended_first() {
        let of = |exits: &[Exit]| {
            let findings: Vec<_> = exits.iter().map(|exit| Finding::failed("x", *exit, "")).collect();
            report(&findings, false).exit()
        };
        assert_eq!(of(&[]), Exit::Done);
        assert_eq!(of(&[Exit::Temporary]), Exit::Temporary);
        assert_eq!(of(&[Exit::Temporary, Exit::Refused]), Exit::Refused);
        assert_eq!(of(&[Exit::Refused, Exit::Unusable]), Exit::Unusable);
        assert_eq!(report(&[Finding::warning("x", "")], false).exit(), Exit::Done);
        let stopped = CheckReport::new(&PROGRAM, "", &[], &[], false).conclude(true);
        assert_eq!(stopped.exit(), Exit::Interrupted);
    }

    #[test]
    fn quiet_shows_only_what_is_not_as_it_must_be() {
        assert_eq!(text(&report(&[Finding::ok("bucket", "")], true)), "");
        let all = text(&report(&[Finding::warning("bucket", "odd").with_hint("look")], false));
        assert!(all.contains("a=b (default)") && all.contains("look") && all.ends_with("1 warning\n"), "{all}");
        let quiet = text(&report(&[Finding::warning("bucket", "odd").with_hint("look")], true));
        assert!(!quiet.contains("settings") && quiet.contains("odd"), "{quiet}");
    }

    #[test]
    fn what_is_wrong_with_the_settings_is_all_that_is_found() {
        let report = CheckReport::new(&PROGRAM, "in /x", &[], &["odd".into()], false);
        let report = report.unusable(&["no bucket".into()]);
        assert_eq!((report.exit(), report.outcome), (Exit::Unusable, Outcome::Failed));
        let levels: Vec<_> = report.findings.iter().map(|finding| finding.level).collect();
        assert_eq!(levels, [Level::Warning, Level::Failed]);
    }
}
