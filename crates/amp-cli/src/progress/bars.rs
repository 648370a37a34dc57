//! Bars on a terminal.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use amp_core::progress::{Progress, Transfer};
use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use super::progress_line::{ProgressLine, harmless};

const TICK: Duration = Duration::from_millis(200);
/// Items of at least so many bytes get a line of their own.
const LARGE: u64 = 4 << 20;
/// So many of them at a time.
const MOST_LINES: usize = 4;
/// The width where the terminal does not tell.
const USUAL_WIDTH: u16 = 80;

/// Shows each transfer as a bar, and its largest items below it.
pub(super) struct Bars(pub(super) MultiProgress);

impl Progress for Bars {
    fn begin(&self, label: &str, total: Option<u64>) -> Box<dyn Transfer> {
        let whole = Arc::new(Whole { label: harmless(label), ..Whole::default() });
        let bar = self.0.add(total.map_or_else(ProgressBar::no_length, ProgressBar::new));
        show(&bar, Arc::clone(&whole));
        Box::new(Bar { bar, whole, bars: self.0.clone() })
    }
}

/// What is shown of a transfer besides its bytes, which its bar counts.
#[derive(Default)]
struct Whole {
    label: String,
    items: AtomicU64,
    items_over: AtomicU64,
    current: Mutex<String>,
    lines: AtomicUsize,
}

impl Whole {
    fn current(&self) -> MutexGuard<'_, String> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has `bar` draw itself as a [`ProgressLine`].
fn show(bar: &ProgressBar, whole: Arc<Whole>) {
    let line = move |state: &ProgressState, out: &mut dyn Write| {
        let width = Term::stderr().size_checked().map_or(USUAL_WIDTH, |(_, columns)| columns);
        let all = whole.items.load(Ordering::Relaxed);
        let progress_line = ProgressLine {
            label: &whole.label,
            done: state.pos(),
            total: state.len(),
            items: (all > 0).then(|| (whole.items_over.load(Ordering::Relaxed).min(all), all)),
            rate: state.per_sec(),
            left: state.eta(),
            elapsed: state.elapsed(),
            current: &whole.current(),
        };
        write!(out, "{}", progress_line.line(width.into())).ok();
    };
    if let Ok(style) = ProgressStyle::with_template("{line}") {
        bar.set_style(style.with_key("line", line));
        bar.enable_steady_tick(TICK);
    }
}

struct Bar {
    bar: ProgressBar,
    whole: Arc<Whole>,
    bars: MultiProgress,
}

impl Transfer for Bar {
    fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn expect_items(&self, items: u64) {
        self.whole.items.store(items, Ordering::Relaxed);
    }

    fn item(&self, name: &str, bytes: u64) -> Box<dyn Transfer> {
        let name = harmless(name);
        self.whole.current().clone_from(&name);
        let has_room = |lines| (lines < MOST_LINES).then_some(lines + 1);
        let shown =
            bytes >= LARGE && self.whole.lines.fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room).is_ok();
        let line = shown.then(|| {
            let line = self.bars.insert_after(&self.bar, ProgressBar::new(bytes));
            show(&line, Arc::new(Whole { label: format!("  {name}"), ..Whole::default() }));
            line
        });
        Box::new(Item { bytes, done: AtomicU64::new(0), line, whole: Arc::clone(&self.whole), bar: self.bar.clone() })
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.bars.remove(&self.bar);
    }
}

/// An item of a transfer; it never counts for more bytes than it was said to have.
struct Item {
    bytes: u64,
    done: AtomicU64,
    line: Option<ProgressBar>,
    whole: Arc<Whole>,
    bar: ProgressBar,
}

impl Transfer for Item {
    fn advance(&self, bytes: u64) {
        let before = self.done.fetch_add(bytes, Ordering::Relaxed);
        let bytes = bytes.min(self.bytes.saturating_sub(before));
        self.bar.inc(bytes);
        if let Some(line) = &self.line {
            line.inc(bytes);
        }
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        // What did not have to be moved is not left to do either.
        let rest = self.bytes.saturating_sub(*self.done.get_mut());
        self.bar.dec_length(rest);
        self.whole.items_over.fetch_add(1, Ordering::Relaxed);
        if let Some(line) = &self.line {
            line.finish_and_clear();
            self.whole.lines.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::{InMemoryTerm, ProgressDrawTarget};

    fn bars() -> (Bars, InMemoryTerm) {
        let terminal = InMemoryTerm::new(24, USUAL_WIDTH);
        (Bars(MultiProgress::with_draw_target(ProgressDrawTarget::term_like(Box::new(terminal.clone())))), terminal)
    }

    fn wait_for(terminal: &InMemoryTerm, is_there: impl Fn(&str) -> bool) {
        for _ in 0..500 {
            let screen = terminal.contents();
            assert!(screen.lines().count() <= 1 + MOST_LINES, "{screen}");
            if is_there(&screen) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it never came: {}", terminal.contents());
    }

    #[test]
    fn the_largest_items_have_lines_of_their_own_and_all_are_gone_in_the_end() {
        let (bars, terminal) = bars();
        let whole = bars.begin("uploading", Some(7 * LARGE));
        whole.expect_items(7);
        let small = whole.item("small.json", 10);
        let large: Vec<_> = (0..6).map(|n| whole.item(&format!("large{n}.json"), LARGE)).collect();
        large.iter().for_each(|item| item.advance(LARGE / 2));
        drop(small);
        wait_for(&terminal, |screen| {
            let (first, rest) = screen.split_once('\n').unwrap_or_default();
            let is_item = |line: &str| line.starts_with("  large") && line.contains(" 2.0 MiB of 4.0 MiB, ");
            first.starts_with("uploading ")
                && first.contains(" 12.0 MiB of 28.0 MiB, 1/7, ")
                && rest.lines().count() == MOST_LINES
                && rest.lines().all(is_item)
        });
        drop(large);
        let next = whole.item("next.json", LARGE);
        wait_for(&terminal, |screen| screen.contains("  next.json") && screen.lines().count() == 2);
        drop((next, whole));
        wait_for(&terminal, str::is_empty);
    }

    #[test]
    fn what_did_not_have_to_be_moved_is_taken_off_and_nothing_counts_twice() {
        let (bars, terminal) = bars();
        let whole = bars.begin("unpacking", Some(300 << 10));
        whole.expect_items(3);
        whole.item("longer than it was said", 100 << 10).advance(200 << 10);
        drop(whole.item("skipped", 100 << 10));
        wait_for(&terminal, |screen| screen.contains(" 100.0 KiB of 200.0 KiB, 2/3, "));
    }
}
