//! Where messages go: to stderr for the person who runs the program, and to the run's log file.

use std::fmt;
use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt as layers};

use crate::args::{Common, CommonArgs, LogFormat};
use crate::json_log::JsonLines;
use crate::run_log::RunLog;

/// The target of warnings about what the run itself gets over, such as a retry: under `-q` nobody needs to read them.
pub const PASSING: &str = "amp_passing";

/// The target of what only `-vv` shows on stderr: each request, and what a machine reads. The log has it always.
pub const DETAIL: &str = "amp_detail";

/// Only our own crates speak: what libraries log may hold headers.
fn ours(level: LevelFilter) -> Targets {
    Targets::new().with_target("amp", level)
}

/// Sets up both; the guard writes the log out when it is dropped. A log that cannot be written is told on stderr, and the run goes on.
pub(crate) fn install(
    program: &'static str,
    args: &CommonArgs,
    common: &Common,
    log: Option<&RunLog>,
    run_id: &str,
    bars: &MultiProgress,
) -> Option<WorkerGuard> {
    let level = match (args.quiet, args.verbose) {
        (2.., _) => LevelFilter::ERROR,
        (1, _) | (_, 0) => LevelFilter::WARN,
        (_, 1) => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let mut heard = ours(level);
    if args.verbose < 2 {
        heard = heard.with_target(DETAIL, LevelFilter::WARN.min(level));
    }
    if args.quiet > 0 {
        heard = heard.with_target(PASSING, LevelFilter::ERROR);
    }
    let stderr = layers::layer().with_writer(Stderr(bars.clone())).event_format(ForPeople { program });
    let (file, problem) = match log.map(|log| (log, log.create(&common.log_dir))) {
        Some((log, Ok((file, _)))) => {
            (Some(file), log.prune(&common.log_dir, common.log_keep).err().map(|e| ("tidy", e)))
        }
        Some((_, Err(error))) => (None, Some(("write", error))),
        None => (None, None),
    };
    let (file, guard) = file.map(|file| NonBlockingBuilder::default().lossy(false).finish(file)).unzip();
    let file = file.map(|file| {
        // The message says all that the fields do but the hint.
        let message = debug_fn(|writer, field, value| match field.name() {
            "message" => write!(writer, "{value:?}"),
            "hint" => write!(writer, " hint={value:?}"),
            _ => Ok(()),
        });
        let layer = layers::layer().with_ansi(false).with_writer(file).fmt_fields(message);
        match args.log_format {
            LogFormat::Text => layer.with_target(false).boxed(),
            LogFormat::Json => {
                let lines = JsonLines { run_id: run_id.to_owned(), labels: common.labels.clone() };
                layer.event_format(lines).boxed()
            }
        }
    });
    tracing_subscriber::registry()
        .with(stderr.with_filter(heard))
        .with(file.map(|file| file.with_filter(ours(LevelFilter::INFO))))
        .try_init()
        .ok();
    if let Some((action, error)) = problem {
        tracing::warn!("cannot {action} the log in {}: {error}; going on without", common.log_dir.display());
    }
    guard
}

/// Stderr, out of the way of progress bars.
#[derive(Clone)]
struct Stderr(MultiProgress);

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// `amp-load: warning: what happened`, and `amp-load: hint: what to do` below it, as other command-line programs write it.
struct ForPeople {
    program: &'static str,
}

impl<S, N> FormatEvent<S, N> for ForPeople
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let label = match *event.metadata().level() {
            // Lines of progress that were asked for are no warnings.
            _ if event.metadata().target() == "amp_progress" => "",
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            _ => "",
        };
        let mut message = Message::default();
        event.record(&mut message);
        writeln!(writer, "{}: {label}{}", self.program, message.text)?;
        message.hint.map_or(Ok(()), |hint| writeln!(writer, "{}: hint: {hint}", self.program))
    }
}

/// The text of an event, which says all that its fields do but the hint.
#[derive(Default)]
struct Message {
    text: String,
    hint: Option<String>,
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.text = format!("{value:?}"),
            "hint" => self.hint = Some(format!("{value:?}")),
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}
