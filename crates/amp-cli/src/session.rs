//! What the front hands to a run.

use std::sync::Arc;
use std::time::Instant;

use amp_core::progress::Progress;
use chrono::{DateTime, Utc};

use crate::args::Common;
use crate::stop::Stop;

/// What a run is given besides its settings.
pub struct Session {
    /// Settings that both programs have.
    pub common: Common,
    /// Tells when to stop.
    pub stop: Stop,
    /// Shows how far transfers are.
    pub progress: Arc<dyn Progress>,
    /// The wall clock at the start.
    pub started: DateTime<Utc>,
    pub(crate) clock: Instant,
}

impl Session {
    /// A session without terminal, log and signals, for tests.
    pub fn detached(common: Common, progress: Arc<dyn Progress>, started: DateTime<Utc>) -> Self {
        Self { common, stop: Stop::default(), progress, started, clock: Instant::now() }
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        (self.clock.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
    }
}
