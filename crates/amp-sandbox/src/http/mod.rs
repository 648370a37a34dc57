//! An HTTP/1.1 server on threads, with or without TLS: every byte sent is under the fault script's control.

mod body;
mod exchange;
mod listener;
mod wire;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode, utf8_percent_encode};

pub use exchange::Framing;
pub(crate) use exchange::{After, Exchange, Head};
pub(crate) use listener::Listener;

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)] as char, DIGITS[usize::from(b & 15)] as char]).collect()
}

/// RFC 3986's unreserved characters stay as they are.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Undoes percent-encoding; `None` if a `%` is not followed by two hex digits.
pub(crate) fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let escaped = |rest: &str| rest.as_bytes().get(..2).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit));
    text.split('%').skip(1).all(escaped).then(|| percent_decode_str(text).collect())
}

/// Percent-encodes a name or a value of a query.
pub(crate) fn encode_component(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Percent-encodes a path, but not its slashes.
pub(crate) fn encode_path(bytes: &[u8]) -> String {
    const IN_PATH: &AsciiSet = &RESERVED.remove(b'/');
    percent_encode(bytes, IN_PATH).to_string()
}

/// The query's decoded pairs, in the order they came.
pub(crate) fn query_pairs(query: &str) -> Option<Vec<(String, String)>> {
    let text = |raw: &str| String::from_utf8(percent_decode(raw)?).ok();
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((text(name)?, text(value)?))
        })
        .collect()
}

/// What a status code is called.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        412 => "Precondition Failed",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Scripted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_keeps_the_unreserved_and_refuses_half_an_escape() {
        assert_eq!(encode_component("a-._~/ ü"), "a-._~%2F%20%C3%BC");
        assert_eq!(encode_path(b"/a b/%"), "/a%20b/%25");
        assert_eq!(percent_decode("%41+%c3%BC").as_deref(), Some("A+\u{fc}".as_bytes()));
        for half in ["%", "%4", "a%zz", "%4%41"] {
            assert_eq!(percent_decode(half), None, "{half}");
        }
    }
}
