//! One event as one line of JSON, as the Export API writes it: 55 columns in alphabetical order, `null` where there is no value.
//!
//! Long because there are so many columns: a table of them would say less of how each is written.

use std::fmt::Write;

use chrono::{DateTime, Datelike, Timelike};

use crate::random::Random;
use crate::time::Hour;

const EVENTS: [&str; 12] = [
    "session_start",
    "page_viewed",
    "search_submitted",
    "product_viewed",
    "add_to_cart",
    "checkout_started",
    "payment_succeeded",
    "payment_failed",
    "video_played",
    "article_shared",
    "[Amplitude] Element Clicked",
    "session_end",
];

struct Device {
    platform: &'static str,
    os: &'static str,
    version: &'static str,
    family: &'static str,
    /// Brand, carrier, manufacturer and model, which browsers do not know.
    phone: [Option<&'static str>; 4],
    library: &'static str,
}

const BROWSER: [Option<&str>; 4] = [None; 4];
const JS: &str = "amplitude-ts/2.11.9";
const IPHONE: [Option<&str>; 4] = [Some("Apple"), Some("Vodafone"), Some("Apple"), Some("iPhone17,1")];
const PIXEL: [Option<&str>; 4] = [Some("google"), Some("Orange F"), Some("Google"), Some("Pixel 9 Pro")];
#[rustfmt::skip]
const DEVICES: [Device; 5] = [
    Device { platform: "Web", os: "Chrome", version: "131", family: "Mac OS X", phone: BROWSER, library: JS },
    Device { platform: "Web", os: "Firefox", version: "132", family: "Windows", phone: BROWSER, library: JS },
    Device { platform: "Web", os: "Safari", version: "18.0", family: "iPad", phone: BROWSER, library: JS },
    Device { platform: "iOS", os: "ios", version: "18.1", family: "Apple iPhone", phone: IPHONE, library: "amplitude-swift/1.11.2" },
    Device { platform: "Android", os: "android", version: "15", family: "Google Pixel", phone: PIXEL, library: "amplitude-android/1.19.2" },
];

struct Place {
    country: &'static str,
    region: &'static str,
    city: &'static str,
    language: &'static str,
}

// Names that are not ASCII: a byte-for-byte copy must not mind.
#[rustfmt::skip]
const PLACES: [Place; 10] = [
    Place { country: "Germany", region: "Berlin", city: "Berlin", language: "German" },
    Place { country: "France", region: "Île-de-France", city: "Paris", language: "French" },
    Place { country: "United Kingdom", region: "England", city: "London", language: "English" },
    Place { country: "Switzerland", region: "Zürich", city: "Zürich", language: "German" },
    Place { country: "Brazil", region: "São Paulo", city: "São Paulo", language: "Portuguese" },
    Place { country: "Japan", region: "Tokyo", city: "東京", language: "Japanese" },
    Place { country: "United States", region: "New York", city: "New York", language: "English" },
    Place { country: "Poland", region: "Łódzkie", city: "Łódź", language: "Polish" },
    Place { country: "Spain", region: "Madrid", city: "Madrid", language: "Spanish" },
    Place { country: "Denmark", region: "Capital Region", city: "København", language: "Danish" },
];
const REFERRERS: [&str; 4] =
    ["https://www.google.com/", "https://news.example.com/a?b=c&d=e", "\\\"quoted\\\" referrer", ""];
const PLANS: [&str; 4] = ["free", "basic", "pro", "enterprise"];
const USERS: u64 = 20_000;
const DAY: i64 = 86_400_000_000;

/// Which row of a dataset. The same row has the same bytes whatever file of its hour it is in.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowId {
    /// The file it was first exported in.
    pub(super) part: u32,
    /// Its number in that file, and how many there are: uploads go on through the hour in order.
    pub(super) index: u64,
    pub(super) of: u64,
}

/// Appends the row and its newline.
pub(super) fn write(line: &mut String, [seed, project]: [u64; 2], hour: Hour, row: RowId) {
    let mut random = Random::of(&[seed, project, hour.number() as u64, u64::from(row.part), row.index]);
    let random = &mut random;
    let times = Times::draw(random, hour, row);
    let user = random.below(USERS);
    // Every third is a server's, by the HTTP API, which knows neither device nor place nor session.
    let device = (random.below(3) > 0).then(|| &DEVICES[random.below(5) as usize]);
    let place = device.map(|_| &PLACES[random.below(10) as usize]);
    let event = random.pick(&EVENTS);
    let (a, b) = (random.next(), random.next());

    let phone = device.map_or(BROWSER, |device| device.phone);
    let app_version = |version| device.filter(|device| device.phone[0].is_some()).map(|_| version);

    line.push('{');
    let mut columns = Columns(line);
    columns.uuid("$insert_id", a, b);
    columns.nulls(&["$insert_key", "$schema", "adid", "amplitude_attribution_ids", "amplitude_event_type"]);
    columns.number("amplitude_id", 500_000_000_000 + user * 7919);
    columns.number("app", project);
    columns.text("city", place.map(|place| place.city));
    columns.moment("client_event_time", times.client_event);
    columns.moment("client_upload_time", times.client_upload);
    columns.text("country", place.map(|place| place.country));
    columns.json(
        "data",
        match device {
            Some(_) => r#"{"group_first_event":{},"group_ids":{},"path":"/2/httpapi","user_properties_updated":true}"#,
            None => r#"{"group_first_event":{},"group_ids":{},"path":"/batch"}"#,
        },
    );
    columns.text("data_type", Some("event"));
    columns.text("device_brand", phone[0]);
    columns.text("device_carrier", phone[1]);
    columns.text("device_family", device.map(|device| device.family));
    let _ = write!(columns.name("device_id"), r#""{:016x}R","#, user.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    columns.text("device_manufacturer", phone[2]);
    columns.text("device_model", phone[3]);
    columns.text("device_type", device.map(|device| device.family));
    columns.text("dma", place.filter(|place| place.country == "United States").map(|_| "New York, NY"));
    columns.number("event_id", row.index);
    event_properties(columns.name("event_properties"), random);
    columns.moment("event_time", times.event);
    columns.text("event_type", Some(event));
    columns.json("global_user_properties", if device.is_some() { "{}" } else { "null" });
    columns.json("group_properties", "{}");
    columns.json("groups", if user.is_multiple_of(8) { r#"{"company":["Smørrebrød & Søn"]}"# } else { "{}" });
    columns.nulls(&["idfa"]);
    let _ = match device {
        Some(_) => write!(columns.name("ip_address"), r#""203.0.113.{}","#, user % 255),
        None => write!(columns.name("ip_address"), "null,"),
    };
    columns.nulls(&["is_attribution_event"]);
    columns.text("language", place.map(|place| place.language));
    columns.text("library", Some(device.map_or("http/2.0", |device| device.library)));
    columns.nulls(&["location_lat", "location_lng"]);
    columns.text("os_name", device.map(|device| device.os));
    columns.text("os_version", device.map(|device| device.version));
    columns.nulls(&["partner_id"]);
    columns.json("paying", if device.is_some() && user % 4 == 3 { "true" } else { "null" });
    columns.json("plan", if device.is_some() { r#"{"branch":"main","source":"shop","version":"3"}"# } else { "{}" });
    columns.text("platform", device.map(|device| device.platform));
    columns.moment("processed_time", times.processed);
    columns.text("region", place.map(|place| place.region));
    columns.nulls(&["sample_rate"]);
    columns.moment("server_received_time", times.received);
    columns.moment("server_upload_time", times.upload);
    match device {
        Some(_) => columns.number("session_id", (times.event / 1000) as u64 - random.below(1_800_000)),
        None => columns.json("session_id", "-1"),
    }
    columns.nulls(&["source_id"]);
    columns.text("start_version", app_version("2.3.1"));
    match device {
        Some(_) => columns.moment("user_creation_time", times.upload - DAY - user as i64 * 1_234_567_000),
        None => columns.nulls(&["user_creation_time"]),
    }
    let _ = match user % 4 {
        0 => write!(columns.name("user_id"), "null,"),
        _ => write!(columns.name("user_id"), r#""user-{user}@example.com","#),
    };
    user_properties(columns.name("user_properties"), user, random);
    columns.uuid("uuid", b, a);
    columns.text("version_name", app_version("2.7.0"));
    // The comma behind the last column.
    line.pop();
    line.push_str("}\n");
}

fn event_properties(out: &mut String, random: &mut Random) {
    let (a, b) = (random.next(), random.next());
    // Writing to a String cannot fail.
    let _ = match random.below(4) {
        0 => write!(
            out,
            concat!(
                r#"{{"[Amplitude] Page Path":"/p/{}","[Amplitude] Page Title":"Sommerkollektion – Größe wählen","#,
                r#""experiment":{{"name":"checkout-{}","variant":"control"}},"referrer":"{}","scroll_depth":{}.{:02},"utm_campaign":null}},"#
            ),
            a % 9973,
            b % 17,
            random.pick(&REFERRERS),
            a % 100,
            b % 100
        ),
        1 => write!(
            out,
            concat!(
                r#"{{"currency":"EUR","items":[{{"sku":"SKU-{:06}","price":{}.{:02},"quantity":{}}},{{"sku":"SKU-{:06}","price":{}.99,"quantity":1}}],"#,
                r#""payment_method":"card","shipping":{{"carrier":"DHL","express":{}}},"tags":["new","sale-{}"],"voucher":null}},"#
            ),
            a % 1_000_000,
            a % 500,
            b % 100,
            b % 5 + 1,
            b % 1_000_000,
            b % 300,
            a.is_multiple_of(3),
            b % 9
        ),
        2 => write!(
            out,
            r#"{{"duration_ms":{},"query":"naïve café {}","results":{},"source":"search_bar","success":true,"suggestions":["café au lait","naïveté","crème brûlée"]}},"#,
            a % 100_000,
            b % 5000,
            b % 240
        ),
        _ => write!(out, "{{}},"),
    };
}

fn user_properties(out: &mut String, user: u64, random: &mut Random) {
    if user.is_multiple_of(4) {
        out.push_str("{},");
        return;
    }
    let _ = write!(
        out,
        concat!(
            r#"{{"beta":{},"cohorts":["c-{}","c-{}"],"initial_referrer":"EMPTY","initial_user_agent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko)","#,
            r#""initial_utm_campaign":"autumn-2025-retargeting","initial_utm_source":"newsletter-{}","#,
            r#""lifetime_value":{}.{:02},"locale":"de-DE","newsletter":true,"plan":"{}","signup_channel":"organic","visits":{}}},"#
        ),
        user.is_multiple_of(2),
        user % 31,
        user % 57,
        user % 12,
        user % 3000,
        user % 100,
        PLANS[(user % 4) as usize],
        random.below(400)
    );
}

/// When a row was made, sent, received and processed, in microseconds since 1970.
struct Times {
    client_event: i64,
    client_upload: i64,
    event: i64,
    received: i64,
    upload: i64,
    processed: i64,
}

impl Times {
    fn draw(random: &mut Random, hour: Hour, row: RowId) -> Self {
        let span = 3_600_000_000 / row.of.max(1);
        let into_hour = (row.index * span + random.below(span.max(1))).min(3_599_999_999) as i64;
        // Clients know milliseconds; now and then there is none of them, and no fraction is written.
        let whole = |micros: i64, unit: i64| micros - micros % unit;
        let unit = if random.below(50) == 0 { 1_000_000 } else { 1000 };
        let upload = whole(hour.micros() + into_hour, unit);
        let received = upload - (random.below(9) as i64) * 1000;
        let client_upload = received - (random.below(400) as i64) * 1000;
        // Most events are sent within a minute; some are a phone's that was offline for days.
        let lag = match random.below(100) {
            0 => random.below(3 * DAY as u64),
            _ => random.below(60_000_000),
        } as i64;
        let event = received - whole(lag, unit);
        let client_event = client_upload - whole(lag, unit);
        Self {
            client_event,
            client_upload,
            event,
            received,
            upload,
            processed: upload + random.below(4_000_000) as i64,
        }
    }
}

/// The columns of a row, each with a comma behind it.
struct Columns<'a>(&'a mut String);

impl Columns<'_> {
    fn name(&mut self, name: &str) -> &mut String {
        self.0.extend(["\"", name, "\":"]);
        self.0
    }

    fn json(&mut self, name: &str, value: &str) {
        self.name(name).extend([value, ","]);
    }

    /// A text that needs no escapes.
    fn text(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.name(name).extend(["\"", value, "\","]),
            None => self.json(name, "null"),
        }
    }

    fn nulls(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.json(name, "null"));
    }

    fn number(&mut self, name: &str, value: u64) {
        let _ = write!(self.name(name), "{value},");
    }

    fn uuid(&mut self, name: &str, a: u64, b: u64) {
        let [high, middle] = [a >> 32, a >> 16 & 0xffff];
        let (low, node) = (a & 0xfff, b & 0xffff_ffff_ffff);
        let _ = write!(self.name(name), r#""{high:08x}-{middle:04x}-4{low:03x}-8{:03x}-{node:012x}","#, b >> 52);
    }

    /// Without a zone, in UTC; without a fraction if there is none.
    fn moment(&mut self, name: &str, micros: i64) {
        let time = DateTime::from_timestamp_micros(micros).unwrap_or_default();
        let (year, month, day) = (time.year(), time.month(), time.day());
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        let out = self.name(name);
        let _ = write!(out, r#""{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"#);
        let _ = match time.timestamp_subsec_micros() {
            0 => write!(out, r#"","#),
            fraction => write!(out, r#".{fraction:06}","#),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::{Deserializer, Value};

    use super::*;

    /// As seen in exports of live projects.
    const COLUMNS: &str = "$insert_id $insert_key $schema adid amplitude_attribution_ids amplitude_event_type amplitude_id app city \
        client_event_time client_upload_time country data data_type device_brand device_carrier device_family device_id \
        device_manufacturer device_model device_type dma event_id event_properties event_time event_type global_user_properties \
        group_properties groups idfa ip_address is_attribution_event language library location_lat location_lng os_name os_version \
        partner_id paying plan platform processed_time region sample_rate server_received_time server_upload_time session_id \
        source_id start_version user_creation_time user_id user_properties uuid version_name";

    /// The values of a row in the order in which they are written, after a check of the columns' names.
    fn values(line: &str) -> Vec<Value> {
        let mut rest = line.strip_prefix('{').unwrap();
        let values = COLUMNS.split_whitespace().map(|column| {
            rest = rest.strip_prefix(&format!("\"{column}\":")).unwrap_or_else(|| panic!("{column}: {rest}"));
            let mut stream = Deserializer::from_str(rest).into_iter();
            let value = stream.next().unwrap().unwrap();
            rest = &rest[stream.byte_offset() + 1..];
            value
        });
        let values = values.collect();
        assert_eq!(rest, "\n", "more columns");
        values
    }

    #[test]
    fn a_row_has_the_columns_of_an_export_in_their_order_and_about_2_kb() {
        let hour: Hour = "2025-11-06T09".parse().unwrap();
        let (mut bytes, mut uuids, mut by_http, mut late, mut whole) = (0, HashSet::new(), 0, 0, 0);
        for index in 0..2000 {
            let mut line = String::new();
            write(&mut line, [1, 7], hour, RowId { part: 0, index, of: 2000 });
            bytes += line.len();
            let values = values(&line);
            let of = |name: &str| &values[COLUMNS.split_whitespace().position(|column| column == name).unwrap()];
            let time = |name: &str| of(name).as_str().unwrap().to_owned();
            for name in ["data", "event_properties", "group_properties", "groups", "plan", "user_properties"] {
                assert!(of(name).is_object(), "{name}: {line}");
            }
            assert!(time("server_upload_time").starts_with("2025-11-06 09:"), "{line}");
            assert!(
                time("client_event_time") <= time("event_time") && time("event_time") <= time("server_received_time")
            );
            late += u32::from(time("event_time").as_str() < "2025-11-06");
            whole += u32::from(time("server_upload_time").len() == 19);
            if of("library") == "http/2.0" {
                by_http += 1;
                assert_eq!(of("session_id"), -1);
                assert_eq!(
                    values.iter().filter(|value| value.is_null()).count() - usize::from(of("user_id").is_null()),
                    32
                );
            }
            uuids.insert(time("uuid"));
        }
        assert_eq!(uuids.len(), 2000);
        assert!((1800..2200).contains(&(bytes / 2000)), "{} bytes a row", bytes / 2000);
        assert!(
            (500..900).contains(&by_http) && (5..40).contains(&late) && (10..80).contains(&whole),
            "{by_http} {late} {whole}"
        );
    }
}
