//! `--status`: how it says what it knows.

use amp_sandbox::tools;
use serde_json::json;

use crate::status::status;
use crate::support::{DAY, HOUR, Lab, days_ago};

#[test]
fn the_picture_fits_eighty_columns_and_has_a_legend_for_each_letter_shown() {
    let failed = days_ago(3);
    let lab = Lab::faulty(&[&format!("hour={failed}:status=500")]);
    lab.run(&["--date", &failed, "--max-retries", "0"]).exits(75);
    let ran = lab.bare(&["--status"]).run();
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    ran.does_not_say(&["\u{1b}"]);
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 80 && line.trim_end() == line), "{}", ran.stdout);
    assert!(ran.stdout.contains(&format!("{failed}  FFFFFF FFFFFF FFFFFF FFFFFF\n")), "{}", ran.stdout);
    let legend = |line: &'static str| ran.stdout.contains(&format!("\n  {line} "));
    let all = ["L loaded", "S staged", "N no data", "G accepted", "U unsettled", "A asked", "F failed", "V vanished"];
    let legend: Vec<_> = all.into_iter().chain([". never asked"]).filter(|line| legend(line)).collect();
    assert_eq!(legend, ["F failed", ". never asked"], "what is shown is explained, and nothing else: {}", ran.stdout);
}

#[test]
fn there_are_colours_on_a_terminal_unless_no_color_is_set() {
    let lab = Lab::new();
    lab.run(&["--date", DAY]).exits(0);
    let look = || lab.for_people(&["--status", "--date", DAY]);
    let ran = look().on_a_terminal(100, "").run();
    if !tools::has("`script`, for a terminal", !ran.stderr.contains("not found")) {
        return;
    }
    assert!(ran.stdout.contains("\u{1b}[36mS\u{1b}[0m"), "{ran:#?}");
    let ran = look().env("NO_COLOR", "1").on_a_terminal(100, "").run();
    assert!(ran.stdout.contains("SSSSSS") && !ran.stdout.contains('\u{1b}'), "{ran:#?}");
}

#[test]
fn the_document_has_the_promised_form() {
    let lab = Lab::new();
    lab.run(&["--start", HOUR, "--end", HOUR]).exits(0);
    let ran = status(&lab, &["--date", DAY, "--repair-days", "0"]);
    let mut document = ran.exits(0);
    assert_eq!(ran.stdout.lines().count(), 1);
    let mut hours = vec!["never_asked"; 24];
    hours[4] = "staged";
    document["source"].take();
    document["run_id"].take();
    let yesterday = days_ago(1);
    let expected = json!({
        "program": "amp-extract", "version": env!("CARGO_PKG_VERSION"),
        "window": {"start": "2025-11-06T00", "end": "2025-11-06T23"}, "source": null,
        "days": [{"day": DAY, "hours": hours}],
        "totals": {"accepted": 0, "loaded": 0, "staged": 1, "no_data": 0, "unsettled": 0, "asked": 0, "failed": 0, "vanished": 0,
            "never_asked": 23},
        "hours_of_others": 0, "damaged_lines": 0, "not_loaded": 24, "owed_older": [],
        "next": {"requests": [{"start": format!("{yesterday}T00"), "end": format!("{yesterday}T23")}], "archives": []},
        "run_id": null,
    });
    assert_eq!(document, expected);
}

#[test]
fn flags_that_make_no_sense_with_it_and_a_ledger_that_cannot_be_read_are_errors() {
    let lab = Lab::new();
    for flag in ["--force", "--dry-run"] {
        let ran = status(&lab, &[flag]);
        assert_eq!(ran.exits(2)["outcome"], "failed");
        ran.says(&["--status", flag]);
    }
    lab.write("extracted_data", "a file");
    assert_eq!(status(&lab, &[]).exits(2)["outcome"], "failed");
}
