//! Settings, the bucket check, and runs that end before they begin.

use std::fs;
use std::process::Stdio;

use amp_sandbox::s3::{Quirks, S3Op};

use crate::support::{BUCKET, FILES, Lab, begin, end, ended, exists};

#[test]
fn nothing_to_load_is_success_without_network_or_traces() {
    let lab = Lab::new();
    let ended = lab.run(&["--log-dir", "logs"]);
    assert_eq!(ended.counts(), (0, [0; 5]));
    assert_eq!(ended.document()["outcome"], "empty");
    assert!(!exists(&lab.extracted()));
    let text = end({
        let mut command = lab.bare(&[]);
        command.envs(lab.server.env(BUCKET));
        command
    });
    assert_eq!(
        (text.code, text.stdout.as_str()),
        (Some(0), format!("nothing to load in {} (no such directory)\n", lab.extracted().display()).as_str())
    );
    assert!(lab.server.requests().is_empty());
}

#[test]
fn other_names_are_warned_about_and_left() {
    let lab = Lab::new();
    lab.copy_in("notes.txt", b"x");
    lab.copy_in("a.json.bak", b"x");
    fs::create_dir(lab.extracted().join("dir.json")).unwrap();
    let ended = lab.run(&[]);
    assert_eq!(ended.counts(), (0, [0; 5]));
    for name in ["notes.txt", "a.json.bak", "dir.json"] {
        assert!(ended.stderr.contains(name), "{}", ended.stderr);
        assert!(exists(&lab.extracted().join(name)));
    }
    assert!(!exists(&lab.extracted().join(".amp")));
}

#[test]
fn all_that_is_wrong_with_the_settings_is_told_in_one_document() {
    let lab = Lab::staged();
    let mut command =
        lab.bare(&["--output", "json", "--sse", "rot13", "--key-template", "{", "--endpoint-url", "http://s3.example"]);
    command.env("AWS_ACCESS_KEY", "half").env("AMP_CONCURRENCY", "many");
    let ended = end(command);
    assert_eq!(ended.code, Some(2));
    let text = ended.document()["failures"].to_string();
    for word in ["AWS_BUCKET_NAME", "AWS_SECRET_KEY", "rot13", "brace", "--allow-http", "AMP_CONCURRENCY"] {
        assert!(text.contains(word) && ended.stderr.contains(word), "{word}: {ended:?}");
    }
    assert_eq!(ended.document()["failures"].as_array().unwrap().len(), 6);
}

#[test]
fn a_dry_run_shows_files_and_keys_and_touches_nothing() {
    let lab = Lab::staged();
    fs::remove_dir_all(lab.extracted().join(".amp")).unwrap();
    let ended = end(lab.bare(&["--dry-run", "--output", "json", "--prefix", "raw/"]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("AWS_BUCKET_NAME"));
    let document = ended.document();
    assert_eq!(document["dry_run"], true);
    assert_eq!(document["planned"][1]["file"], FILES[1]);
    assert_eq!(document["planned"][1]["key"], format!("raw/{}", FILES[1]));
    let text = end(lab.bare(&["--dry-run", "--bucket", "bay"]));
    assert!(text.stdout.contains(&format!("{} -> s3://bay/{}\n", FILES[0], FILES[0])), "{text:?}");
    assert!(!exists(&lab.extracted().join(".amp")) && !exists(&lab.path("logs")));
    assert_eq!(lab.left(), FILES);
}

#[test]
fn a_missing_bucket_is_refused_before_any_file_is_read() {
    let lab = Lab::staged();
    let ended = lab.run(&["--bucket", "pond"]);
    assert_eq!(ended.counts(), (3, [3, 0, 0, 0, 0]));
    assert!(ended.error(0).contains("pond") && ended.error(0).contains("NoSuchBucket"), "{ended:?}");
    assert!(ended.document()["failures"][0]["file"].is_null());
    assert_eq!((lab.count(S3Op::PutObject), lab.left().len()), (0, 3));
}

#[test]
fn wrong_keys_are_refused_and_never_shown() {
    let lab = Lab::staged();
    for (name, value, word) in
        [("AWS_SECRET_KEY", "hunter2/secret", "AWS_SECRET_KEY"), ("AWS_ACCESS_KEY", "HUNTER2ACCESS", "AWS_ACCESS_KEY")]
    {
        let mut command = lab.command(&["-vv"]);
        command.env(name, value);
        let ended = end(command);
        assert_eq!(ended.code, Some(3), "{ended:?}");
        assert!(ended.error(0).contains(word), "{ended:?}");
        let all = format!("{}{}{}", ended.stdout, ended.stderr, lab.logs()).to_lowercase();
        assert!(!all.contains("hunter2") && !all.contains("authorization") && !all.contains("credential="), "{all}");
    }
    assert_eq!(lab.count(S3Op::PutObject), 0);
}

#[test]
fn no_credentials_at_all_are_refused_in_plain_words() {
    let lab = Lab::staged();
    let endpoint = lab.server.endpoint_url();
    let ended = end(lab.bare(&["--bucket", BUCKET, "--endpoint-url", &endpoint, "--output", "json"]));
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.error(0).contains("no AWS credentials were found"), "{ended:?}");
    assert!(lab.server.requests().is_empty());
}

#[test]
fn the_standard_names_in_dotenv_reach_the_aws_chain() {
    let lab = Lab::staged();
    let config = lab.server.config();
    let dotenv = format!(
        "AWS_BUCKET_NAME={BUCKET}\nAWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY='{}'\nAWS_ENDPOINT_URL={}\n",
        config.access_key,
        config.secret_key,
        lab.server.endpoint_url()
    );
    fs::write(lab.path(".env"), dotenv).unwrap();
    let ended = end(lab.bare(&["--output", "json"]));
    assert_eq!(ended.counts(), (0, [3, 3, 0, 0, 3]), "{ended:?}");
}

#[test]
fn a_bucket_of_another_region_is_named_with_its_region() {
    let lab = Lab::with(|config| config.region = "eu-central-1".into());
    lab.stage_all();
    let mut command = lab.command(&[]);
    command.env("AWS_REGION", "us-west-2");
    let ended = end(command);
    assert_eq!(ended.code, Some(3));
    assert!(ended.error(0).contains("AWS_REGION=eu-central-1"), "{ended:?}");
    assert_eq!(lab.run(&[]).counts(), (0, [3, 3, 0, 0, 3]));
}

#[test]
fn the_region_comes_from_the_profile_when_nothing_else_names_it() {
    let lab = Lab::with(|config| config.region = "eu-central-1".into());
    lab.stage_all();
    fs::create_dir(lab.path(".aws")).unwrap();
    fs::write(lab.path(".aws/config"), "[default]\nregion = eu-central-1\n").unwrap();
    let mut command = lab.command(&[]);
    command.env_remove("AWS_REGION");
    assert_eq!(end(command).counts(), (0, [3, 3, 0, 0, 3]));
}

#[test]
fn a_clock_that_is_wrong_is_named() {
    let lab = Lab::staged();
    lab.rule("op=HeadBucket:status=403,code=RequestTimeTooSkewed");
    lab.rule("op=ListObjectsV2:status=403,code=RequestTimeTooSkewed");
    let ended = lab.run(&[]);
    assert_eq!(ended.code, Some(3));
    assert!(ended.error(0).contains("clock"), "{ended:?}");
}

#[test]
fn who_may_only_put_can_load() {
    let lab = Lab::quirky(Quirks { list_denied: true, ..Quirks::default() });
    lab.stage_all();
    assert_eq!(lab.run(&[]).counts(), (0, [3, 3, 0, 0, 3]));
}

#[test]
fn a_server_that_is_not_there_is_a_temporary_failure() {
    let lab = Lab::staged();
    let ended = lab.run(&["--endpoint-url", "http://127.0.0.1:9", "--max-retries", "1"]);
    assert_eq!((ended.code, ended.document()["retries"].as_u64()), (Some(75), Some(1)), "{ended:?}");
    assert_eq!(lab.left(), FILES);
}

#[test]
fn a_second_run_stays_away() {
    let lab = Lab::staged();
    lab.rule("op=HeadBucket,nth=1:stall");
    let first = begin(lab.command(&[]));
    lab.wait_for(S3Op::HeadBucket);
    let second = lab.run(&[]);
    assert_eq!(second.code, Some(75));
    assert!(second.error(0).contains("another run"), "{second:?}");
    assert_eq!(lab.server.requests().len(), 1);
    first.signal("KILL").unwrap();
    ended(first);
    assert_eq!(lab.run(&[]).code, Some(0));
}

#[test]
fn a_file_in_the_directorys_place_is_bad_usage() {
    let lab = Lab::new();
    fs::write(lab.extracted(), "x").unwrap();
    let ended = lab.run(&[]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.error(0).contains("extracted_data"));
}

#[test]
fn a_state_directory_that_cannot_be_made_is_bad_usage() {
    let lab = Lab::new();
    lab.copy_in("x.json", b"{}\n");
    fs::write(lab.extracted().join(".amp"), "x").unwrap();
    let ended = lab.run(&[]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(lab.server.requests().is_empty());
}

#[test]
fn the_document_has_the_contracts_keys_in_order() {
    let lab = Lab::staged();
    let ended = lab.run(&[]);
    let keys = ["program", "version", "outcome", "bucket", "files", "bytes_uploaded", "seconds", "failures"];
    let at: Vec<_> = keys.iter().map(|key| ended.stdout.find(&format!("\"{key}\":")).unwrap()).collect();
    assert!(at.is_sorted(), "{}", ended.stdout);
    assert_eq!(ended.stdout.lines().count(), 1);
    let document = ended.document();
    assert_eq!((&document["outcome"], &document["bucket"]), (&"complete".into(), &BUCKET.into()));
    let bytes: usize = FILES.iter().map(|name| crate::support::events(name).len()).sum();
    assert_eq!(document["bytes_uploaded"], bytes);
}

#[test]
fn a_reader_that_went_away_does_not_change_what_is_done() {
    let lab = Lab::staged();
    let mut child = lab.command(&[]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(lab.left().is_empty());
}

#[test]
fn the_log_has_a_line_for_every_file() {
    let lab = Lab::staged();
    lab.rule("op=PutObject,nth=1:status=500");
    lab.run(&["-q"]);
    let logs = lab.logs();
    for name in FILES {
        assert!(logs.contains(&format!("s3://{BUCKET}/{name}")), "{logs}");
    }
    assert!(logs.contains("500") && logs.contains("retrying in"), "{logs}");
    let name = fs::read_dir(lab.path("logs")).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    assert!(name.starts_with("log_s3_load_") && name.ends_with(".log"), "{name}");
}

#[test]
fn the_profiles_endpoint_is_used_when_no_other_is_named() {
    let lab = Lab::staged();
    fs::create_dir(lab.path(".aws")).unwrap();
    fs::write(lab.path(".aws/config"), format!("[default]\nendpoint_url = {}\n", lab.server.endpoint_url())).unwrap();
    let mut command = lab.command(&[]);
    command.env_remove("AWS_ENDPOINT_URL_S3");
    assert_eq!(end(command).counts(), (0, [3, 3, 0, 0, 3]));
    assert_eq!(lab.loads()[0]["endpoint"], lab.server.endpoint_url());
}

#[test]
fn a_parallelism_beyond_reason_is_a_settings_error() {
    let lab = Lab::staged();
    for value in ["0", "1025", "4611686018427387904", "many"] {
        let ended = lab.run(&["--concurrency", value]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.error(0).contains("--concurrency"), "{ended:?}");
    }
}
