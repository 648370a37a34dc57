//! What the command line, the environment and `.env` mean together.

use std::path::PathBuf;

use amp_cli::settings::{Resolver, Setting, parse_bytes, parse_endpoint, parse_number, parse_parallelism};
use amp_cli::{OutputFormat, Resolved};
use amp_core::archive::Format;
use amp_core::hour::Hour;
use amp_core::ledger::SourceId;
use amp_core::secret::Secret;
use amp_core::window::{HourWindow, ResolvedWindow, Shard, WindowError, WindowSpec};
use chrono::{DateTime, Datelike, Utc};
use url::Url;

use crate::args::{
    API_KEY, Args, BASE_URL, DOWNLOAD_DIR, FORMAT, MAX_RATIO, MAX_STAGED, MAX_UNPACKED, PARALLEL, REGION, REPAIR_DAYS,
    SECRET_KEY, SHARD, THREADS,
};

/// The ledger is looked at for each day; ten years are read in moments, and nobody repairs older ones unnamed.
const MOST_REPAIR_DAYS: u32 = 3_660;
/// More would only wait for the disk.
const MOST_CORES: usize = 8;

/// Amplitude is said to allow five requests of a project at a time, whatever they are for.
const MOST_PARALLEL: usize = 8;
/// From here on others may be turned away.
const MANY_PARALLEL: usize = 5;

const EU: &str = "https://analytics.eu.amplitude.com";
const US: &str = "https://amplitude.com";
/// Where Amplitude has its Export API, by region.
pub(crate) const AMPLITUDE_HOSTS: [(&str, &str); 2] = [("eu", EU), ("us", US)];

/// Amplitude was founded in it.
const FIRST_YEAR: i32 = 2012;

/// Days that `--status` shows, today's included.
const STATUS_DAYS: i64 = 30;

impl Settings {
    /// Whose hours the run is about, as the ledger knows it.
    pub fn source(&self) -> SourceId {
        SourceId::new(self.base_url.host_str().unwrap_or_default(), &self.api_key)
    }
}

/// The settings of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The hours asked for; `None` for a shard without any.
    pub window: Option<HourWindow>,
    /// Whether its hours that have not begun were cut off.
    pub truncated: bool,
    /// Whether no window was named: then what is owed is fetched too, and every day from now on is owed.
    pub daily: bool,
    /// The slice of each day that such a call is for.
    pub shard: Option<Shard>,
    /// Days before today in which owed hours are fetched.
    pub repair_days: u32,
    /// Whether hours that are done are fetched again.
    pub force: bool,
    /// Whether the hours of the window that are not done are given up instead of fetched.
    pub accept_missing: bool,
    /// Whether the window is exported again and compared with the ledger, and nothing else done.
    pub verify: bool,
    /// The Export API's base URL.
    pub base_url: Url,
    /// Whether any 404 means that there is no data.
    pub any_404_is_empty: bool,
    /// The Amplitude API key.
    pub api_key: Secret,
    /// The Amplitude secret key.
    pub secret_key: Secret,
    /// Where archives are downloaded to.
    pub download_dir: PathBuf,
    /// Whether a run that only looks does without the API key, and so about the hours of all sources together.
    pub lacks_key: bool,
    /// Whether what became of the hours is shown, and nothing else done.
    pub status: bool,
    /// Whether it is shown as a page, with the last runs.
    pub html: bool,
    /// Whether settled hours that are not loaded are a failure of that look.
    pub fail: bool,
    /// Whether archives stay when their files are staged.
    pub keep_archives: bool,
    /// The form of staged files.
    pub format: Format,
    /// How many entries are unpacked at the same time.
    pub threads: usize,
    /// How many windows are asked for at the same time.
    pub parallel: usize,
    /// Most bytes an archive may unpack to; `None`: what the disk has free, less 5 %.
    pub max_unpacked: Option<u64>,
    /// Most bytes that may lie staged when another day is requested.
    pub max_staged: Option<u64>,
    /// Maximum expansion ratio of an archive.
    pub max_ratio: u64,
}

impl Settings {
    /// What `args`, the environment and `.env` say at `now`; what is wrong is noted in `resolver`.
    pub fn resolve(args: &Args, resolver: &mut Resolver, now: DateTime<Utc>) -> Option<Resolved<Self>> {
        let only_looks = args.common.dry_run || args.status;
        let mut key = |setting: &Setting, what| match resolver.secret(setting) {
            None if only_looks => Some(Secret::new(String::new())),
            None => {
                resolver.missing(setting, what);
                None
            }
            found => found,
        };
        let (api_key, secret_key) =
            (key(&API_KEY, "the Amplitude API key"), key(&SECRET_KEY, "the Amplitude secret key"));
        let lacks_key = api_key.as_ref().is_some_and(|key| key.expose().is_empty());
        let region =
            resolver.optional(&REGION, args.region.as_deref(), |text| match text.to_ascii_lowercase().as_str() {
                "eu" => Ok(EU),
                "us" => Ok(US),
                _ => Err(format!("`{text}` is neither eu nor us")),
            });
        let base_url = resolver.optional(&BASE_URL, args.base_url.as_deref(), parse_base_url);
        let base_url = base_url.or_else(|| parse_endpoint(region.unwrap_or(EU), false).ok());
        let origins = (
            resolver.origin_of(&REGION, args.region.as_deref()),
            resolver.origin_of(&BASE_URL, args.base_url.as_deref()),
        );
        if let (Some(region), Some(url)) = origins {
            resolver.warn(format!("{region} has no effect beside {url}, which names the endpoint"));
        }
        if let Some(url) = &base_url {
            resolver.default(&BASE_URL, url);
        }
        let format = resolver.value(&FORMAT, args.format.as_deref(), |text| match text {
            "json" => Ok(Format::Json),
            "json.gz" => Ok(Format::JsonGz),
            _ => Err(format!("`{text}` is neither json nor json.gz")),
        });
        let threads = resolver.optional(&THREADS, args.threads.as_deref(), parse_parallelism);
        let threads = threads.unwrap_or_else(usual_threads);
        resolver.default(&THREADS, threads);
        let parallel = resolver.value(&PARALLEL, args.parallel.as_deref(), |text| match parse_number(text, 1)? {
            parallel @ 1..=MOST_PARALLEL => Ok(parallel),
            _ => Err(format!("`{text}` is too large (maximum {MOST_PARALLEL})")),
        });
        if let Some(many @ MANY_PARALLEL..) = parallel {
            resolver.warn(format!("--parallel: {many} requests at the same time may be more than Amplitude allows a project; other tools then get 429"));
        }
        let max_ratio = resolver.value(&MAX_RATIO, args.max_ratio.as_deref(), |text| parse_number(text, 1u32));
        let repair_days =
            resolver.value(&REPAIR_DAYS, args.repair_days.as_deref(), |text| match parse_number(text, 0)? {
                days @ 0..=MOST_REPAIR_DAYS => Ok(days),
                _ => Err(format!("`{text}` is too long ago; at most {MOST_REPAIR_DAYS} days")),
            });
        let max_staged = resolver.optional(&MAX_STAGED, args.max_staged.as_deref(), parse_bytes);
        let max_unpacked = resolver.optional(&MAX_UNPACKED, args.max_unpacked.as_deref(), parse_bytes);
        resolver.default(&MAX_UNPACKED, "what the disk has free, less 5 %");
        let download_dir = resolver.path(&DOWNLOAD_DIR, args.download_dir.as_deref());

        if args.common.output == OutputFormat::Html && !args.status {
            resolver.problem("--output html is for --status; write text or json".to_owned());
        }
        let named = resolve_window(args, resolver, now);
        let (planned, shard, daily) = named?;
        let needs_window = [("--accept-missing", args.accept_missing), ("--verify", args.verify)];
        for (flag, _) in needs_window.into_iter().filter(|(_, is_given)| *is_given && daily) {
            resolver.problem(format!("{flag} needs a window: --date, --start with --end, or --last"));
        }
        Some(Resolved {
            log_subject: (!only_looks).then(|| {
                let subject = |w: HourWindow| format!("{}_{}_", w.start().compact(), w.end().compact());
                planned.window.map(subject).unwrap_or_default()
            }),
            settings: Self {
                window: planned.window,
                truncated: planned.truncated,
                daily,
                shard: shard.filter(|_| daily),
                repair_days: repair_days?,
                force: args.force,
                accept_missing: args.accept_missing,
                verify: args.verify,
                base_url: base_url?,
                any_404_is_empty: args.any_404_is_empty,
                api_key: api_key?,
                secret_key: secret_key?,
                lacks_key,
                status: args.status,
                html: args.common.output == OutputFormat::Html,
                fail: args.fail,
                download_dir: download_dir?,
                keep_archives: args.keep_archives,
                format: format?,
                threads,
                parallel: parallel?,
                max_staged,
                max_unpacked,
                max_ratio: u64::from(max_ratio?),
            },
        })
    }
}

/// Reads the URL before the API's own path, which is the program's to add.
fn parse_base_url(text: &str) -> Result<Url, String> {
    let url = parse_endpoint(text, false)?;
    let Some(before) = url.path().trim_end_matches('/').strip_suffix("/api/2/export") else { return Ok(url) };
    let mut shorter = url.clone();
    shorter.set_path(before);
    Err(format!("`{url}` already has the path of the Export API; write {}", shorter.as_str().trim_end_matches('/')))
}

/// One more than there are cores: one waits for the disk while the others work.
fn usual_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MOST_CORES) + 1
}

/// The window, the shard that it is, and whether none was named.
fn resolve_window(
    args: &Args,
    resolver: &mut Resolver,
    now: DateTime<Utc>,
) -> Option<(ResolvedWindow, Option<Shard>, bool)> {
    let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    let shard = resolver.optional(&SHARD, args.shard.as_deref(), str::parse::<Shard>);
    let named_ones = [&args.date, &args.start, &args.end, &args.last];
    let daily = named_ones.into_iter().all(|value| given(value).is_none());
    let spec = match (given(&args.date), given(&args.start), given(&args.end), given(&args.last)) {
        (None, None, None, None) if args.status => Ok(WindowSpec::Between(last_days(now))),
        (None, None, None, None) => Ok(WindowSpec::Yesterday),
        (Some(date), None, None, None) => named("--date", WindowSpec::date(&date, now)),
        (None, Some(start), Some(end), None) => match (WindowSpec::start(&start), WindowSpec::end(&end)) {
            (Ok(start), Ok(end)) => named("--start, --end", WindowSpec::between(start, end)),
            (start, end) => {
                let bad = [("--start", start.err()), ("--end", end.err())];
                let bad = bad.into_iter().filter_map(|(flag, error)| Some(format!("{flag}: {}", error?)));
                bad.for_each(|problem| resolver.problem(problem));
                return None;
            }
        },
        (None, None, None, Some(last)) => named("--last", WindowSpec::last(&last)),
        (None, Some(_), None, None) => Err("--start needs --end, the last hour wanted".to_owned()),
        (None, None, Some(_), None) => Err("--end needs --start, the first hour wanted".to_owned()),
        _ => Err("--date, --start with --end, and --last name different windows: give one of them".to_owned()),
    };
    match spec.and_then(|spec| spec.resolve(now, shard).map_err(|error| error.to_string())) {
        Ok(planned) => {
            let first = planned.window.map(|window| window.start().date());
            if let Some(day) = first.filter(|day| day.year() < FIRST_YEAR) {
                resolver.warn(format!("the window begins on {day}, before Amplitude had any data: is the year right?"));
            }
            Some((planned, shard, daily))
        }
        Err(problem) => {
            resolver.problem(problem);
            None
        }
    }
}

/// What `--status` shows unless told otherwise: the last days with what has begun of today, where hours may be unsettled.
fn last_days(now: DateTime<Utc>) -> HourWindow {
    let last = Hour::containing(now);
    let first = Hour::first_of(last.date()).plus(-24 * (STATUS_DAYS - 1));
    HourWindow::new(first, last).unwrap_or(HourWindow::single(last))
}

fn named(flag: &str, spec: Result<WindowSpec, WindowError>) -> Result<WindowSpec, String> {
    spec.map_err(|error| format!("{flag}: {error}"))
}
