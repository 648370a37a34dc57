//! Says what would be loaded and changes nothing.

use amp_cli::RunError;

use super::Run;
use super::load::place;
use crate::stats::RunStats;
use crate::summary::Summary;

/// Fills in the keys that the files and manifests would get.
///
/// # Errors
/// When the files cannot be read, or their keys collide.
pub(crate) async fn dry_run(run: &Run<'_>, summary: &mut Summary) -> Result<(), RunError> {
    let scan = run.scan()?;
    run.log_warnings();
    if run.settings.bucket.name.is_empty() {
        tracing::warn!("the bucket is missing: give --bucket or set AWS_BUCKET_NAME in the environment or in .env");
    }
    let plan = run.plan(scan)?;
    let staging = run.staging();
    if let Some(manifests) = run.manifests(&staging).await? {
        summary.planned_manifests = manifests.expected(&plan.uploads, &staging).map_err(RunError::unusable)?;
    }
    summary.dry_run = true;
    summary.place = place(&run.session.common.extracted_dir);
    let stats = RunStats::new(run.settings.concurrency.at_start());
    stats.begin_round(&plan);
    for (planned, error) in &plan.refused {
        stats.failed(planned, error.to_string(), None);
    }
    if plan.found() > 0 {
        stats.conclude(summary, false);
    }
    summary.planned = Some(plan.uploads);
    Ok(())
}
