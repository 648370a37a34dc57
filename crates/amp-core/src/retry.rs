//! What a failure means for the next step, and how long to wait before it. Nothing here sleeps.

use std::time::Duration;

/// What an answer or a failure asks of us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass: try again.
    Transient {
        /// What the server's `Retry-After` asked for.
        retry_after: Option<Duration>,
    },
    /// Credentials or permission: nothing will go until a person acts.
    Refused,
    /// It will fail the same way again.
    Permanent,
}

impl Verdict {
    /// A passing failure of which the server said no more.
    pub const TRANSIENT: Self = Self::Transient { retry_after: None };
}

/// How often and how long to wait between tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries after the first.
    pub max_retries: u32,
    /// Upper bound of the first wait; it doubles with each retry.
    pub base: Duration,
}

impl RetryPolicy {
    /// No wait of our own is longer.
    pub const CAP: Duration = Duration::from_secs(60);
    /// No wait that a server asks for is longer.
    pub const RETRY_AFTER_CAP: Duration = Duration::from_secs(300);

    /// How long to wait before retry number `retry` (0 is the first), or `None` to give up.
    ///
    /// A server's `Retry-After` is obeyed up to [`Self::RETRY_AFTER_CAP`]. Otherwise the wait is drawn evenly from zero to the
    /// exponential bound ("full jitter"), so that clients which failed together do not return together. `random` is from 0.0 to 1.0.
    #[must_use]
    pub fn wait(&self, retry: u32, verdict: &Verdict, random: f64) -> Option<Duration> {
        let Verdict::Transient { retry_after } = verdict else { return None };
        if retry >= self.max_retries {
            return None;
        }
        Some(match retry_after {
            Some(asked) => (*asked).min(Self::RETRY_AFTER_CAP),
            None => {
                let bound = self.base.saturating_mul(2u32.saturating_pow(retry)).min(Self::CAP);
                bound.mul_f64(random.clamp(0.0, 1.0))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy { max_retries: 3, base: Duration::from_secs(1) };

    fn after(seconds: u64) -> Verdict {
        Verdict::Transient { retry_after: Some(Duration::from_secs(seconds)) }
    }

    #[test]
    fn only_what_may_pass_is_tried_again_and_only_so_often() {
        for verdict in [Verdict::Refused, Verdict::Permanent] {
            assert_eq!(POLICY.wait(0, &verdict, 0.5), None);
        }
        assert!(POLICY.wait(2, &Verdict::TRANSIENT, 0.5).is_some());
        assert_eq!(POLICY.wait(3, &Verdict::TRANSIENT, 0.5), None);
        assert_eq!(POLICY.wait(3, &after(1), 0.5), None);
    }

    #[test]
    fn waits_double_up_to_the_cap_and_are_jittered_over_their_whole_length() {
        let policy = RetryPolicy { max_retries: u32::MAX, ..POLICY };
        let bounds =
            [0, 1, 2, 5, 6, 40, 4_000_000_000].map(|n| policy.wait(n, &Verdict::TRANSIENT, 1.0).unwrap().as_secs());
        assert_eq!(bounds, [1, 2, 4, 32, 60, 60, 60]);
        assert_eq!(policy.wait(3, &Verdict::TRANSIENT, 0.0), Some(Duration::ZERO));
        assert_eq!(policy.wait(3, &Verdict::TRANSIENT, 0.25), Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_server_is_obeyed_up_to_five_minutes() {
        assert_eq!(POLICY.wait(0, &after(7), 0.0), Some(Duration::from_secs(7)));
        assert_eq!(POLICY.wait(0, &after(301), 0.0), Some(Duration::from_secs(300)));
    }
}
