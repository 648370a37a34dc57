//! Brings the state in the bucket back, so that this machine knows what others did, and puts the manifests of days that they did together.

use std::sync::Arc;

use amp_cli::{Ending, RunError};
use amp_core::stage::Staging;
use chrono::{Days, NaiveDate};

use super::Run;
use super::rounds::Rounds;
use crate::plan::Plan;
use crate::state::{Reader, RestoreError, Scope};
use crate::summary::{StateCounts, Summary};

/// Merges the state of the last `days` days into the ledger and fills in what came of it.
///
/// # Errors
/// When another run of either program is at work, the state cannot be read or the ledger cannot be written.
pub(crate) async fn restore(run: &Run<'_>, days: u32, summary: &mut Summary) -> Result<(), RunError> {
    run.log_warnings();
    let staging =
        Staging::open(&run.session.common.extracted_dir).map_err(RunError::temporary)?.until(run.session.stop.flag());
    let _load = Run::lock(&staging, "load")?;
    let extract = Run::lock(&staging, "extract")?;
    let Some(mut state) = run.state().await? else { return Ok(()) };
    let store = run.connect().await?;
    let today = run.session.started.date_naive();
    let scope = Scope::Since(today.checked_sub_days(Days::new(days.into())).unwrap_or(NaiveDate::MIN));
    let reader = Reader { store: Arc::clone(&store), retrier: Arc::clone(&run.retrier) };
    let fetched = state.fetch(&reader, &scope).await?;
    let restored = state.apply(fetched, &scope).map_err(RunError::temporary)?;
    tracing::info!("restored {} days of state, {} lines of them new", restored.days, restored.lines);
    summary.state = Some(StateCounts { restored: Some(restored), ..StateCounts::default() });
    drop(extract);
    if run.settings.manifest_prefix.is_some() {
        let manifests = run.manifests(&staging).await?.map(Arc::new);
        let rounds = Rounds::begin(run, store, manifests).await?;
        rounds.load(Plan::default()).await?;
        let mut counts = rounds.put_state(&mut state).await;
        counts.restored = Some(restored);
        summary.state = Some(counts);
        rounds.conclude(summary);
    }
    if summary.failures.is_empty() {
        summary.conclude(Ending { had_work: restored.days > 0, ..Ending::default() });
    }
    Ok(())
}

impl From<RestoreError> for RunError {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Store(error) => error.into(),
            RestoreError::Disk(error) => Self::temporary(error),
        }
    }
}
