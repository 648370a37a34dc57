//! `--label`: what tells one set-up from another in metrics, logs and results.

use std::fs;

use serde_json::{Value, json};

use crate::support::{HOUR, Lab};

const ALONE: [&str; 4] = ["--start", HOUR, "--end", HOUR];
const LABELS: [&str; 4] = ["--label", "project=Web shop \"1\"", "--label", "env=prod"];

#[test]
fn labels_are_in_the_result_the_log_and_on_every_metric() {
    let lab = Lab::new();
    let labels = json!({"env": "prod", "project": "Web shop \"1\"", "team": "data"});
    let args = [&ALONE[..], &LABELS, &["--metrics-file", "amp.prom"]].concat();
    let run = |more: &[&str]| {
        lab.command(&[&args[..], more].concat()).env("AMP_LABELS", "team=data,env=test").env("AMP_LOG_KEEP", "1").run()
    };
    let metrics = |code: u8| {
        let text = fs::read_to_string(lab.path("amp.prom")).unwrap();
        let (of_run, set) = ("amp_extract_last_run_exit_code", r#"{env="prod",project="Web shop \"1\"",team="data"}"#);
        assert!(text.contains(&format!("\n{of_run}{set} {code}\n")), "{text}");
        assert!(
            text.lines().all(|line| line.starts_with('#') || line.contains(r#"project="Web shop \"1\"""#)),
            "{text}"
        );
    };
    assert_eq!(run(&[]).exits(0)["labels"], labels);
    metrics(0);
    let first = lab.logs()[0].1.lines().next().unwrap().to_owned();
    assert!(first.ends_with(", labels env=prod,project=Web shop \"1\",team=data"), "{first}");
    // A run that cannot begin has them, too, whether or not its command line could be read.
    for more in [&["--region", "moon"][..], &["--no-such-flag"]] {
        assert_eq!(run(more).exits(2)["labels"], labels);
        metrics(2);
    }
    assert_eq!(run(&["--status"]).exits(0)["labels"], labels);

    run(&["--log-format", "json"]).exits(0);
    let log = &lab.logs()[0].1;
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["labels"], line["message"].is_string()), (&labels, true), "{line}");
    }
    assert!(lab.run(&["--dry-run"]).exits(0).get("labels").is_none());
}

#[test]
fn set_ups_that_share_a_directory_or_a_file_of_metrics_keep_their_own() {
    let lab = Lab::new();
    fs::create_dir(lab.path("metrics")).unwrap();
    let set_ups = ["", "project=web", "project=web shop", "project=web%20shop", "env=prod,project=web"];
    for (code, labels) in set_ups.into_iter().enumerate() {
        for path in ["metrics", "all.prom"] {
            let args: &[&str] = if code == 0 { &ALONE } else { &["--region", "moon"] };
            lab.command(args).env("AMP_LABELS", labels).args(&["--metrics-file", path]).run();
        }
    }
    assert_eq!(
        lab.names("metrics"),
        [
            "amp_extract,env=prod,project=web.prom",
            "amp_extract,project=web%20shop.prom",
            "amp_extract,project=web%2520shop.prom",
            "amp_extract,project=web.prom",
            "amp_extract.prom",
        ]
    );
    let all = fs::read_to_string(lab.path("all.prom")).unwrap();
    let series = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with('#') && line.contains("exit_code"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut apart: Vec<_> = lab
        .names("metrics")
        .iter()
        .flat_map(|name| series(&fs::read_to_string(lab.path("metrics").join(name)).unwrap()))
        .collect();
    let mut together = series(&all);
    apart.sort();
    together.sort();
    assert_eq!((apart.len(), &apart), (set_ups.len(), &together), "{all}");
    assert_eq!(all.matches("# TYPE amp_extract_last_run_exit_code gauge\n").count(), 1);
}

#[test]
fn labels_that_cannot_be_used_end_the_run_and_leave_no_metrics() {
    let lab = Lab::new();
    let args = ["--label", "state=x", "--metrics-file", "amp.prom"];
    for more in [&[][..], &["--no-such-flag"]] {
        lab.command(&[&args[..], more].concat()).env("AMP_LABELS", "no-dash=1").run().exits(2);
        assert!(!lab.path("amp.prom").exists(), "they would pass for another set-up's");
    }
    let ran = lab.command(&args).env("AMP_LABELS", "no-dash=1").run();
    ran.says(&["--label: `state` is taken", "AMP_LABELS: `no-dash` is not the name of a label"]);
    assert!(lab.asked().is_empty());
}
