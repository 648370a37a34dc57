//! The command line as typed.

use amp_cli::settings::Setting;
use amp_cli::{Choices, CommonArgs, EXIT_CODES, MORE_HELP};
use clap::Parser;

const EXAMPLES: &str = "\
Examples:
  amp-load                                       load all of extracted_data/ and delete what S3 confirmed
  amp-load --check                               whether credentials, bucket and permissions are right
  amp-load --dry-run                             which file would become which object
  amp-load --prefix raw/ --key-template 'events/project={project}/date={date}/hour={hour}/{file}'
  amp-load --prefix raw/ --manifest-prefix _manifests/
  amp-load --endpoint-url http://127.0.0.1:9000 --bucket lake
  amp-load --restore --state-prefix _state/      on a new machine: learn from the bucket what others did
  amp-load --verify --days 7                     compare what was loaded with what the bucket holds
  amp-load --verify --heal                       and have amp-extract fetch again what is missing or different";

pub(crate) const ACCESS_KEY: Setting = Setting::variable(&["AWS_ACCESS_KEY"], "the AWS access key");
pub(crate) const SECRET_KEY: Setting = Setting::variable(&["AWS_SECRET_KEY"], "the AWS secret key");
pub(crate) const SESSION_TOKEN: Setting = Setting::variable(&["AWS_SESSION_TOKEN"], "the AWS session token");
pub(crate) const BUCKET: Setting = Setting::flag("--bucket", "Bucket to load into").env(&["AWS_BUCKET_NAME"]);
pub(crate) const REGION: Setting = Setting::flag("--aws-region", "AWS region")
    .env(&["AWS_REGION", "AWS_DEFAULT_REGION"])
    .default("the profile's, then us-east-1");
pub(crate) const ENDPOINT: Setting = Setting::flag("--endpoint-url", "S3 endpoint that is not Amazon's")
    .env(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]);
pub(crate) const ADDRESSING: Setting =
    Setting::flag("--addressing", "Bucket's name in the path or before the host: auto, path or virtual")
        .env(&["AMP_ADDRESSING"])
        .default("auto");
pub(crate) const OWNER: Setting =
    Setting::flag("--expected-bucket-owner", "Account that must own the bucket, 12 digits; every call says so")
        .env(&["AMP_EXPECTED_BUCKET_OWNER"]);
pub(crate) const ALLOW_HTTP: Setting =
    Setting::flag("--allow-http", "Accept an endpoint of plain http that is not on this machine")
        .env(&["AMP_ALLOW_HTTP"]);
pub(crate) const PREFIX: Setting =
    Setting::flag("--prefix", "Prepended verbatim to every key; end with / for a folder").env(&["AMP_S3_PREFIX"]);
pub(crate) const TEMPLATE: Setting = Setting::flag(
    "--key-template",
    "Key of a file, of {file} {project} {date} {year} {month} {day} {hour} {part} {ext}",
)
.env(&["AMP_KEY_TEMPLATE"])
.default("{file}");
pub(crate) const MANIFESTS: Setting =
    Setting::flag("--manifest-prefix", "Put a manifest of each whole day at P/YYYY-MM-DD.json; P may have {project}")
        .env(&["AMP_MANIFEST_PREFIX"]);
pub(crate) const STATE: Setting =
    Setting::flag("--state-prefix", "Keep the state of .amp/ below P in the bucket, so that it outlives this machine")
        .env(&["AMP_STATE_PREFIX"]);
pub(crate) const IF_EXISTS: Setting =
    Setting::flag("--if-exists", "When the key exists: overwrite, skip (if size and checksum are the same) or fail")
        .default("overwrite");
pub(crate) const CONCURRENCY: Setting = Setting::flag(
    "--concurrency",
    "Requests at the same time: a number, or auto, which grows from 16 to 256 while that pays",
)
.env(&["AMP_CONCURRENCY"])
.default("auto");
pub(crate) const CHECKSUM: Setting =
    Setting::flag("--checksum", "Checksum sent and compared: crc64nvme, crc32c or sha256").default("crc64nvme");
pub(crate) const MULTIPART_THRESHOLD: Setting =
    Setting::flag("--multipart-threshold", "Files above this size go in parts").default("64MiB");
pub(crate) const STORAGE_CLASS: Setting =
    Setting::flag("--storage-class", "Storage class of the objects, such as STANDARD_IA");
pub(crate) const SSE: Setting = Setting::flag("--sse", "Server-side encryption: AES256 or aws:kms");
pub(crate) const TAGS: Setting =
    Setting::flag("--tags", "Tags of the objects: k=v&k2=v2, percent-encoded").env(&["AMP_TAGS"]);
pub(crate) const ACL: Setting =
    Setting::flag("--acl", "Canned ACL of the objects, such as bucket-owner-full-control").env(&["AMP_ACL"]);
pub(crate) const DAYS: Setting =
    Setting::flag("--days", "Days that --verify or --restore looks back").default("30, with --restore 35");
pub(crate) const READ_DATA: Setting = Setting::flag(
    "--read-data",
    "With --verify, read all objects back, or a random share of them in percent, and compare their bytes",
);

/// The canned ACLs that S3 has for objects.
pub(crate) const CANNED_ACLS: [&str; 7] = [
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
];

/// The storage classes that S3 has.
pub(crate) const STORAGE_CLASSES: [&str; 9] = [
    "STANDARD",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER_IR",
    "GLACIER",
    "DEEP_ARCHIVE",
    "REDUCED_REDUNDANCY",
    "EXPRESS_ONEZONE",
];

/// Loads what lies in extracted_data/ into an S3 bucket and deletes each file once S3 has confirmed it.
///
/// A file is deleted only when S3 answered with success and the checksum it stored is the one computed from the file's bytes.
/// Credentials are AWS_ACCESS_KEY and AWS_SECRET_KEY, in the environment or in .env, or else what the AWS SDK finds
/// (profiles, SSO, container and instance roles); never the command line.
#[derive(Debug, Parser)]
#[command(name = "amp-load", version, args_override_self = true, allow_negative_numbers = true, after_help = MORE_HELP, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Args {
    #[arg(long, help = BUCKET.help(), value_name = "NAME", help_heading = "Bucket")]
    pub(crate) bucket: Option<String>,
    #[arg(long, help = REGION.help(), value_name = "REGION", help_heading = "Bucket")]
    pub(crate) aws_region: Option<String>,
    #[arg(long, help = ENDPOINT.help(), value_name = "URL", help_heading = "Bucket")]
    pub(crate) endpoint_url: Option<String>,
    #[arg(long, help = ADDRESSING.help(), value_name = "HOW", value_parser = Choices(&["auto", "path", "virtual"]), help_heading = "Bucket", hide_short_help = true)]
    pub(crate) addressing: Option<String>,
    #[arg(long, help = OWNER.help(), value_name = "ID", help_heading = "Bucket", hide_short_help = true)]
    pub(crate) expected_bucket_owner: Option<String>,
    #[arg(long, help = ALLOW_HTTP.help(), help_heading = "Bucket", hide_short_help = true)]
    pub(crate) allow_http: bool,

    #[arg(long, help = PREFIX.help(), value_name = "P", help_heading = "Keys")]
    pub(crate) prefix: Option<String>,
    #[arg(long, help = TEMPLATE.help(), value_name = "T", help_heading = "Keys")]
    pub(crate) key_template: Option<String>,
    #[arg(long, help = MANIFESTS.help(), value_name = "P", help_heading = "Keys")]
    pub(crate) manifest_prefix: Option<String>,
    #[arg(long, help = STATE.help(), value_name = "P", help_heading = "Keys")]
    pub(crate) state_prefix: Option<String>,
    #[arg(long, help = IF_EXISTS.help(), value_name = "WHAT", value_parser = Choices(&["overwrite", "skip", "fail"]), help_heading = "Keys")]
    pub(crate) if_exists: Option<String>,

    #[arg(long, help = CONCURRENCY.help(), value_name = "auto|N", help_heading = "Uploads", hide_short_help = true)]
    pub(crate) concurrency: Option<String>,
    #[arg(long, help = CHECKSUM.help(), value_name = "NAME", value_parser = Choices(&["crc64nvme", "crc32c", "sha256"]), help_heading = "Uploads", hide_short_help = true)]
    pub(crate) checksum: Option<String>,
    #[arg(long, help = MULTIPART_THRESHOLD.help(), value_name = "BYTES", help_heading = "Uploads", hide_short_help = true)]
    pub(crate) multipart_threshold: Option<String>,
    #[arg(long, help = STORAGE_CLASS.help(), value_name = "CLASS", value_parser = Choices(&STORAGE_CLASSES), help_heading = "Uploads", hide_short_help = true)]
    pub(crate) storage_class: Option<String>,
    #[arg(long, help = SSE.help(), value_name = "SSE", value_parser = Choices(&["AES256", "aws:kms"]), help_heading = "Uploads", hide_short_help = true)]
    pub(crate) sse: Option<String>,
    /// KMS key for --sse aws:kms
    #[arg(long, value_name = "KEY", help_heading = "Uploads", hide_short_help = true)]
    pub sse_kms_key_id: Option<String>,
    #[arg(long, help = TAGS.help(), value_name = "TAGS", help_heading = "Uploads", hide_short_help = true)]
    pub(crate) tags: Option<String>,
    #[arg(long, help = ACL.help(), value_name = "NAME", value_parser = Choices(&CANNED_ACLS), help_heading = "Uploads", hide_short_help = true)]
    pub(crate) acl: Option<String>,
    /// Keep files that S3 confirmed
    #[arg(long, help_heading = "Uploads")]
    pub keep_local: bool,
    /// Also upload files changed since amp-extract unpacked them
    #[arg(long, help_heading = "Uploads", hide_short_help = true)]
    pub accept_modified: bool,

    /// Go on loading while an amp-extract is at work, and end when it has ended
    ///
    /// Waits up to 60 s for one to begin. With amp-extract --max-staged, a backfill of years needs a small disk:
    /// amp-load --follow & amp-extract --last 52w --max-staged 10G; wait
    #[arg(long, conflicts_with_all = ["verify", "check"], help_heading = "Uploads")]
    pub follow: bool,

    /// Upload nothing: compare the objects of earlier loads with the bucket
    #[arg(long, conflicts_with = "check", help_heading = "Verification")]
    pub verify: bool,
    /// Upload no file: bring the state below --state-prefix back into .amp/
    #[arg(long, conflicts_with_all = ["verify", "dry_run", "follow"], help_heading = "Verification")]
    pub restore: bool,
    #[arg(long, help = DAYS.help(), value_name = "N", help_heading = "Verification", hide_short_help = true)]
    pub(crate) days: Option<String>,
    #[arg(long, help = READ_DATA.help(), value_name = "PERCENT", num_args = 0..=1, require_equals = true, default_missing_value = "100", requires = "verify", help_heading = "Verification", hide_short_help = true)]
    pub(crate) read_data: Option<String>,
    /// With --verify, record what is missing or different as lost, so that amp-extract fetches its hours again
    #[arg(long, requires = "verify", help_heading = "Verification", hide_short_help = true)]
    pub heal: bool,

    #[command(flatten)]
    #[expect(missing_docs, reason = "its fields say it")]
    pub common: CommonArgs,
}

impl Args {
    /// What to write instead of an argument that is not one of these: for those of the AWS command line, what serves the same.
    pub fn instead_of(unknown: &str) -> Option<&'static str> {
        match unknown {
            "--profile" => Some("set AWS_PROFILE, in the environment or in .env"),
            "--recursive" | "--dryrun" => Some("all of extracted_data/ is loaded; '--dry-run' shows what would be"),
            "--date" | "--start" | "--end" | "--last" => {
                Some("a window is for amp-extract; amp-load loads all that is staged")
            }
            _ if unknown.starts_with("s3://") => {
                Some("'--bucket NAME' names the bucket, '--prefix FOLDER/' a folder in it")
            }
            _ => None,
        }
    }
}

impl AsRef<CommonArgs> for Args {
    fn as_ref(&self) -> &CommonArgs {
        &self.common
    }
}
