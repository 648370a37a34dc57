//! What people see, as files in `snapshots/`: a change of words is a diff there. `docs/testing.md` says how they are updated.

use std::path::Path;

use amp_sandbox::snapshot;

use crate::support::{Lab, days_ago, this_hour};

/// What `args` print under these rules of the API.
fn transcript(lab: &Lab, variables: &[(&str, &str)], args: &[&str]) -> String {
    let run = variables.iter().fold(lab.for_people(args), |run, (name, value)| run.env(name, value));
    let ran = run.run();
    snapshot::transcript("amp-extract", variables, args, (&ran.stdout, &ran.stderr, ran.code))
}

/// Compares what `args` print with the snapshot of that name.
fn check(name: &str, lab: &Lab, args: &[&str]) -> Option<String> {
    departure(name, lab, &transcript(lab, &[], args))
}

fn departure(name: &str, lab: &Lab, printed: &str) -> Option<String> {
    let url = lab.server.base_url();
    let (dir, yesterday, now) = (lab.path(""), days_ago(1), format!("{} (UTC)", this_hour()));
    let masks = [
        (url.as_str(), "URL"),
        (dir.to_str().unwrap().trim_end_matches('/'), "DIR"),
        (yesterday.as_str(), "YESTERDAY"),
        (now.as_str(), "NOW"),
        (env!("CARGO_PKG_VERSION"), "VERSION"),
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots").join(format!("{name}.txt"));
    snapshot::departure(&path, printed, &masks)
}

#[test]
fn what_people_see_is_as_it_was_reviewed() {
    let day = ["--date", "2025-11-06"];
    let hour = ["--start", "2025-11-06T04", "--end", "2025-11-06T04"];
    let with = |args: &[&'static str], more: &[&'static str]| [args, more].concat();
    let cases = [
        ("help_short", "", vec!["-h"]),
        ("help_long", "", vec!["--help"]),
        ("complete", "", day.to_vec()),
        ("no_data", ":no-data", day.to_vec()),
        ("dry_run", "", with(&day, &["--dry-run"])),
        ("check", "", vec!["--check", "--threads", "2"]),
        ("exit_1_hour_too_large", ":status=400", hour.to_vec()),
        ("exit_1_foreign_404", ":foreign-404", day.to_vec()),
        ("exit_2_settings", "", vec!["--date", "2025-02-30", "--region", "moon", "--threads", "0"]),
        ("exit_2_flag", "", vec!["--dat", "2025-11-06"]),
        ("exit_2_window", "", vec!["--start", "2025-11-20", "--end", "2025-11-10"]),
        ("exit_3_keys", ":invalid-key", day.to_vec()),
        ("exit_3_check", ":invalid-key", vec!["--check", "--threads", "2"]),
        ("exit_75_outage", ":status=503", with(&day, &["--max-retries", "0"])),
    ];
    let mut departures: Vec<String> = Vec::new();
    for (name, rule, args) in cases {
        let lab = Lab::new();
        if !rule.is_empty() {
            lab.rule(rule);
        }
        departures.extend(check(name, &lab, &args));
    }
    let lab = Lab::faulty(&["hour=2025-11-06T05:status=418"]);
    lab.run(&hour).exits(0);
    lab.run(&["--start", "2025-11-06T05", "--end", "2025-11-06T05"]).exits(1);
    departures.extend(check("status", &lab, &with(&day, &["--status"])));
    departures.extend(check("skipped", &lab, &hour));
    assert!(departures.is_empty(), "{}", departures.join("\n"));
}

/// Variables of the environment and arguments.
type Mistake<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

#[test]
fn each_mistake_is_answered_as_it_was_reviewed() {
    let lab = Lab::new();
    lab.write("a_file", "");
    lab.write("colon.env", "AMP_REGION=eu\nAMP_API_KEY: secret\n");
    lab.write("quote.env", "AMP_API_KEY='secret\n");
    lab.write("misspelt.env", "AMP_APIKEY=secret\n");
    lab.write("key", "secret\n");
    let dry: &[&str] = &["--dry-run", "--date", "2025-11-06"];
    let mut printed = String::new();
    let mistakes: [Mistake<'_>; 54] = [
        (&[], &["2025-11-06"]),
        (&[], &["--dry_run"]),
        (&[], &["help"]),
        (&[], &["3d"]),
        (&[], &["--api-key", "secret"]),
        (&[], &["--date", "2025-02-30"]),
        (&[], &["--date", "2025-11-06T05"]),
        (&[], &["--date", "06.11.2025"]),
        (&[], &["--start", "2025-11-20", "--end", "2025-11-10"]),
        (&[], &["--start", "2025-11-20"]),
        (&[], &["--end", "2025-11-20"]),
        (&[], &["--date", "2999-01-01"]),
        (&[], &["--date", "1999-01-01", "--dry-run"]),
        (&[], &["--last", "0d"]),
        (&[], &["--last", "7"]),
        (&[], &["--last", "-3d"]),
        (&[], &["--last", "1m"]),
        (&[], &["--last", "3 days"]),
        (&[], &["--last", "99999999w"]),
        (&[], &["--last", "3d", "--date", "2025-11-06"]),
        (&[], &["--date", "2025-11-06", "--shard", "0/3"]),
        (&[], &["--date", "2025-11-06", "--shard", "4/3"]),
        (&[], &["--date", "2025-11-06", "--shard", "100/100"]),
        (&[], &["--region", "europe"]),
        (&[("AMP_REGION", "eu\n")], dry),
        (&[], &["--region", "US", "--date", "2025-11-06", "--dry-run"]),
        (&[("AMP_REGOIN", "us"), ("AMP_CONCURENCY", "2"), ("AMP_TOKEN", "x")], dry),
        (&[("AMP_API_KEY", "")], &["--env-file", "misspelt.env"]),
        (&[("AMP_API_KEY", ""), ("AMP_SECRET_KEY", "")], &["--env-file", "/dev/null"]),
        (&[], &["--env-file", "nowhere.env"]),
        (&[("AMP_API_KEY", "")], &["--env-file", "colon.env"]),
        (&[("AMP_API_KEY", "")], &["--env-file", "quote.env"]),
        (&[("AMP_API_KEY", "key ")], dry),
        (&[("AMP_API_KEY", "\"key\"")], dry),
        (&[("AMP_API_KEY", "key\r\n")], dry),
        (&[("AMP_API_KEY", "ke\ny")], dry),
        (&[("AMP_API_KEY_FILE", "key")], dry),
        (&[("AMP_API_KEY", ""), ("AMP_API_KEY_FILE", "nowhere")], dry),
        (&[("AMP_API_KEY", ""), ("AMP_API_KEY_FILE", "key")], dry),
        (&[("AMP_BASE_URL", "analytics.amplitude.com")], dry),
        (&[("AMP_BASE_URL", "localhost:9000")], dry),
        (&[("AMP_BASE_URL", "http://analytics.amplitude.com")], dry),
        (&[("AMP_BASE_URL", "https://amplitude.com/api/2/export")], dry),
        (&[], &["--max-retries", "-1"]),
        (&[], &["--parallel", "9", "--max-ratio", "0", "--read-timeout", "0s", "--format", "csv", "--log-keep", "x"]),
        (&[], &["--parallel", "5", "--dry-run", "--date", "2025-11-06"]),
        (&[], &["--extracted-dir", "a_file", "--date", "2025-11-06"]),
        (&[], &["--extracted-dir", "a_file/below", "--date", "2025-11-06"]),
        (&[], &["--download-dir", "a_file", "--date", "2025-11-06"]),
        (
            &[],
            &[
                "--log-dir",
                "a_file",
                "--metrics-file",
                "a_file/amp.prom",
                "--start",
                "2025-11-06",
                "--end",
                "2025-11-06T00",
            ],
        ),
        (&[], &["--status", "--force"]),
        (&[], &["--fail"]),
        (&[], &["--accept-missing"]),
        (&[], &["--completions", "tcsh"]),
    ];
    for (variables, args) in mistakes {
        printed += &transcript(&lab, variables, args);
    }
    assert_eq!(departure("mistakes", &lab, &printed), None);
}
