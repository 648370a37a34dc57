//! One request and its answer.

use std::io::{self, BufReader, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::body::{Body, read_line};
use super::reason;
use super::wire::{Reading, Wire};
use crate::flip::{Flip, FlipInFlight};

/// Request line and headers.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) http11: bool,
}

impl Head {
    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(crate) fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }
}

/// How the end of a response body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// By its length in the header.
    #[default]
    ContentLength,
    /// By a last chunk.
    Chunked,
    /// By the end of the connection, as HTTP/1.0 does.
    Close,
}

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    KeepAlive,
    Close,
    /// Closed in the middle of an answer: over TLS, without the farewell that tells an end from a cut.
    Cut,
    /// Closed with RST instead of FIN.
    Reset,
}

/// A request that was read up to its body, and the connection to answer on.
pub(crate) struct Exchange<'a> {
    pub(crate) head: Head,
    wire: &'a Wire,
    reader: &'a mut BufReader<Reading>,
    stop: &'a AtomicBool,
    body: Body,
    continue_due: bool,
    flip: Option<FlipInFlight>,
    /// Bytes of the request body read so far.
    pub(crate) body_bytes: u64,
}

impl<'a> Exchange<'a> {
    /// The next request; `None` if the client is done.
    pub(super) fn read(
        wire: &'a Wire,
        reader: &'a mut BufReader<Reading>,
        stop: &'a AtomicBool,
    ) -> io::Result<Option<Self>> {
        let Ok(line) = read_line(reader) else { return Ok(None) };
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let mut head = Head { method: word(), target: word(), http11: word() == "HTTP/1.1", headers: Vec::new() };
        loop {
            let line = read_line(reader)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
            head.headers.push((name.to_owned(), value.trim().to_owned()));
        }
        // As a proxy is asked; RFC 9112 has every server take it.
        if let Some(rest) = head.target.strip_prefix("http://") {
            head.target = rest.find('/').map_or_else(|| "/".to_owned(), |at| rest[at..].to_owned());
        }
        let chunked = head.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked"));
        let body = match head.header("content-length") {
            _ if chunked => Body::Chunked { left: 0, ended: false },
            Some(length) => Body::Length(length.parse().map_err(|_| io::ErrorKind::InvalidData)?),
            None => Body::Length(0),
        };
        let continue_due = head.header("expect").is_some_and(|v| v.eq_ignore_ascii_case("100-continue"));
        Ok(Some(Self { head, wire, reader, stop, body, continue_due, flip: None, body_bytes: 0 }))
    }

    /// Zero only at the end of the request body.
    pub(crate) fn read_body(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if std::mem::take(&mut self.continue_due) && !self.body.ended() {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let got = self.body.read(self.reader, buffer)?;
        self.body_bytes += got as u64;
        self.flip.iter_mut().for_each(|flip| flip.pass(&mut buffer[..got]));
        Ok(got)
    }

    /// Changes one byte of the request body as it comes. A position from the end needs a body whose length is known.
    pub(crate) fn flip(&mut self, flip: Flip) {
        let length = self.head.header("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
        self.flip = Some(flip.in_body_of(length));
    }

    /// Reads the rest of the request body, at most so much of it.
    pub(crate) fn drain(&mut self, mut at_most: u64) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        while at_most > 0 {
            let want = buffer.len().min(usize::try_from(at_most).unwrap_or(usize::MAX));
            match self.read_body(&mut buffer[..want])? {
                0 => break,
                got => at_most -= got as u64,
            }
        }
        Ok(())
    }

    /// Sends status line and headers.
    pub(crate) fn begin(&mut self, status: u16, headers: &[(String, String)]) -> io::Result<()> {
        let mut text = format!("HTTP/1.1 {status} {}\r\n", reason(status));
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        self.send(text.as_bytes())
    }

    /// A whole answer with a small body. The request body is read to its end first: closing on unread bytes would
    /// reset the connection and could take the answer with it.
    pub(crate) fn respond(&mut self, status: u16, headers: &[(String, String)], body: &[u8]) -> io::Result<After> {
        // A client that still waits for `100 Continue` gets its answer instead.
        if !self.continue_due {
            self.drain(u64::MAX)?;
        }
        let after = self.after();
        let mut all = headers.to_vec();
        // An answer to HEAD may describe the body it doesn't have; 204 has none to describe.
        if status != 204 && !all.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
            all.push(("Content-Length".into(), body.len().to_string()));
        }
        if after == After::Close {
            all.push(("Connection".into(), "close".into()));
        }
        self.begin(status, &all)?;
        if self.head.method != "HEAD" {
            self.send(body)?;
        }
        Ok(after)
    }

    /// An answer whose body goes on until the connection is closed.
    pub(crate) fn respond_endlessly(&mut self, status: u16) -> io::Result<()> {
        self.begin(status, &[("Transfer-Encoding".to_owned(), "chunked".to_owned())])?;
        let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
        loop {
            self.send(&chunk)?;
        }
    }

    /// What the client asked to become of the connection.
    pub(crate) fn after(&self) -> After {
        let close = self.head.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
        if close || !self.head.http11 || !self.body.ended() { After::Close } else { After::KeepAlive }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut wire = self.wire;
        wire.write_all(bytes)?;
        wire.flush()
    }

    /// Says nothing more until the client gives up or the server stops.
    pub(crate) fn stall(&mut self) -> After {
        let mut buffer = [0; 4096];
        while self.reader.read(&mut buffer).is_ok_and(|got| got > 0) {}
        After::Close
    }

    /// Sleeps, but not past the server's end.
    pub(crate) fn sleep(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.stop.load(Ordering::Relaxed) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(Duration::from_millis(20)));
        }
    }
}
