//! `--check`: what is wrong is found before the first night, and nothing is moved.

use std::fs;
use std::net::TcpListener;

use serde_json::Value;

use crate::support::{Lab, closed_port};

/// Names and levels of what was found, without the settings.
fn found(document: &Value) -> Vec<(&str, &str)> {
    let findings = document["findings"].as_array().unwrap().iter();
    let pairs = findings.map(|finding| (finding["name"].as_str().unwrap(), finding["level"].as_str().unwrap()));
    pairs.filter(|(name, level)| (*name, *level) != ("settings", "ok")).collect()
}

/// The finding of that name.
fn finding<'a>(document: &'a Value, name: &str) -> &'a Value {
    let named = |finding: &&Value| finding["name"] == name;
    document["findings"].as_array().unwrap().iter().rfind(named).unwrap_or_else(|| panic!("{document:#}"))
}

#[test]
fn a_set_up_that_is_right_is_said_to_be_and_nothing_is_made() {
    let lab = Lab::new();
    let document = lab.run(&["--check"]).exits(0);
    let names = ["extracted_dir", "download_dir", "log_dir", "ledger", "lock", "project", "clock", "keys"];
    assert_eq!(found(&document), names.map(|name| (name, "ok")));
    assert_eq!(document["outcome"], "complete");
    let settings = document["settings"].to_string();
    assert!(settings.contains("(AMP_BASE_URL)") && settings.contains("=set (AMP_API_KEY)"), "{settings}");
    assert!(!settings.contains(lab.server.secret_key()), "{settings}");
    assert_eq!(fs::read_dir(lab.path("")).unwrap().count(), 0);
    assert_eq!(lab.asked(), ["20000101T00-20000101T00"]);
}

#[test]
fn a_check_changes_nothing_of_what_is_staged() {
    let lab = Lab::new();
    lab.run(&["--date", "2025-11-06"]).exits(0);
    let ledger = || fs::read_to_string(lab.path("extracted_data/.amp/hours/2025-11-06.jsonl")).unwrap();
    let (staged, lines, logs) = (lab.staged(), ledger(), lab.logs().len());
    lab.run(&["--check"]).exits(0);
    assert!(lab.staged() == staged);
    assert_eq!((ledger(), lab.logs().len()), (lines, logs));
}

#[test]
fn all_that_is_wrong_with_the_settings_is_found_together() {
    let lab = Lab::new();
    let ran = lab.bare(&["--check", "--output", "json"]).env("AMP_THREADS", "0").env("AMP_REGOIN", "us").run();
    let document = ran.exits(2);
    assert_eq!(
        found(&document),
        [("settings", "warning"), ("settings", "failed"), ("settings", "failed"), ("settings", "failed")]
    );
    assert_eq!(ran.stderr, "");
    let text = lab.bare(&["--check", "-q"]).run();
    assert_eq!(
        (text.code, text.stdout.lines().filter(|line| line.starts_with("failed ")).count()),
        (Some(2), 2),
        "{text:#?}"
    );
}

#[test]
fn quiet_says_nothing_of_a_set_up_that_is_right() {
    let lab = Lab::new();
    let ran = lab.for_people(&["--check", "-q"]).run();
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
}

#[test]
fn keys_that_are_refused_end_with_3() {
    let lab = Lab::new();
    lab.server.revoke_key(lab.server.api_key());
    let document = lab.run(&["--check"]).exits(3);
    assert_eq!(document["outcome"], "failed");
    let keys = finding(&document, "keys");
    assert_eq!(keys["level"], "failed");
    assert!(keys["message"].as_str().unwrap().contains("HTTP 403"), "{keys}");
    // The double is not one of Amplitude's hosts: the keys go nowhere else.
    assert_eq!(lab.asked().len(), 1);
}

#[test]
fn what_answers_in_amplitudes_place_is_said_as_a_run_would() {
    for (rule, code, level, words) in [
        (":foreign-404", 2, "failed", "HTTP 404"),
        (":text=slow down", 75, "failed", "slow down"),
        (":status=503", 75, "failed", "after 4 tries"),
        (":status=400", 0, "warning", "HTTP 400"),
    ] {
        let lab = Lab::faulty(&[rule]);
        let document = lab.run(&["--check"]).exits(code);
        let keys = finding(&document, "keys");
        assert_eq!(keys["level"], level, "{rule}");
        assert!(keys["message"].as_str().unwrap().contains(words), "{rule}: {keys}");
    }
    let lab = Lab::new();
    let unreachable = lab.command(&["--check", "--max-retries", "0"]).env("AMP_BASE_URL", closed_port()).run();
    assert_eq!(finding(&unreachable.exits(75), "keys")["level"], "failed");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        use std::io::Write;
        for connection in listener.incoming().take(1) {
            connection.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        }
    });
    let plain = lab.command(&["--check"]).env("AMP_BASE_URL", url).run();
    assert!(finding(&plain.exits(2), "keys")["message"].as_str().unwrap().contains("TLS"), "{plain:#?}");
}

#[test]
fn a_clock_that_is_off_is_a_warning() {
    let lab = Lab::faulty(&[":date=-3600"]);
    let ran = lab.run(&["--check"]);
    let document = ran.exits(0);
    let clock = finding(&document, "clock");
    assert_eq!(clock["level"], "warning");
    assert!(clock["message"].as_str().unwrap().contains("60 minutes ahead of Amplitude's"), "{clock}");
    assert_eq!(ran.stderr, "", "it is said once");
}

#[test]
fn directories_that_cannot_be_used_are_found() {
    let lab = Lab::new();
    lab.write("a_file", "");
    lab.write("extracted_data/.amp/hours", "");
    let document = lab.run(&["--check", "--download-dir", "a_file/below"]).exits(2);
    let download_dir = finding(&document, "download_dir");
    assert_eq!(download_dir["level"], "failed");
    assert!(download_dir["message"].as_str().unwrap().contains("a_file/below"), "{download_dir}");
    // The tests' directory was made by hand, open to others.
    let extracted_dir = finding(&document, "extracted_dir");
    assert_eq!(extracted_dir["level"], "warning");
    assert!(extracted_dir["hint"].as_str().unwrap().contains("chmod 700"), "{extracted_dir}");
}

#[test]
fn a_run_at_work_is_a_warning() {
    let lab = Lab::faulty(&["hour=2025-11-06:stall"]);
    let running = lab.command(&["--date", "2025-11-06"]).spawn();
    crate::support::wait_until("the run asks", || !lab.asked().is_empty());
    let document = lab.run(&["--check"]).exits(0);
    assert_eq!(finding(&document, "lock")["level"], "warning");
    running.signal("INT");
    running.wait();
}

#[test]
fn the_project_of_the_key_is_named_once_it_is_known() {
    let lab = Lab::new();
    let project = |lab: &Lab| finding(&lab.run(&["--check"]).exits(0), "project")["message"].to_string();
    assert!(project(&lab).contains("not known"), "{}", project(&lab));
    lab.run(&["--start", "2025-11-06T04", "--end", "2025-11-06T04"]).exits(0);
    assert!(project(&lab).contains("the key is one of project "), "{}", project(&lab));
    let other = lab.command(&["--check"]).env("AMP_API_KEY", "other").run().json();
    assert!(finding(&other, "project")["message"].to_string().contains("other keys fetched project "), "{other:#}");
}

#[test]
fn metrics_that_could_not_be_written_are_warned_of_and_none_are() {
    let lab = Lab::new();
    lab.write("metrics/.keep", "");
    lab.write("settings", "AMP_REGION=eu\n");
    for (given, level) in [
        ("metrics", "ok"),
        ("metrics/amp.prom", "ok"),
        ("amp.prom", "ok"),
        ("missing/amp.prom", "warning"),
        ("settings", "warning"),
    ] {
        let document = lab.run(&["--check", "--metrics-file", given]).exits(0);
        let found = finding(&document, "metrics_file");
        assert_eq!(found["level"], level, "{given}: {document:#}");
        assert!(found["message"].as_str().unwrap().contains(given), "{document:#}");
    }
    assert_eq!((lab.names("metrics"), lab.names("missing")), (vec![".keep".to_owned()], vec![]));
}
