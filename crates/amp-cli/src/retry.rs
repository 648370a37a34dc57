//! Repeats a request whose failure may pass, until it succeeds, the retries are used up or the run is to stop.

use std::fmt::Display;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use amp_core::retry::{Effort, RetryPolicy, Verdict};

use crate::logging::PASSING;
use crate::stop::Stop;

/// So long a server that throttles has to accept another request before one without retries is given up.
const LAST_CHANCE: Duration = Duration::from_secs(2);

/// The failure of a request.
pub trait Retryable: Display {
    /// What it asks of us.
    fn verdict(&self) -> Verdict;

    /// The failure of a request that was given up because the run is to stop.
    fn stopped() -> Self;

    /// The same failure, told with what was tried against it.
    #[must_use]
    fn after(self, effort: Effort) -> Self;

    /// Whether the server asked for fewer requests: as long as it accepts others, that uses up no retries.
    fn is_throttled(&self) -> bool {
        false
    }

    /// What it is about, for the log.
    fn subject(&self) -> Subject {
        Subject::default()
    }

    /// Whether it is tried again for as long as [`RetryPolicy::retry_for`] says, however often.
    fn is_worth_waiting(&self) -> bool {
        true
    }
}

/// What a failed request was about, as the fields of the log have it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// The window asked for.
    pub window: Option<String>,
    /// The object.
    pub url: Option<String>,
    /// The HTTP status of the answer.
    pub status: Option<u16>,
}

/// The one place where both programs wait and try again.
#[derive(Debug)]
pub struct Retrier {
    policy: RetryPolicy,
    stop: Stop,
    retries: AtomicU64,
    successes: AtomicU64,
}

impl Retrier {
    /// Retries by `policy` until `stop` is requested.
    pub fn new(policy: RetryPolicy, stop: Stop) -> Self {
        Self { policy, stop, retries: AtomicU64::new(0), successes: AtomicU64::new(0) }
    }

    /// Does `request` until it succeeds, fails for good, or the retries are used up. It is told how often it was tried before.
    /// When the run is to stop, the request under way is dropped.
    ///
    /// # Errors
    /// What the last try came to; [`Retryable::stopped`] when the run is to stop.
    pub async fn run<T, E, F>(&self, request: impl FnMut(u32) -> F) -> Result<T, E>
    where
        E: Retryable,
        F: Future<Output = Result<T, E>>,
    {
        self.run_with_grace(Duration::ZERO, request).await
    }

    /// The same, but a request under way has `grace` to end when the run is to stop: for those that must not be left half done.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_with_grace<T, E, F>(&self, grace: Duration, mut request: impl FnMut(u32) -> F) -> Result<T, E>
    where
        E: Retryable,
        F: Future<Output = Result<T, E>>,
    {
        let began = Instant::now();
        let mut first_failure = None;
        // Tries in vain that cost a retry.
        let mut counted = 0;
        for tries in 0.. {
            if self.stop.is_requested() {
                break;
            }
            let successes_before = self.successes.load(Ordering::Relaxed);
            let mut under_way = pin!(request(tries));
            let answer = match self.stop.unless_requested(&mut under_way).await {
                Some(answer) => answer,
                None if grace.is_zero() => break,
                None => tokio::time::timeout(grace, under_way).await.unwrap_or_else(|_| Err(E::stopped())),
            };
            let error = match answer {
                Err(error) => error,
                success => {
                    self.successes.fetch_add(1, Ordering::Relaxed);
                    return success;
                }
            };
            let failing_for = first_failure.get_or_insert_with(Instant::now).elapsed();
            let retry_for = if error.is_worth_waiting() { self.policy.retry_for } else { Duration::ZERO };
            let policy = RetryPolicy { retry_for, ..self.policy };
            let (verdict, random) = (error.verdict(), fastrand::f64());
            let within_retries = policy.wait(counted, failing_for, &verdict, random);
            let is_last = within_retries.is_none();
            let patient = RetryPolicy { max_retries: u32::MAX, ..policy };
            // Whether the server accepts others shows only after a while.
            let wait = if error.is_throttled() {
                patient.wait(counted, failing_for, &verdict, random)
            } else {
                within_retries
            };
            let Some(wait) = wait else {
                return Err(error.after(Effort { tries: tries + 1, time: began.elapsed() }));
            };
            let (seconds, number, most) = (wait.as_secs_f64(), counted + 1, policy.max_retries);
            let how = match number {
                number if number <= most => format!(" ({number} of {most})"),
                _ if is_last => " if it accepts other requests meanwhile".to_owned(),
                number => format!(" ({number}, for {retry_for:?} in all)"),
            };
            let Subject { window, url, status } = error.subject();
            tracing::warn!(
                target: PASSING,
                event = "retry",
                window,
                url,
                status,
                attempt = tries + 1,
                seconds,
                "{error}; retrying in {seconds:.1} s{how}"
            );
            let accepts_others = || error.is_throttled() && self.successes.load(Ordering::Relaxed) > successes_before;
            let waited = async {
                tokio::time::sleep(wait).await;
                if is_last && !accepts_others() {
                    tokio::time::sleep(LAST_CHANCE).await;
                }
            };
            if self.stop.unless_requested(waited).await.is_none() {
                break;
            }
            if accepts_others() {
                (counted, first_failure) = (0, None);
            } else if is_last {
                return Err(error.after(Effort { tries: tries + 1, time: began.elapsed() }));
            } else {
                counted += 1;
            }
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
        Err(E::stopped())
    }

    /// How many requests were tried again.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

    #[derive(Debug, PartialEq, Eq)]
    enum Failure {
        Transient,
        Throttled,
        Permanent,
        Stopped,
    }

    impl fmt::Display for Failure {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            fmt::Debug::fmt(self, f)
        }
    }

    impl Retryable for Failure {
        fn verdict(&self) -> Verdict {
            if matches!(self, Self::Transient | Self::Throttled) { Verdict::TRANSIENT } else { Verdict::Permanent }
        }

        fn is_throttled(&self) -> bool {
            *self == Self::Throttled
        }

        fn stopped() -> Self {
            Self::Stopped
        }

        fn after(self, _effort: Effort) -> Self {
            self
        }
    }

    fn retrier(stop: &Stop) -> Retrier {
        Retrier::new(RetryPolicy { max_retries: 2, base: Duration::ZERO, retry_for: Duration::ZERO }, stop.clone())
    }

    #[tokio::test]
    async fn only_what_may_pass_is_retried_and_only_so_often() {
        let retrier = retrier(&Stop::default());
        let fails = retrier.run(async |_| Err::<(), _>(Failure::Transient)).await;
        assert_eq!((fails, retrier.retries()), (Err(Failure::Transient), 2));
        let fails = retrier.run(async |_| Err::<(), _>(Failure::Permanent)).await;
        assert_eq!((fails, retrier.retries()), (Err(Failure::Permanent), 2));
        let passes = retrier.run(async |retry| if retry < 2 { Err(Failure::Transient) } else { Ok(retry) }).await;
        assert_eq!((passes, retrier.retries()), (Ok(2), 4));
    }

    #[tokio::test]
    async fn what_is_throttled_uses_up_no_retries_while_others_succeed() {
        let retrier = &retrier(&Stop::default());
        let answer = |tries, error| async move {
            // Another request, which is accepted.
            retrier.run(async |_| Ok::<_, Failure>(())).await?;
            if tries < 20 { Err(error) } else { Ok(tries) }
        };
        assert_eq!(retrier.run(|tries| answer(tries, Failure::Throttled)).await, Ok(20));
        assert_eq!(retrier.run(|tries| answer(tries, Failure::Transient)).await, Err(Failure::Transient));
        let alone = retrier.run(async |_| Err::<(), _>(Failure::Throttled)).await;
        assert_eq!((alone, retrier.retries()), (Err(Failure::Throttled), 20 + 2 + 2));
    }

    #[tokio::test]
    async fn a_stop_ends_what_has_no_grace() {
        let stop = Stop::default();
        let ask_and_go_on = async |_| {
            stop.request();
            tokio::task::yield_now().await;
            Ok::<_, Failure>(())
        };
        assert_eq!(retrier(&stop).run(ask_and_go_on).await, Err(Failure::Stopped));
        let never_asked = retrier(&stop).run(async |_| Err::<(), _>(Failure::Permanent)).await;
        assert_eq!(never_asked, Err(Failure::Stopped));
    }

    #[tokio::test]
    async fn what_has_grace_may_end_after_a_stop() {
        let stop = Stop::default();
        let ask_and_go_on = async |_| {
            stop.request();
            tokio::task::yield_now().await;
            Ok::<_, Failure>(())
        };
        assert_eq!(retrier(&stop).run_with_grace(Duration::from_secs(60), ask_and_go_on).await, Ok(()));
    }
}
