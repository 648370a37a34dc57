//! Shows progress: bars on a terminal, steady lines elsewhere.

mod bars;
mod lines;
mod progress_line;
mod terminal;

use std::time::Duration;

use amp_core::progress::{NoProgress, Progress};
use bars::Bars;
use indicatif::MultiProgress;
use lines::Lines;
use terminal::Screen;

use crate::args::ProgressMode;

/// How often a line tells how far a transfer is where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Picks how to show progress. `terminal`: stderr is one.
pub(crate) fn choose(
    mode: ProgressMode,
    quiet: bool,
    terminal: bool,
    bars: &MultiProgress,
) -> (Box<dyn Progress>, Screen) {
    let screen = Screen::new(bars.clone(), terminal);
    let progress: Box<dyn Progress> = match mode {
        ProgressMode::Never => Box::new(NoProgress),
        ProgressMode::Auto if quiet => Box::new(NoProgress),
        ProgressMode::Auto | ProgressMode::Always if terminal => Box::new(Bars(bars.clone())),
        ProgressMode::Auto => Box::new(Lines { every: LINE_EVERY, loud: false }),
        ProgressMode::Always => Box::new(Lines { every: Duration::from_secs(2), loud: true }),
    };
    (progress, screen)
}
