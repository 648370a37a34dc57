//! The Export API.

use std::io::{Cursor, Read};
use std::time::{Duration, Instant};

use amp_sandbox::archive::Method;
use amp_sandbox::events::Dataset;
use amp_sandbox::export::{ExportConfig, ExportServer, Framing, Layout, Limit};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use flate2::read::MultiGzDecoder;
use zip::ZipArchive;

use crate::client::{Response, request, request_within};

const DAY: &str = "/api/2/export?start=20251106T00&end=20251106T23";

fn start(change: impl FnOnce(&mut ExportConfig)) -> ExportServer {
    let mut config =
        ExportConfig::new(Dataset::new(3).events_per_part(20).without_hour("2025-11-06T04".parse().unwrap()));
    change(&mut config);
    ExportServer::start(config).unwrap()
}

fn get_as(server: &ExportServer, target: &str, credentials: &str) -> std::io::Result<Response> {
    let value = format!("Basic {}", BASE64.encode(credentials));
    request(&server.base_url(), "GET", target, &[("Authorization", &value)], b"")
}

fn get(server: &ExportServer, target: &str) -> std::io::Result<Response> {
    get_as(server, target, "sandbox-api-key:sandbox-secret-key")
}

#[test]
fn a_day_is_served_in_every_layout_and_framing() {
    let layouts = [
        Layout::default(),
        Layout { method: Method::Stored, data_descriptors: false, ..Layout::default() },
        Layout { zip64: true, gzip_members: 3, ..Layout::default() },
    ];
    for (layout, framing) in layouts.into_iter().zip([Framing::ContentLength, Framing::Chunked, Framing::Close]) {
        let server = start(|config| (config.layout, config.framing) = (layout, framing));
        let response = get(&server, DAY).unwrap();
        assert_eq!((response.status, response.header("content-type")), (200, Some("application/zip")));
        assert!(response.header("date").is_some());
        assert_eq!(response.header("content-length").is_some(), framing == Framing::ContentLength);
        let mut zip = ZipArchive::new(Cursor::new(response.body)).unwrap();
        let dataset = Dataset::new(3).events_per_part(20).without_hour("2025-11-06T04".parse().unwrap());
        assert_eq!(zip.len(), 46);
        for (index, (hour, part)) in dataset.files_in("2025-11-06".parse().unwrap()).enumerate() {
            let member = zip.by_index(index).unwrap();
            assert_eq!(member.name().unwrap(), format!("100011471/{}", dataset.member_name(hour, part)));
            let mut json = Vec::new();
            MultiGzDecoder::new(member).read_to_end(&mut json).unwrap();
            assert_eq!(json, dataset.bytes_of(hour, part));
        }
    }
}

#[test]
fn every_refusal_has_its_status() {
    let server = start(|config| {
        config.too_large = Limit { hours: Some(24), ..Limit::default() };
        config.too_slow = Limit { events: Some(900), ..Limit::default() };
    });
    let status = |target: &str| get(&server, target).unwrap().status;
    let window = |start: &str, end: &str| format!("/api/2/export?start={start}&end={end}");
    assert_eq!(request(&server.base_url(), "GET", DAY, &[], b"").unwrap().status, 401);
    let wrong = get_as(&server, DAY, "sandbox-api-key:guess").unwrap();
    assert_eq!((wrong.status, wrong.text().contains("Invalid API Key")), (403, true));
    let empty = get(&server, &window("20251106T04", "20251106T04")).unwrap();
    assert_eq!((empty.status, empty.text().contains("Raw data files were not found.")), (404, true));
    assert!(empty.header("date").unwrap().ends_with(" GMT"));
    assert_eq!(status(&window("20251106T05", "20251106T05")), 200);
    assert_eq!(status(&window("20251106T05", "20251106T04")), 400);
    assert_eq!(status(&window("2025-11-06T05", "20251106T06")), 400);
    assert_eq!(status(&window("20251106T00", "20251107T00")), 400);
    assert_eq!(status(DAY), 504);
    assert_eq!(status("/api/2/other"), 404);
    let requests = server.requests();
    assert_eq!(requests.iter().map(|r| r.authorized).filter(|right| !right).count(), 2);
    assert_eq!((requests[0].start.as_str(), requests[0].status), ("20251106T00", 401));
    assert!(requests[1].headers.iter().any(|(name, value)| name == "Authorization" && value == "***"));
}

#[test]
fn the_script_decides_by_number_and_window() {
    let server = start(|_| {});
    for rule in ["req=1-2:status=503,retry-after=9", "hour=2025-11-06T05,times=1:html"] {
        server.add_rule(rule.parse().unwrap());
    }
    let first = get(&server, DAY).unwrap();
    assert_eq!((first.status, first.header("retry-after")), (503, Some("9")));
    assert_eq!(get(&server, DAY).unwrap().status, 503);
    let page = get(&server, DAY).unwrap();
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(get(&server, DAY).unwrap().body.starts_with(b"PK"));
}

#[test]
fn a_body_can_be_cut_shortened_flipped_reset_and_stalled() {
    for framing in [Framing::ContentLength, Framing::Chunked] {
        let server = start(|config| config.framing = framing);
        let whole = get(&server, DAY).unwrap().body;
        let with = |rule: &str| {
            server.clear_rules();
            server.add_rule(rule.parse().unwrap());
            get(&server, DAY)
        };
        assert!(with(":cut=1000").is_err());
        assert_eq!(server.requests().last().unwrap().bytes_sent, 1000);
        assert_eq!(with(":short=1000").unwrap().body, whole[..1000]);
        assert!(with(":reset=1000").is_err());
        assert!(with(":reset").is_err());
        for rule in [":stall=1000", ":stall"] {
            server.clear_rules();
            server.add_rule(rule.parse().unwrap());
            let value = format!("Basic {}", BASE64.encode("sandbox-api-key:sandbox-secret-key"));
            let patience = Duration::from_millis(300);
            let headers = [("Authorization", value.as_str())];
            let stalled = request_within(patience, &server.base_url(), "GET", DAY, &headers, b"");
            assert_eq!(stalled.err().unwrap().kind(), std::io::ErrorKind::WouldBlock);
        }
        assert!(with(":empty").unwrap().body.is_empty());
        assert_eq!(
            with(":redirect=http://127.0.0.1:9/,code=302").unwrap().header("location"),
            Some("http://127.0.0.1:9/")
        );
        let flipped = with(":flip=-10,mask=1").unwrap().body;
        let differing: Vec<usize> = (0..whole.len()).filter(|i| whole[*i] != flipped[*i]).collect();
        assert_eq!(differing, [whole.len() - 10]);
        let start = Instant::now();
        assert_eq!(with(":delay=200ms").unwrap().body, whole);
        assert!(start.elapsed() >= Duration::from_millis(200));
    }
}

#[test]
fn archives_of_a_tests_own_and_changed_data_are_served() {
    let server = start(|_| {});
    server.set_archive("2025-11-06".parse().ok(), b"not a zip".to_vec());
    assert_eq!(get(&server, DAY).unwrap().text(), "not a zip");
    let hour = "/api/2/export?start=20251106T05&end=20251106T05";
    let before = get(&server, hour).unwrap().body;
    server.set_dataset(Dataset::new(4));
    assert_ne!(get(&server, hour).unwrap().body, before);
}

#[test]
fn bandwidth_is_kept_to() {
    let server = start(|_| {});
    let length = get(&server, DAY).unwrap().body.len() as u64;
    let slow = start(|config| config.bandwidth = Some(length * 2));
    let begin = Instant::now();
    assert_eq!(get(&slow, DAY).unwrap().body.len() as u64, length);
    assert!((0.3..2.0).contains(&begin.elapsed().as_secs_f64()), "{:?}", begin.elapsed());
}
