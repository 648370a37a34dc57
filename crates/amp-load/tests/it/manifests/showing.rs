//! Settings of manifests, dry runs and verification.

use std::fs;

use super::{KEY, ON, hours, whole};
use crate::support::{BUCKET, FILES, Lab, end};

#[test]
fn without_the_setting_there_is_none_and_it_may_come_from_the_environment() {
    let lab = whole();
    assert_eq!(lab.run(&[]).document()["manifests"], 0);
    assert!(lab.manifest().is_none());
    let mut command = lab.command(&["--checksum", "sha256"]);
    command.env("AMP_MANIFEST_PREFIX", "_manifests/");
    let ended = end(command);
    assert_eq!((&ended.document()["manifests"], ended.code), (&1.into(), Some(0)), "{ended:?}");
    assert_eq!(lab.server.object(BUCKET, KEY).unwrap().checksum_algorithm.as_deref(), Some("SHA256"));
}

#[test]
fn what_was_loaded_elsewhere_has_no_manifest_here() {
    let lab = Lab::with(|config| config.buckets.push("pond".into()));
    lab.fetch_all(hours(0, 23));
    lab.run(&["--bucket", "pond"]);
    let ended = lab.run(&[&ON[..], &["-v"]].concat());
    assert!(ended.code == Some(0) && lab.puts() == 0 && ended.stderr.contains("s3://pond/"), "{ended:?}");
    assert_eq!(lab.run(&[&ON[..], &["--bucket", "pond"]].concat()).document()["manifests"], 1);
}

#[test]
fn manifests_among_the_data_are_warned_about() {
    let lab = whole();
    for (args, warned) in [
        (&["--manifest-prefix", "manifests"][..], true),
        (&["--manifest-prefix", "raw/manifests", "--prefix", "raw/"], true),
        (&["--manifest-prefix", "manifests", "--prefix", "raw/"], false),
        (&["--manifest-prefix", "_manifests"], false),
    ] {
        let ended = lab.run(&[args, &["--dry-run"]].concat());
        assert_eq!(ended.stderr.contains("would read them as events"), warned, "{args:?}: {}", ended.stderr);
    }
    assert!(lab.run(&["--manifest-prefix", "manifests"]).stderr.contains("`_manifests/`"));
}

#[test]
fn keys_that_days_share_are_refused() {
    let lab = whole();
    let ended = lab.run(&[&ON[..], &["--key-template", "{hour}-{part}.{ext}"]].concat());
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.error(0).contains("--manifest-prefix") && ended.error(0).contains("{date}"), "{ended:?}");
}

#[test]
fn a_dry_run_names_the_manifests_to_come_without_network() {
    let lab = whole();
    let ended = lab.run(&[&ON[..], &["--dry-run"]].concat());
    assert_eq!((ended.code, &ended.document()["planned_manifests"]), (Some(0), &serde_json::json!([KEY])), "{ended:?}");
    assert_eq!(ended.document()["manifests"], 0);
    let mut command = lab.bare(&[&ON[..], &["--dry-run"]].concat());
    command.envs(lab.server.env(BUCKET));
    let text = end(command).stdout;
    assert!(text.contains(&format!("manifest -> s3://{BUCKET}/{KEY}\n")), "{text}");
    assert!(text.contains("3 files would be uploaded and 1 manifest put"), "{text}");
    assert!(lab.server.requests().is_empty() && !lab.extracted().join(".amp/manifests.jsonl").exists());
    fs::write(lab.extracted().join(FILES[0]), b"{}\n").unwrap();
    let ended = lab.run(&[&ON[..], &["--dry-run"]].concat());
    assert!(ended.document()["planned_manifests"].is_null(), "the file would not be loaded: {ended:?}");
}

#[test]
fn a_verification_compares_manifests_too() {
    let lab = whole();
    lab.run(&ON);
    let ended = lab.run(&["--verify"]);
    assert_eq!((ended.code, &ended.document()["verified"]["checked"]), (Some(0), &4.into()));
    lab.server.put_object_directly(BUCKET, KEY, b"{}").unwrap();
    assert_eq!(lab.run(&["--verify"]).document()["verified"]["different"][0], KEY);
    lab.server.delete_object_directly(BUCKET, KEY);
    let ended = lab.run(&["--verify"]);
    assert_eq!((ended.code, &ended.document()["verified"]["missing"][0]), (Some(1), &KEY.into()));
    assert!(ended.error(0).contains("--heal"), "{ended:?}");
    assert_eq!(lab.run(&["--verify", "--heal"]).document()["verified"]["healed"], 1);
    assert_eq!(lab.run(&ON).document()["manifests"], 1);
    assert_eq!(lab.run(&["--verify"]).code, Some(0));
}

#[test]
fn the_profiles_endpoint_is_known_before_there_is_anything_to_load() {
    let lab = whole();
    fs::create_dir(lab.path(".aws")).unwrap();
    fs::write(lab.path(".aws/config"), format!("[default]\nendpoint_url = {}\n", lab.server.endpoint_url())).unwrap();
    let run = |args: &[&str]| {
        let mut command = lab.command(args);
        command.env_remove("AWS_ENDPOINT_URL_S3");
        end(command)
    };
    lab.rule("op=PutObject,key=_manifests,times=1:status=400,code=Nope");
    assert_eq!(run(&ON).code, Some(1));
    assert_eq!(run(&ON).document()["manifests"], 1);
    let asked = lab.server.requests().len();
    assert_eq!((run(&ON).code, lab.server.requests().len()), (Some(0), asked));
}
