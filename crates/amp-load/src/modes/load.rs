//! Loads what lies in the directory: once, or with `--follow` for as long as an amp-extract is at work on it.

use std::path::Path;
use std::sync::Arc;

use amp_cli::RunError;
use amp_core::ledger::Ledger;

use super::Run;
use super::follow::follow;
use super::rounds::Rounds;
use crate::manifest::Manifests;
use crate::state::State;
use crate::summary::Summary;
use crate::threads;
use crate::upload::UploadJournal;

/// Loads what is there and fills in what came of it.
///
/// # Errors
/// When nothing could be begun. What becomes of each file is in `summary`.
pub(crate) async fn load(run: &Run<'_>, summary: &mut Summary) -> Result<(), RunError> {
    let root = &run.session.common.extracted_dir;
    let follows = run.settings.follow;
    let scan = run.scan()?;
    summary.files.found = scan.files.len();
    summary.place = place(root);
    let leaves_nothing_open = UploadJournal::is_empty(&run.staging());
    if scan.files.is_empty() && !follows && leaves_nothing_open && !may_put_more(run)? {
        tracing::info!("nothing to load in {}", summary.place);
        return Ok(());
    }
    run.log_warnings();
    let staging = run.open_staging()?;
    let _lock = Run::lock(&staging, "load")?;
    // What another run loaded while we had no lock is gone.
    let scan = staging.scan().map_err(RunError::unusable)?;
    summary.files.found = scan.files.len();
    let plan = run.plan(scan)?;
    let manifests = run.manifests(&staging).await?.map(Arc::new);
    let has_leftovers = !run.upload_journal(&staging).await?.leftovers().is_empty();
    let mut state = run.state().await?;
    let lacks_state = state.as_mut().map_or(Ok(false), State::is_any_pending).map_err(RunError::temporary)?;
    let lacks_nothing = !has_leftovers && !lacks_state;
    if summary.files.found == 0 && !follows && lacks_nothing && !is_any_pending(manifests.as_ref()).await? {
        tracing::info!("nothing to load in {}", summary.place);
        return Ok(());
    }
    let rounds = Rounds::begin(run, run.connect().await?, manifests).await?;
    let ended = if follows { follow(run, &rounds).await } else { rounds.load(plan).await };
    if let Some(state) = &mut state {
        summary.state = Some(rounds.put_state(state).await);
    }
    rounds.conclude(summary);
    ended
}

/// The directory in full, and whether it is there: who stands in the wrong one sees it.
pub(super) fn place(root: &Path) -> String {
    let path = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let missing = if path.exists() { "" } else { " (no such directory)" };
    format!("{}{missing}", path.display())
}

/// Whether there may be anything to put besides files.
fn may_put_more(run: &Run<'_>) -> Result<bool, RunError> {
    if run.settings.manifest_prefix.is_none() && run.settings.state_prefix.is_none() {
        return Ok(false);
    }
    let partitions = Ledger::at(&run.staging().state_dir()).partitions().map_err(RunError::unusable)?;
    Ok(!partitions.is_empty())
}

async fn is_any_pending(manifests: Option<&Arc<Manifests>>) -> Result<bool, RunError> {
    let Some(manifests) = manifests.cloned() else { return Ok(false) };
    threads::blocking(move || manifests.is_any_pending()).await.map_err(RunError::unusable)?.map_err(RunError::unusable)
}
