//! The command line as typed.

use amp_cli::{Choices, CommonArgs, EXIT_CODES, MORE_HELP};
use clap::Parser;

use crate::settings::{CANNED_ACLS, STORAGE_CLASSES};

const EXAMPLES: &str = "\
Examples:
  amp-load                                       load all of extracted_data/ and delete what S3 confirmed
  amp-load --dry-run                             which file would become which object
  amp-load --prefix raw/ --key-template 'events/project={project}/date={date}/hour={hour}/{file}'
  amp-load --prefix raw/ --manifest-prefix _manifests/
  amp-load --endpoint-url http://127.0.0.1:9000 --bucket lake
  amp-load --verify --days 7                     compare what was loaded with what the bucket holds";

/// Loads what lies in extracted_data/ into an S3 bucket and deletes each file once S3 has confirmed it.
///
/// A file is deleted only when S3 answered with success and the checksum it stored is the one computed from the file's bytes.
/// Credentials are AWS_ACCESS_KEY and AWS_SECRET_KEY, in the environment or in .env, or else what the AWS SDK finds
/// (profiles, SSO, container and instance roles); never the command line.
#[derive(Debug, Parser)]
#[command(name = "amp-load", version, args_override_self = true, after_help = MORE_HELP, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Args {
    /// Bucket to load into [env: AWS_BUCKET_NAME]
    #[arg(long, value_name = "NAME", help_heading = "Bucket")]
    pub bucket: Option<String>,
    /// AWS region [env: AWS_REGION, AWS_DEFAULT_REGION] [default: the profile's, then us-east-1]
    #[arg(long, value_name = "REGION", help_heading = "Bucket")]
    pub aws_region: Option<String>,
    /// S3 endpoint that is not Amazon's [env: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL]
    #[arg(long, value_name = "URL", help_heading = "Bucket")]
    pub endpoint_url: Option<String>,
    /// Bucket's name in the path or before the host: auto, path or virtual [env: AMP_ADDRESSING] [default: auto]
    #[arg(long, value_name = "HOW", value_parser = Choices(&["auto", "path", "virtual"]), help_heading = "Bucket", hide_short_help = true)]
    pub addressing: Option<String>,
    /// Account that must own the bucket, 12 digits; every call says so [env: AMP_EXPECTED_BUCKET_OWNER]
    #[arg(long, value_name = "ID", help_heading = "Bucket", hide_short_help = true)]
    pub expected_bucket_owner: Option<String>,
    /// Accept an endpoint of plain http that is not on this machine [env: AMP_ALLOW_HTTP=true]
    #[arg(long, help_heading = "Bucket", hide_short_help = true)]
    pub allow_http: bool,

    /// Prepended verbatim to every key; end with / for a folder [env: AMP_S3_PREFIX]
    #[arg(long, value_name = "P", help_heading = "Keys")]
    pub prefix: Option<String>,
    /// Key of a file, of {file} {project} {date} {year} {month} {day} {hour} {part} {ext} [env: AMP_KEY_TEMPLATE] [default: {file}]
    #[arg(long, value_name = "T", help_heading = "Keys")]
    pub key_template: Option<String>,
    /// Put a manifest of each whole day at P/YYYY-MM-DD.json, after its files [env: AMP_MANIFEST_PREFIX]
    #[arg(long, value_name = "P", help_heading = "Keys")]
    pub manifest_prefix: Option<String>,
    /// When the key exists: overwrite, skip (if size and checksum are the same) or fail [default: overwrite]
    #[arg(long, value_name = "WHAT", value_parser = Choices(&["overwrite", "skip", "fail"]), help_heading = "Keys")]
    pub if_exists: Option<String>,

    /// Files and parts uploaded at the same time [env: AMP_CONCURRENCY] [default: 16]
    #[arg(long, value_name = "N", help_heading = "Uploads", hide_short_help = true)]
    pub concurrency: Option<String>,
    /// Checksum sent and compared: crc64nvme, crc32c or sha256 [default: crc64nvme]
    #[arg(long, value_name = "NAME", value_parser = Choices(&["crc64nvme", "crc32c", "sha256"]), help_heading = "Uploads", hide_short_help = true)]
    pub checksum: Option<String>,
    /// Files above this size go in parts [default: 64MiB]
    #[arg(long, value_name = "BYTES", help_heading = "Uploads", hide_short_help = true)]
    pub multipart_threshold: Option<String>,
    /// Storage class of the objects, such as STANDARD_IA
    #[arg(long, value_name = "CLASS", value_parser = Choices(&STORAGE_CLASSES), help_heading = "Uploads", hide_short_help = true)]
    pub storage_class: Option<String>,
    /// Server-side encryption: AES256 or aws:kms
    #[arg(long, value_name = "SSE", value_parser = Choices(&["AES256", "aws:kms"]), help_heading = "Uploads", hide_short_help = true)]
    pub sse: Option<String>,
    /// KMS key for --sse aws:kms
    #[arg(long, value_name = "KEY", help_heading = "Uploads", hide_short_help = true)]
    pub sse_kms_key_id: Option<String>,
    /// Tags of the objects: k=v&k2=v2, percent-encoded [env: AMP_TAGS]
    #[arg(long, value_name = "TAGS", help_heading = "Uploads", hide_short_help = true)]
    pub tags: Option<String>,
    /// Canned ACL of the objects, such as bucket-owner-full-control [env: AMP_ACL]
    #[arg(long, value_name = "NAME", value_parser = Choices(&CANNED_ACLS), help_heading = "Uploads", hide_short_help = true)]
    pub acl: Option<String>,
    /// Keep files that S3 confirmed
    #[arg(long, help_heading = "Uploads")]
    pub keep_local: bool,
    /// Also upload files changed since amp-extract unpacked them
    #[arg(long, help_heading = "Uploads", hide_short_help = true)]
    pub accept_modified: bool,

    /// Upload nothing: compare the objects of earlier loads with the bucket
    #[arg(long, help_heading = "Verification")]
    pub verify: bool,
    /// Days of loads that --verify looks at [default: 30]
    #[arg(long, value_name = "N", requires = "verify", help_heading = "Verification", hide_short_help = true)]
    pub days: Option<String>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "its fields say it")]
    pub common: CommonArgs,
}

impl AsRef<CommonArgs> for Args {
    fn as_ref(&self) -> &CommonArgs {
        &self.common
    }
}
