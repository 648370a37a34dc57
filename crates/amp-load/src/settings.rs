//! What the command line, the environment and `.env` mean together.

mod bucket_name;
mod object_options;

use amp_cli::settings::{
    Resolver, Setting, parse_bool, parse_bytes, parse_endpoint, parse_number, parse_parallelism, parse_plain,
};
use amp_cli::{OutputFormat, Resolved};
use amp_core::receipt::Algorithm;
use chrono::{DateTime, Utc};

use crate::args::{
    ACCESS_KEY, ADDRESSING, ALLOW_HTTP, Args, BUCKET, CHECKSUM, CONCURRENCY, DAYS, ENDPOINT, IF_EXISTS, MANIFESTS,
    MULTIPART_THRESHOLD, OWNER, PREFIX, READ_DATA, REGION, SECRET_KEY, SESSION_TOKEN, STATE, TEMPLATE,
};
use crate::key::KeyTemplate;
use crate::manifest::ManifestPrefix;
use crate::state::StatePrefix;
use crate::store::{Addressing, BucketConfig, ObjectOptions, StaticCredentials};
use crate::upload::Concurrency;

/// The settings of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the bucket is and who asks.
    pub bucket: BucketConfig,
    /// How a file's name becomes a key.
    pub keys: KeyTemplate,
    /// Where the manifests of whole days go; `None`: there are none.
    pub manifest_prefix: Option<ManifestPrefix>,
    /// Where the state of the ledger is kept in the bucket; `None`: nowhere.
    pub state_prefix: Option<StatePrefix>,
    /// What to do about a key that exists.
    pub if_exists: IfExists,
    /// How many requests are under way at the same time.
    pub concurrency: Concurrency,
    /// The checksum that is sent and compared.
    pub checksum: Algorithm,
    /// Files above this size go in parts.
    pub multipart_threshold: u64,
    /// How objects are stored.
    pub object_options: ObjectOptions,
    /// Whether confirmed files stay.
    pub keep_local: bool,
    /// Whether files are uploaded that changed since they were unpacked.
    pub accept_modified: bool,
    /// Whether files are loaded for as long as an amp-extract stages them.
    pub follow: bool,
    /// Set when nothing is to be uploaded, and earlier loads are to be compared with the bucket.
    pub verify: Option<VerifyOptions>,
    /// Days of state to bring back, instead of uploading.
    pub restore_days: Option<u32>,
}

/// What to do about a key that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// Replace the object.
    Overwrite,
    /// Leave the object when it has the file's size and checksum.
    Skip,
    /// Leave the object and count the file as failed.
    Fail,
}

/// What the AWS SDK reads by itself.
const READ_BY_THE_SDK: [&str; 12] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
];

/// The largest object that S3 takes in one request.
const MAX_PUT_BYTES: u64 = 5 << 30;

/// How earlier loads are compared with the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyOptions {
    /// As many days of loads, back from now.
    pub days: u32,
    /// As many of a hundred objects are read back.
    pub read_percent: Option<u32>,
    /// Whether what is missing or different is recorded as lost.
    pub heal: bool,
}

impl Settings {
    /// What `args`, the environment and `.env` say; what is wrong is noted in `resolver`.
    pub fn resolve(args: &Args, resolver: &mut Resolver, _now: DateTime<Utc>) -> Option<Resolved<Self>> {
        if args.common.output == OutputFormat::Html {
            resolver.problem("--output html is for amp-extract --status; write text or json".to_owned());
        }
        let bucket = resolve_bucket(args, resolver);
        let keys = resolve_keys(args, resolver);
        let manifest_prefix =
            resolver.optional(&MANIFESTS, args.manifest_prefix.as_deref(), |text| match (ManifestPrefix::parse(text), &keys) {
                (_, Some(keys)) if !keys.separates_days() => Err(format!(
                    "no manifest can vouch for a day's objects under the key template `{keys}`, by which those of another day may take \
                     their place; use one with {{file}} or {{date}}"
                )),
                (prefix, _) => prefix.map_err(|error| error.to_string()),
            });
        let state_prefix = resolver.optional(&STATE, args.state_prefix.as_deref(), |text| {
            let prefix = StatePrefix::parse(text)?;
            keys.as_ref().map_or(Ok(()), |keys| prefix.check(keys, manifest_prefix.as_ref()))?;
            Ok::<_, String>(prefix)
        });
        if args.restore && resolver.text(&STATE, args.state_prefix.as_deref()).is_none() {
            resolver.problem(
                "--restore needs the prefix below which the state is kept: give --state-prefix or set AMP_STATE_PREFIX",
            );
        }
        if args.days.is_some() && !args.verify && !args.restore {
            resolver.problem("--days says how far --verify or --restore looks back; give one of them too");
        }
        let concurrency = resolver.value(&CONCURRENCY, args.concurrency.as_deref(), |text| match text {
            "auto" => Ok(Concurrency::Auto),
            number => parse_parallelism(number).map(Concurrency::Fixed).map_err(|error| format!("{error}, or auto")),
        });
        let if_exists = resolver.value(&IF_EXISTS, args.if_exists.as_deref(), |text| match text {
            "overwrite" => Ok(IfExists::Overwrite),
            "skip" => Ok(IfExists::Skip),
            "fail" => Ok(IfExists::Fail),
            _ => Err(format!("`{text}` is neither overwrite nor skip nor fail")),
        });
        let checksum = resolver.value(&CHECKSUM, args.checksum.as_deref(), |text| match text {
            "crc64nvme" => Ok(Algorithm::Crc64nvme),
            "crc32c" => Ok(Algorithm::Crc32c),
            "sha256" => Ok(Algorithm::Sha256),
            _ => Err(format!("`{text}` is neither crc64nvme nor crc32c nor sha256")),
        });
        let multipart_threshold = resolver.value(&MULTIPART_THRESHOLD, args.multipart_threshold.as_deref(), |text| {
            match parse_bytes(text)? {
                bytes if bytes > MAX_PUT_BYTES => Err("S3 takes at most 5GiB in one part".to_owned()),
                bytes => Ok(bytes),
            }
        });
        let object_options = object_options::resolve(args, resolver);
        let days = resolver.optional(&DAYS, args.days.as_deref(), |text| parse_number(text, 1));
        let read_percent = resolver.optional(&READ_DATA, args.read_data.as_deref(), |text| {
            parse_number(text, 1).and_then(|percent| match percent {
                1..=100 => Ok(percent),
                _ => Err(format!("`{text}` is more than all; expected 1 to 100 percent")),
            })
        });
        let settings = Self {
            bucket: bucket?,
            keys: keys?,
            manifest_prefix,
            state_prefix,
            if_exists: if_exists?,
            concurrency: concurrency?,
            checksum: checksum?,
            multipart_threshold: multipart_threshold?,
            object_options,
            keep_local: args.keep_local,
            accept_modified: args.accept_modified,
            follow: args.follow,
            verify: args.verify.then_some(VerifyOptions { days: days.unwrap_or(30), read_percent, heal: args.heal }),
            restore_days: args.restore.then_some(days.unwrap_or(35)),
        };
        Some(Resolved { settings, log_subject: (!args.common.dry_run).then(String::new) })
    }
}

fn resolve_bucket(args: &Args, resolver: &mut Resolver) -> Option<BucketConfig> {
    let named = resolver.text(&BUCKET, args.bucket.as_deref()).is_some();
    if !named && !args.common.dry_run {
        resolver.missing(&BUCKET, "the bucket");
    }
    let credentials = match (resolver.secret(&ACCESS_KEY), resolver.secret(&SECRET_KEY)) {
        (Some(access_key), Some(secret_key)) => {
            // Keys that last begin with AKIA and have no token: one that is set belongs to others.
            let is_lasting = access_key.expose().starts_with("AKIA");
            let session_token = resolver.secret(&SESSION_TOKEN).filter(|_| !is_lasting);
            Some(StaticCredentials { access_key, secret_key, session_token })
        }
        (None, None) => None,
        (access, _) => {
            let (set, unset) = if access.is_some() { (ACCESS_KEY, SECRET_KEY) } else { (SECRET_KEY, ACCESS_KEY) };
            let names = |setting: &Setting| setting.names().join(", ");
            resolver.problem(format!(
                "{} is set and {} is not: set both, or neither to use AWS's own profiles and roles",
                names(&set),
                names(&unset)
            ));
            None
        }
    };
    let allow_http = args.allow_http || resolver.optional(&ALLOW_HTTP, None, parse_bool).unwrap_or(false);
    let endpoint = resolver.optional(&ENDPOINT, args.endpoint_url.as_deref(), |text| {
        parse_endpoint(text, allow_http).map_err(|error| match parse_endpoint(text, true) {
            Ok(_) => format!("{error}, or give --allow-http if the network between is yours"),
            Err(_) => error,
        })
    });
    let addressing = resolver.value(&ADDRESSING, args.addressing.as_deref(), |text| match text {
        "auto" => Ok(Addressing::Auto),
        "path" => Ok(Addressing::Path),
        "virtual" => Ok(Addressing::Virtual),
        _ => Err(format!("`{text}` is neither auto nor path nor virtual")),
    });
    let bucket = resolver.optional(&BUCKET, args.bucket.as_deref(), |text| bucket_name::parse(text, endpoint.as_ref()));
    let region = resolver.optional(&REGION, args.aws_region.as_deref(), parse_plain);
    let [key_id, secret, ..] = READ_BY_THE_SDK.map(|name| resolver.inspect(name));
    if credentials.is_none() && key_id != secret {
        let half = if key_id { "AWS_SECRET_ACCESS_KEY" } else { "AWS_ACCESS_KEY_ID" };
        resolver.problem(format!("{half} is not set, but the other of the pair is: set both, or neither"));
    }
    let owner = resolver.optional(&OWNER, args.expected_bucket_owner.as_deref(), |text| {
        let is_account = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_account {
            Ok(text.to_owned())
        } else {
            Err(format!("`{text}` is not an AWS account; write its 12 digits"))
        }
    });
    Some(BucketConfig {
        name: bucket.unwrap_or_default(),
        credentials,
        region,
        endpoint,
        addressing: addressing?,
        allow_http,
        owner,
    })
}

fn resolve_keys(args: &Args, resolver: &mut Resolver) -> Option<KeyTemplate> {
    let prefix = resolver.optional(&PREFIX, args.prefix.as_deref(), parse_plain).unwrap_or_default();
    resolver.default(&PREFIX, "empty");
    resolver.value(&TEMPLATE, args.key_template.as_deref(), |text| {
        KeyTemplate::parse(&prefix, &parse_plain(text)?).map_err(|error| error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use amp_cli::settings::SettingsError;
    use clap::Parser;

    fn resolve(words: &[&str], environment: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let args = Args::try_parse_from([&["amp-load"], words].concat()).unwrap();
        let pairs = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut resolver = Resolver::new(pairs, None);
        let resolved = Settings::resolve(&args, &mut resolver, Utc::now());
        resolver.finish().map_err(|SettingsError(problems)| problems)?;
        Ok(resolved.unwrap().settings)
    }

    #[test]
    fn all_that_is_wrong_is_told_together() {
        let words = ["--if-exists", "ask", "--checksum", "md5", "--key-template", "{what}", "--sse-kms-key-id", "k"];
        let problems = resolve(&words, &[("AWS_ACCESS_KEY", "a"), ("AMP_CONCURRENCY", "0")]).unwrap_err();
        for word in ["AWS_BUCKET_NAME", "AWS_SECRET_KEY", "AMP_CONCURRENCY", "ask", "md5", "{what}", "aws:kms"] {
            assert!(problems.iter().any(|problem| problem.contains(word)), "{word}: {problems:?}");
        }
        assert_eq!(problems.len(), 7, "{problems:?}");
    }

    #[test]
    fn credentials_come_in_pairs_and_are_not_shown() {
        let both = [("AWS_BUCKET_NAME", "lake"), ("AWS_ACCESS_KEY", "hunter1"), ("AWS_SECRET_KEY", "hunter2")];
        let settings = resolve(&[], &both).unwrap();
        assert!(settings.bucket.credentials.is_some());
        assert!(!format!("{settings:?}").contains("hunter"));
        assert!(resolve(&[], &both[..1]).unwrap().bucket.credentials.is_none());
        assert!(resolve(&[], &both[..2]).is_err());
        assert!(resolve(&[], &[both[0], both[2], ("AWS_ACCESS_KEY", "")]).is_err());
    }

    #[test]
    fn plain_http_needs_leave_and_the_message_says_so() {
        let minio = ["--bucket", "lake", "--endpoint-url", "http://minio:9000"];
        let problems = resolve(&minio, &[]).unwrap_err();
        assert!(problems[0].contains("--allow-http"), "{problems:?}");
        let settings = resolve(&minio, &[("AMP_ALLOW_HTTP", "true")]).unwrap();
        assert_eq!(settings.bucket.endpoint.unwrap().as_str(), "http://minio:9000/");
    }

    #[test]
    fn a_dry_run_needs_no_bucket_and_a_bucket_is_a_bare_name() {
        assert_eq!(resolve(&["--dry-run"], &[]).unwrap().bucket.name, "");
        assert!(resolve(&[], &[]).is_err());
        assert!(resolve(&["--bucket", "s3://b/x"], &[]).unwrap_err()[0].contains("--prefix"));
        assert!(resolve(&["--bucket", "arn:aws:s3:eu-west-1:123456789012:accesspoint/x"], &[]).is_ok());
    }
}
