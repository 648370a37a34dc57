//! Settings that are missing or wrong: all told at once, nothing done.

use crate::support::{DAY, HOUR, Lab, closed_port};

const ALONE: [&str; 4] = ["--start", HOUR, "--end", HOUR];

#[test]
fn everything_that_is_missing_or_wrong_is_told_in_one_run() {
    let lab = Lab::new();
    let run = lab.bare(&[
        "--date",
        "tomorrow",
        "--region",
        "mars",
        "--max-retries",
        "many",
        "--max-unpacked",
        "lots",
        "--output",
        "json",
    ]);
    let run = run.env("AMP_FORMAT", "xml").env("AMP_RETRY_BASE", "soon").env("AMP_READ_TIMEOUT", "0s");
    let run = run
        .env("AMP_LOG_KEEP", "0")
        .env("AMP_THREADS", "0")
        .env("AMP_PARALLEL", "9")
        .env("AMP_BASE_URL", "http://example.com");
    let ran = run.run();
    let document = ran.exits(2);
    let words = [
        "--date",
        "--region",
        "--max-retries",
        "--max-unpacked",
        "AMP_FORMAT",
        "AMP_RETRY_BASE",
        "AMP_READ_TIMEOUT",
        "AMP_LOG_KEEP",
        "AMP_THREADS",
        "AMP_PARALLEL",
        "AMP_BASE_URL",
        "AMP_API_KEY",
        "AMP_SECRET_KEY",
    ];
    ran.says(&words);
    let failures = document["failures"].as_array().unwrap();
    assert_eq!(failures.len(), words.len());
    for word in words {
        assert!(failures.iter().any(|failure| failure["error"].as_str().unwrap().contains(word)), "{word}: {document}");
    }
    assert_eq!(lab.names("."), [""; 0], "nothing is done");
}

#[test]
fn a_bad_start_and_a_bad_end_are_told_in_one_run() {
    let ran = Lab::new().run(&["--start", "never", "--end", "always"]);
    assert_eq!(ran.exits(2)["failures"].as_array().unwrap().len(), 2);
    ran.says(&["--start: `never` is not a day or an hour", "--end: `always` is not a day or an hour"]);
}

#[test]
fn no_keys_or_half_a_pair_is_told_with_the_missing_names() {
    let lab = Lab::new();
    let ran = lab.bare(&ALONE).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    ran.says(&["AMP_API_KEY", "AMP_SECRET_KEY", ".env"]);
    let ran = lab.command(&ALONE).without("AMP_SECRET_KEY").run();
    ran.exits(2);
    ran.says(&["AMP_SECRET_KEY"]).does_not_say(&["AMP_API_KEY"]);
    assert_eq!(lab.asked(), [""; 0]);
}

#[test]
fn a_dotenv_that_cannot_be_parsed_is_named_with_its_line_and_never_its_content() {
    let lab = Lab::new();
    for (text, line) in [
        ("AMP_API_KEY=hunter2\nhunter3 here\n", "line 2"),
        ("# c\n\nAMP_SECRET_KEY=hunter2 hunter3\n", "line 3"),
        ("AMP_SECRET_KEY=\"hunter2\nAMP_API_KEY=hunter3\n", "line 1"),
        ("AMP_SECRET_KEY='hunter2\n", "line 1"),
    ] {
        lab.write(".env", text);
        for verbosity in ["-q", "-vv"] {
            let ran = lab.command(&ALONE).args(&[verbosity]).run();
            ran.exits(2);
            ran.says(&[".env", line]).does_not_say(&["hunter2", "hunter3"]);
        }
    }
    assert_eq!(lab.asked(), [""; 0]);
}

#[test]
fn a_base_url_that_has_the_path_of_the_api_already_is_refused_with_the_one_to_use() {
    let lab = Lab::new();
    for end in ["/api/2/export", "/api/2/export/", "/gateway/api/2/export"] {
        let url = format!("{}{end}", lab.server.base_url());
        let ran = lab.command(&ALONE).env("AMP_BASE_URL", url.as_str()).run();
        ran.exits(2);
        let right = url.trim_end_matches('/').trim_end_matches("/api/2/export");
        ran.says(&["AMP_BASE_URL: ", &format!("write {right}\n")]);
    }
    assert_eq!(lab.asked(), [""; 0]);
}

#[test]
fn plain_http_is_for_loopback_alone() {
    let lab = Lab::new();
    for url in [
        "http://example.com",
        "http://10.0.0.1:80",
        "http://127.0.0.1.example.com",
        "ftp://127.0.0.1",
        "127.0.0.1:80",
        "nonsense",
    ] {
        let ran = lab.command(&ALONE).args(&["--base-url", url]).run();
        ran.exits(2);
        ran.says(&["--base-url"]);
    }
    let allowed = lab.command(&ALONE).env("AMP_ALLOW_HTTP", "true").env("AMP_BASE_URL", "http://example.com").run();
    allowed.exits(2);
    let port = lab.server.base_url().rsplit(':').next().unwrap().to_owned();
    lab.command(&ALONE).args(&["--base-url", &format!("http://localhost:{port}/")]).run().exits(0);
    assert_eq!(lab.server.requests()[0].path, "/api/2/export");
}

#[test]
fn credentials_in_the_url_are_refused_and_not_repeated() {
    let lab = Lab::new();
    let ran = lab.command(&ALONE).env("AMP_BASE_URL", "https://user:hunter2@analytics.eu.amplitude.com").run();
    ran.exits(2);
    ran.says(&["AMP_BASE_URL"]).does_not_say(&["hunter2"]);
}

#[test]
fn the_region_chooses_the_endpoint_and_an_endpoint_of_ones_own_wins() {
    let lab = Lab::new();
    // Nothing leaves the machine: the proxy is a closed port.
    let host_of = |args: &[&str]| {
        let run = lab.command(&ALONE).without("AMP_BASE_URL").args(&["-vv", "--max-retries", "0"]).args(args);
        let ran = run.env("HTTPS_PROXY", closed_port()).run();
        ran.exits(75);
        let url = ran.stderr.split("GET ").nth(1).unwrap_or_else(|| panic!("{ran:#?}"));
        url.split("/api/").next().unwrap().to_owned()
    };
    assert_eq!(host_of(&[]), "https://analytics.eu.amplitude.com");
    assert_eq!(host_of(&["--region", "eu"]), "https://analytics.eu.amplitude.com");
    assert_eq!(host_of(&["--region", "us"]), "https://amplitude.com");
    lab.command(&ALONE).args(&["--region", "us"]).run().exits(0);
}

#[test]
fn the_keys_are_not_taken_from_the_command_line() {
    let lab = Lab::new();
    for flag in ["--api-key", "--secret-key"] {
        let ran = lab.command(&[flag, "x"]).run();
        ran.exits(2);
    }
}

#[test]
fn a_word_or_flag_nobody_knows_is_a_usage_error() {
    let lab = Lab::new();
    for args in [&["--dat", DAY] as &[&str], &["yesterday"], &["--output", "xml"], &["-q", "-v"], &["--max-retries"]] {
        let ran = lab.command(&[]).args(args).run();
        assert_eq!(ran.code, Some(2), "{ran:#?}");
        assert!(!ran.stderr.is_empty());
        assert_eq!(lab.asked(), [""; 0]);
    }
}

#[test]
fn help_and_version_go_to_stdout_and_need_nothing() {
    let lab = Lab::new();
    let help = lab.bare(&["--help"]).run();
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for word in [
        "--date",
        "--start",
        "--end",
        "--last",
        "--shard",
        "--repair-days",
        "--force",
        "--region",
        "--base-url",
        "--extracted-dir",
        "--download-dir",
        "--log-dir",
        "--log-keep",
        "--env-file",
        "--max-retries",
        "--retry-base",
        "--read-timeout",
        "--threads",
        "--parallel",
        "--retry-for",
        "--format",
        "--max-unpacked",
        "--max-ratio",
        "--keep-archives",
        "--output",
        "--progress",
        "--log-format",
        "--dry-run",
        "AMP_API_KEY",
        "AMP_SECRET_KEY",
        "AMP_REGION",
        "AMP_BASE_URL",
        "AMP_EXTRACTED_DIR",
        "AMP_DOWNLOAD_DIR",
        "AMP_LOG_DIR",
        "AMP_LOG_KEEP",
        "AMP_MAX_RETRIES",
        "AMP_RETRY_BASE",
        "AMP_READ_TIMEOUT",
        "AMP_THREADS",
        "AMP_PARALLEL",
        "AMP_FORMAT",
        "75",
        "130",
    ] {
        assert!(help.stdout.contains(word), "{word}");
    }
    let version = lab.bare(&["--version"]).run();
    assert_eq!((version.code, version.stdout.trim()), (Some(0), concat!("amp-extract ", env!("CARGO_PKG_VERSION"))));
    assert_eq!(lab.names("."), [""; 0]);
}

/// Each mistake of the command line or the environment, the exit code of a dry run with it, and words of what is said.
#[test]
fn mistakes_are_told_with_what_to_write_instead() {
    let lab = Lab::new();
    let alone = &ALONE[..];
    for (args, environment, code, says) in [
        (&["--date", "2025-02-30"][..], ("", ""), 2, "`2025-02-30` is not in the calendar: February 2025 has 28 days"),
        (&["--date", "20251301"], ("", ""), 2, "`20251301` is not in the calendar: a year has months 01 to 12"),
        (
            &["--date", "2025-11-06T05"],
            ("", ""),
            2,
            "a day is wanted: 2025-11-06; for the hour alone write --start 2025-11-06T05 --end 2025-11-06T05",
        ),
        (&["--date", "tomorrow"], ("", ""), 2, "is not a day; write 2025-11-06, 20251106, yesterday or today"),
        (&["--start", "2025-11-06T24", "--end", DAY], ("", ""), 2, "a day has hours 00 to 23"),
        (&["--last", "0d"], ("", ""), 2, "`0d` is no time at all"),
        (&["--last", "99999999999w"], ("", ""), 2, "`99999999999w` is longer than 100 years"),
        (&["--last", "7"], ("", ""), 2, "`7` is not a span; write 12h, 3d or 2w"),
        (&["--date", "1999-01-01"], ("", ""), 0, "warning: the window begins on 1999-01-01"),
        (&["--date", DAY, "--shard", "1/100"], ("", ""), 0, "nothing to do: the shard has no hour"),
        (&["--date", DAY, "--region", "us"], ("", ""), 0, "--region has no effect beside AMP_BASE_URL"),
        (alone, ("AMP_REGOIN", "us"), 0, "AMP_REGOIN is not a setting and has no effect; did you mean AMP_REGION?"),
        (alone, ("AMP_APIKEY", "x"), 0, "did you mean AMP_API_KEY?"),
        (alone, ("AMP_ZZZZZZZZ", "x"), 0, "AMP_ZZZZZZZZ is not a setting and has no effect\n"),
        (alone, ("AMP_BASE_URL", "localhost:9000"), 2, "it lacks its scheme; write http://localhost:9000"),
        (alone, ("AMP_BASE_URL", "analytics.eu.amplitude.com"), 2, "it lacks its scheme; write https://host"),
        (alone, ("AMP_EXTRACTED_DIR", "~someone/x"), 2, "begins with ~, which is expanded only as ~/"),
    ] {
        let run = lab.command(args).args(&["--dry-run"]);
        let run = if environment.0.is_empty() { run } else { run.env(environment.0, environment.1) };
        let ran = run.run();
        ran.exits(code);
        assert!(ran.stderr.contains(says), "{says}: {ran:#?}");
    }
    for (args, environment) in [
        (&["--date", "20251106"][..], ("AMP_TOKEN", "x")),
        (&["--date", "yesterday"], ("AMP_PROFILE", "x")),
        (&["--date", DAY], ("AMP_REGOIN", "")),
    ] {
        let ran = lab.command(args).args(&["--dry-run"]).env(environment.0, environment.1).run();
        ran.exits(0);
        assert!(!ran.stderr.contains("warning"), "{ran:#?}");
    }
}

#[test]
fn a_misspelt_name_stands_beside_what_is_missing_and_the_file_that_was_read_is_named() {
    let lab = Lab::new();
    lab.write("other.env", "AMP_APIKEY=x\n");
    let ran = lab.bare(&["--env-file", "other.env"]).run();
    assert_eq!(ran.code, Some(2));
    ran.says(&["AMP_APIKEY in other.env is not a setting", "set AMP_API_KEY in the environment or in other.env\n"]);
    lab.bare(&[]).run().says(&["or in .env (there is none here or above)"]);
}

#[test]
fn the_home_directory_is_meant_by_a_tilde_and_regions_have_any_case() {
    let lab = Lab::new();
    lab.command(&ALONE).env("AMP_EXTRACTED_DIR", "~/staged").args(&["--log-dir=~/l"]).run().exits(0);
    assert_eq!(lab.names("staged").len(), 1);
    assert_eq!(lab.names("."), ["downloaded_data", "l", "staged"]);
    for (region, url) in [("EU", "https://analytics.eu.amplitude.com"), ("Us", "https://amplitude.com")] {
        let run = lab.for_people(&ALONE).without("AMP_BASE_URL").args(&["--dry-run", "--force", "--region", region]);
        let ran = run.run();
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        assert!(ran.stdout.contains(&format!(": GET {url}/api/2/export?start=20251106T04")), "{ran:#?}");
    }
}

#[test]
fn quiet_prints_nothing_on_success_and_json_all_the_same() {
    let lab = Lab::new();
    for flag in ["-q", "-qq"] {
        let ran = lab.for_people(&ALONE).args(&["--force", flag]).run();
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
        lab.command(&ALONE).args(&["--force", flag]).run().exits(0);
    }
    let ran = lab.for_people(&ALONE).args(&["-q", "--dry-run"]).run();
    assert!(ran.stdout.contains("dry run"), "{ran:#?}");
}

#[test]
fn the_log_begins_with_the_settings_and_where_each_came_from() {
    let lab = Lab::new();
    lab.write(".env", "AMP_REGION=eu\n");
    let ran = lab.command(&ALONE).args(&["-v", "--read-timeout", "9s"]).run();
    ran.exits(0);
    let (_, log) = lab.logs().pop().unwrap();
    for text in [&ran.stderr, &log] {
        let first: Vec<_> = text.lines().take(2).collect();
        let first = first.join("\n");
        for word in [
            ", process ",
            "settings of ",
            "AMP_API_KEY=set (AMP_API_KEY)",
            "region=eu (AMP_REGION in ",
            "read-timeout=9s (--read-timeout)",
            "extracted-dir=extracted_data (default)",
            "base-url=http://",
        ] {
            assert!(first.contains(word), "{word}: {first}");
        }
        assert!(!first.contains(lab.server.secret_key()), "{first}");
    }
}
