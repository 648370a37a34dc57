//! A ledger that an earlier version wrote goes on working. `ledger-88a1741/` was left by that commit's programs: 2025-11-06 came and was
//! loaded but for its hour 04, 2025-11-07 failed, and no call was made since.

use std::fs;

use crate::support::{Lab, faketime, whole_day};

fn lab() -> Lab {
    let lab = Lab::new();
    let kept = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/ledger-88a1741");
    for file in ["hours/2025-11-06.jsonl", "hours/2025-11-07.jsonl", "loads/2025-11-06.jsonl"] {
        lab.write(&format!("extracted_data/.amp/{file}"), fs::read(kept.join(file)).unwrap());
    }
    lab
}

/// What is owed on 2025-11-10 by that ledger, and not what it has.
fn owed() -> Vec<String> {
    let days = ["2025-11-07", "2025-11-08", "2025-11-09"].map(whole_day);
    ["20251106T04-20251106T04".to_owned()].into_iter().chain(days).collect()
}

const NOW: &str = "2025-11-10 03:15:00";

#[test]
fn what_it_left_is_owed_and_what_it_has_is_done() {
    let Some(library) = faketime() else { return };
    let lab = lab();
    let document = lab.at(&library, NOW, &["--status"]).run().exits(0);
    assert_eq!(document["next"]["requests"].as_array().unwrap().len(), 4);
    assert!(!lab.path("extracted_data/.amp/sources.jsonl").exists(), "a look changes nothing");
    lab.at(&library, NOW, &[]).run().exits(0);
    let mut asked = lab.asked();
    asked.sort();
    assert_eq!(asked, owed());
    lab.assert_staged(&["2025-11-06T04", "2025-11-07", "2025-11-08", "2025-11-09"]);
    assert_eq!(lab.at(&library, NOW, &[]).run().exits(0)["requests"], 0);
}

#[test]
fn another_key_of_its_project_finishes_what_it_left() {
    let Some(library) = faketime() else { return };
    let lab = lab();
    lab.server.add_key("new", "secret");
    lab.at(&library, NOW, &[]).env("AMP_API_KEY", "new").env("AMP_SECRET_KEY", "secret").run().exits(0);
    let mut asked = lab.asked();
    asked.sort();
    assert_eq!(asked, owed());
}

#[test]
fn a_first_call_that_is_turned_away_takes_it_over_all_the_same() {
    let Some(library) = faketime() else { return };
    let lab = lab();
    lab.write("extracted_data/.amp/extract.lock", "");
    let lock = fs::File::options().write(true).open(lab.path("extracted_data/.amp/extract.lock")).unwrap();
    lock.try_lock().unwrap();
    lab.at(&library, NOW, &[]).run().exits(75);
    drop(lock);
    lab.at(&library, NOW, &[]).run().exits(0);
    let mut asked = lab.asked();
    asked.sort();
    assert_eq!(asked, owed());
}
