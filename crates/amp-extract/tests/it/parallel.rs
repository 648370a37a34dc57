//! Several days asked for at the same time.

use amp_sandbox::export::{Fault, Rule, When};

use crate::support::{Lab, wait_until};

const DAYS: [&str; 4] = ["--start", "2025-11-01", "--end", "2025-11-09"];
const ALL: &str = "2025-11-01..2025-11-09";

#[test]
fn so_many_days_are_asked_for_at_the_same_time_and_no_more() {
    for (args, places) in [(&[][..], 2), (&["--parallel", "1"], 1), (&["--parallel", "8"], 8)] {
        let lab = Lab::faulty(&[":stall"]);
        let running = lab.command(&[&DAYS[..], args].concat()).spawn();
        wait_until("the requests", || lab.server.requests().len() == places);
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert_eq!(lab.server.requests().len(), places);
        running.signal("TERM");
        running.wait().exits(143);
    }
}

#[test]
fn all_days_come_whole_however_many_are_asked_for_together() {
    for parallel in ["1", "3", "8"] {
        let lab = Lab::new();
        let ran = lab.run(&[&DAYS[..], &["--parallel", parallel]].concat());
        assert_eq!(ran.exits(0)["requests"], 9);
        lab.assert_staged(&[ALL]);
        if parallel == "8" {
            ran.says(&["warning: --parallel: 8 requests at the same time"]);
        } else {
            ran.does_not_say(&["at the same time"]);
        }
    }
}

#[test]
fn a_429_makes_all_wait_and_one_fewer_go_on() {
    let lab = Lab::new();
    let headers = vec![("Retry-After".to_owned(), "0".to_owned())];
    let fault = Fault::Status { code: 429, headers, body: None };
    lab.server.add_rule(Rule::new(When { times: Some(1), ..When::default() }, fault));
    lab.rule("req=3-:stall");
    let running = lab.command(&[&DAYS[..], &["--parallel", "2"]].concat()).spawn();
    // The 429 and the answer beside it; of those that follow, one at a time.
    wait_until("the third request", || lab.server.requests().len() == 3);
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(lab.server.requests().len(), 3);
    running.signal("TERM");
    running.wait().says(&["1 at the same time from now on"]).exits(143);

    lab.server.clear_rules();
    lab.run(&DAYS).exits(0);
    lab.assert_staged(&[ALL]);
}

#[test]
fn a_run_of_several_days_tells_how_far_it_is() {
    let lab = Lab::new();
    let ran = lab.run(&[&DAYS[..], &["-v", "--parallel", "1"]].concat());
    ran.says(&["day 1 of 9, 11 %, about ", "day 9 of 9, 100 %"]).exits(0);
}

#[test]
fn few_file_descriptors_are_enough() {
    let lab = Lab::new();
    let args = ["--start", "2025-11-01", "--end", "2025-11-10", "--parallel", "8"];
    let document = lab.command(&args).after("ulimit -n 64").run().exits(0);
    assert_eq!(document["files"], 240);
}
