//! `logs/`: one file per run.

use amp_sandbox::schema;
use serde_json::Value;

use crate::support::{DAY, HOUR, Lab};

const ALONE: [&str; 4] = ["--start", HOUR, "--end", HOUR];

/// Whether a name is of the pattern, in which `9` stands for any digit.
fn matches(name: &str, pattern: &str) -> bool {
    name.len() == pattern.len()
        && name
            .bytes()
            .zip(pattern.bytes())
            .all(|(byte, like)| if like == b'9' { byte.is_ascii_digit() } else { byte == like })
}

#[test]
fn each_run_writes_one_log_named_after_its_window_and_start() {
    let lab = Lab::new();
    lab.run(&ALONE).exits(0);
    let logs = lab.logs();
    assert_eq!(logs.len(), 1);
    let name = logs[0].0.replace("20251106T04_20251106T04", "W");
    assert!(matches(&name, "log_amplitude_W_9999-99-99_99-99-99.log"), "{logs:?}");
    lab.run(&ALONE).exits(0);
    assert_eq!(lab.logs().len(), 2, "two runs in one second have two logs");
}

#[test]
fn the_log_is_at_information_level_whatever_quiet_says() {
    let lab = Lab::faulty(&["req=1:status=503", &format!("window={DAY}:status=400")]);
    let ran = lab.command(&["--date", DAY, "-q"]).run();
    ran.exits(0);
    assert_eq!(ran.stderr, "");
    let log = &lab.logs()[0].1;
    for word in [
        "INFO",
        "WARN",
        "GET ",
        "HTTP 503",
        "retrying in",
        "split into",
        "HTTP 200",
        "100011471_2025-11-06_4#0.json",
        "staged",
        "exit code 0",
    ] {
        assert!(log.contains(word), "{word}: {log}");
    }
    assert!(!log.contains('\u{1b}'));
}

#[test]
fn what_failed_stands_in_the_log_too() {
    let lab = Lab::faulty(&[":status=403"]);
    lab.run(&ALONE).exits(3);
    let log = &lab.logs()[0].1;
    assert!(log.contains("ERROR") && log.contains("403") && log.contains("exit code 3"), "{log}");
}

#[test]
fn under_log_format_json_each_line_is_an_object_with_fields() {
    let lab = Lab::faulty(&["req=1:status=503", &format!("window={DAY}:status=400")]);
    let result = lab.run(&["--date", DAY, "--log-format", "json"]).exits(0);
    let lines: Vec<Value> = lab.logs()[0].1.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        assert_eq!(schema::departure(line), None, "{line:#}");
        assert_eq!(line["run_id"], result["run_id"], "{line:#}");
    }
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    let retry = of("retry")[0];
    assert_eq!(
        (&retry["attempt"], &retry["status"], &retry["level"]),
        (&1.into(), &503.into(), &"WARN".into()),
        "{retry:#}"
    );
    assert_eq!(retry["window"], "2025-11-06T00..2025-11-06T23");
    assert_eq!(of("split")[0]["status"], 400);
    let downloaded = of("archive_downloaded");
    assert_eq!((downloaded.len(), &downloaded[0]["status"]), (2, &200.into()));
    assert!(downloaded[0]["bytes"].as_u64().unwrap() > 0 && downloaded[0]["seconds"].as_f64().is_some());
    assert_eq!((of("request").len(), of("file_unpacked").len(), of("window_staged").len()), (4, 24, 2));
    assert_eq!(of("result")[0]["result"]["hours"], result["hours"]);
    assert_eq!(of("exit")[0]["code"], 0);
}

#[test]
fn verbose_has_a_line_per_day_and_file_and_twice_verbose_each_request() {
    let lab = Lab::new();
    let once = lab.command(&[&ALONE[..], &["-v"]].concat()).run();
    once.says(&["settings: ", "staged 1 files", "finished"]).does_not_say(&["GET ", "exit code"]);
    let twice = lab.command(&[&ALONE[..], &["-vv", "--force"]].concat()).run();
    twice.says(&["GET ", "exit code", "HTTP 200"]);
}

#[test]
fn only_so_many_logs_of_this_program_are_kept() {
    let lab = Lab::new();
    for minute in 10..20 {
        lab.write(&format!("logs/log_amplitude_20251106T00_20251106T23_2025-11-07_03-{minute}-00.log"), "old");
    }
    lab.write("logs/log_s3_load_2025-11-07_03-10-00.log", "another program's");
    lab.write("logs/notes.log", "mine");
    lab.run(&[&ALONE[..], &["--log-keep", "3"]].concat()).exits(0);
    let names = lab.names("logs");
    assert_eq!(names.len(), 5, "{names:?}");
    for kept in ["03-18-00", "03-19-00", "20251106T04_20251106T04", "log_s3_load", "notes.log"] {
        assert!(names.iter().any(|name| name.contains(kept)), "{kept}: {names:?}");
    }
    let lab = Lab::new();
    for number in 0..95 {
        lab.write(
            &format!(
                "logs/log_amplitude_20251106T00_20251106T23_2025-11-07_03-{:02}-{:02}.log",
                number / 60,
                number % 60
            ),
            "old",
        );
    }
    lab.run(&ALONE).exits(0);
    assert_eq!(lab.names("logs").len(), 90);
}

#[test]
fn a_run_that_cannot_write_its_log_warns_and_goes_on() {
    let lab = Lab::new();
    lab.write("logs", "a file");
    let ran = lab.run(&ALONE);
    ran.exits(0);
    ran.says(&["warning: ", "log", "going on"]);
    lab.assert_staged(&[HOUR]);
    let ran = lab.run(&[&ALONE[..], &["--log-dir", "/proc/nowhere", "--force"]].concat());
    ran.exits(0);
    ran.says(&["warning: ", "/proc/nowhere"]);
}

#[test]
fn the_time_in_a_logs_name_is_utc() {
    let lab = Lab::new();
    let before = chrono::Utc::now();
    lab.command(&ALONE).env("TZ", "Pacific/Kiritimati").run().exits(0);
    let name = lab.names("logs").remove(0);
    let time = name.strip_suffix(".log").unwrap().split("T04_").nth(2).unwrap().to_owned();
    let time = chrono::NaiveDateTime::parse_from_str(&time, "%Y-%m-%d_%H-%M-%S").unwrap().and_utc();
    assert!((time - before).num_minutes().abs() < 5, "{name}");
}
