//! Flags and settings that both programs have.

use std::path::{Path, PathBuf};
use std::time::Duration;

use amp_core::retry::RetryPolicy;
use clap::{Args, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::program::Program;
use crate::settings::{LABELS, Labels, Resolver, Setting, parse_duration, parse_number};
use crate::tls::CaBundle;

/// The end of each `-h`.
pub const MORE_HELP: &str = "--help has all flags, examples and the exit codes.";

/// The end of each `--help`: what the exit codes mean.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    all that was asked is done (also: no data, nothing to load)
  1    part or all of it failed and a rerun will pick it up
  2    bad usage or settings; nothing was done
  3    refused by Amplitude or AWS: credentials, permission, bucket
  75   temporary: all retries used and nothing achieved, or another run holds the lock
  130  stopped by SIGINT, 143 by SIGTERM; nothing partial is left";

const EXTRACTED_DIR: Setting =
    Setting::flag("--extracted-dir", "Directory of staged files").env(&["AMP_EXTRACTED_DIR"]).default("extracted_data");
const LOG_DIR: Setting = Setting::flag("--log-dir", "Directory of log files").env(&["AMP_LOG_DIR"]).default("logs");
const LOG_KEEP: Setting =
    Setting::flag("--log-keep", "Log files kept of this program").env(&["AMP_LOG_KEEP"]).default("90");
const MAX_RETRIES: Setting =
    Setting::flag("--max-retries", "Retries after the first try").env(&["AMP_MAX_RETRIES"]).default("3; amp-load: 10");
const RETRY_BASE: Setting = Setting::flag("--retry-base", "First backoff; it doubles up to 60 s, with jitter")
    .env(&["AMP_RETRY_BASE"])
    .default("2s; amp-load: 200ms");
const RETRY_FOR: Setting =
    Setting::flag("--retry-for", "Retry a temporary failure for at least this long, beyond --max-retries")
        .env(&["AMP_RETRY_FOR"])
        .default("0");
const READ_TIMEOUT: Setting = Setting::flag("--read-timeout", "Fail after this long without receiving data")
    .env(&["AMP_READ_TIMEOUT"])
    .default("300s");
const CA_BUNDLE: Setting = Setting::variable(&["AWS_CA_BUNDLE", "SSL_CERT_FILE"], "the trusted certificates");
/// Where the metrics go; it is also looked for when the other settings cannot be used.
pub(crate) const METRICS_FILE: Setting =
    Setting::flag("--metrics-file", "Metrics of the run for Prometheus, as a file or in a directory")
        .env(&["AMP_METRICS_FILE"]);

/// Flags that both programs have, as typed.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    #[arg(long, help = EXTRACTED_DIR.help(), value_name = "DIR", help_heading = "Directories", value_hint = ValueHint::DirPath)]
    pub(crate) extracted_dir: Option<String>,
    #[arg(long, help = LOG_DIR.help(), value_name = "DIR", help_heading = "Directories", value_hint = ValueHint::DirPath)]
    pub(crate) log_dir: Option<String>,
    #[arg(long, help = LOG_KEEP.help(), value_name = "N", help_heading = "Directories", hide_short_help = true)]
    pub(crate) log_keep: Option<String>,
    /// Read settings from FILE (-: stdin) instead of looking for .env here and in the parent directories
    #[arg(long, value_name = "FILE", help_heading = "Directories", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub env_file: Option<PathBuf>,

    #[arg(long, help = MAX_RETRIES.help(), value_name = "N", help_heading = "Network", hide_short_help = true)]
    pub(crate) max_retries: Option<String>,
    #[arg(long, help = RETRY_BASE.help(), value_name = "DURATION", help_heading = "Network", hide_short_help = true)]
    pub(crate) retry_base: Option<String>,
    #[arg(long, help = RETRY_FOR.help(), value_name = "DURATION", help_heading = "Network", hide_short_help = true)]
    pub(crate) retry_for: Option<String>,
    #[arg(long, help = READ_TIMEOUT.help(), value_name = "DURATION", help_heading = "Network", hide_short_help = true)]
    pub(crate) read_timeout: Option<String>,

    /// Form of the result on stdout
    #[arg(long, value_enum, value_name = "FORM", default_value = "text", help_heading = "Output")]
    pub output: OutputFormat,
    /// Progress bars on stderr; auto: when it is a terminal
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Output",
        hide_short_help = true
    )]
    pub progress: ProgressMode,
    /// Form of the log file
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        default_value = "text",
        help_heading = "Output",
        hide_short_help = true
    )]
    pub log_format: LogFormat,
    #[arg(long, help = METRICS_FILE.help(), value_name = "PATH", help_heading = "Output", value_hint = ValueHint::AnyPath)]
    pub(crate) metrics_file: Option<String>,
    #[arg(long = "label", help = LABELS.help(), value_name = "NAME=VALUE", help_heading = "Output", hide_short_help = true)]
    pub(crate) labels: Vec<String>,
    /// Say more on stderr; twice for debugging
    #[arg(short, long, action = clap::ArgAction::Count, conflicts_with = "quiet", help_heading = "Output")]
    pub verbose: u8,
    /// Say nothing unless something needs a person: no table, warnings and errors only; twice for errors only
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = "Output")]
    pub quiet: u8,
    /// Print what would be done, change nothing, use no network
    #[arg(long, help_heading = "Output")]
    pub dry_run: bool,
    /// Test settings, directories, keys and permissions, and say what to do; move no data
    #[arg(long, conflicts_with = "dry_run", help_heading = "Output")]
    pub check: bool,

    /// Print the completion script for a shell, and do nothing else
    ///
    /// docs/install.md says where the script goes.
    #[arg(long, value_enum, value_name = "SHELL", exclusive = true, help_heading = "Shell", hide_short_help = true)]
    pub completions: Option<Shell>,
    /// Print the manual page, and do nothing else
    #[arg(long, exclusive = true, help_heading = "Shell", hide_short_help = true)]
    pub man: bool,
}

/// Form of the result on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// A short table.
    Text,
    /// One JSON document.
    Json,
    /// A page for a browser; for the status that amp-extract shows.
    Html,
}

/// When progress bars are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// When stderr is a terminal.
    Auto,
    /// Always; as plain lines when stderr is no terminal.
    Always,
    /// Never.
    Never,
}

/// Form of the log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// Settings that both programs have, as meant.
#[derive(Debug, Clone)]
pub struct Common {
    /// Directory of staged files.
    pub extracted_dir: PathBuf,
    /// Directory of log files.
    pub log_dir: PathBuf,
    /// Log files kept of the program.
    pub log_keep: usize,
    /// How often and how long to wait.
    pub retry: RetryPolicy,
    /// How long a request may go without receiving data.
    pub read_timeout: Duration,
    /// What tells this set-up from others.
    pub labels: Labels,
    /// The authorities to trust; `None`: the system's.
    pub ca_bundle: Option<CaBundle>,
    /// Nothing is to be changed, no network used.
    pub dry_run: bool,
}

impl Common {
    /// What the flags, the environment and `.env` say; what is wrong is noted in `resolver`.
    pub fn resolve(args: &CommonArgs, program: &Program, resolver: &mut Resolver) -> Option<Self> {
        let extracted_dir = resolver.path(&EXTRACTED_DIR, args.extracted_dir.as_deref());
        let log_dir = resolver.path(&LOG_DIR, args.log_dir.as_deref());
        let log_keep = resolver.value(&LOG_KEEP, args.log_keep.as_deref(), |text| parse_number(text, 1));
        let max_retries = resolver.optional(&MAX_RETRIES, args.max_retries.as_deref(), |text| parse_number(text, 0));
        let base = resolver.optional(&RETRY_BASE, args.retry_base.as_deref(), parse_duration);
        let retry_for = resolver.value(&RETRY_FOR, args.retry_for.as_deref(), parse_duration);
        let read_timeout =
            resolver.value(&READ_TIMEOUT, args.read_timeout.as_deref(), |text| match parse_duration(text)? {
                Duration::ZERO => Err("must be greater than zero".to_owned()),
                timeout => Ok(timeout),
            });
        let ca_bundle = resolver.optional(&CA_BUNDLE, None, |path| CaBundle::read(Path::new(path)));
        let retry = RetryPolicy {
            max_retries: max_retries.unwrap_or(program.max_retries),
            base: base.unwrap_or(program.retry_base),
            retry_for: retry_for.unwrap_or_default(),
        };
        // Runs that cannot begin leave metrics too, so it is resolved for their report; here it is to stand among the settings.
        resolver.path(&METRICS_FILE, args.metrics_file.as_deref());
        resolver.default(&MAX_RETRIES, retry.max_retries);
        resolver.default(&RETRY_BASE, format_args!("{:?}", retry.base));
        Some(Self {
            extracted_dir: extracted_dir?,
            log_dir: log_dir?,
            labels: Labels::resolve(&args.labels, resolver),
            ca_bundle,
            log_keep: log_keep?,
            retry,
            read_timeout: read_timeout?,
            dry_run: args.dry_run,
        })
    }
}
