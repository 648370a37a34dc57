//! From the command line to the exit code.

use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::Parser;
use indicatif::MultiProgress;

use crate::args::{Common, CommonArgs, OutputFormat};
use crate::check::{CheckReport, Finding, check_metrics};
use crate::document::{Document, print, write_metrics};
use crate::logging::DETAIL;
use crate::metrics::Report;
use crate::outcome::Exit;
use crate::program::Program;
use crate::run_log::RunLog;
use crate::session::Session;
use crate::settings::{DotEnv, Resolver, SettingsError, export_aws};
use crate::start::Start;
use crate::stop::Stop;
use crate::{logging, progress, shell};

/// What a program made of its arguments.
pub struct Resolved<S> {
    /// Its settings.
    pub settings: S,
    /// What distinguishes this run's log besides its time; may be empty. `None`: a run that only looks and writes no log.
    pub log_subject: Option<String>,
}

/// Runs a program: reads arguments and settings, sets up log, progress and signals, calls `run`, prints its result, leaves its metrics and
/// returns the exit code. With `--check` it calls `check` instead and prints what that found.
pub fn launch<A, S, D>(
    program: Program,
    resolve: impl FnOnce(&A, &mut Resolver, DateTime<Utc>) -> Option<Resolved<S>>,
    check: impl AsyncFnOnce(&S, &Session) -> Vec<Finding>,
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
        Err(error) => return start.unparsed::<D>(error, environment),
    };
    let common_args = args.as_ref();
    if let Some(text) = shell::text::<A>(common_args) {
        return start.print(&text);
    }
    let report = |dotenv: Option<DotEnv>| {
        let resolver = Resolver::new(environment.clone(), dotenv);
        start.report(resolver, common_args.metrics_file.as_deref(), &common_args.labels)
    };
    let new_check = |place: &str, used: &[String], warnings: &[String]| {
        common_args.check.then(|| CheckReport::new(&program, place, used, warnings, common_args.quiet > 0))
    };
    let unusable = |problems: &[String], report: &Report| match new_check("", &[], &[]) {
        Some(found) => start.end_check(&found.unusable(problems), report, common_args.output),
        None => start.unusable::<D>(problems, common_args.output, report),
    };

    let dotenv = match DotEnv::named_or_nearest(common_args.env_file.as_deref()) {
        Ok(dotenv) => dotenv,
        Err(error) => return unusable(&[error.to_string()], &report(None)),
    };
    let report = report(dotenv.clone());
    let garbled: Vec<_> = std::env::vars_os()
        .filter(|(_, value)| value.to_str().is_none())
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("AMP_") || name.starts_with("AWS_"))
        .map(|name| format!("{name}: its value is not UTF-8"))
        .collect();
    if !garbled.is_empty() {
        return unusable(&garbled, &report);
    }
    export_aws(dotenv.as_ref(), &environment);
    let place = place(dotenv.as_ref());
    let mut resolver = Resolver::new(environment, dotenv);
    let common = Common::resolve(common_args, &program, &mut resolver);
    let resolved = resolve(&args, &mut resolver, started);
    let (warnings, used) = resolver.notes();
    let unusable = |problems: &[String]| {
        if let Some(found) = new_check(&place, &used, &warnings) {
            return start.end_check(&found.unusable(problems), &report, common_args.output);
        }
        let heard = warnings.iter().filter(|_| common_args.quiet < 2);
        heard.for_each(|warning| start.complain("warning", warning));
        unusable(problems, &report)
    };
    let (common, Resolved { settings, log_subject }) = match (resolver.finish(), common.zip(resolved)) {
        (Ok(()), Some(resolved)) => resolved,
        (Ok(()), None) => return unusable(&["the settings cannot be used".to_owned()]),
        (Err(SettingsError(problems)), _) => return unusable(&problems),
    };

    let bars = MultiProgress::new();
    let log = log_subject.filter(|_| !common_args.check).map(|subject| RunLog {
        prefix: program.log_prefix,
        subject,
        started,
    });
    let guard = logging::install(program.name, common_args, &common, log.as_ref(), &report.run_id, &bars);
    let is_terminal = io::stderr().is_terminal();
    let progress = progress::choose(common_args.progress, common_args.quiet > 0, is_terminal, &bars);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return unusable(&[format!("cannot start: {error}")]),
    };
    let labels = if common.labels.is_empty() { String::new() } else { format!(", labels {}", common.labels) };
    let (process, run_id) = (std::process::id(), &report.run_id);
    tracing::info!(
        event = "start",
        "{} {}, process {process}, run {run_id}, {place}{labels}",
        program.name,
        program.version
    );
    tracing::info!(event = "settings", "settings: {}", used.join(", "));
    let check_report = new_check(&place, &used, &warnings);
    if check_report.is_none() {
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    }
    let (ended, interrupted) = runtime.block_on(async {
        let stop = Stop::on_signals().unwrap_or_else(|error| {
            tracing::warn!("signals cannot be caught ({error}): Ctrl-C will stop at once");
            Stop::default()
        });
        let session = Session { common, stop, progress: progress.into(), started, clock };
        let ended = match check_report {
            Some(found) => {
                let mut findings = check(&settings, &session).await;
                findings.extend(check_metrics(&report));
                Ended::Check(found.with(findings, &session))
            }
            None => Ended::Run(run(settings, &session).await),
        };
        (ended, session.stop.exit_code())
    });
    // A look-up or a read that hangs must not hold the exit up.
    runtime.shutdown_background();
    progress::end(&bars);

    let is_silent = common_args.quiet > 0 && common_args.output == OutputFormat::Text && !start.only_looks();
    let (exit, printed) = match &ended {
        Ended::Check(found) => (found.exit(), print(found, &report, common_args.output)),
        Ended::Run(document) if is_silent => (document.exit(), Ok(())),
        Ended::Run(document) => (document.exit(), print(document, &report, common_args.output)),
    };
    let mut code = exit.code(interrupted);
    if let Err(error) = printed {
        tracing::error!("cannot write the result to stdout: {error}");
        code = code.max(Exit::Incomplete.code(interrupted));
    }
    if let Ended::Run(document) = &ended
        && let Err(error) = write_metrics(&report, document, code)
    {
        tracing::warn!("{error}");
    }
    tracing::info!(target: DETAIL, event = "exit", code, "exit code {code}");
    drop(guard);
    ExitCode::from(code)
}

/// What a run came to.
enum Ended<D> {
    Run(D),
    Check(CheckReport),
}

/// Where the run is, and which `.env` it reads.
fn place(dotenv: Option<&DotEnv>) -> String {
    let dir = std::env::current_dir();
    let dir = dir.map_or_else(|error| format!("an unknown directory ({error})"), |dir| dir.display().to_string());
    match dotenv {
        Some(dotenv) => {
            format!("in {dir}, settings of {}", std::path::absolute(dotenv.path()).unwrap_or_default().display())
        }
        None => format!("in {dir}, no .env there or above"),
    }
}
