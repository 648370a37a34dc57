//! `--follow`: loading for as long as an amp-extract is at work. Its part is played by whoever holds its lock and stages files.

use std::fs;

use amp_core::lock::RunLock;
use amp_core::stage::Staging;
use amp_sandbox::process::Running;
use amp_sandbox::s3::S3Op;
use amp_sandbox::tools::faketime;

use crate::support::{FILES, Lab, begin, end, ended, events, wait_until};

/// An amp-extract at work, until it is dropped.
fn extracting(lab: &Lab) -> RunLock {
    Staging::open(&lab.extracted()).unwrap().lock("extract").unwrap()
}

fn follow(lab: &Lab, args: &[&str]) -> Running {
    begin(lab.command(&[&["--follow"], args].concat()))
}

fn stage(lab: &Lab, name: &str) {
    lab.stage(name, &events(name));
}

fn wait_for_object(lab: &Lab, key: &str) {
    wait_until(|| lab.object(key).is_some());
}

/// How often a file was sent.
fn sent(lab: &Lab, key: &str) -> usize {
    lab.requests(S3Op::PutObject).iter().filter(|put| put.key == key).count()
}

#[test]
fn files_are_loaded_as_they_come_until_amp_extract_ends() {
    let lab = Lab::new();
    let run = follow(&lab, &[]);
    lab.wait_for(S3Op::HeadBucket);
    let at_work = extracting(&lab);
    for name in FILES {
        stage(&lab, name);
        wait_for_object(&lab, name);
    }
    stage(&lab, "7_2025-11-07_0#0.json");
    drop(at_work);
    let ended = ended(run);
    assert_eq!(ended.counts(), (0, [4, 4, 0, 0, 4]), "{ended:?}");
    assert_eq!(ended.document()["outcome"], "complete");
    assert_eq!((lab.count(S3Op::HeadBucket), fs::read_dir(lab.path("logs")).unwrap().count()), (1, 1));
    assert!(lab.left().is_empty());
}

#[test]
fn what_was_there_before_is_loaded_and_a_short_amp_extract_is_noticed() {
    let lab = Lab::staged();
    let run = follow(&lab, &["-v"]);
    FILES.iter().for_each(|name| wait_for_object(&lab, name));
    // Over before anybody looks.
    drop(extracting(&lab));
    let ended = ended(run);
    assert_eq!(ended.counts(), (0, [3, 3, 0, 0, 3]));
    assert!(ended.stderr.contains("amp-extract has ended") && !ended.stderr.contains("no amp-extract"), "{ended:?}");
}

#[test]
fn without_an_amp_extract_it_ends_after_a_minute() {
    let Some(library) = faketime() else { return };
    let lab = Lab::staged();
    let mut command = lab.command(&["--follow"]);
    // A minute passes in three seconds.
    command.env("LD_PRELOAD", library).env("FAKETIME", "+0 x20").env("NO_FAKE_STAT", "1");
    let ended = end(command);
    assert_eq!(ended.counts(), (0, [3, 3, 0, 0, 3]), "{ended:?}");
    assert!(ended.stderr.contains("no amp-extract began within 60s"), "{ended:?}");
}

#[test]
fn two_follow_nothing_together_and_amp_extract_is_never_turned_away() {
    let lab = Lab::new();
    let at_work = extracting(&lab);
    let run = follow(&lab, &[]);
    lab.wait_for(S3Op::HeadBucket);
    assert_eq!(lab.run(&["--follow"]).code, Some(75));
    drop(at_work);
    // The first of these may end the run; each of them must get the lock.
    for _ in 0..100 {
        drop(extracting(&lab));
    }
    assert_eq!(ended(run).code, Some(0));
}

#[test]
fn a_file_that_fails_for_good_is_not_tried_again_unless_it_changes() {
    for repaired in [false, true] {
        let lab = Lab::new();
        let at_work = extracting(&lab);
        stage(&lab, FILES[0]);
        fs::write(lab.extracted().join(FILES[0]), "cut").unwrap();
        let run = follow(&lab, &[]);
        for name in &FILES[1..] {
            stage(&lab, name);
            wait_for_object(&lab, name);
        }
        if repaired {
            fs::write(lab.extracted().join(FILES[0]), events(FILES[0])).unwrap();
        }
        drop(at_work);
        let ended = ended(run);
        let counts = if repaired { (0, [3, 3, 0, 0, 3]) } else { (1, [3, 2, 0, 1, 2]) };
        assert_eq!(ended.counts(), counts, "{ended:?}");
        assert_eq!(ended.document()["failures"].as_array().unwrap().len(), usize::from(!repaired));
        assert_eq!(ended.stderr.matches("it changed since it was unpacked").count(), 1, "{ended:?}");
    }
}

#[test]
fn a_file_that_fails_for_now_waits_while_others_go_and_is_tried_once_more_at_the_end() {
    for lasts in [false, true] {
        let lab = Lab::new();
        let at_work = extracting(&lab);
        lab.rule("op=PutObject,key=_0#0:status=500");
        stage(&lab, FILES[0]);
        let run = follow(&lab, &["--max-retries", "0"]);
        for name in &FILES[1..] {
            stage(&lab, name);
            wait_for_object(&lab, name);
        }
        assert_eq!(sent(&lab, FILES[0]), 1);
        if !lasts {
            lab.server.clear_rules();
        }
        drop(at_work);
        let ended = ended(run);
        let counts = if lasts { (1, [3, 2, 0, 1, 2]) } else { (0, [3, 3, 0, 0, 3]) };
        assert_eq!((ended.counts(), sent(&lab, FILES[0])), (counts, 2), "{ended:?}");
        assert_eq!(ended.document()["failures"].as_array().unwrap().len(), usize::from(lasts));
    }
}

#[test]
fn files_that_an_outage_left_untried_are_tried_at_the_end() {
    let lab = Lab::new();
    let at_work = extracting(&lab);
    (0..80).for_each(|number| lab.copy_in(&format!("{number:02}.json"), b"{}\n"));
    lab.rule("op=PutObject:status=500");
    let run = follow(&lab, &["--max-retries", "0", "--concurrency", "1"]);
    wait_until(|| lab.logs().contains("files were not tried"));
    lab.server.clear_rules();
    drop(at_work);
    let ended = ended(run);
    assert_eq!(ended.counts(), (0, [80, 80, 0, 0, 80]), "{ended:?}");
    assert_eq!(ended.document()["failures"].as_array().unwrap().len(), 0);
}

#[test]
fn files_that_are_kept_are_loaded_once() {
    let lab = Lab::staged();
    let at_work = extracting(&lab);
    let run = follow(&lab, &["--keep-local"]);
    FILES.iter().for_each(|name| wait_for_object(&lab, name));
    stage(&lab, "7_2025-11-07_0#0.json");
    wait_for_object(&lab, "7_2025-11-07_0#0.json");
    drop(at_work);
    assert_eq!(ended(run).counts(), (0, [4, 4, 0, 0, 0]));
    assert_eq!(lab.count(S3Op::PutObject), 4);
}

#[test]
fn a_signal_ends_it_at_once() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let lab = Lab::staged();
        let at_work = extracting(&lab);
        let run = follow(&lab, &[]);
        wait_until(|| lab.left().is_empty());
        run.signal(name).unwrap();
        let ended = ended(run);
        assert_eq!(ended.counts(), (code, [3, 3, 0, 0, 3]), "{ended:?}");
        assert_eq!(ended.document()["outcome"], "interrupted");
        drop(at_work);
    }
}

#[test]
fn a_refusal_ends_it_while_amp_extract_goes_on() {
    let lab = Lab::new();
    let _at_work = extracting(&lab);
    let run = follow(&lab, &[]);
    lab.wait_for(S3Op::HeadBucket);
    lab.rule("op=PutObject:status=403,code=AccessDenied");
    stage(&lab, FILES[0]);
    let ended = ended(run);
    assert_eq!(ended.counts(), (3, [1, 0, 0, 1, 0]), "{ended:?}");
}

#[test]
fn one_that_is_killed_loses_nothing() {
    let lab = Lab::new();
    let at_work = extracting(&lab);
    lab.rule("op=PutObject:delay=5ms");
    for round in 0..4 {
        let run = follow(&lab, &["--concurrency", "2"]);
        let before = lab.count(S3Op::PutObject);
        (0..8).for_each(|part| stage(&lab, &format!("7_2025-11-06_{round}#{part}.json")));
        wait_until(|| lab.count(S3Op::PutObject) > before + 2 * round);
        run.kill();
        run.wait().unwrap();
        assert!(lab.left().len() + lab.server.objects("lake").len() >= 8 * (round + 1));
    }
    let run = follow(&lab, &[]);
    wait_until(|| lab.left().is_empty());
    drop(at_work);
    assert_eq!(ended(run).code, Some(0));
    assert_eq!(lab.server.objects("lake").len(), 32);
}

#[test]
fn nothing_is_followed_while_verifying() {
    let lab = Lab::new();
    assert_eq!(lab.run(&["--follow", "--verify"]).code, Some(2));
}
