//! What people see, as files in `snapshots/`: a change of words is a diff there. `docs/testing.md` says how they are updated.

use std::path::Path;

use amp_sandbox::snapshot;

use crate::support::{BUCKET, FILES, Lab, end};

/// What `args` print.
fn transcript(lab: &Lab, variables: &[(&str, &str)], args: &[&str]) -> String {
    let mut command = lab.bare(args);
    command.envs(lab.server.env(BUCKET)).env("AMP_RETRY_BASE", "5ms").envs(variables.iter().copied());
    let ended = end(command);
    snapshot::transcript("amp-load", variables, args, (&ended.stdout, &ended.stderr, ended.code))
}

/// Compares what `args` print with the snapshot of that name.
fn check(name: &str, lab: &Lab, args: &[&str]) -> Option<String> {
    departure(name, lab, &transcript(lab, &[], args))
}

fn departure(name: &str, lab: &Lab, printed: &str) -> Option<String> {
    let url = lab.server.endpoint_url();
    let (host, dir) = (url.trim_start_matches("http://"), lab.path(""));
    let masks = [
        (url.as_str(), "URL"),
        (host, "HOST"),
        (dir.to_str().unwrap().trim_end_matches('/'), "DIR"),
        (env!("CARGO_PKG_VERSION"), "VERSION"),
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots").join(format!("{name}.txt"));
    snapshot::departure(&path, printed, &masks)
}

#[test]
fn what_people_see_is_as_it_was_reviewed() {
    let cases = [
        ("help_short", "", vec!["-h"]),
        ("help_long", "", vec!["--help"]),
        ("complete", "", vec!["--prefix", "raw/"]),
        ("dry_run", "", vec!["--dry-run", "--key-template", "date={date}/{file}"]),
        ("check", "", vec!["--check", "--prefix", "raw/", "--manifest-prefix", "_manifests", "--tags", "a=b"]),
        ("exit_2_collision", "", vec!["--key-template", "{project}/{year}"]),
        ("exit_1_exists", "", vec!["--if-exists", "fail"]),
        (
            "exit_2_settings",
            "",
            vec![
                "--bucket",
                "s3://lake/x",
                "--concurrency",
                "-1",
                "--checksum",
                "md5",
                "--key-template",
                "{yyyy}/{file}",
            ],
        ),
        ("exit_2_flag", "", vec!["--buckt", "lake"]),
        ("exit_3_no_bucket", "", vec!["--bucket", "pond"]),
        ("exit_3_denied", "op=PutObject:status=403,code=AccessDenied", vec!["--concurrency", "1"]),
        ("exit_3_check", "op=CreateMultipartUpload:status=403,code=AccessDenied", vec!["--check"]),
        ("exit_75_outage", "op=HeadBucket:status=503,code=SlowDown", vec!["--max-retries", "0"]),
    ];
    let mut departures: Vec<String> = Vec::new();
    for (name, rule, args) in cases {
        let lab = Lab::new();
        match name {
            // Which of several is refused first is chance.
            "exit_3_denied" => lab.stage(FILES[0], b"{}\n"),
            _ => lab.stage_all(),
        }
        if name == "exit_1_exists" {
            lab.server.put_object_directly(BUCKET, FILES[0], b"another").unwrap();
        }
        if !rule.is_empty() {
            lab.rule(rule);
        }
        departures.extend(check(name, &lab, &args));
    }
    let lab = Lab::staged();
    lab.run(&[]);
    departures.extend(check("nothing_to_load", &lab, &[]));
    lab.server.delete_object_directly(BUCKET, FILES[0]);
    departures.extend(check("verify", &lab, &["--verify"]));
    assert!(departures.is_empty(), "{}", departures.join("\n"));
}

/// Variables of the environment and arguments.
type Mistake<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

#[test]
fn each_mistake_is_answered_as_it_was_reviewed() {
    let lab = Lab::new();
    lab.stage(FILES[0], b"{}\n");
    lab.copy_in("notes.json", b"{}\n");
    lab.copy_in("a_file", b"");
    let closed = "http://127.0.0.1:9";
    let amazon = ("AWS_ENDPOINT_URL_S3", "");
    let mistakes: [Mistake<'_>; 41] = [
        (&[], &["--profile", "prod"]),
        (&[], &["--region", "us-east-1"]),
        (&[], &["--dryrun"]),
        (&[], &["s3://lake/raw"]),
        (&[], &["--date", "2025-11-06"]),
        (&[("AWS_BUCKET_NAME", "")], &[]),
        (&[], &["--bucket", "s3://lake"]),
        (&[], &["--bucket", "lake/raw"]),
        (&[], &["--bucket", "arn:aws:s3:::lake"]),
        (&[amazon], &["--bucket", "arn:aws:s3:::lake"]),
        (&[amazon], &["--bucket", "Upper-Case"]),
        (&[("AWS_BUCKET_NAME", "la\nke")], &[]),
        (&[], &["--bucket", "no-such-bucket"]),
        (&[("AWS_SECRET_KEY", "wrong")], &[]),
        (&[("AWS_ACCESS_KEY", "WRONG")], &[]),
        (&[("AWS_ACCESS_KEY", "")], &[]),
        (&[("AWS_SECRET_KEY", "key ")], &[]),
        (&[("AWS_ACCESS_KEY", ""), ("AWS_SECRET_KEY", ""), ("AWS_PROFILE", "prod")], &[]),
        (&[("AWS_ACCESS_KEY", ""), ("AWS_SECRET_KEY", "")], &[]),
        (&[], &["--endpoint-url", "localhost:9000"]),
        (&[], &["--endpoint-url", "minio.internal"]),
        (&[], &["--endpoint-url", "http://minio.internal"]),
        (&[], &["--endpoint-url", closed, "--max-retries", "0"]),
        (&[], &["--dry-run", "--prefix", "/raw/"]),
        (&[], &["--dry-run", "--prefix", "s3://lake/raw/"]),
        (&[], &["--dry-run", "--prefix", "raw"]),
        (&[("AMP_S3_PREFIX", "raw/\n")], &["--dry-run"]),
        (&[], &["--dry-run", "--key-template", "{yyyy}/{file}"]),
        (&[], &["--dry-run", "--key-template", "{file"]),
        (&[], &["--dry-run", "--key-template", "all"]),
        (&[], &["--dry-run", "--key-template", "{date}/{file}"]),
        (&[], &["--dry-run", "--storage-class", "GLACIERR"]),
        (&[], &["--dry-run", "--sse", "kms"]),
        (&[], &["--dry-run", "--sse", "AES256", "--sse-kms-key-id", "k"]),
        (&[], &["--dry-run", "--extracted-dir", "nowhere"]),
        (&[], &["--dry-run", "--extracted-dir", "~/nowhere"]),
        (&[], &["--extracted-dir", "extracted_data/a_file"]),
        (&[], &["--days", "3"]),
        (&[], &["--heal"]),
        (&[], &["--state-prefix", "raw/state", "--prefix", "raw/"]),
        (
            &[],
            &[
                "--checksum",
                "md5",
                "--if-exists",
                "never",
                "--concurrency",
                "0",
                "--multipart-threshold",
                "1",
                "--acl",
                "all",
            ],
        ),
    ];
    let printed: String = mistakes.iter().map(|(variables, args)| transcript(&lab, variables, args)).collect();
    assert_eq!(departure("mistakes", &lab, &printed), None);
}
