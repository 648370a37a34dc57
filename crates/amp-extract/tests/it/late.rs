//! An answer that comes later than it was asked for.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::support::{DAY, HOUR, Lab, Ran, faketime, hours, this_hour};

#[test]
fn an_hour_that_settles_between_a_request_and_its_404_is_unsettled() {
    let Some(library) = faketime() else { return };
    let lab = Lab::new();
    // By hand: the clock must move between the two.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // The hour ends at 05:00 and settles at 07:00. The program's clock stands still but for this file.
    lab.write("clock", "2025-11-06 06:59:50");
    let running = lab
        .command(&["--start", HOUR, "--end", HOUR])
        .env("AMP_BASE_URL", format!("http://{}", listener.local_addr().unwrap()))
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", lab.path("clock"))
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("TZ", "UTC")
        .spawn();
    let (mut connection, _) = listener.accept().unwrap();
    let asked = connection.read(&mut [0; 4096]).unwrap();
    assert_ne!(asked, 0);
    lab.write("clock", "2025-11-06 07:00:10");
    connection
        .write_all(
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 29\r\nconnection: close\r\n\r\nRaw data files were not found",
        )
        .unwrap();
    let ran = running.wait();
    assert_eq!(hours(&ran.exits(0)), [1, 0, 1, 0, 0, 1]);
    ran.says(&[HOUR, "not yet settled"]);

    let text = std::fs::read_to_string(lab.path("extracted_data/.amp/hours/2025-11-06.jsonl")).unwrap();
    let fetched: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(fetched["requested_at"], "2025-11-06T06:59:50Z");
    assert_eq!(fetched["at"], "2025-11-06T07:00:10Z");
    assert_eq!(lab.run(&["--start", HOUR, "--end", HOUR]).exits(0)["requests"], 1, "it is asked for again");
}

/// A run whose clock is another than everybody's.
fn elsewhen(lab: &Lab, args: &[&str], offset: &str, library: &str) -> Ran {
    let run = lab.command(args).env("LD_PRELOAD", library).env("FAKETIME", offset).env("TZ", "UTC");
    run.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").run()
}

#[test]
fn an_hour_that_has_not_begun_is_never_no_data() {
    let Some(library) = faketime() else { return };
    let lab = Lab::with(|config| config.dataset = config.dataset.clone().only(DAY.parse().unwrap()));
    let to_come = this_hour().plus(24 * 20).date().to_string();
    let ran = elsewhen(&lab, &["--date", &to_come], "+30d", &library);
    assert_eq!(hours(&ran.exits(1)), [24, 0, 0, 0, 24, 0]);
    ran.says(&["warning: this machine's clock is 43200 minutes ahead of Amplitude's", "error: ", "has not begun"]);
    // Once it has come it is asked for as if nothing had been.
    let ledger = std::fs::read_to_string(lab.path(&format!("extracted_data/.amp/hours/{to_come}.jsonl"))).unwrap();
    assert!(ledger.lines().last().unwrap().contains("\"failed\""), "{ledger}");
}

#[test]
fn what_has_settled_is_decided_by_the_clock_that_is_behind() {
    let Some(library) = faketime() else { return };
    let lab = Lab::new();
    // It ended less than an hour ago.
    let hour = this_hour().plus(-1).to_string();
    let alone = ["--start", &hour, "--end", &hour];
    let ran = elsewhen(&lab, &alone, "+6h", &library);
    assert_eq!(hours(&ran.exits(0)), [1, 1, 0, 0, 0, 1]);
    ran.says(&["360 minutes ahead", "not yet settled"]);
    assert_eq!(lab.run(&alone).exits(0)["requests"], 1, "it is asked for again");

    // A clock that is behind is warned about, and believed too.
    let before = this_hour().plus(-30).to_string();
    let ran = elsewhen(&lab, &["--start", &before, "--end", &before], "-28h", &library);
    assert_eq!(hours(&ran.exits(0)), [1, 1, 0, 0, 0, 1]);
    ran.says(&["1680 minutes behind"]);
}

#[test]
fn clocks_that_agree_are_not_told_of() {
    let lab = Lab::new();
    lab.run(&["--date", DAY]).does_not_say(&["clock"]).exits(0);
}
