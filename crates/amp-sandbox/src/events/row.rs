//! One event as one line of JSON.

use std::fmt::Write;

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
const PLATFORMS: [(&str, &str, &str, &str); 5] = [
    ("Web", "Chrome", "131", "Mac OS X"),
    ("Web", "Firefox", "132", "Windows"),
    ("iOS", "ios", "18.1", "Apple iPhone"),
    ("Android", "android", "15", "Google Pixel"),
    ("Web", "Safari", "18.0", "iPad"),
];
// Names that aren't ASCII: a byte-for-byte copy must not mind.
const PLACES: [(&str, &str, &str, &str); 10] = [
    ("Germany", "Berlin", "Berlin", "German"),
    ("France", "Île-de-France", "Paris", "French"),
    ("United Kingdom", "England", "London", "English"),
    ("Switzerland", "Zürich", "Zürich", "German"),
    ("Brazil", "São Paulo", "São Paulo", "Portuguese"),
    ("Japan", "Tokyo", "東京", "Japanese"),
    ("United States", "New York", "New York", "English"),
    ("Poland", "Łódzkie", "Łódź", "Polish"),
    ("Spain", "Madrid", "Madrid", "Spanish"),
    ("Denmark", "Capital Region", "København", "Danish"),
];
const REFERRERS: [&str; 4] =
    ["https://www.google.com/", "https://news.example.com/a?b=c&d=e", "\\\"quoted\\\" referrer", ""];
const PLANS: [&str; 4] = ["free", "basic", "pro", "enterprise"];

/// Where in a dataset a row stands.
pub(crate) struct Place {
    pub(crate) project: u64,
    pub(crate) hour: Hour,
    /// The event's number in its file, and how many there are: uploads go on through the hour in order.
    pub(crate) index: u64,
    pub(crate) of: u64,
}

/// Appends the row and its newline.
pub(crate) fn write(line: &mut String, random: &mut Random, place: &Place) {
    let span = 3_600_000_000 / place.of.max(1);
    let uploaded_micros = (place.index * span + random.below(span.max(1))).min(3_599_999_999) as i64;
    // Most events arrive within a minute; some are a phone's that was offline for days.
    let lag = match random.below(100) {
        0 => random.below(3 * 86_400_000_000),
        _ => random.below(60_000_000),
    } as i64;
    let moment = |micros: i64| place.hour.instant(micros).format("%Y-%m-%d %H:%M:%S%.6f");
    let (event_time, uploaded) = (moment(uploaded_micros - lag), moment(uploaded_micros));
    let user = random.below(20_000);
    let (platform, os, version, device) = random.pick(&PLATFORMS);
    let (country, region, city, language) = random.pick(&PLACES);
    let session = place.hour.instant(uploaded_micros - lag).timestamp_millis() - random.below(1_800_000) as i64;
    let (a, b, c) = (random.next(), random.next(), random.next());
    let event = random.pick(&EVENTS);
    // Writing to a String can't fail.
    let _ = write!(
        line,
        concat!(
            r#"{{"$insert_id":"{:016x}-{:04x}","amplitude_id":{},"app":{},"city":"{}","country":"{}","#,
            r#""device_id":"{:016x}R","device_type":"{}","event_id":{},"event_time":"{}","event_type":"{}","#
        ),
        a,
        b & 0xffff,
        500_000_000_000 + user * 7919,
        place.project,
        city,
        country,
        user.wrapping_mul(0x9E37_79B9_7F4A_7C15),
        device,
        place.index,
        event_time,
        event
    );
    let _ = match random.below(3) {
        0 => {
            write!(line, r#""event_properties":{{"path":"/p/{}","referrer":"{}"}},"#, b % 9973, random.pick(&REFERRERS))
        }
        1 => write!(
            line,
            r#""event_properties":{{"sku":"SKU-{:06}","price":{}.{:02},"quantity":{},"currency":"EUR","tags":["new","sale-{}"]}},"#,
            b % 1_000_000,
            b % 500,
            c % 100,
            c % 5 + 1,
            c % 9
        ),
        _ => write!(line, r#""event_properties":{{}},"#),
    };
    let _ = write!(
        line,
        concat!(
            r#""language":"{}","library":"amplitude-ts/2.11.9","os_name":"{}","os_version":"{}","platform":"{}","#,
            r#""region":"{}","server_upload_time":"{}","session_id":{},"#
        ),
        language, os, version, platform, region, uploaded, session
    );
    let _ = match user % 4 {
        0 => write!(line, r#""user_id":null,"user_properties":{{}},"#),
        n => write!(
            line,
            r#""user_id":"user-{user}@example.com","user_properties":{{"plan":"{}","visits":{},"beta":{}}},"#,
            PLANS[n as usize],
            c % 400,
            user.is_multiple_of(2)
        ),
    };
    let _ = writeln!(
        line,
        r#""uuid":"{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}"}}"#,
        c >> 32,
        c >> 16 & 0xffff,
        c & 0xfff,
        b >> 52,
        a & 0xffff_ffff_ffff
    );
}
