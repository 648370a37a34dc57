//! Settings from the environment, `.env` and files, and mistakes in them: told at once, before anything is asked of S3.

use std::fs;

use crate::support::{BUCKET, Ended, Lab, end};

/// What the program says under these names in its environment, beside what it needs.
fn with(lab: &Lab, environment: &[(&str, &str)], args: &[&str]) -> Ended {
    let mut command = lab.command(args);
    command.envs(environment.iter().copied());
    end(command)
}

#[test]
fn aws_keys_come_from_files_too() {
    let lab = Lab::staged();
    fs::write(lab.path("access"), format!("{}\n", lab.server.config().access_key)).unwrap();
    fs::write(lab.path("aws_secret_key"), format!("{}\n", lab.server.config().secret_key)).unwrap();
    let mut command = lab.command(&[]);
    command.env_remove("AWS_ACCESS_KEY").env_remove("AWS_SECRET_KEY");
    command.env("AWS_ACCESS_KEY_FILE", "access").env("CREDENTIALS_DIRECTORY", lab.path("."));
    assert_eq!(end(command).counts(), (0, [3, 3, 0, 0, 3]));
}

#[test]
fn names_with_a_line_end_or_a_blank_are_refused_before_the_sdk_sees_them() {
    let lab = Lab::staged();
    for name in [
        "AWS_SESSION_TOKEN",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_BUCKET_NAME",
    ] {
        for value in ["hunter2\n", " hunter2", "'hunter2'"] {
            let ended = with(&lab, &[(name, value)], &[]);
            assert_eq!(ended.code, Some(2), "{name} {ended:?}");
            assert!(ended.error(0).starts_with(&format!("{name}: it has a ")), "{ended:?}");
            assert!(!format!("{ended:?}").contains("hunter2"), "{ended:?}");
        }
    }
    fs::write(lab.path(".env"), "AWS_SESSION_TOKEN=\"hunter2\n\"\n").unwrap();
    let ended = with(&lab, &[], &["--bucket", BUCKET]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.error(0).contains("AWS_SESSION_TOKEN in ") && ended.error(0).contains(".env"), "{ended:?}");
    assert!(lab.server.requests().is_empty());
}

#[test]
fn how_other_tools_retry_is_their_business() {
    let lab = Lab::staged();
    fs::write(lab.path("aws-config"), "[default]\nretry_mode = legacy\nmax_attempts = many\n").unwrap();
    let config = lab.path("aws-config").display().to_string();
    for (name, value) in
        [("AWS_RETRY_MODE", "adaptive"), ("AWS_MAX_ATTEMPTS", "x\n"), ("AWS_CONFIG_FILE", config.as_str())]
    {
        let ended = with(&lab, &[(name, value)], &[]);
        assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
        lab.stage_all();
    }
}

#[test]
fn half_a_pair_of_the_sdks_names_is_told() {
    let lab = Lab::staged();
    for (set, missing) in
        [("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")]
    {
        let mut command = lab.command(&[]);
        command.env_remove("AWS_ACCESS_KEY").env_remove("AWS_SECRET_KEY").env(set, "AKIA");
        let ended = end(command);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.error(0).starts_with(missing), "{ended:?}");
        assert_eq!(with(&lab, &[(set, "AKIA")], &[]).code, Some(0), "our own names go before");
        lab.stage_all();
    }
}

#[test]
fn names_that_no_bucket_can_have_are_refused_before_anything_is_asked() {
    let lab = Lab::staged();
    let amazon = [("AWS_ENDPOINT_URL_S3", "https://s3.eu-west-1.amazonaws.com")];
    for (name, says) in [
        ("arn:aws:s3:::amplitude-lake", "is not the ARN of an access point"),
        ("Upper-Case", "only lower-case letters"),
        ("ab", "3 to 63 characters"),
        ("lake-", "must begin and end with a letter or digit"),
        ("la..ke", "without two dots together"),
        ("10.0.0.1", "must not be an IP address"),
        ("lake/raw", "--prefix"),
    ] {
        let ended = with(&lab, &amazon, &["--bucket", name]);
        assert_eq!(ended.code, Some(2), "{name} {ended:?}");
        assert!(ended.error(0).starts_with("--bucket: ") && ended.error(0).contains(says), "{ended:?}");
    }
    let point = "arn:aws:s3:eu-west-1:123456789012:accesspoint/lake";
    assert_eq!(with(&lab, &amazon, &["--bucket", point, "--dry-run"]).code, Some(0));
    let elsewhere = with(&lab, &[], &["--bucket", point]);
    assert!(elsewhere.code == Some(2) && elsewhere.error(0).contains("only Amazon's S3 has"), "{elsewhere:?}");
    assert_eq!(with(&lab, &[], &["--bucket", "Upper_Case", "--dry-run"]).code, Some(0), "other servers have them");
    assert!(lab.server.requests().is_empty());
}

#[test]
fn values_stand_in_help_and_in_completions() {
    let lab = Lab::new();
    for args in [&["--help"][..], &["--completions", "bash"], &["--completions", "zsh"], &["--completions", "fish"]] {
        let said = end(lab.bare(args)).stdout;
        for value in ["virtual", "overwrite", "crc64nvme", "aws:kms", "GLACIER_IR", "bucket-owner-read"] {
            assert!(said.replace('\\', "").contains(value), "{args:?}: {value}");
        }
    }
}

#[test]
fn what_is_likely_to_be_a_mistake_is_warned_about() {
    let lab = Lab::staged();
    for (args, says) in [
        (&["--prefix", "/raw/"][..], "keys will begin with /"),
        (&["--prefix", "s3://lake/raw/"], "keys will begin with `s3://`"),
        (&["--key-template", "/{file}"], "keys will begin with /"),
        (&["--storage-class", "GLACIERR"], "--storage-class: Amazon's S3 has no `GLACIERR`"),
    ] {
        let ended = with(&lab, &[], &[args, &["--dry-run"]].concat());
        assert!(ended.code == Some(0) && ended.stderr.contains(says), "{says}: {ended:?}");
    }
    let ended = with(&lab, &[("AMP_CONCURENCY", "2")], &["--dry-run"]);
    assert!(ended.stderr.contains("did you mean AMP_CONCURRENCY?"), "{ended:?}");
}
