//! Shows progress: bars on a terminal, steady lines elsewhere.

mod bars;
mod lines;
mod progress_line;

use std::io;
use std::time::Duration;

use amp_core::progress::{NoProgress, Progress};
use bars::Bars;
use indicatif::{MultiProgress, ProgressDrawTarget};
use lines::Lines;
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;

use crate::args::ProgressMode;

/// How often a line tells how far a transfer is where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Picks how to show progress. `terminal`: stderr is one.
pub(crate) fn choose(mode: ProgressMode, quiet: bool, terminal: bool, bars: &MultiProgress) -> Box<dyn Progress> {
    match mode {
        ProgressMode::Never => Box::new(NoProgress),
        ProgressMode::Auto if quiet || (terminal && is_in_background()) => Box::new(NoProgress),
        ProgressMode::Auto | ProgressMode::Always if terminal => Box::new(Bars(bars.clone())),
        ProgressMode::Auto => Box::new(Lines { every: LINE_EVERY, loud: false }),
        ProgressMode::Always => Box::new(Lines { every: Duration::from_secs(2), loud: true }),
    }
}

/// Whether the terminal on stderr is at work with other processes, as a shell's job control has it; bars would overwrite what they write.
/// Of a terminal that does not tell, as after `su`, we are in the foreground.
fn is_in_background() -> bool {
    tcgetpgrp(io::stderr()).is_ok_and(|foreground| foreground != getpgrp())
}

/// Takes the bars away for good, whatever still goes on.
pub(crate) fn end(bars: &MultiProgress) {
    bars.clear().ok();
    bars.set_draw_target(ProgressDrawTarget::hidden());
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::{InMemoryTerm, ProgressBar};

    #[test]
    fn after_the_end_nothing_is_drawn_whatever_still_goes_on() {
        let terminal = InMemoryTerm::new(24, 80);
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::term_like(Box::new(terminal.clone())));
        let late = bars.add(ProgressBar::new(10));
        late.tick();
        assert!(!terminal.contents().is_empty());
        end(&bars);
        late.set_position(5);
        late.tick();
        assert_eq!(terminal.contents(), "");
    }
}
