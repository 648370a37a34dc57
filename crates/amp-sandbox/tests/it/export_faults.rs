//! What the Export API can be made to do wrong.

use std::io::{Cursor, ErrorKind, Read};
use std::time::Duration;

use amp_sandbox::events::Dataset;
use amp_sandbox::export::{ExportConfig, ExportServer, Framing};
use amp_sandbox::time::Window;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use chrono::{DateTime, TimeDelta, Utc};
use flate2::read::MultiGzDecoder;
use zip::ZipArchive;

use crate::client::{Response, request, request_within};

const DAY: &str = "/api/2/export?start=20251106T00&end=20251106T23";
const HOUR: &str = "/api/2/export?start=20251106T05&end=20251106T05";
const KEY: (&str, &str) = ("sandbox-api-key", "sandbox-secret-key");

fn dataset() -> Dataset {
    Dataset::new(3).events_per_part(5)
}

fn start(rules: &[&str]) -> ExportServer {
    let server = ExportServer::start(ExportConfig::new(dataset())).unwrap();
    rules.iter().for_each(|rule| server.add_rule(rule.parse().unwrap()));
    server
}

fn get_as(server: &ExportServer, target: &str, (api, secret): (&str, &str)) -> Response {
    let value = format!("Basic {}", BASE64.encode(format!("{api}:{secret}")));
    request(&server.base_url(), "GET", target, &[("Authorization", &value)], b"").unwrap()
}

fn get(server: &ExportServer, target: &str) -> Response {
    get_as(server, target, KEY)
}

/// Names of the members, and the lines in each.
fn members(response: Response) -> Vec<(String, Vec<String>)> {
    assert_eq!(response.status, 200, "{}", response.text());
    let mut zip = ZipArchive::new(Cursor::new(response.body)).unwrap();
    let mut members = Vec::new();
    for index in 0..zip.len() {
        let member = zip.by_index(index).unwrap();
        let name = member.name().unwrap().into_owned();
        let mut json = String::new();
        MultiGzDecoder::new(member).read_to_string(&mut json).unwrap();
        members.push((name, json.lines().map(str::to_owned).collect()));
    }
    members
}

fn names(response: Response) -> Vec<String> {
    members(response).into_iter().map(|(name, _)| name).collect()
}

fn lines(response: Response) -> Vec<String> {
    let mut lines: Vec<_> = members(response).into_iter().flat_map(|(_, lines)| lines).collect();
    lines.sort();
    lines
}

#[test]
fn refusals_are_amplitudes_own_or_somebody_elses() {
    let server = start(&["req=1:no-data", "req=2:foreign-404", "req=3:invalid-key", "req=4:text,retry-after=7"]);
    let own = get(&server, DAY);
    assert_eq!((own.status, own.text().contains("Raw data files were not found.")), (404, true));
    let foreign = get(&server, DAY);
    assert_eq!((foreign.status, foreign.header("content-type")), (404, Some("text/html; charset=utf-8")));
    assert!(!foreign.text().contains("Raw data"));
    let revoked = get(&server, DAY);
    assert_eq!((revoked.status, revoked.text().contains("Invalid API Key")), (403, true));
    let text = get(&server, DAY);
    assert_eq!((text.status, text.header("retry-after")), (200, Some("7")));
    assert_eq!((text.header("content-type"), text.text().contains("rate limit")), (Some("text/plain"), true));
    assert_eq!(get(&server, DAY).status, 200);
}

#[test]
fn an_archive_can_be_of_another_window_or_have_members_of_another_hour() {
    let server = start(&["req=1:archive-of=2025-11-05T00..2025-11-05T01", "req=2:foreign-hour=2025-10-01T03"]);
    let cached = names(get(&server, HOUR));
    assert_eq!((cached.len(), cached[0].as_str()), (4, "100011471/100011471_2025-11-05_0#0.json.gz"));
    let mixed = members(get(&server, HOUR));
    assert_eq!(mixed.len(), 3);
    assert_eq!((mixed[2].0.as_str(), mixed[2].1.len()), ("100011471/100011471_2025-10-01_3#0.json.gz", 5));
    assert!(mixed[2].1[0].contains("\"server_upload_time\":\"2025-10-01 03:"));
}

#[test]
fn members_can_lack_a_date_or_have_another_ending() {
    let server = start(&["req=1:undated", "req=2:ending=.avro", "req=3:ending=.json.GZ,part=1"]);
    let undated = members(get(&server, HOUR));
    assert_eq!((undated.len(), undated[0].0.as_str(), undated[0].1.len()), (1, "100011471/events.json.gz", 10));
    assert!(names(get(&server, HOUR)).iter().all(|name| name.ends_with(".avro")));
    let some = names(get(&server, HOUR));
    assert!(some[0].ends_with("_5#0.json.gz") && some[1].ends_with("_5#1.json.GZ"), "{some:?}");
}

#[test]
fn an_hour_can_be_cut_anew_and_have_more_or_fewer_rows() {
    let server = start(&["req=2:recut=3", "req=3:rows=+4", "req=4:rows=-4"]);
    let right = lines(get(&server, HOUR));
    let recut = get(&server, HOUR);
    assert_eq!(names(Response { headers: Vec::new(), body: recut.body.clone(), ..recut }).len(), 3);
    assert_eq!(lines(recut), right);
    let more = lines(get(&server, HOUR));
    assert_eq!(more.iter().filter(|line| !right.contains(line)).count(), 4);
    let fewer = lines(get(&server, HOUR));
    assert_eq!((fewer.len(), fewer.iter().all(|line| right.contains(line))), (6, true));
}

#[test]
fn a_body_can_drip_and_have_no_end() {
    for framing in [Framing::ContentLength, Framing::Close] {
        let server = ExportServer::start(ExportConfig { framing, ..ExportConfig::new(dataset()) }).unwrap();
        let patience = Duration::from_millis(300);
        let value = format!("Basic {}", BASE64.encode("sandbox-api-key:sandbox-secret-key"));
        let headers = [("Authorization", value.as_str())];
        let sent = |rule: &str| {
            server.clear_rules();
            server.add_rule(rule.parse().unwrap());
            let result = request_within(patience, &server.base_url(), "GET", HOUR, &headers, b"");
            (result.map(drop).unwrap_err().kind(), server.requests().last().unwrap().bytes_sent)
        };
        let (kind, bytes) = sent(":drip=1");
        assert_eq!((kind, bytes < 5), (ErrorKind::WouldBlock, true));
        assert_eq!(sent(":status=503,drip=1").0, ErrorKind::WouldBlock);
        assert_eq!(server.requests().last().unwrap().status, 503);

        server.clear_rules();
        server.add_rule(":endless".parse().unwrap());
        let whole = server.archive_bytes("2025-11-06T05".parse().unwrap()).unwrap().unwrap();
        let begun = crate::client::begin(&server.base_url(), HOUR, &headers, 3 * whole.len() + 4096).unwrap();
        assert!(begun.windows(whole.len()).any(|bytes| bytes == whole), "the archive comes first");
    }
}

#[test]
fn a_date_can_be_off_and_the_clock_can_be_set() {
    let server = start(&["req=1:date=-2h"]);
    let date = |response: Response| DateTime::parse_from_rfc2822(response.header("date").unwrap()).unwrap();
    let behind = Utc::now() - date(get(&server, HOUR)).to_utc();
    assert!((7190..7230).contains(&behind.num_seconds()), "{behind}");
    server.set_clock_offset(TimeDelta::days(-20));
    let behind = Utc::now() - date(get(&server, HOUR)).to_utc();
    assert_eq!(behind.num_days(), 20);
}

#[test]
fn an_hour_that_settles_has_half_its_parts_until_it_is_2_hours_old() {
    let server = ExportServer::start(ExportConfig { settling: true, ..ExportConfig::new(dataset()) }).unwrap();
    let at = |time: &str| {
        server.set_clock_offset(time.parse::<DateTime<Utc>>().unwrap() - Utc::now());
        get(&server, HOUR)
    };
    assert_eq!(at("2025-11-06T04:59:00Z").status, 404);
    assert_eq!(names(at("2025-11-06T07:59:00Z")), ["100011471/100011471_2025-11-06_5#0.json.gz"]);
    assert_eq!(names(at("2025-11-06T08:00:01Z")).len(), 2);
}

#[test]
fn keys_come_and_go_and_a_second_project_has_its_own() {
    let server = start(&["key=new,times=1:status=503"]);
    server.add_key("new", "secret");
    server.add_project(Dataset::new(4).project(7), "other", "secret");
    assert_eq!(get_as(&server, HOUR, ("new", "secret")).status, 503);
    assert_eq!(lines(get_as(&server, HOUR, ("new", "secret"))), lines(get(&server, HOUR)));
    assert!(names(get_as(&server, HOUR, ("other", "secret")))[0].starts_with("7/7_2025-11-06_5#0"));
    assert_eq!(get_as(&server, HOUR, ("new", "sandbox-secret-key")).status, 403);
    server.revoke_key("new");
    assert_eq!(get_as(&server, HOUR, ("new", "secret")).status, 403);
    assert_eq!(get(&server, HOUR).status, 200);
    let keys: Vec<_> = server.requests().into_iter().map(|request| request.api_key).collect();
    assert_eq!(keys, ["new", "new", KEY.0, "other", "new", "new", KEY.0]);
}

#[test]
fn a_flaky_day_is_empty_once() {
    let server = start(&["window=2025-11-06..2025-11-06,times=1:no-data"]);
    assert_eq!(get(&server, HOUR).status, 200);
    assert_eq!(get(&server, DAY).status, 404);
    let day: Window = "2025-11-06".parse().unwrap();
    assert_eq!(names(get(&server, DAY)).len(), dataset().files_in(day).count());
}
