//! The state in a bucket of SeaweedFS, which lists, deletes and confirms in its own way.

use amp_sandbox::seaweedfs::SeaweedFs;

use super::{ON, RESTORE};
use crate::manifests::hours;
use crate::support::{Ended, Lab, begin, end, ended};

const BOTH: [&str; 4] = ["--state-prefix", "_state", "--manifest-prefix", "_manifests"];

#[test]
#[ignore = "needs SeaweedFS; .ci/run installs it and names its program in AMP_WEED"]
fn machines_share_what_they_know_in_a_bucket_of_seaweedfs() {
    let first = Lab::new();
    let checks = |weed: &SeaweedFs| end(on(weed, &first, &["--check"])).code == Some(0);
    let weed = SeaweedFs::start(checks).unwrap();
    let run = |lab: &Lab, args: &[&str]| -> Ended { end(on(&weed, lab, args)) };

    first.fetch_all(hours(0, 23));
    let ended = run(&first, &BOTH);
    assert_eq!((ended.counts(), ended.state()["put"].as_u64()), ((0, [3, 3, 0, 0, 3]), Some(1)), "{ended:?}");
    let second = first.another_machine();
    assert_eq!(run(&second, &RESTORE).restored(), [1, 6, 0, 0]);
    assert_eq!(second.known(), first.known());

    // Both learn more, at the same moment; the next machine finds all of it, and folds it.
    first.ask(hours(5, 5));
    second.ask(hours(9, 9));
    let running = [&first, &second].map(|lab| begin(on(&weed, lab, &ON)));
    for ended in running.map(self::ended) {
        assert_eq!((ended.code, ended.state()["put"].as_u64()), (Some(0), Some(1)), "{ended:?}");
    }
    let third = first.another_machine();
    run(&third, &RESTORE);
    let ended = run(&third, &ON);
    assert_eq!(ended.state().to_string(), r#"{"deleted":2,"put":1}"#, "{ended:?}");
    let fourth = first.another_machine();
    run(&fourth, &RESTORE);
    assert_eq!(fourth.known(), third.known());
    assert!(first.known().iter().chain(&second.known()).all(|line| fourth.known().contains(line)));
    assert_eq!(run(&fourth, &["--verify", "--state-prefix", "_state"]).code, Some(0));
}

/// amp-load with the bucket of SeaweedFS.
fn on(weed: &SeaweedFs, lab: &Lab, args: &[&str]) -> std::process::Command {
    let mut command = lab.command(args);
    command.envs(weed.env());
    command
}
