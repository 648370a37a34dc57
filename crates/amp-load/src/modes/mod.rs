//! What a call asks for: to load, to say what would be loaded, to verify what was, or to bring its state back. What they share is here.

mod check;
mod dry_run;
mod follow;
mod load;
mod put_state;
mod restore;
mod rounds;
mod verify;

use std::sync::Arc;

use amp_cli::{Exit, Retrier, RunError, Session, Stop};
use amp_core::ledger::Ledger;
use amp_core::lock::{LockError, RunLock};
use amp_core::stage::{Scan, Staging};

pub(crate) use check::check;
pub(crate) use dry_run::dry_run;
pub(crate) use load::load;
pub(crate) use restore::restore;
pub(crate) use verify::verify;

use crate::manifest::{Destination, KeyTaken, Manifests};
use crate::plan::{Plan, PlannedUpload};
use crate::settings::Settings;
use crate::state::State;
use crate::store::S3Store;
use crate::upload::{Leftover, UploadJournal};

/// A run of any mode.
pub(crate) struct Run<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) session: &'a Session,
    /// Requested by a signal, or by the run itself when AWS refuses us.
    pub(crate) stop: Stop,
    pub(crate) retrier: Arc<Retrier>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(settings: &'a Settings, session: &'a Session) -> Self {
        let stop = session.stop.child();
        let retrier = Arc::new(Retrier::new(session.common.retry, stop.clone()));
        Self { settings, session, stop, retrier }
    }

    /// The directory of files, which need not be there. A signal ends its waits for the other program.
    fn staging(&self) -> Staging {
        Staging::existing(&self.session.common.extracted_dir).until(self.session.stop.flag())
    }

    /// The directory of files, made if it is missing.
    fn open_staging(&self) -> Result<Staging, RunError> {
        let staging = Staging::open(&self.session.common.extracted_dir).map_err(RunError::unusable)?;
        Ok(staging.until(self.session.stop.flag()))
    }

    /// Holds off other runs of `program`.
    fn lock(staging: &Staging, program: &str) -> Result<RunLock, RunError> {
        staging.lock(program).map_err(|error| match error {
            LockError::Held(_) => RunError::temporary(error),
            LockError::Io(..) => RunError::unusable(error),
        })
    }

    fn scan(&self) -> Result<Scan, RunError> {
        let scan = self.staging().scan().map_err(RunError::unusable)?;
        scan.ignored.iter().for_each(|(name, why)| tracing::warn!("{name} is left alone: {why}"));
        Ok(scan)
    }

    /// Gives every file its key, which must not be that of another, of one that was loaded before, or of a manifest.
    fn plan(&self, scan: Scan) -> Result<Plan, RunError> {
        let mut plan = Plan::make(scan, &self.settings.keys).map_err(|error| RunError::unusable(error.to_string()))?;
        let ledger = Ledger::at(&self.staging().state_dir());
        plan.refuse_taken(&ledger, &self.settings.bucket.name).map_err(RunError::unusable)?;
        let prefix = self.settings.manifest_prefix.as_ref();
        let taken = prefix.and_then(|prefix| plan.find_key(|key| prefix.is_manifest_key(key)));
        match taken.cloned() {
            None => Ok(plan),
            Some(PlannedUpload { file, key }) => {
                Err(RunError::unusable(format!("nothing was uploaded: {}", KeyTaken { key, file })))
            }
        }
    }

    /// The manifests, if the run is to put any.
    async fn manifests(&self, staging: &Staging) -> Result<Option<Manifests>, RunError> {
        let Settings { bucket, keys, .. } = self.settings;
        let Some(prefix) = self.settings.manifest_prefix.clone() else { return Ok(None) };
        let endpoint = S3Store::custom_endpoint_of(bucket).await?;
        let to = Destination { bucket: bucket.name.clone(), endpoint, keys: keys.clone() };
        Manifests::open(staging, prefix, to).map(Some).map_err(RunError::unusable)
    }

    /// The journal of uploads in parts. Says which of them are out of reach.
    async fn upload_journal(&self, staging: &Staging) -> Result<UploadJournal, RunError> {
        let bucket = &self.settings.bucket;
        let endpoint = S3Store::custom_endpoint_of(bucket).await?;
        let journal = UploadJournal::open(staging, &bucket.name, endpoint).map_err(RunError::unusable)?;
        for Leftover { object, .. } in journal.leftovers_elsewhere() {
            let place = object.endpoint.as_deref().unwrap_or("Amazon's S3");
            tracing::warn!(
                "s3://{}/{} at {place}: an upload in parts that a killed run left open remains there, until amp-load runs with that endpoint",
                object.bucket,
                object.key
            );
        }
        Ok(journal)
    }

    /// The state in the bucket, if it is kept there.
    async fn state(&self) -> Result<Option<State>, RunError> {
        let Settings { bucket, state_prefix, .. } = self.settings;
        let Some(prefix) = state_prefix else { return Ok(None) };
        let endpoint = S3Store::custom_endpoint_of(bucket).await?;
        let root = &self.session.common.extracted_dir;
        State::open(root, prefix, &bucket.name, endpoint).map(Some).map_err(RunError::temporary)
    }

    fn log_warnings(&self) {
        let Settings { keys, manifest_prefix, .. } = self.settings;
        let of_manifests = manifest_prefix.as_ref().and_then(|prefix| prefix.warning(keys));
        keys.warnings().iter().chain(&of_manifests).for_each(|warning| tracing::warn!("{warning}"));
    }

    /// Connects and makes sure that the bucket is there.
    async fn connect(&self) -> Result<Arc<S3Store>, RunError> {
        let store = self.store().await?;
        self.retrier.run(|_| store.check(self.settings.keys.prefix())).await?;
        Ok(Arc::new(store))
    }

    /// The bucket, of which nothing was asked yet.
    async fn store(&self) -> Result<S3Store, RunError> {
        let Settings { bucket, object_options, .. } = self.settings;
        let common = &self.session.common;
        let connecting =
            S3Store::connect(bucket, object_options.clone(), common.ca_bundle.as_ref(), common.read_timeout);
        let Some(store) = self.stop.unless_requested(connecting).await else {
            return Err(RunError { exit: Exit::Interrupted, message: Some("stopped before anything was done".into()) });
        };
        Ok(store?)
    }
}
