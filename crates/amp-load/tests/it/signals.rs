//! Stopping, cleanly and at once.

use std::fs::File;

use amp_sandbox::s3::S3Op;

use crate::support::{FILES, Lab, begin, ended, wait_until};

fn many() -> Lab {
    let lab = Lab::new();
    for number in 0..30 {
        lab.copy_in(&format!("{number:02}.json"), b"{}\n");
    }
    lab
}

#[test]
fn a_stop_keeps_what_is_confirmed_and_leaves_the_rest() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let lab = many();
        lab.rule("op=PutObject,nth=6-:stall");
        let run = begin(lab.command(&["--concurrency", "2"]));
        wait_until(|| lab.count(S3Op::PutObject) >= 7);
        run.signal(name).unwrap();
        let ended = ended(run);
        let (found, [_, uploaded, _, failed, deleted]) = ended.counts();
        assert_eq!((found, uploaded, failed, deleted), (code, 5, 0, 5), "{ended:?}");
        assert_eq!(ended.document()["outcome"], "interrupted");
        assert_eq!((lab.left().len(), lab.loads().len()), (25, 5));
        lab.server.clear_rules();
        assert_eq!(lab.run(&[]).counts(), (0, [25, 25, 0, 0, 25]));
    }
}

#[test]
fn a_stop_ends_the_wait_for_a_retry() {
    let lab = many();
    lab.rule("op=HeadBucket:status=503,retry-after=200");
    let run = begin(lab.command(&[]));
    lab.wait_for(S3Op::HeadBucket);
    run.signal("INT").unwrap();
    let ended = ended(run);
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert_eq!(ended.document()["outcome"], "interrupted");
}

#[test]
fn a_stop_ends_the_wait_for_an_amp_extract_that_hangs_while_it_publishes() {
    let lab = Lab::staged();
    let names = File::create(lab.extracted().join(".amp/names.lock")).unwrap();
    names.lock().unwrap();
    let run = begin(lab.command(&[]));
    wait_until(|| lab.loads().len() == 3);
    run.signal("TERM").unwrap();
    let ended = ended(run);
    assert_eq!(ended.code, Some(143), "{ended:?}");
    assert_eq!(lab.left(), FILES, "what could not be deleted stays");
    drop(names);
    assert_eq!(lab.run(&[]).counts().0, 0);
    assert!(lab.left().is_empty());
}

#[test]
fn a_second_signal_stops_at_once() {
    let lab = many();
    lab.rule("op=CreateMultipartUpload:stall");
    let run = begin(lab.command(&["--multipart-threshold", "1"]));
    lab.wait_for(S3Op::CreateMultipartUpload);
    run.signal("INT").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    run.signal("INT").unwrap();
    let ended = ended(run);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(130), ""), "{ended:?}");
}

#[test]
fn a_run_killed_anywhere_loses_nothing() {
    let lab = many();
    lab.rule("op=PutObject:delay=5ms");
    for number in [1, 4, 9, 16, 25] {
        let before = lab.count(S3Op::PutObject);
        let mut run = begin(lab.command(&["--concurrency", "3"]));
        wait_until(|| lab.count(S3Op::PutObject) >= before + number || run.is_over().unwrap());
        run.kill();
        run.wait().unwrap();
        let objects = lab.server.objects("lake").len();
        assert!(lab.left().len() + objects >= 30, "{} {objects}", lab.left().len());
    }
    assert_eq!(lab.run(&[]).code, Some(0));
    assert_eq!(lab.server.objects("lake").len(), 30);
}
