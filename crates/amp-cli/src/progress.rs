//! Shows progress: bars on a terminal, steady lines elsewhere.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use amp_core::progress::{Meter, Progress, Silent};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::args::ProgressMode;
use crate::output::human_bytes;

/// How often a line tells how far a transfer is where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Picks how to show progress. `terminal`: stderr is one.
pub(crate) fn choose(mode: ProgressMode, quiet: bool, terminal: bool, bars: &MultiProgress) -> Box<dyn Progress> {
    match mode {
        ProgressMode::Never => Box::new(Silent),
        ProgressMode::Auto if quiet => Box::new(Silent),
        ProgressMode::Auto | ProgressMode::Always if terminal => Box::new(Bars(bars.clone())),
        ProgressMode::Auto => Box::new(Lines { every: LINE_EVERY, loud: false }),
        ProgressMode::Always => Box::new(Lines { every: Duration::from_secs(2), loud: true }),
    }
}

struct Bars(MultiProgress);

impl Progress for Bars {
    fn begin(&self, label: &str, total: Option<u64>) -> Box<dyn Meter> {
        let template = match total {
            Some(_) => "{msg:28!} [{wide_bar}] {bytes} of {total_bytes} {bytes_per_sec} {eta}",
            None => "{msg:28!} {spinner} {bytes} {bytes_per_sec} {elapsed}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let bar = self.0.add(bar).with_style(style.progress_chars("=> ")).with_message(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Box::new(Bar(bar))
    }
}

struct Bar(ProgressBar);

impl Meter for Bar {
    fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Tells at intervals how far a transfer is: in the log, and on stderr when asked to.
struct Lines {
    every: Duration,
    loud: bool,
}

impl Progress for Lines {
    fn begin(&self, label: &str, total: Option<u64>) -> Box<dyn Meter> {
        let now = Instant::now();
        Box::new(Line {
            label: label.to_owned(),
            total,
            done: AtomicU64::new(0),
            began: now,
            told: Mutex::new(now),
            every: self.every,
            loud: self.loud,
        })
    }
}

struct Line {
    label: String,
    total: Option<u64>,
    done: AtomicU64,
    began: Instant,
    told: Mutex<Instant>,
    every: Duration,
    loud: bool,
}

impl Meter for Line {
    fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // Whoever does not get the lock leaves the telling to the one who has it.
        let Ok(mut told) = self.told.try_lock() else { return };
        if told.elapsed() < self.every {
            return;
        }
        *told = Instant::now();
        let rate = human_bytes((done as f64 / self.began.elapsed().as_secs_f64()) as u64);
        let of = self.total.map(|total| format!(" of {}", human_bytes(total))).unwrap_or_default();
        let text = format!("{}: {}{of}, {rate}/s", self.label, human_bytes(done));
        if self.loud {
            tracing::warn!(target: "amp_progress", "{text}");
        } else {
            tracing::info!(target: "amp_progress", "{text}");
        }
    }
}
