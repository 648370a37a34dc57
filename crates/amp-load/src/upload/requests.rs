//! Makes the requests of a run: no more at a time than the controller allows, and again what may pass.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use amp_cli::{Retrier, Retryable, Stop};
use amp_core::retry::Verdict;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::concurrency::{Concurrency, Controller, SMALL_BODY};
use crate::store::{StoreError, StoreErrorKind};

/// Makes requests.
pub(crate) struct Requests {
    retrier: Arc<Retrier>,
    stop: Stop,
    state: Mutex<State>,
    permits: Semaphore,
    large_bodies: Semaphore,
    epoch: Instant,
}

struct State {
    controller: Controller,
    /// Permits that there are: free, on their way to whoever waits, and held.
    issued: usize,
}

/// Leave for one request at a time.
pub(super) struct Permit<'a> {
    requests: &'a Requests,
    permit: Option<SemaphorePermit<'a>>,
}

impl Requests {
    /// None is under way, and never more than `most` will be. The run is told to `stop` when a request is refused: all others would be.
    pub(crate) fn new(concurrency: Concurrency, most: usize, retrier: Arc<Retrier>, stop: Stop) -> Self {
        let controller = Controller::new(concurrency, most);
        let issued = controller.limit();
        Self {
            retrier,
            stop,
            state: Mutex::new(State { controller, issued }),
            permits: Semaphore::new(issued),
            large_bodies: Semaphore::new(concurrency.max_large()),
            epoch: Instant::now(),
        }
    }

    /// How many may be under way at the same time, for now.
    pub(crate) fn limit(&self) -> usize {
        self.state().controller.limit()
    }

    /// Makes a request with a body of so many bytes, as often as the retries allow. It is told how often it was made before.
    ///
    /// # Errors
    /// As [`Retrier::run`].
    pub(crate) async fn run<T, F>(&self, bytes: u64, request: impl FnMut(u32) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        self.run_keeping(None, bytes, request).await.map(|(answer, _)| answer)
    }

    /// The same, first with a permit that the caller has, and gives the permit back for what belongs to the request.
    ///
    /// # Errors
    /// As [`Retrier::run`].
    pub(super) async fn run_keeping<'a, T, F>(
        &'a self,
        mut permit: Option<Permit<'a>>,
        bytes: u64,
        mut request: impl FnMut(u32) -> F,
    ) -> Result<(T, Permit<'a>), StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        // On the heap: what the SDK makes of a request is large, and nested it is more than a worker's stack.
        self.retrier.run(|retry| self.permitted(permit.take(), bytes, Box::pin(request(retry)))).await
    }

    /// The same without a body, for what must not be left half done: see [`Retrier::run_with_grace`].
    ///
    /// # Errors
    /// As [`Retrier::run_with_grace`].
    pub(super) async fn run_with_grace<T, F>(
        &self,
        grace: Duration,
        mut request: impl FnMut(u32) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let answered = self.retrier.run_with_grace(grace, |retry| self.permitted(None, 0, Box::pin(request(retry))));
        answered.await.map(|(answer, _)| answer)
    }

    /// Makes a request once.
    async fn permitted<'a, T>(
        &'a self,
        permit: Option<Permit<'a>>,
        bytes: u64,
        request: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<(T, Permit<'a>), StoreError> {
        let large = if bytes > SMALL_BODY { self.large_bodies.acquire().await.ok() } else { None };
        let permit = match permit {
            Some(permit) => permit,
            None => self.permit().await?,
        };
        let began = self.epoch.elapsed();
        let answer = request.await;
        drop(large);
        let now = self.epoch.elapsed();
        match answer {
            Ok(answer) => {
                self.state().controller.answered(bytes, now);
                Ok((answer, permit))
            }
            Err(error) => {
                if matches!(error.kind, StoreErrorKind::Throttled { .. } | StoreErrorKind::TimedOut(_)) {
                    self.state().controller.overtaxed(began, now);
                }
                if error.verdict() == Verdict::Refused {
                    // Before the permit is free, so that no other request begins.
                    self.stop.request();
                }
                Err(error)
            }
        }
    }

    async fn permit(&self) -> Result<Permit<'_>, StoreError> {
        let permit = self.permits.acquire().await.map_err(|_| StoreError::stopped())?;
        self.state().controller.begin(self.epoch.elapsed());
        Ok(Permit { requests: self, permit: Some(permit) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let permits = &self.requests.permits;
        let mut state = self.requests.state();
        state.controller.end();
        let limit = state.controller.limit();
        if limit > state.issued {
            permits.add_permits(limit - state.issued);
            state.issued = limit;
        } else if limit < state.issued {
            state.issued -= permits.forget_permits(state.issued - limit);
        }
        // Those that others hold are taken back when they end.
        if limit < state.issued
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
            state.issued -= 1;
        }
    }
}
