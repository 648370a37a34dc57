//! Two runs on one directory.

use std::fs;

use crate::support::{DAY, HOUR, Lab, wait_until};

#[test]
fn a_second_run_on_the_same_directory_stands_back_with_the_code_for_temporary() {
    let lab = Lab::faulty(&["req=1:stall"]);
    let first = lab.command(&["--date", DAY]).spawn();
    wait_until("the request", || !lab.server.requests().is_empty());
    let ran = lab.run(&["--date", DAY]);
    let document = ran.exits(75);
    assert_eq!((&document["outcome"], &document["requests"]), (&"failed".into(), &0.into()));
    assert!(document["failures"][0]["error"].as_str().unwrap().contains("another run"), "{document}");
    ran.says(&["another run", "extract.lock"]);
    assert_eq!(lab.server.requests().len(), 1);
    lab.run(&["--date", DAY, "--dry-run"]).exits(0);

    // The lock dies with its process, however that ends, and what it left is swept.
    wait_until("the download", || fs::read_dir(lab.path("downloaded_data")).is_ok());
    first.signal("KILL");
    first.wait();
    lab.run(&["--date", DAY]).exits(0);
    lab.assert_staged(&[DAY]);
}

#[test]
fn runs_on_different_directories_do_not_hinder_each_other() {
    let lab = Lab::faulty(&["req=1:stall=50"]);
    let first = lab.command(&["--date", DAY]).spawn();
    wait_until("the download", || lab.names("downloaded_data").len() == 1);
    lab.run(&["--start", HOUR, "--end", HOUR, "--extracted-dir", "elsewhere"]).exits(0);
    assert_eq!(lab.names("elsewhere").len(), 1);
    assert_eq!(lab.names("downloaded_data").len(), 1, "the live run's download was not swept");
    first.signal("TERM");
    first.wait().exits(143);
    lab.assert_clean();
}

#[test]
fn the_loaders_lock_does_not_hold_the_extractor_off() {
    let lab = Lab::new();
    lab.write("extracted_data/.amp/load.lock", "");
    let held = fs::File::options().write(true).open(lab.path("extracted_data/.amp/load.lock")).unwrap();
    held.try_lock().unwrap();
    lab.run(&["--start", HOUR, "--end", HOUR]).exits(0);
}
