//! The command line as typed.

#![allow(rustdoc::bare_urls, reason = "doc comments here are help texts")]

use amp_cli::settings::Setting;
use amp_cli::{Choices, CommonArgs, EXIT_CODES, MORE_HELP};
use amp_core::window::WindowSpec;
use chrono::Utc;
use clap::Parser;

const EXAMPLES: &str = "\
Examples:
  amp-extract                                    yesterday, and what is owed of earlier days
  amp-extract --date 2025-11-06                  one day
  amp-extract --start 2025-11-01 --end 2025-11-06T05
  amp-extract --last 30d --shard 2/6             a sixth of the last 30 days
  amp-extract --check                            whether settings, directories and keys are right
  amp-load --follow & amp-extract --last 52w --max-staged 10G; wait
                                                 a year on a small disk
  amp-extract --dry-run                          what would be requested
  amp-extract --status --last 8w                 status of each hour of the last 8 weeks
  amp-extract --verify --date 2025-11-06         is what was recorded still what Amplitude exports?";

pub(crate) const API_KEY: Setting = Setting::variable(&["AMP_API_KEY"], "the Amplitude API key");
pub(crate) const SECRET_KEY: Setting = Setting::variable(&["AMP_SECRET_KEY"], "the Amplitude secret key");
pub(crate) const SHARD: Setting =
    Setting::flag("--shard", "The I-th of N contiguous slices of the window, counted from 1");
pub(crate) const REPAIR_DAYS: Setting =
    Setting::flag("--repair-days", "Days before today of which owed hours are fetched without a window").default("7");
pub(crate) const REGION: Setting = Setting::flag("--region", "Data residency").env(&["AMP_REGION"]).default("eu");
pub(crate) const BASE_URL: Setting = Setting::flag("--base-url", "Export endpoint")
    .env(&["AMP_BASE_URL"])
    .default("https://analytics.eu.amplitude.com; us: https://amplitude.com");
pub(crate) const PARALLEL: Setting =
    Setting::flag("--parallel", "Days asked for at the same time, at most 8; the API allows few")
        .env(&["AMP_PARALLEL"])
        .default("2");
pub(crate) const DOWNLOAD_DIR: Setting =
    Setting::flag("--download-dir", "Directory of downloads").env(&["AMP_DOWNLOAD_DIR"]).default("downloaded_data");
pub(crate) const FORMAT: Setting =
    Setting::flag("--format", "Staged files: json, or json.gz as they came").env(&["AMP_FORMAT"]).default("json");
pub(crate) const THREADS: Setting = Setting::flag("--threads", "Entries unpacked at the same time")
    .env(&["AMP_THREADS"])
    .default("one more than the cores, at most 9");
pub(crate) const MAX_UNPACKED: Setting =
    Setting::flag("--max-unpacked", "Most bytes that an archive may unpack to, such as 20G")
        .default("what the disk has free, less 5 %");
pub(crate) const MAX_STAGED: Setting = Setting::flag(
    "--max-staged",
    "Hold the next day back while more lies staged and an amp-load is at work, such as 10G",
)
.env(&["AMP_MAX_STAGED"]);
pub(crate) const MAX_RATIO: Setting =
    Setting::flag("--max-ratio", "Maximum expansion ratio of an archive").default("250");

/// Exports raw events from Amplitude into extracted_data/, whole hours of UTC at a time.
///
/// Without a window: yesterday, 00 to 23 UTC, and what is owed of the days before. From the first such call on every day is owed, and so
/// is every hour that a named window asked for and did not get.
/// The keys are read from AMP_API_KEY and AMP_SECRET_KEY, in the environment or in .env; never from the command line.
#[derive(Debug, Parser)]
#[command(name = "amp-extract", version, args_override_self = true, allow_negative_numbers = true, after_help = MORE_HELP, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Args {
    /// One day of UTC, 00 to 23: 2025-11-06, yesterday or today
    #[arg(long, value_name = "DAY", help_heading = "Window")]
    pub date: Option<String>,
    /// First hour: 2025-11-06 (its hour 00), 2025-11-06T05 or 20251106T05
    #[arg(long, value_name = "HOUR", help_heading = "Window")]
    pub start: Option<String>,
    /// Last hour, included: 2025-11-06 (its hour 23), 2025-11-06T05 or 20251106T05
    #[arg(long, value_name = "HOUR", help_heading = "Window")]
    pub end: Option<String>,
    /// Last days (3d) or weeks (2w) through yesterday, or last settled hours (12h)
    #[arg(long, value_name = "SPAN", allow_hyphen_values = true, help_heading = "Window")]
    pub last: Option<String>,
    #[arg(long, help = SHARD.help(), value_name = "I/N", help_heading = "Window", hide_short_help = true)]
    pub(crate) shard: Option<String>,
    #[arg(long, help = REPAIR_DAYS.help(), long_help = format!("{}\n\nOlder ones are reported by each run without a window, which then ends with 1.", REPAIR_DAYS.help()), value_name = "N", help_heading = "Window", hide_short_help = true)]
    pub(crate) repair_days: Option<String>,
    /// Fetch hours again even if done, and ignore leftover archives
    #[arg(long, help_heading = "Window")]
    pub force: bool,
    /// Give up the settled hours of the window that are not done, fetch nothing
    ///
    /// No later run reports them; one that names them fetches them all the same. --status shows them; their days get no manifest.
    #[arg(long, conflicts_with_all = ["force", "dry_run", "status", "check"], help_heading = "Window", hide_short_help = true)]
    pub accept_missing: bool,
    /// Export the window again and compare it with what was recorded of it; stage and record nothing
    ///
    /// Exit code 1 if the rows of an hour differ or an hour cannot be compared. Makes the same requests as fetching the window does.
    #[arg(long, conflicts_with_all = ["force", "accept_missing", "dry_run", "status", "check"], help_heading = "Window", hide_short_help = true)]
    pub verify: bool,
    /// Show the status of each hour and what the next run without a window would request; change nothing
    ///
    /// Of the last 30 days, today's hours included and from the first day known, unless a window is named. Needs no keys: without AMP_API_KEY the hours of all keys and
    /// hosts are shown together, the state that most needs attention where they differ; with it, only its own.
    #[arg(long, conflicts_with_all = ["force", "dry_run", "check"], help_heading = "Output")]
    pub status: bool,
    /// With --status: exit code 1 if a settled hour of the window is not loaded
    ///
    /// Hours without data and hours that were given up count as loaded.
    #[arg(long, requires = "status", help_heading = "Output", hide_short_help = true)]
    pub fail: bool,

    #[arg(long, help = REGION.help(), value_name = "REGION", value_parser = Choices(&["eu", "us"]), help_heading = "Network")]
    pub(crate) region: Option<String>,
    #[arg(long, help = BASE_URL.help(), value_name = "URL", help_heading = "Network", hide_short_help = true)]
    pub(crate) base_url: Option<String>,
    #[arg(long, help = PARALLEL.help(), value_name = "N", help_heading = "Network")]
    pub(crate) parallel: Option<String>,
    /// Take any 404 for "no data", not only one in Amplitude's own words
    #[arg(long, help_heading = "Network", hide_short_help = true)]
    pub any_404_is_empty: bool,

    #[arg(long, help = DOWNLOAD_DIR.help(), value_name = "DIR", help_heading = "Directories", value_hint = clap::ValueHint::DirPath, hide_short_help = true)]
    pub(crate) download_dir: Option<String>,
    /// Keep the archives when their files are staged
    #[arg(long, help_heading = "Directories", hide_short_help = true)]
    pub keep_archives: bool,

    #[arg(long, help = FORMAT.help(), value_name = "FORMAT", value_parser = Choices(&["json", "json.gz"]), help_heading = "Unpacking")]
    pub(crate) format: Option<String>,
    #[arg(long, help = THREADS.help(), value_name = "N", help_heading = "Unpacking", hide_short_help = true)]
    pub(crate) threads: Option<String>,
    #[arg(long, help = MAX_STAGED.help(), long_help = format!("{}\n\nWith no amp-load at work the run ends with 1. At most so much and one more day is staged; until the size of a day is known, a day for each of --parallel and one more.", MAX_STAGED.help()), value_name = "SIZE", help_heading = "Directories")]
    pub(crate) max_staged: Option<String>,
    #[arg(long, help = MAX_UNPACKED.help(), value_name = "BYTES", help_heading = "Unpacking", hide_short_help = true)]
    pub(crate) max_unpacked: Option<String>,
    #[arg(long, help = MAX_RATIO.help(), value_name = "N", help_heading = "Unpacking", hide_short_help = true)]
    pub(crate) max_ratio: Option<String>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "its fields say it")]
    pub common: CommonArgs,
}

impl Args {
    /// What to write instead of an argument that is not one of these: for a window without a flag, its flags.
    pub fn instead_of(unknown: &str) -> Option<&'static str> {
        if matches!(unknown, "--api-key" | "--secret-key") {
            return Some(
                "set AMP_API_KEY and AMP_SECRET_KEY, in the environment or in .env; keys never stand on a command line",
            );
        }
        let parsed = [WindowSpec::date(unknown, Utc::now()).is_ok(), WindowSpec::last(unknown).is_ok()];
        (parsed.contains(&true) || WindowSpec::start(unknown).is_ok()).then_some(
            "a window needs its flag: '--date' for a day, '--start' and '--end' for hours, '--last' for a span",
        )
    }
}

impl AsRef<CommonArgs> for Args {
    fn as_ref(&self) -> &CommonArgs {
        &self.common
    }
}
