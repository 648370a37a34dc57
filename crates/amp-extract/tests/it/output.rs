//! What a run says on stdout and stderr.

use std::fs::File;
use std::process::Stdio;

use amp_sandbox::tools;
use serde_json::{Value, json};

use crate::support::{DAY, HOUR, Lab, wait_until};

const ALONE: [&str; 4] = ["--start", HOUR, "--end", HOUR];

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn under_output_json_stdout_holds_one_document_of_the_promised_form_and_nothing_else() {
    let lab = Lab::faulty(&["req=1:status=503", &format!("hour={HOUR}:status=400")]);
    let ran = lab.command(&["--date", DAY, "-vv", "--progress", "always"]).run();
    let mut document = ran.exits(1);
    assert_eq!(ran.stdout.lines().count(), 1);
    let all = [
        "bytes_downloaded",
        "bytes_extracted",
        "events",
        "failures",
        "files",
        "hours",
        "outcome",
        "program",
        "requests",
        "retries",
        "run_id",
        "seconds",
        "splits",
        "version",
        "window",
    ];
    assert_eq!(keys(&document), all);
    assert!(document["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));
    assert!(document["bytes_downloaded"].as_u64().is_some_and(|bytes| bytes > 0));
    let bytes: usize = lab.staged().values().map(Vec::len).sum();
    assert_eq!(document["bytes_extracted"], bytes);
    let failures = document["failures"].take();
    assert_eq!(keys(&failures[0]), ["end", "error", "start"]);
    for varies in ["run_id", "seconds", "bytes_downloaded", "bytes_extracted", "requests", "splits"] {
        document[varies].take();
    }
    let expected = json!({
        "program": "amp-extract", "version": env!("CARGO_PKG_VERSION"), "outcome": "partial",
        "window": {"start": "2025-11-06T00", "end": "2025-11-06T23"},
        "hours": {"asked": 24, "extracted": 23, "no_data": 0, "skipped": 0, "failed": 1, "unfinished": 0, "accepted": 0,
            "unsettled": 0},
        "requests": null, "retries": 1, "splits": null, "bytes_downloaded": null, "bytes_extracted": null,
        "files": 23, "events": 69, "seconds": null, "failures": null, "run_id": null,
    });
    assert_eq!(document, expected);
}

#[test]
fn with_exit_2_stdout_still_holds_one_document_that_names_the_cause() {
    let lab = Lab::new();
    for args in [&["--date", "never"] as &[&str], &["--no-such-flag"], &["--env-file", "nowhere"]] {
        let ran = lab.run(args);
        let document = ran.exits(2);
        assert_eq!(ran.stdout.lines().count(), 1);
        assert_eq!((&document["program"], &document["outcome"]), (&"amp-extract".into(), &"failed".into()));
        let cause = document["failures"][0]["error"].as_str().unwrap();
        assert!(cause.contains(args.last().unwrap().trim_start_matches('-')), "{cause}");
    }
    let ran = lab.bare(&["--output=json"]).run();
    assert_eq!(ran.exits(2)["failures"].as_array().unwrap().len(), 2);
}

#[test]
fn the_table_on_stdout_has_the_result_in_short() {
    let lab = Lab::new();
    let ran = lab.for_people(&["--date", DAY, "--output", "text"]).run();
    assert_eq!(ran.code, Some(0));
    for word in ["complete", "2025-11-06T00..2025-11-06T23", "24 asked", "24 extracted", "24 files", "72 events"] {
        assert!(ran.stdout.contains(word), "{word}: {}", ran.stdout);
    }
    assert_eq!(ran.stderr, "", "a run without trouble and terminal says nothing there");
}

#[test]
fn what_failed_is_said_once_and_the_table_counts_it_and_says_what_to_do_next() {
    let lab = Lab::faulty(&[":status=500"]);
    let ran = lab.for_people(&["--date", DAY, "--max-retries", "0"]).run();
    assert_eq!(ran.code, Some(75));
    assert!(ran.stdout.contains("24 failed") && ran.stdout.lines().last().unwrap().starts_with("next: "), "{ran:#?}");
    assert_eq!((ran.stderr.matches("HTTP 500").count(), ran.stdout.matches("HTTP 500").count()), (1, 0), "{ran:#?}");
}

#[test]
fn quiet_leaves_errors_only_and_verbose_adds() {
    let run = |flag: &[&str]| {
        let lab = Lab::faulty(&["req=1:status=503", "req=3-:status=418"]);
        let days = ["--start", "2025-11-05", "--end", "2025-11-06"];
        lab.command(&days).args(flag).run()
    };
    let quiet = run(&["-q"]);
    let lines: Vec<_> = quiet.stderr.lines().collect();
    assert!(lines[0].starts_with("amp-extract: error: ") && lines[1].starts_with("amp-extract: hint: "), "{quiet:#?}");
    assert_eq!(lines.len(), 2, "{quiet:#?}");
    let plain = run(&[]);
    plain.says(&["warning: ", "error: "]).does_not_say(&["GET "]);
    let verbose = run(&["-v"]);
    verbose.says(&["settings: ", "staged 24 files"]).does_not_say(&["GET "]);
    let most = run(&["-vv"]);
    most.says(&["GET ", "start=20251105T00", "HTTP 200", "staged 24 files"]);
    for ran in [&quiet, &plain, &verbose, &most] {
        assert_eq!(ran.exits(1)["retries"], 1);
    }
}

#[test]
fn a_reader_of_stdout_that_went_away_is_no_error() {
    for args in [&ALONE as &[&str], &["--help"], &["--date", DAY, "--output", "text"], &["--date", DAY, "--dry-run"]] {
        let lab = Lab::new();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let run =
            lab.bare(args).env("AMP_API_KEY", lab.server.api_key()).env("AMP_SECRET_KEY", lab.server.secret_key());
        let ran = run.env("AMP_BASE_URL", lab.server.base_url()).stdout(writer).run();
        assert_eq!(ran.code, Some(0), "{args:?}: {ran:#?}");
        ran.does_not_say(&["panic", "Broken pipe"]);
    }
}

#[test]
fn a_stdout_that_takes_nothing_is_told_and_the_data_is_staged_all_the_same() {
    let lab = Lab::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let ran = lab.command(&ALONE).stdout(Stdio::from(full)).run();
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    ran.says(&["error: ", "stdout"]);
    lab.assert_staged(&[HOUR]);
}

#[test]
fn without_a_terminal_there_are_no_bars_and_no_colours() {
    let lab = Lab::faulty(&["req=1:status=503"]);
    for args in [&[][..], &["-vv"], &["--progress", "always"], &["--progress", "never"]] {
        let ran = lab.command(&["--date", DAY, "--force"]).args(args).run();
        ran.exits(0);
        ran.does_not_say(&["\u{1b}", "\r"]);
    }
}

#[test]
fn an_error_says_what_happened_to_what_and_what_to_do() {
    for (rule, words) in [
        (":status=429", &["2025-11-06T04", "429", "too many requests"][..]),
        (":status=504", &["2025-11-06T04", "504", "too much data"]),
        (":cut=50", &["2025-11-06T04", "failed"]),
        (":flip=60", &["2025-11-06T04", "zip"]),
        (":status=418", &["2025-11-06T04", "418", "--base-url"]),
    ] {
        let lab = Lab::faulty(&[rule]);
        let ran = lab.run(&[&ALONE[..], &["--max-retries", "0"]].concat());
        ran.says(words);
        assert!(ran.json()["failures"][0]["error"].as_str().is_some_and(|error| error.contains(words[0])), "{rule}");
    }
}

/// A laboratory whose one hour takes about three seconds to come.
fn slow() -> Lab {
    Lab::with(|config| {
        config.dataset = config.dataset.clone().events_per_part(1500);
        config.bandwidth = Some(50_000);
    })
}

#[test]
fn progress_that_is_asked_for_without_a_terminal_comes_in_lines() {
    let lab = slow();
    let ran = lab.for_people(&ALONE).args(&["--progress", "always"]).run();
    assert_eq!(ran.code, Some(0));
    let line = ran.stderr.lines().find(|line| line.contains("downloading")).unwrap_or_else(|| panic!("{ran:#?}"));
    assert!(
        line.contains(HOUR) && line.contains(" of ") && line.ends_with("/s") && !line.contains("warning"),
        "{line}"
    );
}

#[test]
fn a_download_that_stands_still_is_told_of_all_the_same() {
    for (rule, told) in
        [(":stall", "waiting for 2025-11-06T04: "), (":stall=100", "downloading 2025-11-06T04: 100 B of ")]
    {
        let lab = Lab::faulty(&[rule]);
        let running = lab.for_people(&ALONE).args(&["--progress", "always"]);
        let running = running.args(&["--read-timeout", "20s", "--max-retries", "0"]).spawn();
        let told = format!("amp-extract: {told}");
        // The second of its lines is told though nothing came since the first.
        let mut line = None;
        wait_until("the second line", || {
            line = running.stderr().lines().filter(|line| line.starts_with(&told)).nth(1).map(str::to_owned);
            line.is_some()
        });
        let line = line.unwrap();
        assert!(line.ends_with(" so far") || line.contains("nothing for "), "{line}");
        running.signal("TERM");
        assert_eq!(running.wait().code, Some(143));
    }
}

#[test]
fn on_a_terminal_a_bar_shows_bytes_rate_and_time_left_and_is_gone_in_the_end() {
    let lab = slow();
    let ran = lab.for_people(&ALONE).on_a_terminal(120, "2>&1 >table").run();
    if !tools::has("`script`, for a terminal", !ran.stderr.contains("not found")) {
        return;
    }
    let bar = ran
        .stdout
        .split(['\r', '\n'])
        .find(|bar| bar.contains("downloading") && bar.contains("=>") && bar.contains("/s"));
    let bar = bar.unwrap_or_else(|| panic!("{ran:#?}"));
    assert!(bar.contains(HOUR) && bar.contains(" of ") && bar.contains("/s"), "{bar}");
    let table = std::fs::read_to_string(lab.path("table")).unwrap();
    assert!(table.contains("complete") && !table.contains("downloading"), "{table}");
}
