//! The state of the ledger, put when all rounds are over, and what other machines did of the same days.

use std::collections::BTreeSet;
use std::sync::Arc;

use amp_core::disk::DiskError;
use amp_core::ledger::Partition;
use amp_core::lock::LockError;
use amp_core::retry::Verdict;
use chrono::NaiveDate;

use super::rounds::Rounds;
use crate::state::{Reader, RestoreError, Scope, State};
use crate::summary::StateCounts;

impl Rounds<'_> {
    /// Puts what the bucket lacks of the ledger. Where days that this run touched lack hours for their manifests, it looks whether other machines have
    /// them, and puts the manifests too.
    pub(super) async fn put_state(&self, state: &mut State) -> StateCounts {
        let (stats, stop) = (&self.stats, &self.run.stop);
        let mut counts = StateCounts::default();
        let (touched, put) = state.put_pending(&self.uploader, stats, stop).await;
        counts.add(put);
        let lacking = self.lacking(touched).unwrap_or_else(|error| {
            stats.object_failed(None, error, &Verdict::Permanent);
            BTreeSet::new()
        });
        // Ours is in the bucket before we look: of two machines that end at the same moment, the one that looks last sees both.
        if lacking.is_empty() || stop.is_requested() || !self.learn(state, lacking).await {
            return counts;
        }
        let before = stats.manifests();
        match self.run.manifests(&self.run.staging()).await {
            Ok(Some(manifests)) => Arc::new(manifests).put_pending(&self.uploader, stats, stop).await,
            Ok(None) => {}
            Err(error) => {
                if let Some(message) = error.message {
                    stats.object_failed(None, message, &Verdict::Permanent);
                }
            }
        }
        if stats.manifests() > before {
            counts.add(state.put_pending(&self.uploader, stats, stop).await.1);
        }
        counts
    }

    /// Those of the days that lack something for their manifests.
    fn lacking(&self, touched: BTreeSet<Partition>) -> Result<BTreeSet<NaiveDate>, DiskError> {
        let Some(manifests) = &self.manifests else { return Ok(BTreeSet::new()) };
        let days = touched.into_iter().filter_map(|partition| match partition {
            Partition::Day(day) => Some(day),
            Partition::Undated => None,
        });
        days.filter_map(|day| manifests.is_incomplete(day).map(|lacks| lacks.then_some(day)).transpose()).collect()
    }

    /// Merges what other machines know of these days; says whether there was anything. Where it cannot be done now, a later run does it.
    async fn learn(&self, state: &mut State, days: BTreeSet<NaiveDate>) -> bool {
        let reader = Reader { store: Arc::clone(self.uploader.store()), retrier: Arc::clone(self.uploader.retrier()) };
        let scope = Scope::Days(days);
        let learnt = match state.fetch(&reader, &scope).await {
            Ok(fetched) if !fetched.has_days() => return false,
            // For the moment of merging: amp-extract appends to the same files.
            Ok(fetched) => match self.run.staging().lock("extract") {
                Ok(_lock) => state.apply(fetched, &scope).map_err(RestoreError::from),
                Err(LockError::Held(_)) => {
                    tracing::info!("amp-extract is at work: what other machines loaded is looked at by the next run");
                    return false;
                }
                Err(LockError::Io(name, error)) => {
                    tracing::warn!("cannot lock {name}: {error}");
                    return false;
                }
            },
            Err(error) => Err(error),
        };
        learnt.map(|counts| counts.lines > 0).unwrap_or_else(|error| {
            tracing::warn!(
                "cannot look what other machines loaded, so manifests of days that they share wait: {error}"
            );
            false
        })
    }
}
