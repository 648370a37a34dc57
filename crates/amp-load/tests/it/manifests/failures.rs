//! What stands in the way of a manifest, and that the next run puts it.

use std::fs;

use amp_core::hour::Hour;
use amp_core::window::HourWindow;
use amp_sandbox::s3::S3Op;

use super::{KEY, ON, whole};
use crate::support::{FILES, Lab, begin, wait_until};

#[test]
fn a_file_that_was_not_loaded_holds_the_manifest_back() {
    let lab = whole();
    lab.rule("op=PutObject,key=_0#0:status=400,code=Nope");
    let ended = lab.run(&[&ON[..], &["-v"]].concat());
    assert_eq!(ended.counts(), (1, [3, 2, 0, 1, 2]));
    assert!(lab.puts() == 0 && ended.stderr.contains(&format!("{} is not loaded yet", FILES[0])), "{}", ended.stderr);
    fs::remove_file(lab.extracted().join(FILES[0])).unwrap();
    lab.server.clear_rules();
    assert_eq!((lab.run(&ON).code, lab.puts()), (Some(0), 0), "a file that vanished");
}

#[test]
fn a_put_that_fails_once_is_tried_again() {
    let lab = whole();
    lab.rule("op=PutObject,key=_manifests,nth=1:status=503,code=SlowDown");
    let ended = lab.run(&ON);
    assert_eq!((ended.code, &ended.document()["manifests"], lab.puts()), (Some(0), &1.into(), 2));
}

#[test]
fn a_put_that_fails_for_good_is_a_failure_and_the_next_runs_task() {
    for rule in ["status=500", "wrong-checksum", "lost-reply", "drop-body", "truncate"] {
        let lab = whole();
        lab.rule(&format!("op=PutObject,key=_manifests:{rule}"));
        let ended = lab.run(&[&ON[..], &["--max-retries", "1"]].concat());
        assert_eq!(ended.counts(), (1, [3, 3, 0, 0, 3]), "{rule}: {ended:?}");
        let failure = &ended.document()["failures"][0];
        assert_eq!((&failure["file"], &failure["key"]), (&"2025-11-06.json".into(), &KEY.into()), "{rule}");
        assert!(ended.error(0).contains("next run") && !ended.error(0).contains("file stays"), "{rule}: {ended:?}");
        assert_eq!((&ended.document()["manifests"], &ended.document()["outcome"]), (&0.into(), &"partial".into()));
        lab.server.clear_rules();
        let ended = lab.run(&ON);
        assert_eq!((ended.code, &ended.document()["manifests"]), (Some(0), &1.into()), "{rule}: {ended:?}");
        assert!(lab.manifest().is_some());
    }
}

#[test]
fn a_run_killed_before_the_put_leaves_it_to_the_next() {
    for stopped_by in ["KILL", "TERM"] {
        let lab = whole();
        lab.rule("op=PutObject,key=_manifests:stall");
        let run = begin(lab.command(&ON));
        wait_until(|| lab.puts() > 0);
        assert!(lab.left().is_empty(), "it comes after everything else");
        run.signal(stopped_by).unwrap();
        run.wait().unwrap();
        lab.server.clear_rules();
        let ended = lab.run(&ON);
        assert_eq!((ended.counts(), &ended.document()["manifests"]), ((0, [0; 5]), &1.into()), "{ended:?}");
        assert!(lab.manifest().is_some());
    }
}

#[test]
fn a_server_that_is_down_is_not_asked_for_every_day() {
    let lab = Lab::new();
    for day in 1..=30 {
        let hour = |hour: u32| Hour::parse(&format!("2025-10-{day:02}T{hour:02}")).unwrap();
        lab.fetch(HourWindow::new(hour(0), hour(23)).unwrap(), &[]);
    }
    for day in 1..=30 {
        let hour = |hour: u32| Hour::parse(&format!("2025-09-{day:02}T{hour:02}")).unwrap();
        lab.fetch(HourWindow::new(hour(0), hour(23)).unwrap(), &[]);
    }
    lab.rule("op=PutObject:status=500");
    let ended = lab.run(&[&ON[..], &["--max-retries", "0", "--concurrency", "1"]].concat());
    assert_eq!((ended.code, &ended.document()["outcome"]), (Some(75), &"failed".into()), "{ended:?}");
    assert!(lab.puts() < 40 && ended.stderr.contains("were not tried"), "{}", lab.puts());
    lab.server.clear_rules();
    assert_eq!(lab.run(&ON).document()["manifests"], 60);
}

#[test]
fn a_manifest_never_takes_the_place_of_data() {
    let lab = whole();
    lab.copy_in("2025-11-06.json", b"{}\n");
    let ended = lab.run(&["--manifest-prefix", "raw", "--prefix", "raw/"]);
    assert_eq!((ended.code, lab.count(S3Op::PutObject)), (Some(2), 0), "{ended:?}");
    assert!(ended.error(0).contains("raw/2025-11-06.json"), "{ended:?}");
    lab.run(&["--prefix", "raw/"]);
    let ended = lab.run(&["--manifest-prefix", "raw", "--prefix", "raw/"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.error(0).contains("2025-11-06.json"), "{ended:?}");
    assert_eq!(lab.object("raw/2025-11-06.json").unwrap(), b"{}\n");
}

#[test]
fn who_may_not_put_manifests_is_refused_once() {
    let lab = whole();
    let next = Hour::parse("2025-11-07T00").unwrap();
    lab.fetch(HourWindow::new(next, next.plus(23)).unwrap(), &[]);
    lab.rule("op=PutObject,key=_manifests:status=403,code=AccessDenied");
    let ended = lab.run(&[&ON[..], &["--concurrency", "1"]].concat());
    assert_eq!(ended.counts(), (3, [3, 3, 0, 0, 3]), "{ended:?}");
    assert!(lab.left().is_empty() && lab.puts() == 1);
}
