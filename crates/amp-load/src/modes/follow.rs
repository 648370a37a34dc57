//! `--follow`: rounds of loading for as long as an amp-extract is at work on the directory.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use amp_cli::{Diagnostic, Exit, RunError};
use amp_core::ledger::FileIdentity;
use tokio::time::{Instant, sleep};

use super::Run;
use super::rounds::Rounds;
use crate::plan::Plan;

/// An amp-extract that was started together with the run has begun by then.
const BEGIN_LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at a directory that had nothing to load.
const PAUSE: Duration = Duration::from_millis(200);
/// A file that failed used up its retries by then: it is tried again no sooner.
const RETRY_PAUSE: Duration = Duration::from_secs(60);

/// Loads what an amp-extract stages until it has ended and nothing is left, or until the run is to stop.
///
/// # Errors
/// When the directory cannot be read, or two files would have the same key.
pub(super) async fn follow(run: &Run<'_>, rounds: &Rounds<'_>) -> Result<(), RunError> {
    let mut followed = Followed::new(run);
    let mut files = Files::default();
    let mut waiting = None;
    loop {
        // Before the files: what it staged before it ended is among them.
        let is_last = followed.is_over()?;
        let plan = files.due(run, is_last)?;
        let has_none = plan.found() == 0;
        if is_last || !has_none {
            waiting = None;
            rounds.load(plan).await?;
            files.tried(rounds);
        }
        if run.stop.is_requested() || (is_last && has_none) {
            return Ok(());
        }
        if has_none {
            waiting.get_or_insert_with(|| run.session.progress.begin("waiting for amp-extract", None));
            run.stop.unless_requested(sleep(PAUSE)).await;
        }
    }
}

fn ends_midway(error: impl Into<Diagnostic>) -> RunError {
    RunError { exit: Exit::Incomplete, message: Some(error.into()) }
}

/// The amp-extract that is followed.
struct Followed<'a> {
    run: &'a Run<'a>,
    since: Instant,
    /// When the one before it began.
    before: Option<SystemTime>,
    was_at_work: bool,
    is_over: bool,
}

impl<'a> Followed<'a> {
    fn new(run: &'a Run<'a>) -> Self {
        let before = run.staging().last_begun("extract");
        Self { run, since: Instant::now(), before, was_at_work: false, is_over: false }
    }

    /// Whether it has ended, or none began in time. Another one that begins is followed as well.
    fn is_over(&mut self) -> Result<bool, RunError> {
        let staging = self.run.staging();
        let is_at_work = staging.is_at_work("extract").map_err(ends_midway)?;
        if is_at_work && !self.was_at_work {
            tracing::info!("amp-extract is at work: loading what it stages until it ends");
        }
        self.was_at_work |= is_at_work || staging.last_begun("extract") != self.before;
        let is_over = !is_at_work && (self.was_at_work || self.since.elapsed() >= BEGIN_LIMIT);
        if is_over && !self.is_over {
            if self.was_at_work {
                tracing::info!("amp-extract has ended: loading what is left");
            } else {
                tracing::warn!("no amp-extract began within {BEGIN_LIMIT:?}: loading what is there, and no more");
            }
        }
        self.is_over = is_over;
        Ok(is_over)
    }
}

/// The files in the directory that were tried.
#[derive(Default)]
struct Files {
    tried: HashMap<String, Tried>,
}

struct Tried {
    identity: FileIdentity,
    at: Instant,
    /// Whether it failed for a reason that passes.
    may_go: bool,
    /// Whether that was after the amp-extract had ended.
    is_last: bool,
}

impl Files {
    /// Plans the files that were not tried yet, those that failed and may go now, and those that were changed. The last time none of
    /// these waits, and none is tried twice.
    fn due(&mut self, run: &Run<'_>, is_last: bool) -> Result<Plan, RunError> {
        let staging = run.staging();
        let scan = staging.scan().map_err(ends_midway)?;
        self.tried.retain(|name, _| scan.files.binary_search(name).is_ok());
        // Of all files, so that those which would overwrite each other are seen.
        let mut plan = run.plan(scan).map_err(|error| RunError { exit: Exit::Incomplete, ..error })?;
        let now = Instant::now();
        plan.retain(|name| {
            let Some(identity) = staging.identity(name) else { return false };
            let is_due = self.tried.get(name).is_none_or(|tried| {
                let is_time = if is_last { !tried.is_last } else { tried.at + RETRY_PAUSE <= now };
                is_time && (tried.may_go || tried.identity != identity)
            });
            if is_due {
                self.tried.insert(name.to_owned(), Tried { identity, at: now, may_go: false, is_last });
            }
            is_due
        });
        Ok(plan)
    }

    /// Notes which files of the round that is over may go later.
    fn tried(&mut self, rounds: &Rounds<'_>) {
        for name in rounds.stats.deferred() {
            if let Some(tried) = self.tried.get_mut(&name) {
                (tried.may_go, tried.at) = (true, Instant::now());
            }
        }
    }
}
