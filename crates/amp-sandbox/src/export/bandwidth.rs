//! A limit on bytes a second, shared by all answers of a server.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A token bucket that holds a tenth of a second.
pub(super) struct Bandwidth {
    per_second: u64,
    /// When everything granted so far will have been sent.
    paid_until: Mutex<Instant>,
}

impl Bandwidth {
    pub(super) fn new(per_second: u64) -> Self {
        Self { per_second: per_second.max(1), paid_until: Mutex::new(Instant::now()) }
    }

    /// How much to send at a time.
    pub(super) fn slice(&self) -> usize {
        usize::try_from(self.per_second / 20).unwrap_or(usize::MAX).clamp(1, 256 * 1024)
    }

    /// How long to wait before sending so many bytes.
    pub(super) fn wait_for(&self, bytes: usize) -> Duration {
        let now = Instant::now();
        let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        let start = (*paid_until).max(now.checked_sub(Duration::from_millis(100)).unwrap_or(now));
        *paid_until = start + Duration::from_secs_f64(bytes as f64 / self.per_second as f64);
        paid_until.saturating_duration_since(now)
    }
}
