//! From file names to keys.

use crate::support::{BUCKET, FILES, Lab, end};

fn keys(lab: &Lab) -> Vec<String> {
    lab.server.objects(BUCKET).into_iter().map(|object| object.key).collect()
}

#[test]
fn a_template_makes_a_lake() {
    let lab = Lab::staged();
    let mut command = lab.command(&["--key-template", "events/project={project}/date={date}/hour={hour}/{file}"]);
    command.env("AMP_S3_PREFIX", "raw/");
    assert_eq!(end(command).code, Some(0));
    assert_eq!(
        keys(&lab),
        [
            "raw/events/project=7/date=2025-11-06/hour=00/7_2025-11-06_0#0.json",
            "raw/events/project=7/date=2025-11-06/hour=09/7_2025-11-06_9#0.json",
            "raw/events/project=7/date=2025-11-06/hour=09/7_2025-11-06_9#1.json",
        ]
    );
}

#[test]
fn any_name_survives_the_way_into_a_key() {
    let lab = Lab::new();
    let names = ["a b.json", "a+b&c=d?.json", "grüße %20.json", "x#1.json"];
    names.iter().for_each(|name| lab.copy_in(name, name.as_bytes()));
    assert_eq!(lab.run(&["--prefix", "ä /"]).counts(), (0, [4, 4, 0, 0, 4]));
    for name in names {
        assert_eq!(lab.object(&format!("ä /{name}")).unwrap(), name.as_bytes());
    }
}

#[test]
fn a_name_without_the_parts_fails_alone() {
    let lab = Lab::staged();
    lab.copy_in("by hand.json", b"{}\n");
    let ended = lab.run(&["--key-template", "{date}/{file}"]);
    assert_eq!(ended.counts(), (1, [4, 3, 0, 1, 3]));
    assert_eq!(ended.document()["outcome"], "partial");
    assert_eq!(ended.document()["failures"][0]["file"], "by hand.json");
    assert!(ended.error(0).contains("{date}"), "{ended:?}");
    assert_eq!(lab.left(), ["by hand.json"]);
}

#[test]
fn a_key_that_is_too_long_fails_alone() {
    let lab = Lab::staged();
    lab.copy_in(&format!("{}.json", "x".repeat(200)), b"{}\n");
    let prefix = "a/long/prefix/".repeat(65);
    assert_eq!(lab.run(&["--prefix", &prefix]).counts(), (1, [4, 3, 0, 1, 3]));
}

#[test]
fn files_that_would_overwrite_each_other_are_all_refused() {
    let lab = Lab::staged();
    let ended = lab.run(&["--key-template", "{date}/{hour}.{ext}"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.error(0).contains("2025-11-06/09.json"), "{ended:?}");
    assert!(lab.server.requests().is_empty());
    assert_eq!(lab.left(), FILES);
}

/// Two parts of an hour, one a run, under a template without {part}.
#[test]
fn an_object_of_another_file_is_not_overwritten_in_a_later_run() {
    let lab = Lab::new();
    let hourly = ["--key-template", "{date}/{hour}.{ext}"];
    lab.stage(FILES[1], b"{\"part\":0}\n");
    assert_eq!(lab.run(&hourly).counts(), (0, [1, 1, 0, 0, 1]));
    lab.stage(FILES[0], b"{}\n");
    lab.stage(FILES[2], b"{\"part\":1}\n");
    let dry = lab.run(&[&hourly[..], &["--dry-run"]].concat());
    assert_eq!(dry.document()["planned"].as_array().unwrap().len(), 1, "{dry:?}");
    let ended = lab.run(&hourly);
    assert_eq!(ended.counts(), (1, [2, 1, 0, 1, 1]), "{ended:?}");
    let failure = ended.document()["failures"][0].clone();
    assert_eq!((&failure["file"], &failure["key"]), (&FILES[2].into(), &"2025-11-06/09.json".into()));
    assert!(ended.error(0).contains(FILES[1]), "{ended:?}");
    assert_eq!(lab.object("2025-11-06/09.json").unwrap(), b"{\"part\":0}\n");
    assert_eq!(lab.left(), [FILES[2]]);
    // Under another key nothing stands in its way, and the file whose key it is may be loaded again.
    assert_eq!(lab.run(&["--key-template", "{date}/{file}"]).counts(), (0, [1, 1, 0, 0, 1]));
    lab.stage(FILES[1], b"{\"part\":0,\"again\":true}\n");
    assert_eq!(lab.run(&hourly).counts(), (0, [1, 1, 0, 0, 1]));
}

#[test]
fn a_template_under_which_days_collide_is_warned_about() {
    let lab = Lab::staged();
    let ended = lab.run(&["--key-template", "{hour}-{part}.{ext}", "--prefix", "raw"]);
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.contains("the same key") && ended.stderr.contains("does not end in /"), "{}", ended.stderr);
}
