//! An answer that comes later than it was asked for.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use amp_sandbox::tools;

use crate::support::{HOUR, Lab, hours};

/// The library that gives a program another clock, as `faketime` itself preloads it; `None` without it.
fn faketime() -> Option<String> {
    let told = Command::new("faketime").args(["-f", "+0s", "printenv", "LD_PRELOAD"]).output();
    let library = told.ok().filter(|told| told.status.success()).and_then(|told| String::from_utf8(told.stdout).ok());
    tools::has("faketime", library.is_some()).then_some(library?.trim().to_owned())
}

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
