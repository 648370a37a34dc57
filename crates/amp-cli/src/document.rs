//! The result of a run, on stdout and in its metrics.

use std::io::{self, BufWriter, Write};

use serde::Serialize;

use crate::args::OutputFormat;
use crate::metrics::{Page, Report};
use crate::outcome::{Exit, Outcome};
use crate::settings::Labels;

/// What a program prints at its end.
pub trait Printed: Serialize {
    /// Writes it for people.
    ///
    /// # Errors
    /// When `out` takes no more.
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()>;

    /// Writes it as a page for a browser, where there is one.
    ///
    /// # Errors
    /// When `out` takes no more.
    fn write_html(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write_text(out)
    }
}

/// What a run says at its end.
pub trait Document: Printed {
    /// The result of a run that could not begin, for these reasons.
    fn unusable(problems: &[String]) -> Self;

    /// What the exit code is to say.
    fn exit(&self) -> Exit;

    /// How the run ended.
    fn outcome(&self) -> Outcome;

    /// Adds what the run counted to its metrics.
    fn measure(&self, page: &mut Page);
}

/// A document with what tells its run from others behind it.
#[derive(Serialize)]
struct OfRun<'a, D> {
    #[serde(flatten)]
    document: &'a D,
    run_id: &'a str,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: &'a Labels,
}

/// Writes the result to stdout. A reader that went away (`| head`) is no error.
pub(crate) fn print<D: Printed>(document: &D, run: &Report, format: OutputFormat) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let written = match format {
        OutputFormat::Json => {
            let Report { run_id, labels, .. } = run;
            serde_json::to_writer(&mut out, &OfRun { document, run_id, labels })
                .map_err(io::Error::from)
                .and_then(|()| writeln!(out))
        }
        OutputFormat::Text => document.write_text(&mut out),
        OutputFormat::Html => document.write_html(&mut BufWriter::new(&mut out)),
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Leaves the metrics of a run that ends now with `code`, if it is to leave any.
///
/// # Errors
/// A message, when the file cannot be read or replaced.
pub(crate) fn write_metrics<D: Document>(report: &Report, document: &D, code: u8) -> Result<(), String> {
    report.write(document.outcome(), code, |page| document.measure(page))
}
