//! How many requests are under way at the same time.

use std::time::Duration;

use amp_sandbox::s3::S3Op;

use crate::support::{BUCKET, Lab, end, noise};

/// A laboratory with small files and a server that takes 30 ms for each request.
fn distant(files: usize, quirks: &str) -> Lab {
    let lab = Lab::with(|config| {
        config.latency = Duration::from_millis(30);
        config.quirks = quirks.parse().unwrap();
    });
    for number in 0..files {
        lab.copy_in(&format!("{number}.json"), format!("{{\"n\":{number}}}\n").as_bytes());
    }
    lab
}

#[test]
fn a_distant_server_gets_more_than_it_began_with() {
    let lab = distant(400, "");
    assert_eq!(lab.run(&[]).counts(), (0, [400, 400, 0, 0, 400]));
    let most = lab.server.max_in_flight();
    assert!((17..=256).contains(&most), "{most}");
    let (puts, heads) = (lab.count(S3Op::PutObject), lab.count(S3Op::HeadObject));
    assert_eq!((puts, heads), (400, 1), "one round trip a file");
}

#[test]
fn a_server_that_throttles_costs_no_file() {
    for (most, args) in [(1, &["--max-retries", "0"][..]), (8, &["--max-retries", "0"]), (8, &["--concurrency", "64"])]
    {
        let lab = distant(150, &format!("throttle-above={most}"));
        let ended = lab.run(args);
        assert_eq!(ended.counts(), (0, [150, 150, 0, 0, 150]), "{most} {args:?}: {ended:?}");
        assert!(ended.document()["retries"].as_u64() > Some(0), "it never throttled");
        assert_eq!(lab.server.objects(BUCKET).len(), 150);
    }
}

#[test]
fn a_server_that_throttles_costs_no_part_of_a_large_file() {
    let lab = distant(0, "throttle-above=2");
    let bytes = noise(33 << 20);
    lab.stage("7_2025-11-06_9#0.json", &bytes);
    let ended = lab.run(&["--multipart-threshold", "5MiB", "--max-retries", "0"]);
    assert_eq!(ended.counts(), (0, [1, 1, 0, 0, 1]), "{ended:?}");
    assert!(lab.object("7_2025-11-06_9#0.json") == Some(bytes));
    assert!(lab.server.open_uploads(BUCKET).is_empty());
}

#[test]
fn a_server_that_accepts_nothing_any_more_uses_the_retries_up() {
    let lab = distant(40, "");
    lab.rule("op=PutObject,nth=5-:status=503,code=SlowDown");
    let ended = lab.run(&["--max-retries", "2"]);
    assert_eq!(ended.counts(), (1, [40, 4, 0, 36, 4]), "{ended:?}");
    assert!(ended.error(0).contains("SlowDown") && ended.error(0).contains("tries"), "{ended:?}");
}

#[test]
fn few_file_descriptors_are_enough() {
    for descriptors in [64, 256] {
        let lab = distant(400, "");
        let command = lab.command(&[]);
        let mut limited = std::process::Command::new("sh");
        let script = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
        limited.args(["-c", &script]).arg(command.get_program()).args(command.get_args());
        limited.env_clear().current_dir(command.get_current_dir().unwrap());
        limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ended = end(limited);
        assert_eq!(ended.counts(), (0, [400, 400, 0, 0, 400]), "{descriptors}: {ended:?}");
    }
}
