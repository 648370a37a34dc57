//! From a request to its answer, faults included.

use std::io;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use chrono::Utc;

use super::archive::ArchiveSource;
use super::rule::Fault;
use super::server::State;
use crate::flip::{Flip, FlipInFlight};
use crate::http::{After, Exchange, Framing, query_pairs};
use crate::time::{Hour, Window};

/// The words are Amplitude's; of the JSON around them nothing is recorded.
const NO_DATA: &str =
    "{\"error\": {\"http_code\": 404, \"type\": \"not_found\", \"message\": \"Raw data files were not found.\"}}\n";

const CHUNK: usize = 256 * 1024;

/// How much of the body goes out, and what then.
struct Plan {
    /// The length that the framing claims.
    claimed: u64,
    sent: u64,
    flip: Option<FlipInFlight>,
    then: Then,
}

enum Then {
    End,
    Cut,
    Stall,
    Reset,
}

pub(super) fn answer(state: &State, exchange: &mut Exchange<'_>) -> io::Result<After> {
    let pairs = query_pairs(exchange.head.query()).unwrap_or_default();
    let window = window(&pairs);
    let (index, fault) = state.arrived(&exchange.head, window, &pairs);
    let authorized = credentials(exchange)
        .is_some_and(|(user, password)| user == state.config.api_key && password == state.config.secret_key);
    state.update(index, |request| request.authorized = authorized);
    let after = decide(state, exchange, index, window, fault);
    state.update(index, |request| request.finished = true);
    after
}

fn content_type(kind: &str) -> (String, String) {
    ("Content-Type".to_owned(), kind.to_owned())
}

/// The header of the server's clock, as RFC 9110 writes it.
fn date() -> (String, String) {
    ("Date".to_owned(), Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

/// The window, if the parameters are one; the API knows this one spelling only.
fn window(pairs: &[(String, String)]) -> Option<Window> {
    let hour = |name: &str| -> Option<Hour> {
        let value = &pairs.iter().find(|(n, _)| n == name)?.1;
        (value.len() == 11 && !value.contains('-')).then(|| value.parse().ok()).flatten()
    };
    let window = Window::new(hour("start")?, hour("end")?);
    (window.start <= window.end).then_some(window)
}

/// User and password of Basic auth.
fn credentials(exchange: &Exchange<'_>) -> Option<(String, String)> {
    let encoded = exchange.head.header("authorization")?.strip_prefix("Basic ")?;
    let text = String::from_utf8(BASE64.decode(encoded).ok()?).ok()?;
    text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

fn decide(
    state: &State,
    exchange: &mut Exchange<'_>,
    index: usize,
    window: Option<Window>,
    fault: Option<Fault>,
) -> io::Result<After> {
    let json = |message: &str| format!("{{\"error\": \"{message}\"}}\n");
    let say = |exchange: &mut Exchange<'_>, status: u16, kind: &str, headers: Vec<(String, String)>, body: &str| {
        state.update(index, |request| (request.status, request.bytes_sent) = (status, body.len() as u64));
        let headers = [vec![content_type(kind), date()], headers].concat();
        exchange.respond(status, &headers, body.as_bytes())
    };
    const JSON: &str = "application/json";
    match &fault {
        Some(Fault::Status { code, headers, body }) => {
            let body = body.clone().unwrap_or_else(|| json("scripted"));
            return say(exchange, *code, JSON, headers.clone(), &body);
        }
        Some(Fault::Html) => {
            let page =
                "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n";
            return say(exchange, 200, "text/html; charset=utf-8", Vec::new(), page);
        }
        Some(Fault::EmptyBody) => return say(exchange, 200, "application/zip", Vec::new(), ""),
        Some(Fault::Redirect { to, code }) => {
            return say(exchange, *code, JSON, vec![("Location".into(), to.clone())], "");
        }
        Some(Fault::Delay(time)) => exchange.sleep(*time),
        Some(Fault::StallBeforeHeaders) => return Ok(exchange.stall()),
        Some(Fault::Reset { after: 0 }) => return Ok(After::Reset),
        _ => {}
    }
    if exchange.head.path() != "/api/2/export" {
        return say(exchange, 404, JSON, Vec::new(), &json("no such path"));
    }
    if exchange.head.method != "GET" {
        return say(exchange, 405, JSON, Vec::new(), &json("GET only"));
    }
    match credentials(exchange) {
        None => {
            let challenge = vec![("WWW-Authenticate".into(), "Basic realm=\"export\"".into())];
            return say(exchange, 401, JSON, challenge, &json("no credentials"));
        }
        Some((user, password)) if user != state.config.api_key || password != state.config.secret_key => {
            return say(exchange, 403, JSON, Vec::new(), &json("Invalid API Key"));
        }
        Some(_) => {}
    }
    let Some(window) = window else {
        return say(exchange, 400, JSON, Vec::new(), &json("start and end must be YYYYMMDDTHH, start not after end"));
    };
    if state.exceeds(window, &state.config.too_large) {
        return say(exchange, 400, JSON, Vec::new(), &json("the export is too large"));
    }
    if state.exceeds(window, &state.config.too_slow) {
        return say(exchange, 504, JSON, Vec::new(), &json("the export took too long"));
    }
    let Some(source) = state.archive(window)? else {
        return say(exchange, 404, JSON, Vec::new(), NO_DATA);
    };
    exchange.sleep(state.config.first_byte_delay);
    send(state, exchange, index, &source, plan(source.len()?, fault.as_ref()))
}

fn plan(length: u64, fault: Option<&Fault>) -> Plan {
    let whole = Plan { claimed: length, sent: length, flip: None, then: Then::End };
    match fault {
        Some(Fault::CutBody { after }) => Plan { sent: length.min(*after), then: Then::Cut, ..whole },
        Some(Fault::Stall { after }) => Plan { sent: length.min(*after), then: Then::Stall, ..whole },
        Some(Fault::Reset { after }) => Plan { sent: length.min(*after), then: Then::Reset, ..whole },
        Some(Fault::ShortBody { after }) => Plan { claimed: length.min(*after), sent: length.min(*after), ..whole },
        Some(Fault::FlipByte { at, mask }) => {
            let flip = Flip { at: *at, mask: *mask };
            Plan { flip: Some(flip.in_body_of(length)), ..whole }
        }
        _ => whole,
    }
}

fn send(
    state: &State,
    exchange: &mut Exchange<'_>,
    index: usize,
    source: &ArchiveSource,
    mut plan: Plan,
) -> io::Result<After> {
    // Before 1.1 there were no chunks.
    let framing = match state.config.framing {
        Framing::Chunked if !exchange.head.http11 => Framing::Close,
        framing => framing,
    };
    let mut headers = vec![content_type("application/zip"), date()];
    match framing {
        Framing::ContentLength => headers.push(("Content-Length".into(), plan.claimed.to_string())),
        Framing::Chunked => headers.push(("Transfer-Encoding".into(), "chunked".into())),
        Framing::Close => headers.push(("Connection".into(), "close".into())),
    }
    state.update(index, |request| request.status = 200);
    exchange.begin(200, &headers)?;
    let mut buffer = vec![0; state.bandwidth.as_ref().map_or(CHUNK, |bandwidth| bandwidth.slice())];
    let mut at = 0;
    while at < plan.sent {
        let length = buffer.len().min(usize::try_from(plan.sent - at).unwrap_or(usize::MAX));
        let bytes = &mut buffer[..length];
        source.read_at(at, bytes)?;
        plan.flip.iter_mut().for_each(|flip| flip.pass(bytes));
        if let Some(bandwidth) = &state.bandwidth {
            exchange.sleep(bandwidth.wait_for(length));
        }
        if framing == Framing::Chunked {
            exchange.send(format!("{length:x}\r\n").as_bytes())?;
        }
        exchange.send(bytes)?;
        if framing == Framing::Chunked {
            exchange.send(b"\r\n")?;
        }
        at += length as u64;
        state.update(index, |request| request.bytes_sent = at);
    }
    match plan.then {
        Then::Cut => Ok(After::Close),
        Then::Stall => Ok(exchange.stall()),
        Then::Reset => {
            // The bytes sent shall arrive: a reset may overtake them.
            exchange.sleep(std::time::Duration::from_millis(20));
            Ok(After::Reset)
        }
        Then::End if framing == Framing::Close => Ok(After::Close),
        Then::End => {
            if framing == Framing::Chunked {
                exchange.send(b"0\r\n\r\n")?;
            }
            Ok(exchange.after())
        }
    }
}
