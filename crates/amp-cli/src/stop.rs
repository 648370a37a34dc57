//! Stopping on SIGINT and SIGTERM: cleanly at the first, at once at the second.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;

/// Tells the parts of a run that it is to stop. Its clones are one; a [`Stop::child`] stops with it, but not the other way round.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    token: CancellationToken,
    flag: Arc<AtomicBool>,
    signal: Arc<AtomicU8>,
}

impl Stop {
    /// Listens for signals on the current runtime for as long as it runs.
    ///
    /// # Errors
    /// When the system takes no signal handler.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        let (mut interrupts, mut terminations) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let listener = stop.clone();
        tokio::spawn(async move {
            loop {
                let number = tokio::select! {
                    _ = interrupts.recv() => SIGINT,
                    _ = terminations.recv() => SIGTERM,
                };
                listener.received(number);
            }
        });
        Ok(stop)
    }

    fn received(&self, number: u8) {
        if self.is_requested() {
            std::process::exit(128 + i32::from(number));
        }
        self.signal.store(number, Ordering::Relaxed);
        self.flag.store(true, Ordering::Relaxed);
        tracing::warn!("stopping; a second signal stops at once");
        self.request();
    }

    /// A stop for a part of the run, which may end by itself while the rest goes on.
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token(), flag: Arc::clone(&self.flag), signal: Arc::clone(&self.signal) }
    }

    /// Asks for a stop.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Whether the run is to stop.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Whether a signal has come, for threads that cannot wait for a future. What a part of the run asks of itself does not set it.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.flag)
    }

    /// Runs `work` unless, or until, the run is to stop; then `None`.
    pub async fn unless_requested<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.token.cancelled() => None,
            done = work => Some(done),
        }
    }

    /// The exit code of a run that was stopped: 128 and the signal's number.
    pub fn exit_code(&self) -> u8 {
        match self.signal.load(Ordering::Relaxed) {
            0 => 128 + SIGINT,
            number => 128 + number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_stops_with_its_parent_and_not_the_other_way_round() {
        let run = Stop::default();
        let (first, second) = (run.child(), run.child());
        first.request();
        assert_eq!((first.is_requested(), second.is_requested(), run.is_requested()), (true, false, false));
        run.received(SIGTERM);
        assert!(second.is_requested() && second.flag().load(Ordering::Relaxed));
        assert_eq!(second.exit_code(), 128 + SIGTERM);
    }
}
