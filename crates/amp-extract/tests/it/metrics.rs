//! `--metrics-file`: what a run leaves for Prometheus.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;

use crate::support::{DAY, HOUR, Lab, wait_until};

const ALONE: [&str; 4] = ["--start", HOUR, "--end", HOUR];
const FILE: &str = "amp.prom";
const ITS_OWN: [&str; 2] = ["--metrics-file", FILE];
const OTHERS: &str = "\
# HELP amp_load_last_run_exit_code Exit code of the last run.
# TYPE amp_load_last_run_exit_code gauge
amp_load_last_run_exit_code 3
";

/// The series of a file by name and label, once its form is checked as the collector would.
fn series(lab: &Lab, name: &str) -> BTreeMap<String, f64> {
    let text = fs::read_to_string(lab.path(name)).unwrap();
    let mut family = "";
    let mut series = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(name.starts_with("amp_") && help.ends_with('.'), "{line}");
            family = name;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert_eq!(rest, format!("{family} gauge"));
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(name.split('{').next(), Some(family), "{text}");
            assert!(series.insert(name.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
        }
    }
    assert!(text.ends_with('\n'));
    series
}

fn exit_code(lab: &Lab, name: &str) -> f64 {
    series(lab, name)["amp_extract_last_run_exit_code"]
}

#[test]
fn the_metrics_of_a_run_are_what_its_document_says() {
    let lab = Lab::faulty(&["req=1:status=503", &format!("hour={HOUR}:status=400")]);
    let before = chrono::Utc::now().timestamp() as f64;
    let ran = lab.command(&["--date", DAY]).args(&ITS_OWN).after("umask 077").run();
    let document = ran.exits(1);
    let found = series(&lab, FILE);
    let number = |pointer: &str| document.pointer(pointer).unwrap().as_f64().unwrap();
    for (name, pointer) in [
        ("hourly_exports{state=\"extracted\"}", "/hours/extracted"),
        ("hourly_exports{state=\"failed\"}", "/hours/failed"),
        ("hourly_exports{state=\"no_data\"}", "/hours/no_data"),
        ("hourly_exports{state=\"skipped\"}", "/hours/skipped"),
        ("unsettled_hourly_exports", "/hours/unsettled"),
        ("requests", "/requests"),
        ("retries", "/retries"),
        ("splits", "/splits"),
        ("downloaded_bytes", "/bytes_downloaded"),
        ("extracted_bytes", "/bytes_extracted"),
        ("files", "/files"),
        ("events", "/events"),
    ] {
        assert_eq!(found[&format!("amp_extract_last_run_{name}")], number(pointer), "{name}");
    }
    assert_eq!(found["amp_extract_last_run_hourly_exports{state=\"unfinished\"}"], 0.0);
    assert_eq!(found["amp_extract_last_run_exit_code"], 1.0);
    assert_eq!(found[&format!("amp_extract_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))], 1.0);
    let outcome = |name| found[&format!("amp_extract_last_run_outcome{{outcome=\"{name}\"}}")];
    assert_eq!(["complete", "partial", "empty", "failed", "interrupted"].map(outcome), [0.0, 1.0, 0.0, 0.0, 0.0]);
    let (start, end) =
        (found["amp_extract_last_run_start_timestamp_seconds"], found["amp_extract_last_run_end_timestamp_seconds"]);
    assert!(before <= start && start <= end);
    assert!(found["amp_extract_last_run_duration_seconds"] > 0.0);
    assert!(!found.contains_key("amp_extract_last_success_timestamp_seconds"), "there was none yet");
    assert_eq!(lab.path(FILE).metadata().unwrap().permissions().mode() & 0o777, 0o644, "whatever the umask");
}

#[test]
fn every_end_leaves_metrics_and_none_but_a_success_moves_the_last_success() {
    let lab = Lab::new();
    lab.command(&ALONE).args(&ITS_OWN).run().exits(0);
    let success = "amp_extract_last_success_timestamp_seconds";
    let last = series(&lab, FILE)[success];
    let ended = |code: f64| {
        let found = series(&lab, FILE);
        assert_eq!((found["amp_extract_last_run_exit_code"], found[success]), (code, last), "{found:#?}");
        fs::write(lab.path(FILE), OTHERS.to_owned() + &fs::read_to_string(lab.path(FILE)).unwrap()).unwrap();
    };
    for args in [&["--date", "never"][..], &["--no-such-flag"], &["--env-file", "nowhere"]] {
        lab.command(args).args(&ITS_OWN).run().exits(2);
        ended(2.0);
        let equals = format!("--metrics-file={FILE}");
        lab.command(args).args(&[&equals]).run().exits(2);
        ended(2.0);
        lab.command(args).env("AMP_METRICS_FILE", FILE).run().exits(2);
        ended(2.0);
    }
    lab.write(".env", format!("AMP_METRICS_FILE={FILE}"));
    for args in [&["--date", "never"][..], &["--no-such-flag"]] {
        lab.run(args).exits(2);
        ended(2.0);
    }
    lab.command(&ALONE).env("AWS_X", OsString::from_vec(vec![0xff])).run().exits(2);
    ended(2.0);
    let day = ["--date", DAY, "--parallel", "1"];
    lab.rule("req=2:status=403");
    lab.run(&day).exits(3);
    ended(3.0);
    lab.rule("req=3-:stall");
    let running = lab.command(&day).spawn();
    wait_until("the request", || lab.server.requests().last().is_some_and(|request| !request.finished));
    lab.run(&day).exits(75);
    ended(75.0);
    running.signal("TERM");
    running.wait().exits(143);
    assert_eq!(series(&lab, FILE)["amp_extract_last_run_hourly_exports{state=\"unfinished\"}"], 23.0);
    ended(143.0);
    lab.server.clear_rules();
    lab.run(&day).exits(0);
    assert!(series(&lab, FILE)[success] > last);
}

#[test]
fn both_programs_may_share_a_file_and_of_a_directory_each_has_its_own() {
    let lab = Lab::new();
    lab.write(FILE, OTHERS);
    lab.command(&ALONE).args(&ITS_OWN).run().exits(0);
    assert!(fs::read_to_string(lab.path(FILE)).unwrap().contains(OTHERS));
    assert_eq!(exit_code(&lab, FILE), 0.0);
    lab.write("metrics/amp_load.prom", OTHERS);
    for dir in ["metrics", "metrics/"] {
        lab.command(&ALONE).args(&["--metrics-file", dir]).run().exits(0);
        assert_eq!(lab.names("metrics"), ["amp_extract.prom", "amp_load.prom"]);
        assert_eq!(exit_code(&lab, "metrics/amp_extract.prom"), 0.0);
        fs::remove_file(lab.path("metrics/amp_extract.prom")).unwrap();
    }
}

#[test]
fn a_damaged_file_is_replaced_and_what_is_whole_of_it_kept() {
    let lab = Lab::new();
    let success = "amp_extract_last_success_timestamp_seconds";
    for (damage, kept) in [
        (b"\xff\xfe\0".to_vec(), None),
        (
            format!("{OTHERS}# HELP {success} When.\n{success} 86400\namp_extract_last_run_ho").into_bytes(),
            Some(86400.0),
        ),
        (format!("# HELP {success} When.\n{success} NaN\n").into_bytes(), None),
        (Vec::new(), None),
    ] {
        lab.write(FILE, damage);
        lab.run(&["--date", "never", "--metrics-file", FILE]).exits(2);
        let found = series(&lab, FILE);
        assert_eq!((found["amp_extract_last_run_exit_code"], found.get(success).copied()), (2.0, kept));
        assert_eq!(found.contains_key("amp_load_last_run_exit_code"), kept.is_some());
    }
}

#[test]
fn metrics_that_cannot_be_written_are_a_warning_and_change_no_result() {
    let lab = Lab::new();
    lab.write("a_file", "");
    for path in ["nowhere/amp.prom", "a_file/amp.prom", "/dev/null", "nowhere/"] {
        let ran = lab.command(&ALONE).args(&["--force", "--metrics-file", path]).run();
        assert_eq!(ran.exits(0)["outcome"], "complete");
        ran.says(&["warning: cannot write the metrics to ", path.trim_end_matches('/')]);
        let ran = lab.run(&["--date", "never", "--metrics-file", path]);
        ran.exits(2);
        ran.says(&["warning: cannot write the metrics to "]);
    }
    assert!(!lab.path("nowhere").exists());
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    let held = fs::File::open(lab.path(".")).unwrap();
    held.lock().unwrap();
    let ran = lab.command(&ALONE).args(&ITS_OWN).run();
    ran.exits(0);
    ran.says(&["holds a lock"]);
    assert!(!lab.path(FILE).exists());
}

#[test]
fn runs_that_only_look_or_explain_leave_no_metrics() {
    let lab = Lab::new();
    for args in [
        &["--dry-run"][..],
        &["--dry-run", "--date", "never"],
        &["--dry-run", "--no-such-flag"],
        &["--help"],
        &["--version"],
    ] {
        lab.command(args).args(&ITS_OWN).run();
        lab.command(args).env("AMP_METRICS_FILE", FILE).run();
        assert!(!lab.path(FILE).exists(), "{args:?}");
    }
}
