//! What people see, as files in `snapshots/`: a change of words is a diff there. `docs/testing.md` says how they are updated.

use std::path::Path;

use amp_sandbox::snapshot;

use crate::support::{Lab, days_ago};

/// Compares what `args` print under these rules of the API with the snapshot of that name.
fn check(name: &str, lab: &Lab, args: &[&str]) -> Option<String> {
    let ran = lab.for_people(args).run();
    let code = ran.code.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
    let printed =
        format!("$ amp-extract {}\n{}--- stderr\n{}--- exit code {code}\n", args.join(" "), ran.stdout, ran.stderr);
    let url = lab.server.base_url();
    let (dir, yesterday) = (lab.path(""), days_ago(1));
    let masks = [
        (url.as_str(), "URL"),
        (dir.to_str().unwrap().trim_end_matches('/'), "DIR"),
        (yesterday.as_str(), "YESTERDAY"),
        (env!("CARGO_PKG_VERSION"), "VERSION"),
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots").join(format!("{name}.txt"));
    snapshot::departure(&path, &printed, &masks)
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
        ("check", "", vec!["--check"]),
        ("exit_1_hour_too_large", ":status=400", hour.to_vec()),
        ("exit_1_foreign_404", ":foreign-404", day.to_vec()),
        ("exit_2_settings", "", vec!["--date", "2025-02-30", "--region", "moon", "--threads", "0"]),
        ("exit_2_flag", "", vec!["--dat", "2025-11-06"]),
        ("exit_2_window", "", vec!["--start", "2025-11-20", "--end", "2025-11-10"]),
        ("exit_3_keys", ":invalid-key", day.to_vec()),
        ("exit_3_check", ":invalid-key", vec!["--check"]),
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
