//! From a request to its answer, faults included.

use std::io;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use chrono::TimeDelta;

use super::archive::ArchiveSource;
use super::fault::Fault;
use super::send::{Body, Plan, send};
use super::state::State;
use crate::http::{After, Exchange, query_pairs};
use crate::time::{Hour, Window};

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
/// The words are Amplitude's; of the JSON around them nothing is recorded.
const NO_DATA: &str =
    "{\"error\": {\"http_code\": 404, \"type\": \"not_found\", \"message\": \"Raw data files were not found.\"}}\n";
const NOT_FOUND: &str = "<html>\n<head><title>404 Not Found</title></head>\n<body><center><h1>404 Not Found</h1></center></body>\n</html>\n";
const SIGN_IN: &str = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n";

/// A short answer.
struct Reply {
    status: u16,
    kind: &'static str,
    headers: Vec<(String, String)>,
    body: String,
}

impl Reply {
    fn new(status: u16, kind: &'static str, body: impl Into<String>) -> Self {
        Self { status, kind, headers: Vec::new(), body: body.into() }
    }

    fn json(status: u16, message: &str) -> Self {
        Self::new(status, JSON, format!("{{\"error\": \"{message}\"}}\n"))
    }
}

/// What the answer depends on.
struct Request {
    index: usize,
    window: Option<Window>,
    credentials: Option<(String, String)>,
    /// The project that the credentials open.
    project: Option<usize>,
    fault: Option<Fault>,
}

pub(super) fn answer(state: &State, exchange: &mut Exchange<'_>) -> io::Result<After> {
    let pairs = query_pairs(exchange.head.query()).unwrap_or_default();
    let (window, credentials) = (window(&pairs), credentials(exchange));
    let api_key = credentials.as_ref().map(|(api, _)| api.as_str());
    let (index, fault) = state.arrived(&exchange.head, api_key, window, &pairs);
    let project = credentials.as_ref().and_then(|credentials| state.project_of(credentials));
    state.update(index, |request| request.authorized = project.is_some());
    let after = decide(state, exchange, &Request { index, window, credentials, project, fault });
    state.update(index, |request| request.finished = true);
    after
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

fn decide(state: &State, exchange: &mut Exchange<'_>, request: &Request) -> io::Result<After> {
    let fault = request.fault.as_ref();
    match fault {
        Some(Fault::Delay(time)) => exchange.sleep(*time),
        Some(Fault::StallBeforeHeaders) => return Ok(exchange.stall()),
        Some(Fault::Reset { after: 0 }) => return Ok(After::Reset),
        Some(Fault::DrippingStatus { code, per_second }) => {
            let head = (*code, headers(state, fault, "text/plain"));
            let body = Body::Line(b"The server is busy. ");
            return send(state, exchange, request.index, head, &body, &Plan::endless(Some(*per_second)));
        }
        _ => {}
    }
    let reply = match fault.and_then(scripted) {
        Some(reply) => reply,
        None => match right(state, exchange, request)? {
            Ok(archive) => {
                exchange.sleep(state.config.first_byte_delay);
                let plan = Plan::of(archive.len()?, fault);
                let head = (200, headers(state, fault, "application/zip"));
                return send(state, exchange, request.index, head, &Body::Archive(archive), &plan);
            }
            Err(reply) => reply,
        },
    };
    state.update(request.index, |seen| (seen.status, seen.bytes_sent) = (reply.status, reply.body.len() as u64));
    let headers = [headers(state, fault, reply.kind), reply.headers].concat();
    exchange.respond(reply.status, &headers, reply.body.as_bytes())
}

/// What every answer says of itself.
fn headers(state: &State, fault: Option<&Fault>, kind: &str) -> Vec<(String, String)> {
    let skew = match fault {
        Some(Fault::Date { seconds }) => TimeDelta::seconds(*seconds),
        _ => TimeDelta::zero(),
    };
    // As RFC 9110 writes it.
    let date = (state.now() + skew).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    vec![("Content-Type".to_owned(), kind.to_owned()), ("Date".to_owned(), date)]
}

/// The answer of a fault that does not care what was asked.
fn scripted(fault: &Fault) -> Option<Reply> {
    Some(match fault {
        Fault::Status { code, headers, body } => {
            let reply = Reply::json(*code, "scripted");
            Reply { headers: headers.clone(), body: body.clone().unwrap_or(reply.body), ..reply }
        }
        Fault::NoData => Reply::new(404, JSON, NO_DATA),
        Fault::ForeignNotFound => Reply::new(404, HTML, NOT_FOUND),
        Fault::InvalidKey => Reply::json(403, "Invalid API Key"),
        Fault::Text { message, retry_after } => {
            let headers = retry_after.map(|seconds| ("Retry-After".to_owned(), seconds.to_string()));
            Reply { headers: headers.into_iter().collect(), ..Reply::new(200, "text/plain", format!("{message}\n")) }
        }
        Fault::Html => Reply::new(200, HTML, SIGN_IN),
        Fault::EmptyBody => Reply::new(200, "application/zip", ""),
        Fault::Redirect { to, code } => {
            Reply { headers: vec![("Location".into(), to.clone())], ..Reply::new(*code, JSON, "") }
        }
        _ => return None,
    })
}

/// The answer to a request: the archive, which the fault may have changed, or why there is none.
fn right(state: &State, exchange: &Exchange<'_>, request: &Request) -> io::Result<Result<ArchiveSource, Reply>> {
    let refused = |status, message| Ok(Err(Reply::json(status, message)));
    if exchange.head.path() != "/api/2/export" {
        return refused(404, "no such path");
    }
    if exchange.head.method != "GET" {
        return refused(405, "GET only");
    }
    if request.credentials.is_none() {
        let challenge = ("WWW-Authenticate".into(), "Basic realm=\"export\"".into());
        return Ok(Err(Reply { headers: vec![challenge], ..Reply::json(401, "no credentials") }));
    }
    let Some(project) = request.project else { return refused(403, "Invalid API Key") };
    let Some(window) = request.window else {
        return refused(400, "start and end must be YYYYMMDDTHH, start not after end");
    };
    if state.exceeds(project, window, &state.config.too_large) {
        return refused(400, "the export is too large");
    }
    if state.exceeds(project, window, &state.config.too_slow) {
        return refused(504, "the export took too long");
    }
    let archive = state.archive(project, window, request.fault.as_ref())?;
    Ok(archive.ok_or_else(|| Reply::new(404, JSON, NO_DATA)))
}
