//! Lines at steady intervals, where there is no terminal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use amp_core::progress::{Progress, Transfer};

use super::progress_line::{harmless, human_time};
use crate::human::human_bytes;

/// Tells at intervals how far each transfer is, whether or not it moves: in the log, and on stderr when asked to.
pub(super) struct Lines {
    pub(super) every: Duration,
    pub(super) loud: bool,
}

impl Progress for Lines {
    fn begin(&self, label: &str, total: Option<u64>) -> Box<dyn Transfer> {
        let count = Arc::new(Count { total: AtomicU64::new(total.unwrap_or(UNKNOWN)), ..Count::default() });
        let (alive, ended) = mpsc::channel::<()>();
        let mut logger = ProgressLogger::new(harmless(label), Arc::clone(&count));
        let (every, loud) = (self.every, self.loud);
        // Without the thread it is silent, which harms nobody.
        thread::Builder::new()
            .name("progress".into())
            .spawn(move || {
                while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                    let text = logger.line();
                    if loud {
                        tracing::warn!(target: "amp_progress", "{text}");
                    } else {
                        tracing::info!(target: "amp_progress", "{text}");
                    }
                }
            })
            .ok();
        Box::new(LoggedTransfer { count, _alive: alive })
    }
}

/// A total that nobody knows.
const UNKNOWN: u64 = u64::MAX;

#[derive(Default)]
struct Count {
    done: AtomicU64,
    total: AtomicU64,
    items: AtomicU64,
    items_over: AtomicU64,
}

/// A transfer; its thread ends with it.
struct LoggedTransfer {
    count: Arc<Count>,
    _alive: Sender<()>,
}

impl Transfer for LoggedTransfer {
    fn advance(&self, bytes: u64) {
        self.count.done.fetch_add(bytes, Ordering::Relaxed);
    }

    fn expect_items(&self, items: u64) {
        self.count.items.store(items, Ordering::Relaxed);
    }

    fn item(&self, _name: &str, bytes: u64) -> Box<dyn Transfer> {
        Box::new(Item { bytes, done: AtomicU64::new(0), count: Arc::clone(&self.count) })
    }
}

/// An item of a transfer; it never counts for more bytes than it was said to have.
struct Item {
    bytes: u64,
    done: AtomicU64,
    count: Arc<Count>,
}

impl Transfer for Item {
    fn advance(&self, bytes: u64) {
        let before = self.done.fetch_add(bytes, Ordering::Relaxed);
        self.count.done.fetch_add(bytes.min(self.bytes.saturating_sub(before)), Ordering::Relaxed);
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        // What did not have to be moved is not left to do either.
        let rest = self.bytes.saturating_sub(*self.done.get_mut());
        self.count.total.fetch_sub(rest, Ordering::Relaxed);
        self.count.items_over.fetch_add(1, Ordering::Relaxed);
    }
}

/// Says how far a transfer is and how fast it went since it last said so.
struct ProgressLogger {
    label: String,
    count: Arc<Count>,
    began: Instant,
    logged: Instant,
    moved: Instant,
    done: u64,
}

impl ProgressLogger {
    fn new(label: String, count: Arc<Count>) -> Self {
        let now = Instant::now();
        Self { label, count, began: now, logged: now, moved: now, done: 0 }
    }

    fn line(&mut self) -> String {
        let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let (done, total) = (get(&self.count.done), get(&self.count.total));
        let total = (total < UNKNOWN / 2).then_some(total);
        let mut text = format!("{}: ", self.label);
        let (items, over) = (get(&self.count.items), get(&self.count.items_over));
        if items > 0 {
            text += &format!("{over} of {items} files, ");
        }
        match total {
            None if done == 0 => return text + &format!("{} so far", human_time(self.began.elapsed())),
            None => text += &human_bytes(done),
            Some(total) => text += &format!("{} of {}", human_bytes(done), human_bytes(total)),
        }
        let rate = (done - self.done) as f64 / self.logged.elapsed().as_secs_f64();
        (self.logged, self.done) = (Instant::now(), done);
        if rate == 0.0 {
            return text + &format!(", nothing for {}", human_time(self.moved.elapsed()));
        }
        self.moved = self.logged;
        if let Some(left) = total.map(|total| total.saturating_sub(done) as f64 / rate) {
            text += &format!(", {} left", human_time(Duration::from_secs_f64(left.min(1e9))));
        }
        text + &format!(", {}/s", human_bytes(rate as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logger(total: Option<u64>) -> (ProgressLogger, LoggedTransfer) {
        let count = Arc::new(Count { total: AtomicU64::new(total.unwrap_or(UNKNOWN)), ..Count::default() });
        (ProgressLogger::new("x".into(), Arc::clone(&count)), LoggedTransfer { count, _alive: mpsc::channel().0 })
    }

    #[test]
    fn a_transfer_that_does_not_move_is_told_of_as_one_that_does() {
        let (mut logger, line) = logger(Some(4096));
        assert_eq!(logger.line(), "x: 0 B of 4.0 KiB, nothing for 0 s");
        line.advance(1024);
        let text = logger.line();
        assert!(text.starts_with("x: 1.0 KiB of 4.0 KiB, ") && text.ends_with("/s"), "{text}");
        assert_eq!(logger.line(), "x: 1.0 KiB of 4.0 KiB, nothing for 0 s");
    }

    #[test]
    fn before_its_first_byte_only_the_time_is_told() {
        assert_eq!(logger(None).0.line(), "x: 0 s so far");
    }

    #[test]
    fn items_count_for_what_they_have_and_no_more() {
        let (mut logger, line) = logger(Some(3000));
        line.expect_items(3);
        line.item("twice as long as it was said", 1000).advance(2000);
        drop(line.item("skipped", 1000));
        assert!(logger.line().starts_with("x: 2 of 3 files, 1000 B of 2.0 KiB, "), "{}", logger.line());
    }
}
