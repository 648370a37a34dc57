//! How a transfer looks on one line of a terminal, however narrow.

use std::time::Duration;

use console::{measure_text_width, truncate_str};

use crate::human::human_bytes;

/// A label is not made shorter than this before other things give way.
const LEAST_LABEL: usize = 20;
/// Shorter bars tell nothing.
const LEAST_BAR: usize = 10;
/// A name is shown beside a bar of at least [`LEAST_BAR`] only.
const LEAST_NAME: usize = 16;

/// Columns that stay free: the last one, since some terminals wrap when it is written, and two for the `^C` that a terminal writes behind
/// the cursor. A line that wraps would not be taken away.
const MARGIN: usize = 3;
/// Before that a rate says nothing.
const LEAST_TIME: Duration = Duration::from_secs(1);

/// What is known of a transfer.
#[derive(Debug, Default)]
pub(super) struct ProgressLine<'a> {
    pub(super) label: &'a str,
    pub(super) done: u64,
    pub(super) total: Option<u64>,
    /// Files or entries over, and how many there are.
    pub(super) items: Option<(u64, u64)>,
    /// Bytes a second.
    pub(super) rate: f64,
    pub(super) left: Duration,
    pub(super) elapsed: Duration,
    /// The file or entry that was begun last.
    pub(super) current: &'a str,
}

impl ProgressLine<'_> {
    /// One line of less than `width` columns: what matters least is left out where room is short, and what is still too long is cut.
    pub(super) fn line(&self, width: usize) -> String {
        let width = width.saturating_sub(MARGIN);
        let mut figures = self.figures();
        let label = measure_text_width(self.label);
        while figures.len() > 1 && label.min(LEAST_LABEL) + 1 + columns(&figures) > width {
            figures.pop();
        }
        let figures = figures.join(", ");
        let room = width.saturating_sub(measure_text_width(&figures) + 1);
        let mut line = truncate_str(self.label, room, "…").into_owned();
        let mut free = room.saturating_sub(measure_text_width(&line));
        if !self.current.is_empty() && free > LEAST_NAME + LEAST_BAR + 4 {
            let name = truncate_str(self.current, free - LEAST_BAR - 4, "…");
            line = format!("{line} {name}");
            free = room - measure_text_width(&line);
        }
        match self.fraction() {
            Some(fraction) if free > LEAST_BAR + 3 => line = format!("{line} [{}]", bar(fraction, free - 3)),
            _ => line.extend(std::iter::repeat_n(' ', free)),
        }
        truncate_str(&format!("{line} {figures}"), width, "").into_owned()
    }

    fn fraction(&self) -> Option<f64> {
        let total = self.total.filter(|total| *total > 0)?;
        Some((self.done as f64 / total as f64).min(1.0))
    }

    /// The figures, the most important first.
    fn figures(&self) -> Vec<String> {
        let mut figures = Vec::new();
        match self.total {
            Some(total) => figures.push(format!("{} of {}", human_bytes(self.done), human_bytes(total))),
            None if self.done > 0 => figures.push(human_bytes(self.done)),
            None => return vec![human_time(self.elapsed)],
        }
        if let Some((over, all)) = self.items {
            figures.push(format!("{over}/{all}"));
        }
        if self.elapsed < LEAST_TIME {
            return figures;
        }
        figures.push(format!("{}/s", human_bytes(self.rate as u64)));
        if self.total.is_some_and(|total| self.done < total) && self.rate >= 1.0 {
            figures.push(format!("{} left", human_time(self.left)));
        }
        figures
    }
}

fn columns(figures: &[String]) -> usize {
    figures.iter().map(|figure| measure_text_width(figure) + 2).sum::<usize>().saturating_sub(2)
}

fn bar(fraction: f64, width: usize) -> String {
    let full = (fraction * width as f64) as usize;
    let head = if full < width { ">" } else { "" };
    format!("{}{head}{}", "=".repeat(full), " ".repeat(width.saturating_sub(full + head.len())))
}

/// A span as people read it: `45 s`, `3 min 20 s`, `2 h 5 min`.
pub(super) fn human_time(span: Duration) -> String {
    let seconds = span.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// A name fit for a terminal: what would move its cursor is replaced.
pub(super) fn harmless(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload() -> ProgressLine<'static> {
        ProgressLine {
            label: "uploading",
            done: 1 << 20,
            total: Some(3 << 20),
            items: Some((3, 48)),
            rate: 51_200.0,
            left: Duration::from_secs(200),
            elapsed: Duration::from_secs(20),
            current: "100011471_2025-11-06_10#0.json",
        }
    }

    #[test]
    fn a_line_is_never_as_wide_as_the_terminal_and_shows_most_where_there_is_room() {
        let line = upload().line(120);
        assert!(line.starts_with("uploading 100011471_2025-11-06_10#0.json [="), "{line}");
        assert!(line.ends_with("] 1.0 MiB of 3.0 MiB, 3/48, 50.0 KiB/s, 3 min 20 s left"), "{line}");
        let squeezed = |width| upload().line(width).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed(50), "uploading 1.0 MiB of 3.0 MiB, 3/48, 50.0 KiB/s");
        assert_eq!(squeezed(32), "uploading 1.0 MiB of 3.0 MiB");
        let long = "出出出出e\u{301}".repeat(20);
        for width in 0..200 {
            for label in ["uploading", "", &long] {
                for current in ["", "a.json", &long] {
                    for total in [None, Some(0), Some(3 << 20)] {
                        let line = ProgressLine { label, current, total, ..upload() }.line(width);
                        assert!(measure_text_width(&line) <= width.saturating_sub(MARGIN), "{width}: {line:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_rate_is_shown_only_after_a_second_of_it() {
        let young = ProgressLine { elapsed: Duration::from_millis(900), ..upload() };
        assert!(young.line(120).ends_with("1.0 MiB of 3.0 MiB, 3/48"), "{}", young.line(120));
        assert!(upload().line(120).contains("/s, "));
    }

    #[test]
    fn a_bar_fills_with_what_is_done() {
        assert_eq!([0.0, 0.5, 1.0].map(|fraction| bar(fraction, 4)), [">   ", "==> ", "===="]);
        let waiting = ProgressLine { label: "waiting", elapsed: Duration::from_secs(61), ..ProgressLine::default() };
        assert_eq!(waiting.line(30).split_whitespace().collect::<Vec<_>>(), ["waiting", "1", "min", "1", "s"]);
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        assert_eq!(harmless("a\u{1b}[2J\n\tb"), "a\u{fffd}[2J\u{fffd}\u{fffd}b");
    }
}
