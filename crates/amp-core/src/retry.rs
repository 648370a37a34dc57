//! What a failure means for the next step, and how long to wait before it. Nothing here sleeps.

use std::fmt;
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
    /// For so long after the first failure it is tried again, however often.
    pub retry_for: Duration,
}

/// How often and how long something was tried in vain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effort {
    /// Tries, the first included.
    pub tries: u32,
    /// From the first try to the end of the last.
    pub time: Duration,
}

/// Says nothing of what was tried once.
impl fmt::Display for Effort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tries {
            0 | 1 => Ok(()),
            tries => write!(f, " (after {tries} tries in {} s)", self.time.as_secs_f64().ceil()),
        }
    }
}

impl RetryPolicy {
    /// No wait of our own is longer.
    pub const CAP: Duration = Duration::from_secs(60);
    /// No wait that a server asks for is longer.
    pub const RETRY_AFTER_CAP: Duration = Duration::from_secs(300);

    /// How long to wait before retry number `retry` (0 is the first), or `None` to give up. The first failure was `failing_for` ago.
    ///
    /// A server's `Retry-After` is obeyed up to [`Self::RETRY_AFTER_CAP`]. Otherwise half of the exponential bound is waited for in any case, to
    /// give the server room, and a random part of the other half, so that clients which failed together do not return together.
    /// `random` is from 0.0 to 1.0.
    #[must_use]
    pub fn wait(&self, retry: u32, failing_for: Duration, verdict: &Verdict, random: f64) -> Option<Duration> {
        let Verdict::Transient { retry_after } = verdict else { return None };
        if retry >= self.max_retries && failing_for >= self.retry_for {
            return None;
        }
        Some(match retry_after {
            Some(asked) => (*asked).min(Self::RETRY_AFTER_CAP),
            None => {
                let bound = self.base.saturating_mul(2u32.saturating_pow(retry)).min(Self::CAP);
                bound / 2 + (bound / 2).mul_f64(random.clamp(0.0, 1.0))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy { max_retries: 3, base: Duration::from_secs(1), retry_for: Duration::ZERO };
    const NOW: Duration = Duration::ZERO;

    fn after(seconds: u64) -> Verdict {
        Verdict::Transient { retry_after: Some(Duration::from_secs(seconds)) }
    }

    #[test]
    fn only_what_may_pass_is_tried_again_and_only_so_often() {
        for verdict in [Verdict::Refused, Verdict::Permanent] {
            assert_eq!(POLICY.wait(0, NOW, &verdict, 0.5), None);
        }
        assert!(POLICY.wait(2, NOW, &Verdict::TRANSIENT, 0.5).is_some());
        assert_eq!(POLICY.wait(3, NOW, &Verdict::TRANSIENT, 0.5), None);
        assert_eq!(POLICY.wait(3, NOW, &after(1), 0.5), None);
    }

    #[test]
    fn waits_double_up_to_the_cap_and_are_jittered_over_half_of_their_length() {
        let policy = RetryPolicy { max_retries: u32::MAX, ..POLICY };
        let bounds = [0, 1, 2, 5, 6, 40, 4_000_000_000]
            .map(|n| policy.wait(n, NOW, &Verdict::TRANSIENT, 1.0).unwrap().as_secs());
        assert_eq!(bounds, [1, 2, 4, 32, 60, 60, 60]);
        assert_eq!(policy.wait(3, NOW, &Verdict::TRANSIENT, 0.0), Some(Duration::from_secs(4)));
        assert_eq!(policy.wait(3, NOW, &Verdict::TRANSIENT, 0.25), Some(Duration::from_secs(5)));
    }

    #[test]
    fn what_may_pass_is_tried_again_for_as_long_as_it_is_said_to() {
        let policy = RetryPolicy { retry_for: Duration::from_secs(900), ..POLICY };
        let wait = |seconds, verdict: &Verdict| policy.wait(40, Duration::from_secs(seconds), verdict, 1.0);
        assert_eq!(wait(899, &Verdict::TRANSIENT), Some(Duration::from_secs(60)));
        assert_eq!(wait(900, &Verdict::TRANSIENT), None);
        assert_eq!(wait(0, &Verdict::Permanent), None);
        assert!(policy.wait(2, Duration::from_secs(1000), &Verdict::TRANSIENT, 0.0).is_some(), "the retries count too");
    }

    #[test]
    fn an_effort_is_told_where_there_was_one() {
        let effort = |tries| Effort { tries, time: Duration::from_millis(6_200) }.to_string();
        assert_eq!([effort(0), effort(1), effort(4)], ["", "", " (after 4 tries in 7 s)"]);
    }

    #[test]
    fn a_server_is_obeyed_up_to_five_minutes() {
        assert_eq!(POLICY.wait(0, NOW, &after(7), 0.0), Some(Duration::from_secs(7)));
        assert_eq!(POLICY.wait(0, NOW, &after(301), 0.0), Some(Duration::from_secs(300)));
    }
}
