//! `--check`: tests the set-up and moves no data. What a run may do is found out by uploads that are begun and aborted.

mod permissions;

use std::sync::Arc;
use std::time::Duration;

use amp_cli::{Finding, Retrier, RunError, Session, check_dir, check_ledger};
use amp_core::retry::RetryPolicy;

use super::Run;
use crate::settings::Settings;
use crate::store::S3Store;

/// Tests what a run with `settings` needs.
pub(crate) async fn check(settings: &Settings, session: &Session) -> Vec<Finding> {
    let run = Run::new(settings, session);
    // Without the long patience of a run that nobody watches.
    let policy = RetryPolicy { retry_for: Duration::ZERO, ..session.common.retry };
    let run = Run { retrier: Arc::new(Retrier::new(policy, run.stop.clone())), ..run };
    let common = &session.common;
    let mut findings = vec![
        check_dir("extracted_dir", &common.extracted_dir, true),
        check_dir("log_dir", &common.log_dir, false),
        check_ledger(&run.staging().state_dir()),
        check_files(&run),
    ];
    findings.extend(check_keys(settings));
    match run.store().await {
        Ok(store) => findings.extend(check_bucket(&run, store).await),
        Err(error) => findings.push(failed("credentials", error)),
    }
    findings
}

fn failed(name: &'static str, error: RunError) -> Finding {
    Finding::failed(name, error.exit, error.message.unwrap_or_else(|| "it failed".into()))
}

/// The files that wait, and whether each has a key of its own.
fn check_files(run: &Run<'_>) -> Finding {
    let plan = match run.scan().and_then(|scan| run.plan(scan)) {
        Ok(plan) => plan,
        Err(error) => return failed("files", error),
    };
    let message = format!("{} to load", plan.found());
    match plan.refused.first() {
        None => Finding::ok("files", message),
        Some((planned, error)) => Finding::warning(
            "files",
            format!("{message}, {} that cannot be loaded; {}: {error}", plan.refused.len(), planned.file),
        ),
    }
}

fn check_keys(Settings { keys, manifest_prefix, .. }: &Settings) -> Vec<Finding> {
    let of_manifests = manifest_prefix.as_ref().and_then(|prefix| prefix.warning(keys));
    keys.warnings().into_iter().chain(of_manifests).map(|warning| Finding::warning("keys", warning)).collect()
}

async fn check_bucket(run: &Run<'_>, store: S3Store) -> Vec<Finding> {
    let (region, host) = store.region_and_host();
    let mut findings = vec![
        Finding::ok("credentials", format!("from {}", store.credentials_source())),
        Finding::ok("region", format!("{region}, at {host}")),
    ];
    let prefix = run.settings.keys.prefix();
    let bucket = &run.settings.bucket.name;
    let may_list = match run.retrier.run(|_| store.check(prefix)).await {
        Ok(may_list) => may_list,
        Err(error) => {
            findings.push(failed("bucket", error.into()));
            return findings;
        }
    };
    findings.push(Finding::ok("bucket", format!("s3://{bucket} answers")));
    match permissions::check(run, store, may_list).await {
        Ok(permissions) => findings.extend(permissions),
        Err(error) => findings.push(failed("lock", error)),
    }
    findings
}
