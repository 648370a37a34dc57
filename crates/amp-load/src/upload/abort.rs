//! Uploads in parts that are given up: those of this run, and what killed runs left open.

use std::time::Duration;

use amp_cli::{DETAIL, Diagnostic, Retrier, Stop};
use amp_core::disk::DiskError;
use amp_core::retry::RetryPolicy;
use chrono::{DateTime, TimeDelta, Utc};

use super::Uploader;
use super::journal::{Leftover, LeftoverProgress};
use crate::store::S3Store;

/// An abort must not hold the exit up for longer.
const ABORT_TIMEOUT: Duration = Duration::from_secs(15);
/// The server's clock may be so far behind ours.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

impl Uploader {
    /// Aborts what earlier runs left open at this endpoint, each in the bucket in which it was begun.
    pub async fn abort_leftovers(&self) {
        for Leftover { object, progress } in self.journal.leftovers() {
            let store = self.store.of_bucket(&object.bucket).await;
            let (gone, id) = match progress {
                LeftoverProgress::Open(id) => (abort(&store, &object.key, &id).await, Some(id)),
                LeftoverProgress::Begun(time) => (sweep(&store, &object.key, time).await, None),
            };
            if gone {
                warn_on_error(self.journal.record_leftover_closed(&object, id.as_deref()));
            }
        }
        warn_on_error(self.journal.tidy());
    }

    /// Gives an upload of this run up, whether or not the run is stopping, and says whether it is gone.
    pub(super) async fn abort(&self, key: &str, id: &str) -> bool {
        abort(&self.store, key, id).await
    }

    /// Aborts what uploads of that key were begun at or after `time`, as far as we may look.
    pub(super) async fn sweep(&self, key: &str, time: DateTime<Utc>) {
        if sweep(&self.store, key, time).await {
            warn_on_error(self.journal.record_closed(key, None));
        }
    }
}

async fn abort(store: &S3Store, key: &str, id: &str) -> bool {
    // A retrier of its own: that of the run gives up when the run stops.
    let retrier = Retrier::new(
        RetryPolicy { max_retries: 2, base: Duration::from_secs(1), retry_for: Duration::ZERO },
        Stop::default(),
    );
    let aborted = tokio::time::timeout(ABORT_TIMEOUT, retrier.run(|_| store.abort(key, id))).await;
    let problem = match aborted {
        Ok(Ok(())) => {
            tracing::info!(
                target: DETAIL,
                event = "upload_aborted",
                key,
                "{}: the upload in parts was aborted",
                store.url(key)
            );
            return true;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    tracing::warn!(
        "{}: its upload in parts could not be aborted ({problem}); the next run tries again",
        store.url(key)
    );
    false
}

/// Whether no upload of that key that was begun at or after `time` is open any more.
async fn sweep(store: &S3Store, key: &str, time: DateTime<Utc>) -> bool {
    let listed = tokio::time::timeout(ABORT_TIMEOUT, store.open_uploads(key)).await;
    let problem = match listed {
        Ok(Ok(open)) => {
            let mut gone = true;
            for upload in open.into_iter().filter(|upload| upload.initiated >= time - CLOCK_SKEW) {
                gone &= abort(store, key, &upload.id).await;
            }
            return gone;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    tracing::warn!("{}: cannot look for uploads in parts that a run left open ({problem})", store.url(key));
    false
}

fn warn_on_error(recorded: Result<(), DiskError>) {
    if let Err(error) = recorded {
        Diagnostic::of(&error).warn();
    }
}
