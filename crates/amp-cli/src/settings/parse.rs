//! What a person writes, read: spans, sizes, numbers, switches, endpoints.

use std::fmt;
use std::time::Duration;

use url::{Host, Url};

/// Reads `1s`, `500ms`, `5m`, `1.5h` or a bare number of seconds.
///
/// # Errors
/// A message for anything else.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write 500ms, 30s, 5m or 1h");
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds_each = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * seconds_each)
        .ok()
        .filter(|span| span.as_secs() < 366 * 86_400)
        .ok_or_else(wrong)
}

/// Reads a number of bytes: `1048576`, `64M`, `64MiB`, `1.5G` (units of 1024).
///
/// # Errors
/// A message for anything else.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; write 1048576, 64MiB or 2G");
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let power = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 1,
        "M" | "MB" | "MIB" => 2,
        "G" | "GB" | "GIB" => 3,
        "T" | "TB" | "TIB" => 4,
        _ => return Err(wrong()),
    };
    let scale = 1u64 << (10 * power);
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(scale).ok_or_else(wrong);
    }
    let bytes = number.parse::<f64>().map_err(|_| wrong())? * scale as f64;
    if bytes.is_finite() && bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(wrong()) }
}

/// Reads a whole number of at least `least`.
///
/// # Errors
/// A message for anything else.
pub fn parse_number<T: std::str::FromStr + PartialOrd + fmt::Display>(text: &str, least: T) -> Result<T, String> {
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<T>().ok()).flatten();
    number
        .filter(|number| *number >= least)
        .ok_or_else(|| format!("`{text}` is not a whole number of at least {least}"))
}

/// Reads how many of something may be done at the same time: 1 to 1024.
///
/// # Errors
/// A message for anything else.
pub fn parse_parallelism(text: &str) -> Result<usize, String> {
    match parse_number(text, 1)? {
        number @ 1..=1024 => Ok(number),
        _ => Err(format!("`{text}` is too large (maximum 1024)")),
    }
}

/// Reads `true`, `1`, `yes`, `on` and their opposites.
///
/// # Errors
/// A message for anything else.
pub fn parse_bool(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

/// Reads an endpoint. Plain `http` is for loopback hosts, elsewhere only where `allow_http` says so: keys and events would travel in the clear.
///
/// # Errors
/// A message for what is no http(s) URL of a host, or has credentials, a query or a fragment.
pub fn parse_endpoint(text: &str, allow_http: bool) -> Result<Url, String> {
    // The URL may hold a password by mistake, so it is not repeated here.
    if !text.contains("://") {
        return Err(match with_http(text) {
            Some(url) => format!("it lacks its scheme; write {url}"),
            None => "it lacks its scheme; write https://host".to_owned(),
        });
    }
    let url = Url::parse(text).map_err(|error| format!("it is not a URL ({error}); write https://host"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with credentials in it is refused; keys have settings of their own".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("`{url}` has a query or a fragment; write https://host"));
    }
    match url.scheme() {
        "https" if url.host().is_some() => Ok(url),
        "http" if allow_http || is_loopback(&url) => Ok(url),
        "http" => Err(format!("`{url}` is plain http, which is for loopback hosts only; write https://")),
        scheme => Err(format!("`{scheme}` URLs are not accepted; write https://host")),
    }
}

/// What a loopback host and port would be as a URL.
fn with_http(text: &str) -> Option<String> {
    let url = Url::parse(&format!("http://{text}")).ok()?;
    let has_credentials = !url.username().is_empty() || url.password().is_some();
    (is_loopback(&url) && !has_credentials).then(|| format!("http://{text}"))
}

/// Whether the URL's host is this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_http_is_for_loopback_alone() {
        for url in ["http://127.0.0.1:9000", "http://localhost/x", "http://[::1]:1", "https://example.com"] {
            assert!(parse_endpoint(url, false).is_ok(), "{url}");
        }
        for url in [
            "http://example.com",
            "http://127.0.0.1.example.com",
            "http://10.0.0.1",
            "ftp://localhost",
            "localhost:9000",
            "https://u:p@h",
            "https://h?x=1",
            "",
            "http://",
        ] {
            assert!(parse_endpoint(url, false).is_err(), "{url}");
        }
        assert!(parse_endpoint("http://minio:9000", true).is_ok());
        assert!(!parse_endpoint("https://user:hunter2@h", false).unwrap_err().contains("hunter2"));
    }

    #[test]
    fn durations_and_sizes_read_as_people_write_them() {
        assert_eq!(parse_duration("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("7"), Ok(Duration::from_secs(7)));
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
        assert_eq!(parse_bytes("64MiB"), Ok(64 << 20));
        assert_eq!(parse_bytes("1.5k"), Ok(1536));
        assert_eq!(parse_number("3", 1), Ok(3u32));
        for text in ["", "s", "-1s", "1 s", "1d1", "1e9s", "99999999h", "."] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for text in ["", "M", "-1", "1X", "99999999999999T"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
        for text in ["", "0", "+3", "-1", "1.0", "99999999999999999999999"] {
            assert!(parse_number(text, 1u32).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in ".*") {
            let _ = parse_duration(&text);
            let _ = parse_bytes(&text);
            let _ = parse_endpoint(&text, true);
        }
    }
}
