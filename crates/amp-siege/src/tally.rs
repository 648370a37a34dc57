//! What a phase came to.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Instant;

use amp_sandbox::out::complain;

use crate::contents::Findings;

/// The figures of a phase.
pub(crate) struct Tally {
    name: String,
    begun: Instant,
    seconds: f64,
    /// Kills, errors, faults and the like.
    pub(crate) attacks: u64,
    /// How often the invariant was checked.
    pub(crate) checks: u64,
    lost: u64,
    wrong: u64,
    violations: u64,
    counts: BTreeMap<String, u64>,
    notes: Vec<String>,
}

impl Tally {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            begun: Instant::now(),
            seconds: 0.0,
            attacks: 0,
            checks: 0,
            lost: 0,
            wrong: 0,
            violations: 0,
            counts: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    /// Takes in what a check found; `step` tells when, to make it again. Says whether all was well.
    pub(crate) fn take(&mut self, findings: Findings, step: &str, folder: &Path) -> bool {
        self.checks += 1;
        self.lost += findings.lost_events;
        self.wrong += findings.wrong_files;
        let well = findings.is_empty();
        findings.details.into_iter().for_each(|detail| self.violated(&detail, step, folder));
        well
    }

    /// Something is not as it must be.
    pub(crate) fn violated(&mut self, what: &str, step: &str, folder: &Path) {
        self.violations += 1;
        complain(&format!("VIOLATION in {} {step}: {what} [{}]", self.name, folder.display()));
    }

    /// So many that there is no point in going on.
    pub(crate) fn is_lost(&self) -> bool {
        self.violations >= 20
    }

    pub(crate) fn violations(&self) -> u64 {
        self.violations
    }

    pub(crate) fn count(&mut self, what: &str, by: u64) {
        *self.counts.entry(what.to_owned()).or_default() += by;
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub(crate) fn done(&mut self) {
        self.seconds = self.begun.elapsed().as_secs_f64();
    }

    pub(crate) fn held(&self) -> bool {
        self.violations == 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, attacks, checks, lost, wrong, violations, seconds, .. } = self;
        write!(
            f,
            "{name:<8} {attacks} attacks, {checks} checks, events lost: {lost}, files wrong: {wrong}, violations: {violations}, {seconds:.0} s"
        )?;
        for (what, count) in &self.counts {
            write!(f, ", {what}: {count}")?;
        }
        self.notes.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}
