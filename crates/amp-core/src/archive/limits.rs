//! What an archive may unpack to, and how much came out of one so far.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bounds on what an archive may unpack to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that may be written to disk.
    pub max_unpacked: u64,
    /// How many times the archive's size may come out of it.
    pub max_ratio: u64,
}

/// How much came out of an archive so far.
#[derive(Debug, Default)]
pub(super) struct Volume {
    pub(super) inflated: AtomicU64,
    pub(super) written: AtomicU64,
}

impl Volume {
    pub(super) fn add(&self, inflated: u64, written: u64) {
        self.inflated.fetch_add(inflated, Ordering::Relaxed);
        self.written.fetch_add(written, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, inflated: u64, written: u64) {
        self.inflated.fetch_sub(inflated, Ordering::Relaxed);
        self.written.fetch_sub(written, Ordering::Relaxed);
    }

    /// Starts anew and tells what was inflated and written by then.
    pub(super) fn take(&self) -> (u64, u64) {
        (self.inflated.swap(0, Ordering::Relaxed), self.written.swap(0, Ordering::Relaxed))
    }
}
