//! The status as one page for a browser. It refers to nothing outside itself; all text is escaped, for names of files and messages of
//! servers are foreign.

use std::fmt::{self, Display};
use std::io::{self, Write};

use amp_cli::human_bytes;
use amp_core::window::HourWindow;
use serde_json::Value;

use super::runs::LoggedRun;
use super::{Day, STATES, State, Status, Trouble};

const STYLE: &str = "\
:root { color-scheme: light dark; --page: #fff; --text: #1b1f24; --dim: #57606a; --line: #d0d7de;
  --loaded: #b7e4c1; --staged: #b6e3f4; --no_data: #eaeef2; --accepted: #eaeef2; --unsettled: #fbe7a1; --asked: #e4c7f5;
  --failed: #ffc1ba; --vanished: #ff9a8f; --never_asked: #fff; }
@media (prefers-color-scheme: dark) { :root { --page: #0d1117; --text: #e6edf3; --dim: #9198a1; --line: #30363d;
  --loaded: #1c5230; --staged: #10495f; --no_data: #21262d; --accepted: #21262d; --unsettled: #5f4b00; --asked: #4a2469;
  --failed: #7d1f1a; --vanished: #a02820; --never_asked: #0d1117; } }
body { background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .3rem 0; } .dim { color: var(--dim); } .wide { overflow-x: auto; } .hidden { position: absolute; clip-path: inset(50%); }
table { border-collapse: collapse; } caption { text-align: left; color: var(--dim); }
td, th { padding: .15rem .5rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { font-weight: 600; white-space: nowrap; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
table.calendar td, table.calendar thead th { font: 12px/1.6 ui-monospace, monospace; padding: 0; text-align: center; width: 1.7rem; }
table.calendar td { border: 1px solid var(--page); border-radius: 3px; }
table.calendar tbody th { font: 12px/1.6 ui-monospace, monospace; border: 0; }
table.calendar td:nth-child(6n + 2) { border-left: .5rem solid var(--page); }
.key { display: inline-block; width: 1.7rem; text-align: center; font: 12px/1.6 ui-monospace, monospace; border-radius: 3px; }
";

/// Text without anything that HTML would read as its own, in an element or in an attribute's quotes.
struct Escaped<T>(T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_string().chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            '\n' | '\t' => f.write_str(" "),
            c if c.is_control() => f.write_str("\u{fffd}"),
            c => write!(f, "{c}"),
        })
    }
}

impl Status {
    pub(super) fn write_html(&self, out: &mut dyn Write) -> io::Result<()> {
        let window = self.window.map_or_else(|| "no hours".to_owned(), |window| window.to_string());
        let labels = Escaped(&self.about.labels);
        let of = if self.about.labels.is_empty() { "" } else { " of " };
        writeln!(
            out,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width\"/>\n<title>amp-extract status{of}{labels} {window}</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>"
        )?;
        writeln!(out, "<h1>Amplitude export{of}{labels}</h1>")?;
        writeln!(
            out,
            "<p class=\"dim\">{window}, hours of UTC. As of {}, {} {}, <code>{}</code></p>",
            self.about.time.format("%Y-%m-%d %H:%M UTC"),
            self.program,
            self.version,
            Escaped(&self.about.dir)
        )?;
        match self.not_loaded {
            0 => writeln!(out, "<p>Every settled hour is loaded, without data or given up.</p>")?,
            1 => writeln!(out, "<p><strong>1 settled hour is not loaded.</strong></p>")?,
            count => writeln!(out, "<p><strong>{count} settled hours are not loaded.</strong></p>")?,
        }
        match &self.no_ledger {
            Some(dir) => {
                writeln!(out, "<p>No run has requested anything yet: there is no ledger in {}.</p>", Escaped(dir))?
            }
            None => {
                self.write_calendar(out)?;
                self.write_legend(out)?;
                self.write_troubles(out)?;
            }
        }
        self.write_plan(out)?;
        self.write_runs(out)?;
        writeln!(out, "</body>\n</html>")
    }

    fn write_calendar(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "<h2>Hours</h2>\n<div class=\"wide\"><table class=\"calendar\">")?;
        write!(
            out,
            "<caption>Days and hours of UTC, a letter an hour</caption>\n<thead><tr><th scope=\"col\">day</th>"
        )?;
        (0..24).try_for_each(|hour| write!(out, "<th scope=\"col\">{hour:02}</th>"))?;
        writeln!(out, "</tr></thead>\n<tbody>")?;
        for Day { day, hours } in &self.days {
            write!(out, "<tr><th scope=\"row\">{day}</th>")?;
            for (hour, state) in hours.iter().enumerate() {
                match state.map(|state| &STATES[state]) {
                    None => write!(out, "<td></td>")?,
                    Some(State { letter, name, .. }) => {
                        let words = name.replace('_', " ");
                        write!(
                            out,
                            "<td style=\"background: var(--{name})\" title=\"{day} {hour:02}: {words}\">{letter}\
                             <span class=\"hidden\"> {words}</span></td>"
                        )?;
                    }
                }
            }
            writeln!(out, "</tr>")?;
        }
        writeln!(out, "</tbody></table></div>")
    }

    fn write_legend(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "<h2>Totals</h2>\n<table>\n<caption>Hours by state</caption>\n<tbody>")?;
        for (state, total) in STATES.iter().zip(self.totals).filter(|(_, total)| *total > 0) {
            let State { letter, name, means, .. } = state;
            let words = name.replace('_', " ");
            writeln!(
                out,
                "<tr><th scope=\"row\"><span class=\"key\" style=\"background: var(--{name})\">{letter}</span> {words}</th>\
                 <td class=\"number\">{total}</td><td>{means}</td></tr>"
            )?;
        }
        writeln!(out, "</tbody></table>")?;
        if self.hours_of_others > 0 {
            let count = self.hours_of_others;
            writeln!(
                out,
                "<p>{count} of the hours never requested were requested with another key or from another host.</p>"
            )?;
        }
        match self.damaged_lines {
            0 => Ok(()),
            count => writeln!(out, "<p>Damaged lines of the ledger, skipped: {count}.</p>"),
        }
    }

    fn write_troubles(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.troubles.is_empty() {
            return Ok(());
        }
        writeln!(out, "<h2>Failures</h2>\n<table>\n<caption>The last error of each hour</caption>\n<tbody>")?;
        for Trouble { window, state, reason } in &self.troubles {
            let name = STATES[*state].name;
            writeln!(out, "<tr><th scope=\"row\">{window}</th><td>{name}</td><td>{}</td></tr>", Escaped(reason))?;
        }
        writeln!(out, "</tbody></table>")
    }

    fn write_plan(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "<h2>Next run without a window</h2>")?;
        match self.next.requests.len() {
            0 => writeln!(out, "<p>It would request nothing.</p>")?,
            count => writeln!(out, "<p>It would make {count} request{}:</p>", if count == 1 { "" } else { "s" })?,
        }
        write_windows(out, &self.next.requests)?;
        if !self.next.archives.is_empty() {
            writeln!(out, "<p>It would stage these archives, which an earlier run left, without a request:</p>")?;
            write_windows(out, &self.next.archives)?;
        }
        if !self.owed_older.is_empty() {
            writeln!(out, "<h2>Owed, and older than --repair-days</h2>")?;
            writeln!(out, "<p>--start and --end fetch them; with --accept-missing they are given up.</p>")?;
            write_windows(out, &self.owed_older)?;
        }
        Ok(())
    }

    fn write_runs(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "<h2>Last runs</h2>")?;
        if self.about.runs.is_empty() {
            return writeln!(out, "<p>There are no logs.</p>");
        }
        writeln!(out, "<div class=\"wide\"><table>\n<caption>By their logs, the newest first</caption>")?;
        writeln!(
            out,
            "<thead><tr><th scope=\"col\">began (UTC)</th><th scope=\"col\">program</th><th scope=\"col\">outcome</th>\
             <th scope=\"col\">what it did</th><th scope=\"col\">seconds</th><th scope=\"col\">log</th></tr></thead>\n<tbody>"
        )?;
        for LoggedRun { program, began, result, log } in &self.about.runs {
            let outcome = result.as_ref().and_then(|result| result["outcome"].as_str());
            let seconds = result.as_ref().and_then(|result| result["seconds"].as_f64());
            writeln!(
                out,
                "<tr><th scope=\"row\">{began}</th><td>{program}</td><td>{}</td><td>{}</td><td class=\"number\">{}</td>\
                 <td><code>{}</code></td></tr>",
                Escaped(outcome.unwrap_or("no result: killed, or still at work")),
                Escaped(result.as_ref().map(deeds).unwrap_or_default()),
                seconds.map(|seconds| format!("{seconds:.1}")).unwrap_or_default(),
                Escaped(log)
            )?;
        }
        writeln!(out, "</tbody></table></div>")
    }
}

fn write_windows(out: &mut dyn Write, windows: &[HourWindow]) -> io::Result<()> {
    if windows.is_empty() {
        return Ok(());
    }
    writeln!(out, "<ul>")?;
    windows.iter().try_for_each(|window| writeln!(out, "<li>{window}</li>"))?;
    writeln!(out, "</ul>")
}

/// What a run did, and its first failure.
fn deeds(result: &Value) -> String {
    let counts = |counted: &Value, noun: &str| {
        let parts: Vec<_> = counted
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, count)| !["asked", "found", "deleted"].contains(&name.as_str()) && count.as_u64() > Some(0))
            .map(|(name, count)| format!("{count} {}", name.replace('_', " ")))
            .collect();
        if parts.is_empty() { String::new() } else { format!("{noun}: {}", parts.join(", ")) }
    };
    let bytes = |name: &str, verb: &str| {
        let bytes = result[name].as_u64().filter(|bytes| *bytes > 0);
        bytes.map(|bytes| format!("{} {verb}", human_bytes(bytes))).unwrap_or_default()
    };
    let failure = result["failures"][0]["error"].as_str().unwrap_or_default().to_owned();
    [
        counts(&result["hours"], "hours"),
        counts(&result["files"], "files"),
        bytes("bytes_extracted", "staged"),
        bytes("bytes_uploaded", "uploaded"),
        failure,
    ]
    .into_iter()
    .filter(|part| !part.is_empty())
    .collect::<Vec<_>>()
    .join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_read_as_html() {
        let text = "<img src='x' onerror=\"alert(1)\">&amp;\u{7}\u{1b}[31m\nnext é";
        let safe = "&lt;img src=&#39;x&#39; onerror=&quot;alert(1)&quot;&gt;&amp;amp;\u{fffd}\u{fffd}[31m next é";
        assert_eq!(Escaped(text).to_string(), safe);
    }

    #[test]
    fn a_run_is_told_in_a_line() {
        let extract = serde_json::json!({"hours": {"asked": 24, "extracted": 20, "no_data": 4, "failed": 0}, "files": 40, "bytes_extracted": 2048,
            "failures": [{"error": "cannot fetch"}]});
        assert_eq!(deeds(&extract), "hours: 20 extracted, 4 no data; 2.0 KiB staged; cannot fetch");
        let load = serde_json::json!({"files": {"found": 3, "uploaded": 3, "deleted": 3}, "bytes_uploaded": 10, "failures": []});
        assert_eq!(deeds(&load), "files: 3 uploaded; 10 B uploaded");
        assert_eq!(deeds(&serde_json::json!({"hours": "x", "failures": 7})), "");
    }
}
