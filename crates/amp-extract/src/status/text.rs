//! The status on a terminal.

use std::io::{self, Write};

use console::style;

use super::{Day, STATES, State, Status};

impl Status {
    pub(super) fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let window = self.window.map_or_else(|| "no hours".to_owned(), |window| window.to_string());
        writeln!(out, "amp-extract status {window}, hours of UTC")?;
        match &self.no_ledger {
            Some(dir) => writeln!(out, "\nNo run has requested anything yet: there is no ledger in {dir}")?,
            None => self.write_picture(out)?,
        }
        if self.hours_of_others > 0 {
            let count = self.hours_of_others;
            writeln!(
                out,
                "\n{count} of the hours never requested were requested with another key or from another host."
            )?;
        }
        if self.damaged_lines > 0 {
            let count = self.damaged_lines;
            writeln!(out, "\nDamaged lines of the ledger, skipped: {count}.")?;
        }
        self.write_next(out)
    }

    fn write_picture(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\n            00     06     12     18")?;
        for Day { day, hours } in &self.days {
            write!(out, "{day} ")?;
            // Nothing behind the last hour of the window, so that no line ends in blanks.
            let last = hours.iter().rposition(Option::is_some).unwrap_or_default();
            for (number, state) in hours.iter().enumerate().take(last + 1) {
                let gap = if number % 6 == 0 { " " } else { "" };
                match state.map(|state| &STATES[state]) {
                    Some(state) => write!(out, "{gap}{}", (state.style)().apply_to(state.letter))?,
                    None => write!(out, "{gap} ")?,
                }
            }
            writeln!(out)?;
        }
        writeln!(out)?;
        for (state, total) in STATES.iter().zip(self.totals).filter(|(_, total)| *total > 0) {
            let State { letter, name, means, style } = state;
            let name = name.replace('_', " ");
            writeln!(out, "  {} {name:<11} {total:>6}  {means}", style().apply_to(letter))?;
        }
        Ok(())
    }

    fn write_next(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.source.is_none() {
            writeln!(out, "\nAMP_API_KEY is not set: this combines the hours of all keys and hosts.")?;
        }
        let requests = &self.next.requests;
        let run = style("The next run without a window").bold();
        match requests.len() {
            0 => writeln!(out, "\n{run} would request nothing.")?,
            1 => writeln!(out, "\n{run} would make 1 request:")?,
            count => writeln!(out, "\n{run} would make {count} requests:")?,
        }
        requests.iter().try_for_each(|request| writeln!(out, "  {request}"))?;
        if !self.next.archives.is_empty() {
            writeln!(out, "\nAn earlier run downloaded these archives; the next run stages them without a request:")?;
            self.next.archives.iter().try_for_each(|window| writeln!(out, "  {window}"))?;
        }
        if !self.owed_older.is_empty() {
            writeln!(out, "\n{}", style("Owed, and older than --repair-days:").bold())?;
            self.owed_older.iter().try_for_each(|window| writeln!(out, "  {window}"))?;
            writeln!(out, "--start and --end fetch them; with --accept-missing they are given up.")?;
        }
        Ok(())
    }
}
