//! Hours belong to a project, whichever of its keys asked.

use std::fs::{self, File};

use serde_json::json;

use crate::run::Run;
use crate::support::{HOUR, Lab, faketime, hours, wait_until, whole_day};

/// A call with another key of the laboratory's project, or of none.
fn with_key(run: Run, key: &str) -> Run {
    run.env("AMP_API_KEY", key).env("AMP_SECRET_KEY", "secret")
}

#[test]
fn a_new_key_finishes_in_one_run_what_the_old_one_left() {
    let Some(library) = faketime() else { return };
    let lab = Lab::faulty(&["hour=2025-11-06T04:status=400"]);
    let at = |day: u32| lab.at(&library, &format!("2025-11-{day:02} 03:15:00"), &[]);
    at(7).run().exits(1);
    lab.server.clear_rules();
    lab.rule(&format!("key={}:invalid-key", lab.server.api_key()));
    at(8).run().exits(3);
    lab.server.add_key("new", "secret");
    let before = lab.asked().len();
    let document = with_key(at(9), "new").run().exits(0);
    assert_eq!(hours(&document), [49, 49, 0, 0, 0, 0]);
    let asked = lab.asked().split_off(before);
    assert_eq!(asked[0], whole_day("2025-11-08"), "by this it is known whose key it is");
    let mut rest = asked[1..].to_vec();
    rest.sort();
    assert_eq!(rest, ["20251106T04-20251106T04".to_owned(), whole_day("2025-11-07")]);
    lab.assert_staged(&["2025-11-06", "2025-11-07", "2025-11-08"]);
    let document = with_key(at(10), "new").run().exits(0);
    assert_eq!(document["requests"], 1);
}

#[test]
fn days_on_which_a_wrong_key_was_refused_or_had_no_data_are_owed_by_the_right_one() {
    let Some(library) = faketime() else { return };
    for rule in ["key=wrong:invalid-key", "key=wrong:no-data"] {
        let lab = Lab::faulty(&[rule]);
        lab.server.add_key("wrong", "secret");
        let at = |day: u32| lab.at(&library, &format!("2025-11-{day:02} 03:15:00"), &[]);
        for day in [7, 8] {
            let ran = with_key(at(day), "wrong").run();
            assert!(matches!(ran.code, Some(0 | 3)), "{ran:#?}");
        }
        at(10).run().exits(0);
        lab.assert_staged(&["2025-11-06", "2025-11-07", "2025-11-08", "2025-11-09"]);
    }
}

#[test]
fn another_project_neither_finishes_nor_skips_what_one_left() {
    let Some(library) = faketime() else { return };
    let lab = Lab::new();
    lab.server.add_project(lab.dataset.clone().project(2), "other", "secret");
    let at = |day: u32| lab.at(&library, &format!("2025-11-{day:02} 03:15:00"), &[]);
    at(7).run().exits(0);
    lab.rule(&format!("key={}:status=503", lab.server.api_key()));
    at(8).args(&["--max-retries", "0"]).run().exits(75);
    let before = lab.asked().len();
    with_key(at(8), "other").run().exits(0);
    with_key(at(9), "other").run().exits(0);
    assert_eq!(lab.asked().split_off(before), [whole_day("2025-11-07"), whole_day("2025-11-08")]);
    lab.server.clear_rules();
    assert_eq!(hours(&at(9).run().exits(0))[1], 48);
}

#[test]
fn what_a_run_finds_out_about_its_key_counts_for_one_that_waited_for_it_to_end() {
    let Some(library) = faketime() else { return };
    let lab = Lab::with(|config| config.dataset = config.dataset.clone().without_hour(HOUR.parse().unwrap()));
    lab.server.add_project(lab.dataset.clone().project(2), "other", "secret");
    lab.at(&library, "2025-11-07 03:15:00", &[]).run().exits(0);
    let sources = lab.path("extracted_data/.amp/sources.jsonl");
    let all = fs::read_to_string(&sources).unwrap();
    let (before, found_out) = all.split_at(all.find('\n').unwrap() + 1);
    assert!(!before.contains("project") && found_out.contains("\"project\":\"100011471\""), "{all}");
    let lock = File::options().write(true).open(lab.path("extracted_data/.amp/extract.lock")).unwrap();
    loop {
        fs::write(&sources, before).unwrap();
        lock.lock().unwrap();
        let waiting = with_key(lab.at(&library, "2025-11-08 03:15:00", &[]), "other").spawn();
        wait_until("the run has read what is known", || fs::read_to_string(&sources).unwrap().lines().count() == 2);
        let noted = fs::read_to_string(&sources).unwrap();
        fs::write(&sources, [before, found_out, &noted[before.len()..]].concat()).unwrap();
        lock.unlock().unwrap();
        let ran = waiting.wait();
        // It does not wait for long.
        if ran.code != Some(75) {
            ran.exits(0);
            break;
        }
    }
    assert_eq!(lab.asked(), ["2025-11-06", "2025-11-07"].map(whole_day));
}

/// A directory in which a wrong key was used on one day, and the right one on those before.
fn with_a_wrong_key_on_the_tenth(library: &str) -> Lab {
    let lab = Lab::new();
    let at = |day: u32| lab.at(library, &format!("2025-11-{day:02} 03:15:00"), &[]);
    at(7).run().exits(0);
    at(8).run().exits(0);
    at(9).run().exits(0);
    with_key(at(10), "wrong").run().exits(3);
    at(11).run().exits(0);
    lab
}

#[test]
fn a_rotated_key_asks_for_nothing_again_because_a_wrong_one_was_used_before() {
    let Some(library) = faketime() else { return };
    let lab = with_a_wrong_key_on_the_tenth(&library);
    lab.server.add_key("new", "secret");
    let before = lab.asked().len();
    with_key(lab.at(&library, "2025-11-13 03:15:00", &[]), "new").run().exits(0);
    assert_eq!(lab.asked().split_off(before), ["2025-11-12", "2025-11-11"].map(whole_day));
    let status = lab.at(&library, "2025-11-13 03:20:00", &["--status"]);
    let document = with_key(status, "new").run().exits(0);
    assert_eq!((&document["next"]["requests"], &document["owed_older"]), (&json!([]), &json!([])));
}

#[test]
fn a_project_of_another_key_inherits_nothing_that_a_wrong_one_left_to_the_first() {
    let Some(library) = faketime() else { return };
    // The wrong key was the first of all, so that what it wanted falls to the first project.
    let lab = Lab::new();
    let at = |day: u32| lab.at(&library, &format!("2025-11-{day:02} 03:15:00"), &[]);
    with_key(at(7), "wrong").run().exits(3);
    at(8).run().exits(0);
    lab.assert_staged(&["2025-11-06", "2025-11-07"]);
    lab.server.add_project(lab.dataset.clone().project(2), "other", "secret");
    for (day, wanted) in [(9, "2025-11-08"), (20, "2025-11-19")] {
        let before = lab.asked().len();
        let document = with_key(at(day), "other").run().exits(if day == 9 { 0 } else { 1 });
        let mut asked = lab.asked().split_off(before);
        assert!(asked.contains(&whole_day(wanted)), "{asked:?}");
        asked.retain(|window| *window < whole_day("2025-11-08"));
        assert_eq!((asked.len(), &document["hours"]["failed"]), (0, &0.into()));
        let older: Vec<_> = document["failures"].as_array().unwrap().iter().map(|failure| &failure["start"]).collect();
        assert!(older.iter().all(|start| **start == "2025-11-09T00"), "{older:?}");
    }
}

#[test]
fn a_day_asked_for_by_name_with_a_wrong_key_is_owed_by_the_project_that_comes_next() {
    let Some(library) = faketime() else { return };
    let lab = Lab::new();
    let at = |day: u32, args: &[&str]| lab.at(&library, &format!("2025-11-{day:02} 03:15:00"), args);
    with_key(at(7, &["--date", "2025-11-04"]), "wrong").run().exits(3);
    at(8, &[]).run().exits(0);
    lab.assert_staged(&["2025-11-04", "2025-11-07"]);
    // Once there is a project, it is a slip.
    with_key(at(9, &["--date", "2025-11-03"]), "wrong-too").run().exits(3);
    at(9, &[]).run().exits(0);
    lab.assert_staged(&["2025-11-04", "2025-11-07", "2025-11-08"]);
}

#[test]
fn what_a_key_of_no_known_project_wanted_is_owed_even_if_its_last_day_is_empty() {
    let Some(library) = faketime() else { return };
    let lab = Lab::faulty(&["hour=2025-11-06,times=1:status=503", "hour=2025-11-07:no-data"]);
    let at = |day: u32| lab.at(&library, &format!("2025-11-{day:02} 03:15:00"), &["--max-retries", "0"]);
    at(7).run().exits(75);
    let document = at(8).run().exits(0);
    assert_eq!(hours(&document), [48, 24, 24, 0, 0, 24]);
    lab.assert_staged(&["2025-11-06"]);
}
