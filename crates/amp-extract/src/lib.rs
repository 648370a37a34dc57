//! Exports raw events from Amplitude's Export API, day by day, into `extracted_data/`.
//!
//! [`run`] is the door: it plans which hours to ask for ([`plan`]), fetches and unpacks them ([`pipeline`]) and says what came of it ([`Summary`]).

mod answer;
mod args;
mod backpressure;
mod body;
pub mod check;
pub mod done_days;
pub mod downloads;
mod empty_days;
pub mod export;
mod export_error;
mod fetch;
mod fetch_error;
pub mod hour_status;
mod locked;
mod overall;
pub mod owed;
pub mod pipeline;
pub mod plan;
mod publish;
mod settings;
pub mod source_ledger;
pub mod sources;
mod status;
mod summary;
mod throttle;
mod verify;
mod window_hours;

use std::collections::HashSet;
use std::sync::Arc;

use amp_cli::{DETAIL, Diagnostic, RunError, Session};
use amp_core::disk::DiskError;
use amp_core::hour::Hour;
use amp_core::ledger::{HourRecord, Ledger};
use amp_core::lock::{LockError, RunLock};
use amp_core::stage::Staging;
use amp_core::window::{HourWindow, contiguous};
use anyhow::Context;
use chrono::{DateTime, Utc};

pub use args::Args;
use downloads::Downloads;
use export::ExportClient;
use pipeline::Pipeline;
use plan::{Plan, Planner, Scope};
pub use settings::Settings;
use source_ledger::SourceLedger;
use sources::{Known, first_repaired};
pub use status::{Report, Status};
pub use summary::{Failure, Hours, Summary};
pub use verify::{Comparison, RowDifference, VERIFY_JOB, Verified};

/// Does what `settings` ask and says what came of it. Never panics; every failure is in the report.
pub async fn run(settings: Settings, session: &Session) -> Report {
    let mut summary = Summary::new(settings.window, session.common.dry_run);
    summary.base_url = Some(settings.base_url.clone());
    if settings.status {
        match Status::take(window_to_fetch(&settings), &settings, session) {
            Ok(status) => return Report::Status(status),
            Err(error) => summary.stopped_by(RunError::unusable(error)),
        }
    } else if let Err(error) = attempt(settings, session, &mut summary).await {
        summary.stopped_by(error);
    }
    summary.conclude();
    summary.seconds = session.seconds();
    let result = summary.line();
    tracing::info!(target: DETAIL, event = "result", result, "{result}");
    Report::Run(summary)
}

async fn attempt(settings: Settings, session: &Session, summary: &mut Summary) -> Result<(), RunError> {
    let Some(window) = window_to_fetch(&settings) else { return Ok(()) };
    let (common, started) = (&session.common, session.started);
    if common.dry_run {
        if settings.lacks_key {
            tracing::warn!(
                "AMP_API_KEY is not set, so hours fetched with any key count as done; a run with the key may request more"
            );
        }
        let staging = Staging::existing(&common.extracted_dir);
        let ledger = Ledger::at(&staging.state_dir());
        let known = Known::read(&ledger, &settings, started).map_err(RunError::unusable)?;
        let planner = Planner { settings: &settings, started, staging: &staging, ledger: &ledger };
        let (plan, _) = planner.plan(window, &known.owners, &HashSet::new(), Scope::All).map_err(RunError::unusable)?;
        plan.log();
        summary.planned(&plan);
        if !settings.force {
            let owner = known.owners.owner_of(&settings.source());
            let downloads = Downloads::existing(&settings.download_dir);
            summary.found(downloads.partition(plan.requests, |source| known.owners.owner_of(source) == owner));
        }
        return Ok(());
    }
    let staging =
        Arc::new(Staging::open(&common.extracted_dir).map_err(RunError::unusable)?.until(session.stop.flag()));
    let ledger = Ledger::at(&staging.state_dir());
    // Before the lock: a call that is turned away has wanted its day all the same.
    let Known { additions, marker, .. } = Known::read(&ledger, &settings, started).map_err(RunError::unusable)?;
    if !additions.is_empty() && !settings.verify {
        ledger.append_sources(&additions).unwrap_or_else(|error| Diagnostic::of(&error).warn());
    }
    let _lock = lock(&staging)?;
    // Again: whoever held the lock until now may have found out whose hours there are.
    let Known { owners, .. } = Known::read(&ledger, &settings, started).map_err(RunError::unusable)?;
    let downloads = Downloads::open(&settings.download_dir).map_err(RunError::unusable)?;
    let swept = staging.sweep().map_err(RunError::unusable)? + downloads.sweep().map_err(RunError::unusable)?;
    if swept > 0 {
        tracing::info!("deleted {swept} partial files that an earlier run left");
    }
    let planner = Planner { settings: &settings, started, staging: &staging, ledger: &ledger };
    if settings.accept_missing {
        let (plan, _) = planner.plan(window, &owners, &HashSet::new(), Scope::All).map_err(RunError::unusable)?;
        return give_up(plan, &ledger, &settings, started, summary).map_err(RunError::temporary);
    }
    let client = ExportClient::new(&settings, common)
        .context("cannot set up the HTTP client")
        .map_err(|error| RunError::unusable(format!("{error:#}")))?;
    let first_repaired = first_repaired(&settings, started);
    let own = SourceLedger::new(ledger.clone(), settings.source(), owners, marker, first_repaired);
    let pipeline = Pipeline::new(&settings, session, Arc::clone(&staging), own.clone(), downloads, client, summary);
    if settings.verify {
        let (plan, others) = verify::plan(window, &own).map_err(RunError::unusable)?;
        pipeline.verifying(&plan, others);
        return pipeline.run(plan.requests).await;
    }
    let mut already = HashSet::new();
    // Another key of its project may have got what is owed: by the files of the window it shows whose key it is.
    let mut scope = if own.owner().is_project() { Scope::All } else { Scope::Window };
    loop {
        let (owner, owners) = (own.owner(), own.owners().clone());
        let (plan, done) = planner.plan(window, &owners, &already, scope).map_err(RunError::unusable)?;
        plan.log();
        plan.append_to(&ledger, own.source(), started).map_err(RunError::temporary)?;
        done.write().unwrap_or_else(|error| Diagnostic::of(&error).warn());
        pipeline.planned(&plan);
        already.extend(plan.hours());
        pipeline.run(plan.requests).await?;
        // Whose hours they are became known: what an earlier key of the project left is owed too.
        if !settings.daily || (scope == Scope::All && own.owner() == owner) {
            break;
        }
        scope = Scope::All;
    }
    let days = already.iter().map(|hour| hour.date()).collect();
    pipeline.settle_empty_days(&days, first_repaired).await
}

/// Notes that the settled hours which `plan` would ask for are given up.
fn give_up(
    plan: Plan,
    ledger: &Ledger,
    settings: &Settings,
    now: DateTime<Utc>,
    summary: &mut Summary,
) -> Result<(), DiskError> {
    let hours: Vec<Hour> = plan.requests.iter().flat_map(|window| window.hours()).collect();
    let windows: Vec<HourWindow> = contiguous(hours.into_iter().filter(|hour| hour.settled_at() <= now))
        .into_iter()
        .flat_map(HourWindow::days)
        .collect();
    for window in &windows {
        tracing::warn!("{window}: given up: no later run reports it, and its day gets no manifest");
        let record = HourRecord::Accepted { time: now, window: *window, source: settings.source() };
        ledger.append(window.start().date(), &record)?;
    }
    summary.planned(&Plan { requests: windows.clone(), ..plan });
    summary.given_up(&windows);
    Ok(())
}

/// The hours asked for, with a warning where some of them have not begun.
fn window_to_fetch(settings: &Settings) -> Option<HourWindow> {
    match settings.window {
        None => tracing::warn!(
            "nothing to do: the shard has no hour that has begun (a window has no more slices than hours)"
        ),
        Some(window) if settings.truncated => {
            tracing::warn!("the window reaches into the future: cut at {}, the hour that is running", window.end());
        }
        Some(_) => {}
    }
    settings.window
}

fn lock(staging: &Staging) -> Result<RunLock, RunError> {
    staging.lock("extract").map_err(|error| match error {
        LockError::Held(_) => RunError::temporary(error),
        LockError::Io(..) => RunError::unusable(error),
    })
}
