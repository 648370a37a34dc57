//! How objects are stored and whose bucket it must be; what that needs in permissions.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use amp_sandbox::s3::{Quirks, S3Op};
use amp_sandbox::schema;
use serde_json::Value;

use crate::support::{BUCKET, FILES, Lab, end, events, noise};

const OWNER: &str = "111122223333";

#[test]
fn tags_and_acl_go_with_every_object_however_it_is_sent() {
    let lab = Lab::staged();
    lab.stage("7_2025-11-06_9#2.json", &noise(3 << 20));
    let args = ["--tags", "team=data lake&cost=a%2Fb", "--acl", "bucket-owner-full-control"];
    let ended = lab.run(&[&args[..], &["--multipart-threshold", "1MiB"]].concat());
    assert_eq!(ended.counts(), (0, [4, 4, 0, 0, 4]), "{ended:?}");
    let sent = [lab.requests(S3Op::PutObject), lab.requests(S3Op::CreateMultipartUpload)].concat();
    assert_eq!(sent.len(), 4);
    for request in sent {
        assert_eq!(request.header("x-amz-tagging"), Some("team=data%20lake&cost=a%2Fb"), "{:?}", request.op);
        assert_eq!(request.header("x-amz-acl"), Some("bucket-owner-full-control"), "{:?}", request.op);
    }
    for object in lab.server.objects(BUCKET) {
        assert_eq!(object.tags.as_deref(), Some("team=data%20lake&cost=a%2Fb"), "{}", object.key);
        assert_eq!(object.acl.as_deref(), Some("bucket-owner-full-control"), "{}", object.key);
    }
    assert!(lab.requests(S3Op::HeadBucket)[0].header("x-amz-acl").is_none());
}

/// A laboratory of a server with these quirks, and the files.
fn quirky(quirks: &str) -> Lab {
    let lab = Lab::quirky(quirks.parse().unwrap());
    lab.stage_all();
    lab
}

#[test]
fn encryption_that_was_asked_for_and_is_not_confirmed_leaves_the_files() {
    for words in [&["--sse", "AES256"][..], &["--sse", "aws:kms"], &["--sse", "aws:kms", "--sse-kms-key-id", "k-1"]] {
        let lab = quirky("ignore-sse");
        let ended = lab.run(words);
        assert_eq!(ended.counts(), (1, [3, 0, 0, 3, 0]), "{words:?} {ended:?}");
        assert!(ended.error(0).contains("--sse") && ended.error(0).contains("no encryption"), "{ended:?}");
        assert_eq!((lab.left().len(), lab.loads().len()), (3, 0));
        assert_eq!(Lab::staged().run(words).code, Some(0), "{words:?}");
    }
    let lab = quirky("ignore-sse");
    lab.stage("7_2025-11-06_9#2.json", &noise(3 << 20));
    let ended = lab.run(&["--sse", "AES256", "--multipart-threshold", "1MiB"]);
    assert_eq!(ended.counts(), (1, [4, 0, 0, 4, 0]), "{ended:?}");
}

#[test]
fn an_object_that_is_there_without_the_encryption_is_uploaded_again() {
    let lab = Lab::staged();
    assert_eq!(lab.run(&["--keep-local"]).code, Some(0));
    let skip = ["--sse", "aws:kms", "--if-exists", "skip"];
    assert_eq!(lab.run(&[&skip[..], &["--keep-local"]].concat()).counts(), (0, [3, 3, 0, 0, 0]));
    assert_eq!(lab.run(&skip).counts(), (0, [3, 0, 3, 0, 3]));
}

#[test]
fn what_the_server_drops_is_said_once() {
    let words = ["--storage-class", "STANDARD_IA", "--tags", "team=data"];
    let lab = quirky("ignore-storage-class,ignore-tags");
    let ended = lab.run(&words);
    assert_eq!(ended.counts(), (0, [3, 3, 0, 0, 3]), "{ended:?}");
    for word in ["--storage-class", "--tags"] {
        assert_eq!(ended.stderr.matches(word).count(), 1, "{}", ended.stderr);
    }
    assert_eq!(lab.count(S3Op::GetObjectTagging), 1);
    // A server that knows nothing of tags.
    let lab = quirky("ignore-tags");
    lab.rule("op=GetObjectTagging:status=501,code=NotImplemented");
    let ended = lab.run(&words);
    assert!(ended.code == Some(0) && ended.stderr.contains("may drop them"), "{ended:?}");
    let lab = Lab::staged();
    let ended = lab.run(&words);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(lab.count(S3Op::HeadObject), 2, "for the checksum and for the class, once a run");
}

#[test]
fn what_is_not_asked_for_is_not_sent() {
    let lab = Lab::staged();
    lab.run(&[]);
    for request in lab.server.requests() {
        for name in ["x-amz-tagging", "x-amz-acl", "x-amz-expected-bucket-owner"] {
            assert_eq!(request.header(name), None, "{:?}", request.op);
        }
    }
}

#[test]
fn the_environment_says_the_same() {
    let lab = Lab::staged();
    let mut command = lab.command(&[]);
    command.env("AMP_TAGS", "a=b").env("AMP_ACL", "private").env("AMP_EXPECTED_BUCKET_OWNER", OWNER);
    assert_eq!(end(command).code, Some(0));
    let put = &lab.requests(S3Op::PutObject)[0];
    let sent = ["x-amz-tagging", "x-amz-acl", "x-amz-expected-bucket-owner"].map(|name| put.header(name));
    assert_eq!(sent, [Some("a=b"), Some("private"), Some(OWNER)]);
}

#[test]
fn every_call_names_the_owner() {
    let lab = Lab::staged();
    lab.stage("7_2025-11-06_9#2.json", &noise(3 << 20));
    lab.stage("7_2025-11-06_9#3.json", &noise(3 << 20));
    let args = ["--expected-bucket-owner", OWNER, "--multipart-threshold", "1MiB", "--max-retries", "1"];
    lab.rule("op=HeadBucket,nth=1:status=403,code=AccessDenied");
    lab.rule("op=UploadPart,key=#2:status=400,code=Nope");
    lab.rule("op=CreateMultipartUpload,key=#3,nth=1:lost-reply");
    assert_eq!(lab.run(&args).counts(), (1, [5, 4, 0, 1, 4]));
    let requests = lab.server.requests();
    let seen: BTreeSet<String> = requests.iter().map(|request| format!("{:?}", request.op)).collect();
    for op in [
        "HeadBucket",
        "ListObjectsV2",
        "PutObject",
        "HeadObject",
        "CreateMultipartUpload",
        "UploadPart",
        "CompleteMultipartUpload",
        "AbortMultipartUpload",
        "ListMultipartUploads",
    ] {
        assert!(seen.contains(op), "{op} is not among {seen:?}");
    }
    for request in requests {
        assert_eq!(request.header("x-amz-expected-bucket-owner"), Some(OWNER), "{:?}", request.op);
    }
}

#[test]
fn a_bucket_of_another_account_is_refused_and_gets_nothing() {
    let lab = Lab::staged();
    let ended = lab.run(&["--expected-bucket-owner", "999999999999"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.error(0).contains("--expected-bucket-owner"), "{ended:?}");
    assert_eq!((lab.server.objects(BUCKET).len(), lab.left().len()), (0, 3));
    assert_eq!(lab.run(&["--verify", "--expected-bucket-owner", "999999999999"]).code, Some(0), "nothing was loaded");
}

#[test]
fn what_s3_would_refuse_is_told_before_anything_is_asked() {
    let lab = Lab::staged();
    let ended = lab.run(&["--tags", "a=1&a=2", "--acl", "everybody", "--expected-bucket-owner", "me"]);
    assert_eq!((ended.code, lab.server.requests().len()), (Some(2), 0), "{ended:?}");
    for (index, words) in
        [["--expected-bucket-owner", "12 digits"], ["--tags", "twice"], ["--acl", "public-read"]].iter().enumerate()
    {
        assert!(words.iter().all(|word| ended.error(index).contains(word)), "{ended:?}");
    }
}

#[test]
fn what_holds_for_all_objects_ends_the_run_with_advice() {
    for (code, status, advice) in [
        ("AccessControlListNotSupported", 400, "--acl"),
        ("InvalidTag", 400, "--tags"),
        ("AccessDenied", 403, "s3:PutObjectTagging"),
    ] {
        let lab = Lab::staged();
        lab.rule(&format!("op=PutObject:status={status},code={code}"));
        let ended = lab.run(&["--concurrency", "1"]);
        assert_eq!((ended.code, lab.count(S3Op::PutObject)), (Some(3), 1), "{ended:?}");
        assert!(ended.error(0).contains(advice), "{ended:?}");
        assert_eq!(lab.left(), FILES);
    }
}

#[test]
fn the_least_permission_is_enough() {
    let lab = Lab::quirky(Quirks { list_denied: true, head_object_denied: true, ..Quirks::default() });
    lab.stage_all();
    assert_eq!(lab.run(&["--tags", "a=b", "--acl", "private"]).counts(), (0, [3, 3, 0, 0, 3]));
}

/// A file of the repository.
fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)).unwrap()
}

fn actions(policy: &Value) -> BTreeSet<String> {
    let statements = policy["Statement"].as_array().unwrap();
    assert!(statements.iter().all(|statement| statement["Effect"] == "Allow" && statement["Resource"].is_string()));
    let actions = statements.iter().flat_map(|statement| statement["Action"].as_array().unwrap());
    actions.map(|action| action.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_example_policy_is_sound_and_the_docs_explain_each_action() {
    let policy: Value = serde_json::from_str(&read("examples/iam-policy.json")).unwrap();
    assert_eq!(policy["Version"], "2012-10-17");
    let page = read("docs/s3.md");
    let (_, permissions) = page.split_once("## Permissions").unwrap();
    let (permissions, _) = permissions.split_once("\n## ").unwrap();
    let (text, json) = permissions.split_once("```json\n").unwrap();
    let (json, _) = json.split_once("```").unwrap();
    let table: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    for action in actions(&policy) {
        assert!(
            table.iter().any(|row| row.contains(&format!("`{action}`"))),
            "{action} is not in the table of docs/s3.md"
        );
    }
    assert_eq!(serde_json::from_str::<Value>(json).unwrap(), policy, "docs/s3.md shows another policy");
}

#[test]
fn under_log_format_json_each_line_has_fields() {
    let lab = Lab::staged();
    lab.rule("op=PutObject,nth=1:status=503,code=SlowDown");
    let result = lab.run(&["--log-format", "json", "--concurrency", "1"]).document();
    let lines: Vec<Value> = lab.logs().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        assert_eq!(schema::departure(line), None, "{line:#}");
        assert_eq!(line["run_id"], result["run_id"], "{line:#}");
    }
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    // While the first waits for its retry, others go.
    let mut uploaded = of("file_uploaded");
    uploaded.sort_by_key(|line| line["file"].as_str());
    assert_eq!(uploaded.iter().map(|line| line["file"].as_str().unwrap()).collect::<Vec<_>>(), FILES);
    assert_eq!((&uploaded[0]["key"], &uploaded[0]["bytes"]), (&FILES[0].into(), &events(FILES[0]).len().into()));
    assert_eq!(of("file_deleted").len(), 3);
    let retry = of("retry")[0];
    assert_eq!(retry["attempt"], 1, "{retry:#}");
    // Which of the files is first to be sent is the scheduler's business.
    assert!(FILES.iter().any(|file| retry["url"] == format!("s3://lake/{file}")), "{retry:#}");
    assert!(of("request").iter().any(|line| line["operation"] == "PutObject" && line["outcome"] == "done"));
    assert_eq!(of("result")[0]["result"]["files"], result["files"]);
}
