//! Whether a terminal is ours alone. Two programs that draw bars on one terminal overwrite each other's lines.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressDrawTarget};
use rustix::fs::OFlags;

/// How often a program that draws looks whether another has come.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Within this one that draws has seen us and taken its bars away.
const COURTESY: Duration = Duration::from_millis(500);
/// Opening a terminal must neither make it this process's nor wait for a modem.
const OPEN: i32 = OFlags::NOCTTY.union(OFlags::NONBLOCK).bits() as i32;
/// Another looks for microseconds; who holds the lock for longer is none of ours.
const SHARE_TRIES: u32 = 100;

/// The terminal on stderr, and a lock on it that both programs share while they live: who can have it alone, is alone.
/// It is the kernel's and dies with the process.
struct Terminal(File);

impl Terminal {
    /// `None` where the terminal cannot be opened, as after `su`.
    fn on_stderr() -> Option<Self> {
        // Opened anew: a lock belongs to what was opened, and the shell's was opened for all it starts.
        let file = OpenOptions::new().read(true).custom_flags(OPEN).open("/proc/self/fd/2").ok()?;
        let terminal = Self(file);
        terminal.share();
        Some(terminal)
    }

    /// Another may hold it alone for the moment in which it looks.
    fn share(&self) {
        for _ in 0..SHARE_TRIES {
            let Err(TryLockError::WouldBlock) = self.0.try_lock_shared() else { break };
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn is_ours_alone(&self) -> bool {
        let alone = !matches!(self.0.try_lock(), Err(TryLockError::WouldBlock));
        self.share();
        alone
    }
}

/// What of the terminal the bars have.
pub(crate) struct Screen {
    bars: MultiProgress,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Bars are drawn.
    Ours,
    /// Another program is there: none are drawn.
    Shared,
    /// The run is over: nothing is drawn any more, whatever still goes on.
    Over,
}

impl Screen {
    /// Watches, to the end of the process, whether the `bars` may be drawn. `terminal`: stderr is one.
    pub(super) fn new(bars: MultiProgress, terminal: bool) -> Self {
        let screen = Self { bars, state: Arc::new(Mutex::new(State::Ours)) };
        let Some(terminal) = Some(terminal).filter(|is_one| *is_one).and_then(|_| Terminal::on_stderr()) else {
            return screen;
        };
        if !screen.look(&terminal) {
            thread::sleep(COURTESY);
        }
        let watching = Self { bars: screen.bars.clone(), state: Arc::clone(&screen.state) };
        let watch = move || loop {
            thread::sleep(LOOK_EVERY);
            watching.look(&terminal);
        };
        thread::Builder::new().name("terminal".into()).spawn(watch).ok();
        screen
    }

    /// Whether the terminal is ours alone; draws bars, or takes them away, accordingly.
    fn look(&self, terminal: &Terminal) -> bool {
        let alone = terminal.is_ours_alone();
        let mut state = self.state();
        match (*state, alone) {
            (State::Ours, false) => {
                self.take_away();
                *state = State::Shared;
            }
            (State::Shared, true) => {
                self.bars.set_draw_target(ProgressDrawTarget::stderr());
                *state = State::Ours;
            }
            _ => {}
        }
        alone
    }

    /// Takes the bars away for good.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        self.take_away();
        *state = State::Over;
    }

    fn take_away(&self) {
        self.bars.clear().ok();
        self.bars.set_draw_target(ProgressDrawTarget::hidden());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::{InMemoryTerm, ProgressBar};

    #[test]
    fn after_the_end_nothing_is_drawn_whatever_still_goes_on() {
        let terminal = InMemoryTerm::new(24, 80);
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::term_like(Box::new(terminal.clone())));
        let screen = Screen::new(bars.clone(), false);
        let late = bars.add(ProgressBar::new(10));
        late.tick();
        assert!(!terminal.contents().is_empty());
        screen.end();
        late.set_position(5);
        late.tick();
        assert_eq!(terminal.contents(), "");
    }
}
