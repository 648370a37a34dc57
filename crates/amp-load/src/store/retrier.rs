//! Tries again what may pass.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use amp_cli::Stop;
use amp_core::retry::RetryPolicy;

use super::{StoreError, StoreErrorKind};

/// Runs requests, again and again if need be, until the run is to stop.
#[derive(Debug)]
pub struct Retrier {
    policy: RetryPolicy,
    stop: Stop,
    retries: AtomicU64,
}

impl Retrier {
    /// Tries by that policy, while `stop` does not say otherwise.
    #[must_use]
    pub fn new(policy: RetryPolicy, stop: Stop) -> Self {
        Self { policy, stop, retries: AtomicU64::new(0) }
    }

    /// Does `request` until it succeeds, fails for good, or the retries are used up. It is told how often it was tried before.
    ///
    /// # Errors
    /// What the last try came to; [`StoreErrorKind::Stopped`] when the run is to stop.
    pub async fn run<T, F>(&self, request: impl FnMut(u32) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        self.run_with_grace(Duration::ZERO, request).await
    }

    /// The same, but a request under way is given `grace` to end when the run is to stop: for those that must not be left half done.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_with_grace<T, F>(
        &self,
        grace: Duration,
        mut request: impl FnMut(u32) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        for retry in 0.. {
            if self.stop.is_requested() {
                return Err(stopped());
            }
            let mut under_way = pin!(request(retry));
            let answer = match self.stop.unless_requested(&mut under_way).await {
                Some(answer) => answer,
                None if grace.is_zero() => return Err(stopped()),
                None => tokio::time::timeout(grace, under_way).await.unwrap_or_else(|_| Err(stopped())),
            };
            let error = match answer {
                Err(error) => error,
                success => return success,
            };
            let Some(wait) = self.policy.wait(retry, &error.verdict(), fastrand::f64()) else { return Err(error) };
            self.retries.fetch_add(1, Ordering::Relaxed);
            tracing::info!(
                "{error}; trying again in {:.1} s ({} of {})",
                wait.as_secs_f64(),
                retry + 1,
                self.policy.max_retries
            );
            if self.stop.unless_requested(tokio::time::sleep(wait)).await.is_none() {
                return Err(stopped());
            }
        }
        Err(stopped())
    }

    /// How many requests were tried again.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }
}

fn stopped() -> StoreError {
    StoreError { operation: "request", target: String::new(), kind: StoreErrorKind::Stopped }
}
