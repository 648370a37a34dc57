//! A flag wins over the environment, the environment over `.env`, `.env` over the default.

use crate::support::{HOUR, Lab, Run, closed_port};

const ALONE: [&str; 4] = ["--start", HOUR, "--end", HOUR];

/// A run that has its settings from `.env` alone.
fn from_dotenv(lab: &Lab, more: &str) -> Run {
    let (key, secret, url) = (lab.server.api_key(), lab.server.secret_key(), lab.server.base_url());
    lab.write(".env", format!("AMP_API_KEY={key}\nAMP_SECRET_KEY='{secret}'\nAMP_BASE_URL=\"{url}\"\n{more}\n"));
    lab.bare(&ALONE).args(&["--output", "json"])
}

#[test]
fn everything_may_stand_in_dotenv() {
    let lab = Lab::new();
    let more = "# all of them\nexport AMP_FORMAT=json.gz\nAMP_EXTRACTED_DIR=e\nAMP_DOWNLOAD_DIR=d\nAMP_LOG_DIR=l\nAMP_LOG_KEEP=1\n\
                AMP_MAX_RETRIES=1\nAMP_RETRY_BASE=1ms\nAMP_READ_TIMEOUT=20s\nAMP_THREADS=1\nAMP_PARALLEL=1\nAMP_REGION=us\n";
    from_dotenv(&lab, more).args(&["--keep-archives"]).run().exits(0);
    assert_eq!(lab.names("e").iter().filter(|name| name.ends_with(".json.gz")).count(), 1);
    assert_eq!((lab.names("d").len(), lab.names("l").len()), (1, 1));
    assert!(
        !lab.path("extracted_data").exists() && !lab.path("downloaded_data").exists() && !lab.path("logs").exists()
    );
    lab.rule(":status=500");
    assert_eq!(from_dotenv(&lab, more).args(&["--force"]).run().exits(75)["requests"], 2);
    assert_eq!(lab.names("l").len(), 1, "one log is kept");
}

#[test]
fn the_environment_wins_over_dotenv_and_a_flag_over_both() {
    for (name, flag) in
        [("AMP_EXTRACTED_DIR", "--extracted-dir"), ("AMP_DOWNLOAD_DIR", "--download-dir"), ("AMP_LOG_DIR", "--log-dir")]
    {
        let lab = Lab::new();
        let run = || from_dotenv(&lab, &format!("{name}=from-dotenv")).args(&["--keep-archives", "--force"]);
        run().run().exits(0);
        assert!(lab.path("from-dotenv").exists() && !lab.path("from-environment").exists(), "{name}");
        run().env(name, "from-environment").run().exits(0);
        assert!(lab.path("from-environment").exists() && !lab.path("from-flag").exists(), "{name}");
        let before = lab.names("from-environment").len();
        run().env(name, "from-environment").args(&[flag, "from-flag"]).run().exits(0);
        assert!(lab.path("from-flag").exists(), "{flag}");
        assert_eq!(lab.names("from-environment").len(), before);
    }
}

#[test]
fn endpoint_format_and_retries_follow_the_same_order() {
    let lab = Lab::new();
    let wrong = closed_port();
    from_dotenv(&lab, "").env("AMP_BASE_URL", wrong.clone()).args(&["--max-retries", "0"]).run().exits(75);
    from_dotenv(&lab, "").env("AMP_BASE_URL", wrong).args(&["--base-url", &lab.server.base_url()]).run().exits(0);

    let lab = Lab::new();
    from_dotenv(&lab, "AMP_FORMAT=json").env("AMP_FORMAT", "json.gz").args(&["--force"]).run().exits(0);
    assert!(lab.staged_names().iter().any(|name| name.ends_with(".json.gz")));
    let lab = Lab::new();
    from_dotenv(&lab, "").env("AMP_FORMAT", "json.gz").args(&["--format", "json"]).run().exits(0);
    assert!(lab.staged_names().iter().all(|name| name.ends_with(".json")));

    let lab = Lab::faulty(&[":status=500"]);
    let requests = |run: Run| run.args(&["--retry-base", "1ms"]).run().exits(75)["requests"].as_u64().unwrap();
    assert_eq!(requests(from_dotenv(&lab, "")), 4, "three retries by default");
    assert_eq!(requests(from_dotenv(&lab, "AMP_MAX_RETRIES=1")), 2);
    assert_eq!(requests(from_dotenv(&lab, "AMP_MAX_RETRIES=1").env("AMP_MAX_RETRIES", "2")), 3);
    assert_eq!(
        requests(from_dotenv(&lab, "AMP_MAX_RETRIES=1").env("AMP_MAX_RETRIES", "2").args(&["--max-retries", "0"])),
        1
    );
}

#[test]
fn the_keys_follow_it_too() {
    let lab = Lab::new();
    from_dotenv(&lab, "").env("AMP_SECRET_KEY", "wrong").run().exits(3);
    lab.write(".env", "AMP_API_KEY=wrong\nAMP_SECRET_KEY=wrong\n");
    lab.command(&ALONE).run().exits(0);
}

#[test]
fn an_empty_value_counts_as_unset_everywhere() {
    let lab = Lab::new();
    let mut run = from_dotenv(&lab, "AMP_FORMAT=\nAMP_EXTRACTED_DIR=\"\"\n");
    for name in [
        "AMP_API_KEY",
        "AMP_SECRET_KEY",
        "AMP_BASE_URL",
        "AMP_FORMAT",
        "AMP_MAX_RETRIES",
        "AMP_READ_TIMEOUT",
        "AMP_LOG_KEEP",
    ] {
        run = run.env(name, "");
    }
    run.args(&["--region", "", "--format", "", "--max-retries", "", "--shard", "", "--date", "", "--last="])
        .run()
        .exits(0);
    lab.assert_staged(&[HOUR]);
    // Empty keys are missing keys.
    let ran =
        lab.command(&ALONE).env("AMP_API_KEY", "").without("AMP_SECRET_KEY").cwd(&lab.path("extracted_data")).run();
    ran.exits(0);
    std::fs::remove_file(lab.path(".env")).unwrap();
    let ran = lab.command(&ALONE).env("AMP_API_KEY", "").run();
    ran.exits(2);
    ran.says(&["AMP_API_KEY"]);
}

#[test]
fn dotenv_is_found_in_the_directories_above_the_nearest_first() {
    let lab = Lab::new();
    let run = from_dotenv(&lab, "AMP_EXTRACTED_DIR=far");
    let below = lab.path("a/b");
    std::fs::create_dir_all(&below).unwrap();
    run.cwd(&below).run().exits(0);
    assert!(below.join("far").exists(), "a path in it is meant from the working directory");
    let text = std::fs::read_to_string(lab.path(".env")).unwrap();
    lab.write("a/.env", text.replace("far", "near"));
    from_dotenv(&lab, "AMP_EXTRACTED_DIR=far").cwd(&below).run().exits(0);
    assert!(below.join("near").exists());
}

#[test]
fn env_file_names_another_file_and_then_no_other_is_read() {
    let lab = Lab::new();
    let run = from_dotenv(&lab, "AMP_EXTRACTED_DIR=named").args(&["--env-file", "settings.env"]);
    std::fs::rename(lab.path(".env"), lab.path("settings.env")).unwrap();
    lab.write(".env", "this is no setting");
    run.run().exits(0);
    assert!(lab.path("named").exists());
    let ran = lab.command(&ALONE).args(&["--env-file", "nowhere.env"]).run();
    ran.exits(2);
    ran.says(&["nowhere.env"]);
}
