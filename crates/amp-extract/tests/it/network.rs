//! What goes wrong between the two ends.

use amp_sandbox::archive::Method;
use amp_sandbox::export::{Framing, Layout};

use crate::support::{DAY, HOUR, Lab, closed_port, hours};

const ALONE: [&str; 4] = ["--start", HOUR, "--end", HOUR];

#[test]
fn any_fault_that_comes_twice_is_retried_until_the_bytes_are_right() {
    for fault in [
        "cut=100",
        "cut=0",
        "short=100",
        "short=1",
        "reset",
        "reset=200",
        "flip=60",
        "flip=-30",
        "flip=0",
        "html",
        "empty",
    ] {
        let lab = Lab::faulty(&[&format!("req=1-2:{fault}")]);
        let document = lab.run(&ALONE).exits(0);
        assert_eq!((&document["requests"], &document["retries"]), (&3.into(), &2.into()), "{fault}");
        lab.assert_staged(&[HOUR]);
    }
}

#[test]
fn any_fault_that_lasts_ends_the_run_with_nothing_partial_and_the_code_for_temporary() {
    for fault in ["cut=100", "short=100", "reset", "reset=200", "flip=60", "flip=-30", "html", "empty"] {
        let lab = Lab::faulty(&[&format!(":{fault}")]);
        let ran = lab.run(&[&ALONE[..], &["--max-retries", "1"]].concat());
        let document = ran.exits(75);
        assert_eq!((&document["requests"], &document["outcome"]), (&2.into(), &"failed".into()), "{fault}");
        ran.says(&["error: ", HOUR]);
        assert!(lab.staged_names().is_empty(), "{fault}");
        lab.assert_clean();
    }
}

#[test]
fn silence_longer_than_the_read_timeout_is_retried() {
    for fault in ["stall", "stall=100"] {
        let lab = Lab::faulty(&[&format!("req=1:{fault}")]);
        let ran = lab.run(&[&ALONE[..], &["--read-timeout", "1s"]].concat());
        assert_eq!(ran.exits(0)["retries"], 1);
        ran.says(&["read timeout"]);
        lab.assert_staged(&[HOUR]);
    }
}

#[test]
fn a_refused_connection_is_retried_and_told() {
    let lab = Lab::new();
    let ran = lab.command(&ALONE).args(&["--max-retries", "1"]).env("AMP_BASE_URL", closed_port()).run();
    let document = ran.exits(75);
    assert_eq!((&document["requests"], &document["retries"]), (&2.into(), &1.into()));
    ran.says(&["error: ", HOUR, "refused", "127.0.0.1"]);
    lab.assert_clean();
}

#[test]
fn an_answer_that_is_a_page_says_that_something_else_may_have_sent_it() {
    let lab = Lab::faulty(&[":html"]);
    let ran = lab.run(&[&ALONE[..], &["--max-retries", "0"]].concat());
    ran.exits(75);
    ran.says(&["text instead of a zip", "<!DOCTYPE html>", "--base-url"]);
}

#[test]
fn an_archive_is_whole_however_its_end_is_told() {
    for framing in [Framing::ContentLength, Framing::Chunked, Framing::Close] {
        for rules in [&[][..], &["req=1:cut=300"], &["req=1:short=300"]] {
            let lab = Lab::with(|config| config.framing = framing);
            rules.iter().for_each(|rule| lab.rule(rule));
            let document = lab.run(&ALONE).exits(0);
            assert_eq!(document["retries"], rules.len(), "{framing:?} {rules:?}");
            lab.assert_staged(&[HOUR]);
        }
    }
}

#[test]
fn an_archive_is_read_however_it_is_laid_out() {
    let base = Layout::default();
    for layout in [
        Layout { method: Method::Stored, data_descriptors: false, ..base.clone() },
        Layout { method: Method::Stored, ..base.clone() },
        Layout { zip64: true, ..base.clone() },
        Layout { zip64: true, data_descriptors: false, ..base.clone() },
        Layout { gzip_members: 5, ..base.clone() },
        Layout { gzip_level: 0, ..base },
    ] {
        let lab = Lab::with(|config| config.layout = layout.clone());
        let document = lab.run(&["--date", DAY]).exits(0);
        assert_eq!(hours(&document), [24, 24, 0, 0, 0, 0], "{layout:?}");
        assert_eq!(document["events"], 72);
        lab.assert_staged(&[DAY]);
    }
}

#[test]
fn a_redirect_never_carries_credentials_to_another_host() {
    let elsewhere = Lab::new();
    let target = format!("{}/api/2/export?start=20251106T04&end=20251106T04", elsewhere.server.base_url());
    for code in [301, 302, 307, 308] {
        let lab = Lab::faulty(&[&format!(":redirect={target},code={code}")]);
        lab.run(&ALONE).exits(3);
        assert_eq!(lab.server.requests().len(), 1);
    }
    let requests = elsewhere.server.requests();
    assert_eq!(requests.len(), 4, "they were followed");
    for request in requests {
        assert!(!request.authorized);
        assert!(!request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")));
    }
}

#[test]
fn a_redirect_within_the_host_is_followed_and_one_to_plain_http_elsewhere_is_not() {
    let lab = Lab::new();
    let there = format!("{}/api/2/export?start=20251106T04&end=20251106T04", lab.server.base_url());
    lab.rule(&format!("req=1:redirect={there}"));
    lab.run(&ALONE).exits(0);
    assert!(lab.server.requests()[1].authorized);
    lab.assert_staged(&[HOUR]);

    let lab = Lab::faulty(&[":redirect=http://192.0.2.1/"]);
    let ran = lab.run(&ALONE);
    assert_eq!(ran.exits(1)["requests"], 1);
    ran.says(&["redirect"]);
}

#[test]
fn a_redirect_to_what_is_no_http_fails_at_once() {
    for elsewhere in ["ftp://127.0.0.1/x", "file:///etc/passwd", "gopher://localhost/"] {
        let lab = Lab::faulty(&[&format!(":redirect={elsewhere}")]);
        let ran = lab.run(&ALONE);
        assert_eq!(ran.exits(1)["requests"], 1, "{elsewhere}");
    }
}

#[test]
fn an_archive_that_trickles_ends_in_a_timeout() {
    let lab = Lab::with(|config| config.bandwidth = Some(40));
    let ran = lab.run(&[&ALONE[..], &["--read-timeout", "2s", "--max-retries", "1"]].concat());
    assert_eq!(ran.exits(75)["requests"], 2);
    ran.says(&["fewer than 64 KiB", "--read-timeout", "127.0.0.1"]);
    lab.assert_clean();
}

#[test]
fn an_archive_that_is_slow_but_steady_is_taken() {
    let lab = Lab::with(|config| {
        config.dataset = config.dataset.clone().events_per_part(600);
        config.bandwidth = Some(300 << 10);
        config.layout.gzip_level = 0;
    });
    lab.run(&[&ALONE[..], &["--read-timeout", "1s", "--max-retries", "0"]].concat()).exits(0);
    lab.assert_staged(&[HOUR]);
}

#[test]
fn an_error_whose_text_trickles_is_cut_off_after_seconds() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            assert_ne!(connection.read(&mut [0; 4096]).unwrap(), 0);
            connection.write_all(b"HTTP/1.1 418 No\r\ncontent-length: 100000\r\n\r\n").unwrap();
            while connection.write_all(b"x").is_ok() {
                std::thread::sleep(std::time::Duration::from_millis(1500));
            }
        }
    });
    let lab = Lab::new();
    let ran = lab.command(&ALONE).env("AMP_BASE_URL", format!("http://{address}")).run();
    ran.exits(1);
    ran.says(&["HTTP 418", "it said: xxx"]);
}

#[test]
fn an_error_without_an_end_costs_no_memory() {
    let lab = Lab::faulty(&[":status=503,drip=1000000000000"]);
    let ran = lab.run(&[&ALONE[..], &["--max-retries", "1"]].concat());
    ran.exits(75);
    ran.says(&["HTTP 503", "it said: The server is busy."]);
    assert!(ran.peak_bytes < 64 << 20, "{} bytes", ran.peak_bytes);
}

#[test]
fn a_redirect_that_goes_in_circles_ends() {
    let lab = Lab::new();
    lab.rule(&format!(":redirect={}/api/2/export", lab.server.base_url()));
    lab.run(&[&ALONE[..], &["--max-retries", "0"]].concat()).exits(1);
    assert!(lab.server.requests().len() < 20);
}

#[test]
fn a_proxy_is_not_asked_for_loopback() {
    let lab = Lab::new();
    let run = lab.command(&ALONE).args(&["--max-retries", "0"]);
    run.env("HTTP_PROXY", closed_port())
        .env("http_proxy", closed_port())
        .env("ALL_PROXY", closed_port())
        .run()
        .exits(0);
}
