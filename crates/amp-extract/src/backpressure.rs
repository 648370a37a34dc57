//! `--max-staged`: holds the next window back while more is staged than the disk is to hold, for as long as an amp-load makes room.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use amp_cli::{Session, human_bytes};
use amp_core::disk::DiskError;
use amp_core::lock::LockError;
use amp_core::stage::Staging;
use chrono::NaiveDate;
use tokio::time::{Instant, sleep};

use crate::locked::locked;

/// An amp-load that was started together with the run, or is started again, has begun by then.
const BEGIN_LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at what is staged.
const PAUSE: Duration = Duration::from_millis(200);

/// Why no further window is requested.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BacklogError {
    #[error(
        "no further day is requested: {} staged, more than --max-staged ({}), and no amp-load began within {BEGIN_LIMIT:?} to make room; \
         run `amp-load --follow` beside amp-extract",
        human_bytes(*.staged), human_bytes(*.limit)
    )]
    NoLoad { staged: u64, limit: u64 },
    #[error(
        "no further day is requested: {} staged, more than --max-staged ({}), and the amp-load at work made no room for {} s \
         (--read-timeout); its log says why",
        human_bytes(*.staged), human_bytes(*.limit), .waited.as_secs()
    )]
    NoRoom { staged: u64, limit: u64, waited: Duration },
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("internal error: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// The room that windows take.
///
/// A window begins when what is staged, and what those under way will come to, leaves the limit unpassed. They are taken to be as large
/// as the largest day so far. So at most the limit and one more day is staged; before the size of a day is known, a day for each lane.
pub(crate) struct Backpressure<'a> {
    /// Bytes; `None`: it holds nothing back.
    limit: Option<u64>,
    session: &'a Session,
    staging: Arc<Staging>,
    state: Mutex<State>,
    /// One lane looks at a time.
    turn: tokio::sync::Mutex<()>,
    has_said_so: AtomicBool,
}

#[derive(Default)]
struct State {
    under_way: u64,
    /// What each day of the run came to, in bytes.
    days: HashMap<NaiveDate, u64>,
}

/// The room of a window, until it is dropped: then the window is staged, or nothing came of it.
pub(crate) struct Room<'a>(&'a Mutex<State>);

impl Drop for Room<'_> {
    fn drop(&mut self) {
        locked(self.0).under_way -= 1;
    }
}

/// How a wait for room goes.
struct Wait {
    staged: u64,
    /// When room was last made, or nobody was there to make it.
    progress: Instant,
    /// Since when no amp-load is at work.
    absent: Option<Instant>,
}

impl<'a> Backpressure<'a> {
    pub(crate) fn new(limit: Option<u64>, session: &'a Session, staging: Arc<Staging>) -> Self {
        Self {
            limit,
            session,
            staging,
            state: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            has_said_so: AtomicBool::new(false),
        }
    }

    /// So many bytes of a day were staged.
    pub(crate) fn staged(&self, day: NaiveDate, bytes: u64) {
        *locked(&self.state).days.entry(day).or_default() += bytes;
    }

    /// Waits until there is room for a window; `None` when the run `is_ending`.
    ///
    /// # Errors
    /// When nobody makes room.
    pub(crate) async fn room(&self, is_ending: impl Fn() -> bool) -> Result<Option<Room<'_>>, BacklogError> {
        let _turn = self.turn.lock().await;
        let mut wait = None;
        let mut shown = None;
        while !is_ending() {
            let Some(limit) = self.limit else { return Ok(Some(self.take())) };
            let staging = Arc::clone(&self.staging);
            let staged = tokio::task::spawn_blocking(move || staging.bytes_staged()).await??;
            if staged + self.expected() <= limit {
                return Ok(Some(self.take()));
            }
            if staged > limit {
                shown.get_or_insert_with(|| self.session.progress.begin("waiting for amp-load to make room", None));
                self.check(staged, limit, &mut wait)?;
            }
            self.session.stop.unless_requested(sleep(PAUSE)).await;
        }
        Ok(None)
    }

    fn take(&self) -> Room<'_> {
        locked(&self.state).under_way += 1;
        Room(&self.state)
    }

    /// What the windows under way will come to.
    fn expected(&self) -> u64 {
        let state = locked(&self.state);
        state.under_way * state.days.values().max().unwrap_or(&0)
    }

    /// Whether room may still be made for what is `staged`, more than `limit`.
    fn check(&self, staged: u64, limit: u64, wait: &mut Option<Wait>) -> Result<(), BacklogError> {
        let now = Instant::now();
        let wait = wait.get_or_insert(Wait { staged, progress: now, absent: None });
        if staged < wait.staged {
            wait.progress = now;
        }
        wait.staged = staged;
        let (has, most) = (human_bytes(staged), human_bytes(limit));
        if !self.staging.is_at_work("load")? {
            wait.progress = now;
            let since = *wait.absent.get_or_insert_with(|| {
                tracing::warn!("{has} staged, more than --max-staged ({most}), and no amp-load is at work: waiting {BEGIN_LIMIT:?} for one");
                now
            });
            return if now - since < BEGIN_LIMIT { Ok(()) } else { Err(BacklogError::NoLoad { staged, limit }) };
        }
        wait.absent = None;
        if !self.has_said_so.swap(true, Ordering::Relaxed) {
            tracing::info!(
                "{has} staged, more than --max-staged ({most}): each further day waits until amp-load has made room"
            );
        }
        let waited = now - wait.progress;
        if waited < self.session.common.read_timeout {
            Ok(())
        } else {
            Err(BacklogError::NoRoom { staged, limit, waited })
        }
    }
}
