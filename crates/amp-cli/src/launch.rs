//! From the command line to the exit code.

use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use amp_core::progress::Progress;
use amp_core::runlog::RunLog;
use amp_core::settings::{DotEnv, DotEnvError, Resolver, SettingsError};
use chrono::{DateTime, Utc};
use clap::Parser;
use indicatif::MultiProgress;

use crate::args::{Common, CommonArgs, METRICS_FILE};
use crate::output::{Document, Exit, print};
use crate::start::Start;
use crate::stop::Stop;
use crate::{logging, progress, shell};

/// Which program this is.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What its log files begin with.
    pub log_prefix: &'static str,
    /// A flag that makes a run another job, and what the metrics of that job begin with; those of others begin with the program's name.
    pub other_job: Option<(&'static str, &'static str)>,
    /// Flags with which it only looks: nothing is changed, and no metrics are left.
    pub looks: &'static [&'static str],
}

/// What a program made of its arguments.
pub struct Resolved<S> {
    /// Its settings.
    pub settings: S,
    /// What distinguishes this run's log besides its time; may be empty. `None`: a run that only looks and writes no log.
    pub log_subject: Option<String>,
}

/// What a run is given besides its settings.
pub struct Session {
    /// Settings that both programs have.
    pub common: Common,
    /// Tells when to stop.
    pub stop: Stop,
    /// Shows how far transfers are.
    pub progress: Arc<dyn Progress>,
    /// The wall clock at the start.
    pub started: DateTime<Utc>,
    clock: Instant,
}

impl Session {
    /// A session without terminal, log and signals, for tests.
    #[must_use]
    pub fn detached(common: Common, progress: Arc<dyn Progress>, started: DateTime<Utc>) -> Self {
        Self { common, stop: Stop::default(), progress, started, clock: Instant::now() }
    }

    /// Seconds since the start.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        (self.clock.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
    }
}

/// Runs a program: reads arguments and settings, sets up log, progress and signals, calls `run`, prints its result, leaves its metrics and
/// returns the exit code.
pub fn launch<A, S, D>(
    program: Program,
    resolve: impl FnOnce(&A, &mut Resolver, DateTime<Utc>) -> Option<Resolved<S>>,
    run: impl AsyncFnOnce(S, &Session) -> D,
) -> ExitCode
where
    A: Parser + AsRef<CommonArgs>,
    D: Document,
{
    let start = Start::now(program);
    let Start { started, clock, .. } = start;
    let environment: HashMap<_, _> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let args = match A::try_parse() {
        Ok(args) => args,
        Err(error) => return start.unparsed::<D>(&error, environment),
    };
    let common_args = args.as_ref();
    if let Some(text) = shell::text::<A>(common_args) {
        return start.print(&text);
    }
    let report = |dotenv: Option<DotEnv>| {
        let mut resolver = Resolver::new(environment.clone(), dotenv);
        let given = resolver.text(&METRICS_FILE, common_args.metrics_file.as_deref());
        start.report(given)
    };
    let unusable = |problems: &[String], report| start.unusable::<D>(problems, common_args.output, report);

    let dotenv = match read_dotenv(common_args.env_file.as_deref()) {
        Ok(dotenv) => dotenv,
        Err(error) => return unusable(&[error.to_string()], report(None)),
    };
    let report = report(dotenv.clone());
    let garbled: Vec<_> = std::env::vars_os()
        .filter(|(_, value)| value.to_str().is_none())
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("AMP_") || name.starts_with("AWS_"))
        .map(|name| format!("{name}: its value is not UTF-8"))
        .collect();
    if !garbled.is_empty() {
        return unusable(&garbled, report);
    }
    if let Some(dotenv) = &dotenv {
        export_aws(dotenv, &environment);
    }
    let mut resolver = Resolver::new(environment, dotenv);
    let common = Common::resolve(common_args, &mut resolver);
    let resolved = resolve(&args, &mut resolver, started);
    let Resolved { settings, log_subject } = match (resolver.finish(), resolved) {
        (Ok(()), Some(resolved)) => resolved,
        (Ok(()), None) => return unusable(&["the settings cannot be used".to_owned()], report),
        (Err(SettingsError(problems)), _) => return unusable(&problems, report),
    };

    let bars = MultiProgress::new();
    let log = log_subject.map(|subject| RunLog { prefix: program.log_prefix, subject, started });
    let guard = logging::install(program.name, common_args, &common, log.as_ref(), &bars);
    let (progress, screen) =
        progress::choose(common_args.progress, common_args.quiet, io::stderr().is_terminal(), &bars);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return unusable(&[format!("cannot start: {error}")], report),
    };
    tracing::info!("{} {} {common}", program.name, program.version);
    let (document, interrupted) = runtime.block_on(async {
        let stop = Stop::on_signals().unwrap_or_else(|error| {
            tracing::warn!("signals cannot be caught ({error}): Ctrl-C will stop at once");
            Stop::default()
        });
        let session = Session { common, stop, progress: progress.into(), started, clock };
        let document = run(settings, &session).await;
        (document, session.stop.exit_code())
    });
    // A look-up or a read that hangs must not hold the exit up.
    runtime.shutdown_background();
    screen.end();

    let mut code = document.exit().code(interrupted);
    if let Err(error) = print(&document, common_args.output) {
        tracing::error!("cannot write the result to stdout: {error}");
        code = code.max(Exit::Incomplete.code(interrupted));
    }
    if let Some(Err(error)) = report.map(|report| report.write(&document, code)) {
        tracing::warn!("{error}");
    }
    tracing::info!("exit code {code}");
    drop(guard);
    ExitCode::from(code)
}

/// The settings of the `.env` that was named, or else of the nearest one.
pub(crate) fn read_dotenv(named: Option<&Path>) -> Result<Option<DotEnv>, DotEnvError> {
    match named {
        Some(path) => DotEnv::read(path).map(Some),
        // Without a working directory there is no `.env` to look for.
        None => std::env::current_dir().ok().map_or(Ok(None), |dir| DotEnv::find(&dir)),
    }
}

/// Puts the AWS names of `.env` that the environment lacks into it, where the AWS SDK's own chain looks for them. Before any thread is started.
fn export_aws(dotenv: &DotEnv, environment: &HashMap<String, String>) {
    let unset = |name: &str| environment.get(name).is_none_or(String::is_empty);
    let mut lines = String::new();
    for (name, value) in dotenv.matching(|name| name.starts_with("AWS_") && unset(name)) {
        lines.push_str(&format!("{name}=\"{}\"\n", escaped(value)));
    }
    dotenvy::from_read_override(lines.as_bytes()).ok();
}

/// A value as it stands between double quotes in a `.env`.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '"' | '\\' | '$' => escaped.extend(['\\', c]),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_survives_the_way_into_the_environment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        let value = "a $b \"c\" \\ 'd' #e";
        std::fs::write(&path, format!("AWS_TEST_VALUE=\"{}\"\nAWS_TEST_EMPTY=''\n", escaped(value))).unwrap();
        export_aws(&DotEnv::read(&path).unwrap(), &HashMap::new());
        assert_eq!(std::env::var("AWS_TEST_VALUE").as_deref(), Ok(value));
        assert!(std::env::var("AWS_TEST_EMPTY").is_err());
    }
}
