//! Hours belong to a project, whichever of its keys asked.

use crate::run::Run;
use crate::support::{Lab, faketime, hours, whole_day};

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
