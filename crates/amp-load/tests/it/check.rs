//! `--check`: what is wrong is found before the first night, no object is written and no upload is left open.

use std::collections::BTreeMap;
use std::fs;

use amp_sandbox::credentials::{ProcessAnswer, ProcessScript};
use amp_sandbox::s3::S3Op;
use serde_json::Value;

use crate::support::{BUCKET, Ended, Lab, begin, end, ended};

/// The finding of that name.
fn finding<'a>(document: &'a Value, name: &str) -> &'a Value {
    let named = |finding: &&Value| finding["name"] == name;
    document["findings"].as_array().unwrap().iter().find(named).unwrap_or_else(|| panic!("{name}: {document:#}"))
}

/// What was found to be of that level.
fn names(document: &Value, level: &str) -> Vec<String> {
    let of_level = document["findings"].as_array().unwrap().iter().filter(|finding| finding["level"] == level);
    of_level.map(|finding| finding["name"].as_str().unwrap().to_owned()).collect()
}

/// Everything in `extracted_data/` with what it holds.
fn contents(lab: &Lab) -> BTreeMap<String, Vec<u8>> {
    let entries = ["", ".amp", ".amp/hours", ".amp/loads"].map(|dir| fs::read_dir(lab.extracted().join(dir)));
    let files =
        entries.into_iter().flatten().flatten().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    files.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}

fn assert_nothing_written(lab: &Lab) {
    assert_eq!(lab.server.objects(BUCKET).len(), 0);
    assert_eq!(lab.server.open_uploads(BUCKET), []);
    assert_eq!(lab.count(S3Op::PutObject) + lab.count(S3Op::UploadPart) + lab.count(S3Op::CompleteMultipartUpload), 0);
}

fn exits(ended: &Ended, code: i32) -> Value {
    assert_eq!(ended.code, Some(code), "{ended:#?}");
    ended.document()
}

#[test]
fn a_set_up_that_is_right_is_said_to_be_and_nothing_is_changed() {
    let lab = Lab::staged();
    lab.run(&["--dry-run"]);
    let before = contents(&lab);
    let args = [
        "--check",
        "--prefix",
        "raw/",
        "--manifest-prefix",
        "_manifests",
        "--tags",
        "a=b",
        "--acl",
        "private",
        "--sse",
        "aws:kms",
    ];
    let ended = lab.run(&args);
    let document = exits(&ended, 0);
    assert_eq!(names(&document, "failed"), [""; 0]);
    assert_eq!(names(&document, "warning"), [""; 0], "{document:#}");
    for name in [
        "s3:PutObject",
        "s3:PutObjectTagging",
        "s3:PutObjectAcl",
        "kms:GenerateDataKey",
        "s3:AbortMultipartUpload",
        "s3:GetObject",
    ] {
        assert!(finding(&document, name)["message"].as_str().unwrap().contains("s3://lake/raw/*"), "{document:#}");
    }
    assert!(document["findings"].to_string().contains("s3://lake/_manifests/*"), "{document:#}");
    assert_eq!(finding(&document, "credentials")["message"], "from AWS_ACCESS_KEY and AWS_SECRET_KEY");
    assert!(
        !ended.stdout.contains(&lab.server.config().secret_key)
            && !ended.stdout.contains(&lab.server.config().access_key)
    );
    assert_nothing_written(&lab);
    let mut after = contents(&lab);
    after.retain(|path, bytes| !(path.ends_with("load.lock") || path.ends_with("uploads.jsonl") && bytes.is_empty()));
    assert_eq!(after, before);
    assert_eq!(lab.logs(), "");
    let begun = lab.requests(S3Op::CreateMultipartUpload);
    assert_eq!(begun[0].key, "raw/0_2000-01-01_0#0.json");
    assert!(begun[0].headers.iter().any(|(name, value)| name == "x-amz-tagging" && value == "a=b"), "{begun:?}");
}

#[test]
fn the_action_that_is_missing_is_named_and_nothing_is_written() {
    let options = ["--tags", "a=b", "--acl", "private", "--sse", "aws:kms"];
    for (rules, missing) in [
        (&["op=CreateMultipartUpload:status=403,code=AccessDenied"][..], &["s3:PutObject"][..]),
        (&["op=CreateMultipartUpload,header=x-amz-tagging:status=403,code=AccessDenied"], &["s3:PutObjectTagging"]),
        (&["op=CreateMultipartUpload,header=x-amz-acl:status=403,code=AccessDenied"], &["s3:PutObjectAcl"]),
        (
            &["op=CreateMultipartUpload,header=x-amz-server-side-encryption:status=403,code=AccessDenied"],
            &["kms:GenerateDataKey"],
        ),
        (
            &[
                "op=CreateMultipartUpload,header=x-amz-tagging:status=403,code=AccessDenied",
                "op=CreateMultipartUpload,header=x-amz-acl:status=403,code=AccessDenied",
            ],
            &["s3:PutObjectTagging", "s3:PutObjectAcl"],
        ),
        (&["op=AbortMultipartUpload:status=403,code=AccessDenied"], &["s3:AbortMultipartUpload"]),
        (&["op=HeadObject:status=403,code=AccessDenied"], &["s3:GetObject"]),
    ] {
        let lab = Lab::staged();
        rules.iter().for_each(|rule| lab.rule(rule));
        let document = exits(&lab.run(&[&["--check"], &options[..]].concat()), 3);
        assert_eq!(names(&document, "failed"), missing, "{document:#}");
        for action in missing {
            assert!(finding(&document, action)["hint"].as_str().unwrap().contains("s3://lake/*"), "{document:#}");
        }
        assert_nothing_written(&lab);
    }
}

#[test]
fn a_manifest_prefix_that_may_not_be_written_is_found() {
    let lab = Lab::staged();
    lab.rule("op=CreateMultipartUpload,key=_manifests/:status=403,code=AccessDenied");
    let document = exits(&lab.run(&["--check", "--manifest-prefix", "_manifests"]), 3);
    let failed: Vec<_> = document["findings"].as_array().unwrap().iter().filter(|f| f["level"] == "failed").collect();
    assert_eq!(failed.len(), 1, "{document:#}");
    assert!(failed[0]["message"].as_str().unwrap().contains("s3://lake/_manifests/*"), "{document:#}");
    assert_nothing_written(&lab);
}

#[test]
fn what_a_run_can_do_without_is_a_warning() {
    let lab = Lab::staged();
    for op in ["HeadBucket", "ListObjectsV2", "ListMultipartUploads"] {
        lab.rule(&format!("op={op}:status=403,code=AccessDenied"));
    }
    let document = exits(&lab.run(&["--check"]), 0);
    assert_eq!(names(&document, "warning"), ["s3:ListBucket", "s3:ListBucketMultipartUploads"], "{document:#}");
}

#[test]
fn a_check_that_is_killed_leaves_an_upload_that_the_journal_knows() {
    let lab = Lab::staged();
    lab.rule("op=AbortMultipartUpload,nth=2:stall");
    let running = begin(lab.command(&["--check"]));
    lab.wait_for(S3Op::CreateMultipartUpload);
    crate::support::wait_until(|| lab.count(S3Op::AbortMultipartUpload) == 2);
    running.signal("KILL").unwrap();
    drop(running.wait());
    assert_eq!(lab.server.open_uploads(BUCKET).len(), 1);
    lab.server.clear_rules();
    assert_eq!(lab.run(&[]).counts(), (0, [3, 3, 0, 0, 3]));
    assert_eq!(lab.server.open_uploads(BUCKET), []);
}

#[test]
fn a_check_that_is_stopped_aborts_what_it_began() {
    let lab = Lab::staged();
    lab.rule("op=ListMultipartUploads:stall");
    let running = begin(lab.command(&["--check"]));
    lab.wait_for(S3Op::ListMultipartUploads);
    running.signal("TERM").unwrap();
    let document = exits(&ended(running), 143);
    assert_eq!(document["outcome"], "interrupted");
    assert_nothing_written(&lab);
}

#[test]
fn bucket_credentials_and_region_are_said_as_a_run_would() {
    let lab = Lab::new();
    let document = exits(&lab.run(&["--check", "--bucket", "pond"]), 3);
    assert!(finding(&document, "bucket")["message"].as_str().unwrap().contains("NoSuchBucket"), "{document:#}");

    let mut command = lab.command(&["--check"]);
    command.env("AWS_SECRET_KEY", "wrong");
    let document = exits(&end(command), 3);
    assert_eq!(finding(&document, "bucket")["hint"], "check AWS_SECRET_KEY", "{document:#}");

    let mut command = lab.command(&["--check"]);
    command.env_remove("AWS_ACCESS_KEY").env_remove("AWS_SECRET_KEY");
    let document = exits(&end(command), 3);
    assert_eq!(names(&document, "failed"), ["credentials"], "{document:#}");

    let mut command = lab.command(&["--check", "--max-retries", "0"]);
    command.env("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1");
    assert_eq!(names(&exits(&end(command), 75), "failed"), ["bucket"]);

    let mut command = lab.bare(&["--check", "--output", "json"]);
    command.env("AWS_ACCESS_KEY", "a");
    assert_eq!(names(&exits(&end(command), 2), "failed"), ["settings", "settings"]);
}

#[test]
fn who_gave_the_credentials_is_named_and_they_are_not() {
    let lab = Lab::new();
    let server = lab.server.config();
    let keyless = || {
        let mut command = lab.command(&["--check"]);
        command.env_remove("AWS_ACCESS_KEY").env_remove("AWS_SECRET_KEY");
        command
    };
    let mut by_environment = keyless();
    by_environment.env("AWS_ACCESS_KEY_ID", &server.access_key).env("AWS_SECRET_ACCESS_KEY", &server.secret_key);
    let answer =
        ProcessAnswer::Give(amp_sandbox::credentials::Credentials::lasting(&server.access_key, &server.secret_key));
    let script = ProcessScript::write(&lab.path(""), &answer).unwrap();
    let mut by_process = keyless();
    by_process.envs(script.env());
    for (command, source) in [
        (by_environment, "from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"),
        (by_process, "CredentialProcess of the profile"),
    ] {
        let ended = end(command);
        let document = exits(&ended, 0);
        assert!(finding(&document, "credentials")["message"].as_str().unwrap().contains(source), "{document:#}");
        assert!(!ended.stdout.contains(&server.access_key) && !ended.stdout.contains(&server.secret_key), "{ended:?}");
    }
}

#[test]
fn another_amp_load_at_work_is_temporary() {
    let lab = Lab::staged();
    lab.rule("op=PutObject:stall");
    let running = begin(lab.command(&[]));
    lab.wait_for(S3Op::PutObject);
    let document = exits(&lab.run(&["--check"]), 75);
    assert_eq!(names(&document, "failed"), ["lock"], "{document:#}");
    running.signal("INT").unwrap();
    drop(running.wait());
}

#[test]
fn files_that_can_have_no_key_are_found() {
    let lab = Lab::new();
    lab.copy_in("notes.json", b"{}\n");
    let document = exits(&lab.run(&["--check", "--key-template", "date={date}/{file}"]), 0);
    assert!(finding(&document, "files")["message"].as_str().unwrap().contains("notes.json"), "{document:#}");
}

#[test]
fn the_state_is_tried_as_it_is_written_encrypted_and_in_the_default_class() {
    let lab = Lab::staged();
    let args = ["--check", "--state-prefix", "_state/", "--sse", "aws:kms", "--storage-class", "STANDARD_IA"];
    exits(&lab.run(&args), 0);
    let begun = lab.requests(S3Op::CreateMultipartUpload);
    let of = |is_state: bool| begun.iter().find(|request| request.key.starts_with("_state/") == is_state).unwrap();
    let sent =
        |is_state: bool| ["x-amz-server-side-encryption", "x-amz-storage-class"].map(|name| of(is_state).header(name));
    assert_eq!(sent(true), [Some("aws:kms"), None]);
    assert_eq!(sent(false), [Some("aws:kms"), Some("STANDARD_IA")]);
    assert_nothing_written(&lab);
}
