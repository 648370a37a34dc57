//! No secret is ever seen, at any level, whatever the server says.

use std::path::Path;

use amp_sandbox::export::{Fault, Rule};
use base64::{Engine, prelude::BASE64_STANDARD};

use crate::support::{HOUR, Lab};

const KEY: &str = "apikey-3f9a";
const SECRET: &str = "s3cret/+-77b1";

/// Every file below a directory.
fn files(dir: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), found);
        } else {
            found.push((entry.path().display().to_string(), std::fs::read(entry.path()).unwrap()));
        }
    }
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[track_caller]
fn assert_secret(lab: &Lab, args: &[&str], exit: i32) {
    let basic = BASE64_STANDARD.encode(format!("{KEY}:{SECRET}"));
    let needles = [KEY, SECRET, &basic, &basic[..basic.len() - 4]];
    for form in [&[][..], &["--output", "json", "--log-format", "json"]] {
        let run = lab
            .for_people(&["-vv", "--start", HOUR, "--end", HOUR, "--force", "--max-retries", "1", "--keep-archives"])
            .args(args)
            .args(form);
        // What libraries would log is asked for as well.
        let ran = run.env("AMP_API_KEY", KEY).env("AMP_SECRET_KEY", SECRET).env("RUST_LOG", "trace").run();
        assert_eq!(ran.code, Some(exit), "{ran:#?}");
        ran.does_not_say(&needles);
        assert!(!ran.stderr.contains("Authorization") && !ran.stderr.contains("Basic "), "{ran:#?}");
    }
    let mut found = Vec::new();
    files(&lab.path("."), &mut found);
    assert!(found.len() > 1);
    for (path, bytes) in found {
        assert!(needles.iter().all(|needle| !holds(&bytes, needle)), "{path}");
    }
}

fn lab() -> Lab {
    Lab::with(|config| {
        config.api_key = KEY.into();
        config.secret_key = SECRET.into();
    })
}

#[test]
fn a_run_that_goes_well_shows_no_secret() {
    assert_secret(&lab(), &[], 0);
}

#[test]
fn an_answer_that_echoes_the_authorization_is_blanked() {
    let basic = BASE64_STANDARD.encode(format!("{KEY}:{SECRET}"));
    for (code, exit) in [(400, 1), (401, 3), (403, 3), (404, 1), (429, 75), (500, 75), (418, 1)] {
        let lab = lab();
        // Also where the message is cut to its beginning.
        for filler in [0, 240, 285] {
            let body = format!("{} Authorization: Basic {basic} of {KEY}/{SECRET}", "x".repeat(filler));
            let body = body.replace("Authorization: Basic", "you sent");
            lab.server.clear_rules();
            lab.server.add_rule(Rule::always(Fault::Status { code, headers: Vec::new(), body: Some(body) }));
            assert_secret(&lab, &[], exit);
        }
    }
}

#[test]
fn an_error_on_the_wire_shows_no_secret() {
    for rule in [":reset", ":cut=10", ":html", ":redirect=http://127.0.0.1:1/"] {
        let lab = lab();
        lab.rule(rule);
        assert_secret(&lab, &[], 75);
    }
}

#[test]
fn an_echo_that_breaks_off_within_a_secret_is_blanked_too() {
    let basic = BASE64_STANDARD.encode(format!("{KEY}:{SECRET}"));
    for end in [&basic[..basic.len() - 3], &SECRET[..SECRET.len() - 1]] {
        let lab = lab();
        let body = Some(format!("you sent {end}"));
        lab.server.add_rule(Rule::always(Fault::Status { code: 418, headers: Vec::new(), body }));
        assert_secret(&lab, &[], 1);
        let ran = lab.command(&["--force"]).env("AMP_API_KEY", KEY).env("AMP_SECRET_KEY", SECRET).run();
        ran.says(&["you sent ***)"]).does_not_say(&[end]);
    }
}

#[test]
fn a_proxys_password_is_never_shown() {
    let lab = Lab::new();
    let run = lab.for_people(&["-vv", "--start", HOUR, "--end", HOUR, "--max-retries", "0"]);
    let run = run.env("AMP_BASE_URL", "https://api.localtest").env("HTTPS_PROXY", "http://me:hunter2@127.0.0.1:9");
    let ran = run.env("RUST_LOG", "trace").run();
    assert_eq!(ran.code, Some(75), "{ran:#?}");
    // In base64, too, as it is sent.
    let needles = ["hunter2", "bWU6aHVudGVyMg"];
    ran.does_not_say(&needles);
    lab.logs().iter().for_each(|(_, log)| assert!(needles.iter().all(|needle| !log.contains(needle)), "{log}"));
}
