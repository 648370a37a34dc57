//! `--metrics-file`: what a run leaves for Prometheus.

use std::collections::BTreeMap;
use std::fs;

use amp_sandbox::s3::S3Op;

use crate::support::{FILES, Lab, begin, end, ended, events};

const FILE: &str = "amp.prom";
const OTHERS: &str = "\
# HELP amp_extract_last_run_exit_code Exit code of the last run.
# TYPE amp_extract_last_run_exit_code gauge
amp_extract_last_run_exit_code 3
";

fn series(lab: &Lab, name: &str) -> BTreeMap<String, f64> {
    let text = fs::read_to_string(lab.path(name)).unwrap();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.into(), value.parse().unwrap()))
        .collect()
}

fn run(lab: &Lab, args: &[&str], code: i32) -> BTreeMap<String, f64> {
    let ended = lab.run(&[args, &["--metrics-file", FILE]].concat());
    assert_eq!(ended.code, Some(code), "{ended:?}");
    series(lab, FILE)
}

#[test]
fn the_metrics_of_a_run_are_what_its_document_says() {
    let lab = Lab::staged();
    lab.copy_in("undated.json", b"{}\n");
    lab.rule("op=PutObject,nth=1:status=503");
    lab.rule("key=undated.json:status=400,code=InvalidRequest");
    fs::write(lab.path(FILE), OTHERS).unwrap();
    let found = run(&lab, &["--concurrency", "1"], 1);
    let files = |state| found[&format!("amp_load_last_run_files{{state=\"{state}\"}}")];
    assert_eq!(["uploaded", "skipped", "failed", "unfinished"].map(files), [3.0, 0.0, 1.0, 0.0]);
    let bytes: usize = FILES.iter().map(|name| events(name).len()).sum();
    assert_eq!(found["amp_load_last_run_uploaded_bytes"], bytes as f64);
    assert_eq!((found["amp_load_last_run_deleted_files"], found["amp_load_last_run_retries"]), (3.0, 1.0));
    assert_eq!(found["amp_load_last_run_outcome{outcome=\"partial\"}"], 1.0);
    assert_eq!(found["amp_extract_last_run_exit_code"], 3.0, "the other program's");
    assert!(!found.contains_key("amp_load_last_success_timestamp_seconds"));
}

#[test]
fn every_end_leaves_metrics() {
    let lab = Lab::new();
    assert_eq!(run(&lab, &[], 0)["amp_load_last_run_outcome{outcome=\"empty\"}"], 1.0);
    lab.stage_all();
    let code = |args: &[&str], code| {
        let found = run(&lab, args, code);
        assert_eq!(found["amp_load_last_run_exit_code"], f64::from(code));
        assert!(found.contains_key("amp_load_last_success_timestamp_seconds"));
        found
    };
    code(&["--checksum", "md5"], 2);
    code(&["--no-such-flag"], 2);
    assert_eq!(code(&["--bucket", "no-such-bucket"], 3)["amp_load_last_run_files{state=\"unfinished\"}"], 3.0);
    lab.rule("op=PutObject:stall");
    let running = begin(lab.command(&["--metrics-file", FILE]));
    lab.wait_for(S3Op::PutObject);
    code(&[], 75);
    running.signal("TERM").unwrap();
    assert_eq!(ended(running).code, Some(143));
    assert_eq!(series(&lab, FILE)["amp_load_last_run_exit_code"], 143.0);
}

#[test]
fn labels_keep_set_ups_apart_in_one_directory_of_metrics() {
    let lab = Lab::staged();
    fs::create_dir(lab.path("metrics")).unwrap();
    for (labels, args, code) in [
        ("project=app", &["--bucket", "no-such-bucket"][..], 3),
        ("project=web", &[], 0),
        ("project=web", &["--verify"], 0),
    ] {
        let ended = lab.run(&[&["--metrics-file", "metrics", "--label", labels], args].concat());
        assert_eq!(
            (ended.code, &ended.document()["labels"]["project"]),
            (Some(code), &labels[8..].into()),
            "{ended:?}"
        );
    }
    let code = |job: &str, project: &str| {
        let found = series(&lab, &format!("metrics/{job},project={project}.prom"));
        found[&format!("{job}_last_run_exit_code{{project=\"{project}\"}}")]
    };
    assert_eq!([code("amp_load", "web"), code("amp_load", "app"), code("amp_verify", "web")], [0.0, 3.0, 0.0]);
    assert_eq!(fs::read_dir(lab.path("metrics")).unwrap().count(), 3);
}

#[test]
fn a_verification_is_no_load_and_has_metrics_of_its_own() {
    let lab = Lab::staged();
    let loaded = run(&lab, &[], 0);
    let same = |found: &BTreeMap<String, f64>| loaded.iter().all(|(name, value)| found.get(name) == Some(value));
    assert!(lab.server.delete_object_directly("lake", FILES[0]));
    let found = run(&lab, &["--verify"], 1);
    assert!(same(&found), "{found:#?}");
    let objects = |state| found[&format!("amp_verify_last_run_objects{{state=\"{state}\"}}")];
    assert_eq!(["same", "missing", "different"].map(objects), [2.0, 1.0, 0.0]);
    assert!(!found.contains_key("amp_verify_last_success_timestamp_seconds"));
    for (args, code) in [
        (&["--verify", "--days", "x"][..], 2),
        (&["--verify", "--no-such-flag"], 2),
        (&["--verify", "--bucket", "no-such-bucket"], 3),
    ] {
        let found = run(&lab, args, code);
        assert!(same(&found), "{found:#?}");
        assert_eq!(found["amp_verify_last_run_exit_code"], f64::from(code));
    }
    assert_eq!(end(lab.command(&["--verify", "--dry-run", "--metrics-file", "dry.prom"])).code, Some(0));
    assert!(!lab.path("dry.prom").exists());
}
