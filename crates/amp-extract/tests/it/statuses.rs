//! What each status of the API leads to.

use std::time::Duration;

use amp_sandbox::export::{Fault, Rule, When};

use crate::support::{DAY, HOUR, Lab, hours};

#[test]
fn every_status_that_may_pass_is_retried() {
    for status in [429, 500, 502, 503, 504] {
        let lab = Lab::faulty(&[&format!("req=1-2:status={status}")]);
        let ran = lab.run(&["--date", DAY]);
        let document = ran.exits(0);
        assert_eq!((&document["requests"], &document["retries"]), (&3.into(), &2.into()), "{status}");
        assert_eq!(document["outcome"], "complete");
        ran.says(&[&format!("HTTP {status}"), "(1 of 3)", "(2 of 3)"]);
        lab.assert_staged(&[DAY]);
    }
}

#[test]
fn a_server_that_answers_500_for_ever_is_given_up_after_the_retries_and_the_exit_code_says_temporary() {
    for (retries, requests) in [("0", 1), ("2", 3)] {
        let lab = Lab::faulty(&[":status=500"]);
        let document = lab.run(&["--date", DAY, "--max-retries", retries]).exits(75);
        assert_eq!(document["outcome"], "failed");
        assert_eq!(hours(&document), [24, 0, 0, 0, 24, 0]);
        assert_eq!(document["failures"].as_array().unwrap().len(), 1);
        assert_eq!(lab.server.requests().len(), requests);
        assert!(lab.staged_names().is_empty());
        lab.assert_clean();
    }
}

#[test]
fn when_one_day_fails_the_others_are_still_fetched_and_the_exit_code_tells() {
    let lab = Lab::faulty(&["date=2025-11-06:status=503"]);
    let ran = lab.run(&["--start", "2025-11-05", "--end", "2025-11-07", "--max-retries", "1"]);
    let document = ran.exits(1);
    assert_eq!(document["outcome"], "partial");
    assert_eq!(hours(&document), [72, 48, 0, 0, 24, 0]);
    assert_eq!(document["failures"][0]["start"], "2025-11-06T00");
    assert_eq!(document["failures"][0]["end"], "2025-11-06T23");
    ran.says(&["error: ", "2025-11-06T00..2025-11-06T23", "503"]);
    lab.assert_staged(&["2025-11-05", "2025-11-07"]);
}

#[test]
fn refused_credentials_stop_the_run_at_once_without_a_retry() {
    for status in [401, 403] {
        let lab = Lab::faulty(&[&format!(":status={status}")]);
        let ran = lab.run(&["--start", "2025-11-01", "--end", "2025-11-07", "--parallel", "1"]);
        let document = ran.exits(3);
        assert_eq!(lab.server.requests().len(), 1, "{:?}", lab.asked());
        assert_eq!(document["retries"], 0);
        assert_eq!(document["outcome"], "failed");
        let error = document["failures"][0]["error"].as_str().unwrap();
        assert!(error.contains("AMP_API_KEY") && error.contains(&status.to_string()), "{error}");
        ran.says(&["error: "]);
        lab.assert_clean();
    }
}

#[test]
fn a_wrong_secret_is_refused_and_the_message_names_keys_and_region() {
    let lab = Lab::new();
    let ran = lab.command(&["--date", DAY]).env("AMP_SECRET_KEY", "wrong").run();
    ran.exits(3);
    ran.says(&["403", "AMP_API_KEY", "AMP_SECRET_KEY", "--region"]);
}

#[test]
fn credentials_refused_midway_keep_what_was_fetched_before() {
    let lab = Lab::faulty(&["req=2-:status=403"]);
    let document = lab.run(&["--start", "2025-11-05", "--end", "2025-11-09", "--parallel", "1"]).exits(3);
    assert_eq!(document["outcome"], "partial");
    assert_eq!(hours(&document)[1], 24);
    assert_eq!(lab.server.requests().len(), 2);
    lab.assert_staged(&["2025-11-05"]);
}

#[test]
fn no_data_is_no_failure_and_the_warning_says_what_can_look_the_same() {
    let lab = Lab::with(|config| config.dataset = config.dataset.clone().only("2025-11-01".parse().unwrap()));
    let ran = lab.run(&["--date", DAY]);
    let document = ran.exits(0);
    assert_eq!(document["outcome"], "empty");
    assert_eq!(hours(&document), [24, 0, 24, 0, 0, 0]);
    assert_eq!(document["failures"].as_array().unwrap().len(), 0);
    assert_eq!(lab.server.requests().len(), 1);
    ran.says(&["warning: ", "404", "no data", "key or region"]);
}

#[test]
fn an_hour_without_files_inside_an_archive_counts_as_no_data() {
    let lab = Lab::with(|config| config.dataset = config.dataset.clone().without_hour(HOUR.parse().unwrap()));
    let document = lab.run(&["--date", DAY]).exits(0);
    assert_eq!(document["outcome"], "complete");
    assert_eq!(hours(&document), [24, 23, 1, 0, 0, 0]);
    assert_eq!((&document["files"], &document["events"]), (&23.into(), &(23 * 3).into()));
}

#[test]
fn a_status_nobody_expects_fails_the_day_without_a_retry() {
    for status in [204, 301, 405, 418, 501] {
        let lab = Lab::faulty(&[&format!(":status={status}")]);
        let ran = lab.run(&["--date", DAY]);
        ran.exits(1);
        assert_eq!(lab.server.requests().len(), 1, "{status}");
        ran.says(&[&status.to_string(), "--base-url"]);
    }
}

fn gap_after(retry_after: String) -> Duration {
    let lab = Lab::new();
    let headers = vec![("Retry-After".to_owned(), retry_after)];
    let fault = Fault::Status { code: 503, headers, body: None };
    lab.server.add_rule(Rule::new(When { times: Some(1), ..When::default() }, fault));
    lab.run(&["--date", DAY]).exits(0);
    let requests = lab.server.requests();
    assert_eq!(requests.len(), 2);
    requests[1].at - requests[0].at
}

#[test]
fn retry_after_is_obeyed_as_seconds_and_as_a_date() {
    // Only the lower bounds are checked: a slow machine waits longer.
    assert!(gap_after("1".into()) >= Duration::from_secs(1));
    let date = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(3));
    assert!(gap_after(date) >= Duration::from_secs(1));
}

#[test]
fn a_retry_after_of_nothing_or_of_a_time_gone_by_waits_for_no_backoff_either() {
    // With the backoff, of up to a minute each, the test would most likely hang.
    for value in ["0", "Sun, 06 Nov 1994 08:49:37 GMT"] {
        let lab = Lab::new();
        let headers = vec![("Retry-After".to_owned(), value.to_owned())];
        let fault = Fault::Status { code: 429, headers, body: None };
        lab.server.add_rule(Rule::new(When { times: Some(3), ..When::default() }, fault));
        lab.run(&["--date", DAY, "--retry-base", "24h"]).exits(0);
        lab.assert_staged(&[DAY]);
    }
}

#[test]
fn nothing_achieved_is_temporary_only_if_every_failure_may_pass() {
    let days = ["--start", "2025-11-06", "--end", "2025-11-07", "--max-retries", "0"];
    let lab = Lab::faulty(&["date=2025-11-06:status=500", ":reset"]);
    lab.run(&days).exits(75);
    let lab = Lab::faulty(&["date=2025-11-06:status=500", ":status=418"]);
    lab.run(&days).exits(1);
    // No data for the one day is something achieved.
    let lab = Lab::faulty(&["date=2025-11-06:status=404,body=Raw data files were not found", ":status=500"]);
    assert_eq!(lab.run(&days).exits(1)["outcome"], "partial");
}

#[test]
fn a_404_in_other_words_than_amplitudes_fails_and_leaves_its_hours_open() {
    for body in ["", "<html>\nno such page", "{\"error\": \"no such path\"}"] {
        let lab = Lab::new();
        let fault = Fault::Status { code: 404, headers: Vec::new(), body: Some(body.to_owned()) };
        lab.server.add_rule(Rule::always(fault));
        let ran = lab.run(&["--date", DAY]);
        let document = ran.exits(1);
        assert_eq!(hours(&document), [24, 0, 0, 0, 24, 0]);
        assert_eq!(document["requests"], 1, "another try would meet the same");
        let url = format!("{}/api/2/export?start=20251106T00&end=20251106T23", lab.server.base_url());
        ran.says(&["error: ", &url, body.lines().next().unwrap_or_default(), "--base-url", "--any-404-is-empty"]);
        ran.does_not_say(&["no such page"]);

        lab.server.clear_rules();
        lab.run(&["--date", DAY]).exits(0);
        lab.assert_staged(&[DAY]);
    }
}

#[test]
fn any_404_means_no_data_where_the_operator_says_so() {
    let lab = Lab::faulty(&[":status=404"]);
    assert_eq!(hours(&lab.run(&["--date", DAY, "--any-404-is-empty"]).exits(0)), [24, 0, 24, 0, 0, 0]);
    lab.run(&["--date", DAY]).exits(0);
    assert_eq!(lab.server.requests().len(), 1, "the hours are done");
}

#[test]
fn amplitudes_words_are_known_however_they_are_wrapped() {
    let lab = Lab::new();
    let body = format!("{}{{\"e\":\"RAW data\n files  were not found!\"}}", " ".repeat(15_000));
    lab.server.add_rule(Rule::always(Fault::Status { code: 404, headers: Vec::new(), body: Some(body) }));
    assert_eq!(hours(&lab.run(&["--date", DAY]).exits(0)), [24, 0, 24, 0, 0, 0]);
}

#[test]
fn a_text_with_status_200_is_waited_for_like_a_429() {
    let lab = Lab::new();
    let headers = vec![("Retry-After".to_owned(), "0".to_owned())];
    let body = Some("\n{\"error\": \"Exceeded rate limit\"}\nmore".to_owned());
    let fault = Fault::Status { code: 200, headers, body };
    lab.server.add_rule(Rule::new(When { times: Some(3), ..When::default() }, fault));
    // With the backoff the test would most likely hang.
    let ran = lab.run(&["--date", DAY, "--retry-base", "24h"]);
    assert_eq!(ran.exits(0)["retries"], 3);
    ran.says(&["Exceeded rate limit", "HTTP 200", "text"]).does_not_say(&["more"]);
    lab.assert_staged(&[DAY]);
}

#[test]
fn a_failure_that_may_pass_is_retried_for_as_long_as_it_is_said_to() {
    let lab = Lab::faulty(&["times=8:status=503"]);
    let run = lab.command(&["--date", DAY, "--max-retries", "1"]).env("AMP_RETRY_FOR", "10m");
    assert_eq!(run.run().exits(0)["retries"], 8);
    lab.assert_staged(&[DAY]);
    let lab = Lab::faulty(&[":status=418"]);
    assert_eq!(lab.run(&["--date", DAY, "--retry-for", "10m"]).exits(1)["requests"], 1);
}

#[test]
fn the_last_error_says_how_often_it_was_tried_and_what_comes_next() {
    let lab = Lab::faulty(&[":status=503"]);
    let document = lab.run(&["--date", DAY]).exits(75);
    let error = document["failures"][0]["error"].as_str().unwrap();
    assert!(error.contains(" (after 4 tries in "), "{error}");
    assert!(error.ends_with("; the next run without a window asks again"), "{error}");
}
