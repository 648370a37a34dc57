//! Exports raw events from Amplitude's Export API, day by day, into `extracted_data/`.
//!
//! [`run`] is the door: it plans which hours to ask for ([`plan`]), fetches and unpacks them ([`pipeline`]) and says what came of it ([`Summary`]).

mod answer;
mod args;
mod body;
pub mod downloads;
pub mod export;
mod fetch;
pub mod hour_status;
pub mod pipeline;
pub mod plan;
mod publish;
mod settings;
pub mod source_ledger;
mod status;
mod summary;
mod window_hours;

use amp_cli::Session;
use amp_core::ledger::{Ledger, Owners};
use amp_core::lock::{LockError, RunLock};
use amp_core::stage::Staging;
use amp_core::window::HourWindow;
use anyhow::Context;

pub use args::Args;
use downloads::Downloads;
use export::ExportClient;
use hour_status::HourStatusReader;
use pipeline::Pipeline;
use plan::Plan;
pub use settings::Settings;
use source_ledger::SourceLedger;
pub use status::{Report, Status};
pub use summary::{Failure, Hours, RunError, Summary};

/// Does what `settings` ask and says what came of it. Never panics; every failure is in the report.
pub async fn run(settings: Settings, session: &Session) -> Report {
    let mut summary = Summary::new(settings.window, session.common.dry_run);
    if settings.status {
        match Status::take(window_to_fetch(&settings), &settings, session) {
            Ok(status) => return Report::Status(status),
            Err(error) => summary.stopped_by(unusable(error)),
        }
    } else if let Err(error) = attempt(settings, session, &mut summary).await {
        summary.stopped_by(error);
    }
    summary.conclude();
    summary.seconds = session.seconds();
    tracing::info!("{}", summary.line());
    Report::Run(summary)
}

async fn attempt(settings: Settings, session: &Session, summary: &mut Summary) -> Result<(), RunError> {
    let Some(window) = window_to_fetch(&settings) else { return Ok(()) };
    let common = &session.common;
    if common.dry_run {
        if settings.lacks_key {
            tracing::warn!(
                "without AMP_API_KEY nobody can tell whose hours are done, so those of all keys count; a run with it may ask for others"
            );
        }
        let staging = Staging::existing(&common.extracted_dir);
        let ledger = Ledger::at(&staging.state_dir());
        let owners = Owners::read(&ledger).map_err(unusable)?;
        let plan = plan(window, &settings, session, &staging, &ledger, &owners)?;
        plan.log();
        summary.planned(&plan);
        return Ok(());
    }
    let staging = Staging::open(&common.extracted_dir).map_err(unusable)?.until(session.stop.flag());
    let _lock = lock(&staging)?;
    let ledger = Ledger::at(&staging.state_dir());
    let downloads = Downloads::open(&settings.download_dir).map_err(unusable)?;
    let swept = staging.sweep().map_err(unusable)? + downloads.sweep().map_err(unusable)?;
    if swept > 0 {
        tracing::info!("deleted {swept} partial files that an earlier run left");
    }
    let owners = Owners::read(&ledger).map_err(unusable)?;
    let plan = plan(window, &settings, session, &staging, &ledger, &owners)?;
    plan.log();
    plan.append_to(&ledger, &settings.source(), session.started).map_err(unusable)?;
    summary.planned(&plan);
    let client = ExportClient::new(&settings, common.read_timeout)
        .context("cannot set up the HTTP client")
        .map_err(|error| RunError::Unusable(format!("{error:#}")))?;
    let ledger = SourceLedger::new(ledger, settings.source(), owners);
    Pipeline::new(&settings, session, staging, ledger, downloads, client, summary).run(plan.requests).await
}

/// What is to be asked for, by what the ledger knows of this key's project; without a key, of all.
fn plan(
    window: HourWindow,
    settings: &Settings,
    session: &Session,
    staging: &Staging,
    ledger: &Ledger,
    owners: &Owners,
) -> Result<Plan, RunError> {
    let owner = (!settings.lacks_key).then(|| owners.owner_of(&settings.source()));
    let mut reader = HourStatusReader::new(staging, ledger, owners, owner);
    Plan::make(window, settings, session.started, &mut reader).map_err(unusable)
}

/// The hours asked for, with a warning where some of them have not begun.
fn window_to_fetch(settings: &Settings) -> Option<HourWindow> {
    match settings.window {
        None => tracing::warn!("this shard of the window has no hours that have begun: nothing to do"),
        Some(window) if settings.truncated => {
            tracing::warn!("the window reaches into the future: cut at {}, the hour that is running", window.end());
        }
        Some(_) => {}
    }
    settings.window
}

fn unusable(error: amp_core::disk::DiskError) -> RunError {
    RunError::Unusable(error.to_string())
}

fn lock(staging: &Staging) -> Result<RunLock, RunError> {
    staging.lock("extract").map_err(|error| match error {
        LockError::Held(_) => RunError::Busy(error.to_string()),
        LockError::Io(..) => RunError::Unusable(error.to_string()),
    })
}
