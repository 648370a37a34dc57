//! A body on its way: how fast it goes, where it ends, what becomes of the connection.

use std::io;
use std::time::Duration;

use super::archive::ArchiveSource;
use super::bandwidth::Bandwidth;
use super::fault::Fault;
use super::state::State;
use crate::flip::Flip;
use crate::http::{After, Exchange, Framing};

const CHUNK: usize = 256 * 1024;

/// What goes out.
pub(super) enum Body {
    Archive(ArchiveSource),
    /// The same line over and over.
    Line(&'static [u8]),
}

/// How much of it goes out, and what then.
pub(super) struct Plan {
    /// The length that the framing claims; none if there is no end.
    claimed: Option<u64>,
    sent: u64,
    flip: Option<Flip>,
    pace: Option<Bandwidth>,
    then: Then,
}

enum Then {
    End,
    Cut,
    Stall,
    Reset,
}

impl Plan {
    pub(super) fn of(length: u64, fault: Option<&Fault>) -> Self {
        let whole = Self { claimed: Some(length), sent: length, flip: None, pace: None, then: Then::End };
        match fault {
            Some(Fault::CutBody { after }) => Self { sent: length.min(*after), then: Then::Cut, ..whole },
            Some(Fault::Stall { after }) => Self { sent: length.min(*after), then: Then::Stall, ..whole },
            Some(Fault::Reset { after }) => Self { sent: length.min(*after), then: Then::Reset, ..whole },
            Some(Fault::ShortBody { after }) => {
                Self { claimed: Some(length.min(*after)), sent: length.min(*after), ..whole }
            }
            Some(Fault::FlipByte { at, mask }) => Self { flip: Some(Flip { at: *at, mask: *mask }), ..whole },
            Some(Fault::Drip { per_second }) => Self { pace: Some(Bandwidth::new(*per_second)), ..whole },
            Some(Fault::Endless) => Self::endless(None),
            _ => whole,
        }
    }

    /// Without an end, at so many bytes a second.
    pub(super) fn endless(per_second: Option<u64>) -> Self {
        let pace = per_second.map(Bandwidth::new);
        Self { claimed: None, sent: u64::MAX, flip: None, pace, then: Then::End }
    }
}

impl Body {
    /// Fills the buffer with what comes `at` bytes after the start, from the start again after the end.
    fn read_at(&self, mut at: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        let length = match self {
            Self::Archive(archive) => archive.len()?,
            Self::Line(line) => line.len() as u64,
        };
        while !buffer.is_empty() {
            at %= length;
            let some = buffer.len().min(usize::try_from(length - at).unwrap_or(usize::MAX));
            let (now, rest) = buffer.split_at_mut(some);
            match self {
                Self::Archive(archive) => archive.read_at(at, now)?,
                Self::Line(line) => now.copy_from_slice(&line[at as usize..][..some]),
            }
            (at, buffer) = (at + some as u64, rest);
        }
        Ok(())
    }
}

/// Sends status, headers and as much of the body as planned.
pub(super) fn send(
    state: &State,
    exchange: &mut Exchange<'_>,
    index: usize,
    (status, mut headers): (u16, Vec<(String, String)>),
    body: &Body,
    plan: &Plan,
) -> io::Result<After> {
    let framing = match (state.config.framing, plan.claimed) {
        // Before 1.1 there were no chunks, and a length is what an endless body has not.
        (Framing::Chunked, _) | (Framing::ContentLength, None) if !exchange.head.http11 => Framing::Close,
        (Framing::ContentLength, None) => Framing::Chunked,
        (framing, _) => framing,
    };
    match framing {
        Framing::ContentLength => headers.push(("Content-Length".into(), plan.claimed.unwrap_or_default().to_string())),
        Framing::Chunked => headers.push(("Transfer-Encoding".into(), "chunked".into())),
        Framing::Close => headers.push(("Connection".into(), "close".into())),
    }
    state.update(index, |request| request.status = status);
    exchange.begin(status, &headers)?;
    let paces: Vec<&Bandwidth> = [&plan.pace, &state.bandwidth].into_iter().flatten().collect();
    let mut buffer = vec![0; paces.iter().map(|pace| pace.slice()).min().unwrap_or(CHUNK)];
    let mut flip = plan.flip.map(|flip| flip.in_body_of(plan.sent));
    let mut at = 0;
    while at < plan.sent {
        let length = buffer.len().min(usize::try_from(plan.sent - at).unwrap_or(usize::MAX));
        let bytes = &mut buffer[..length];
        body.read_at(at, bytes)?;
        flip.iter_mut().for_each(|flip| flip.pass(bytes));
        paces.iter().for_each(|pace| exchange.sleep(pace.wait_for(length)));
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
        Then::Cut => Ok(After::Cut),
        Then::Stall => Ok(exchange.stall()),
        Then::Reset => {
            // The bytes sent shall arrive: a reset may overtake them.
            exchange.sleep(Duration::from_millis(20));
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
