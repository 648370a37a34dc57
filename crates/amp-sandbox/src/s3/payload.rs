//! The body of a request, unwrapped and checked against its signature.

use std::io::{self, BufRead, BufReader, Read};

use sha2::{Digest, Sha256};

use super::error::{Failure, S3Error};
use super::sigv4::{Payload, Signed, sha256_hex};
use crate::http::{Exchange, hex};

const BUFFER: usize = 256 * 1024;

/// Headers that came behind the body.
pub(super) type Trailers = Vec<(String, String)>;

struct BodyReader<'a, 'e>(&'a mut Exchange<'e>);

impl Read for BodyReader<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_body(buffer)
    }
}

fn incomplete(message: &str) -> Failure {
    S3Error::new(400, "IncompleteBody", message).into()
}

fn mismatch() -> Failure {
    let message = "The chunk signature we calculated does not match the signature you provided.";
    S3Error::new(403, "SignatureDoesNotMatch", message).into()
}

/// Gives the sink the body, piece by piece. An error means that what the sink got must not be kept.
pub(super) fn read(
    exchange: &mut Exchange<'_>,
    signed: &Signed,
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<Trailers, Failure> {
    if matches!(exchange.head.method.as_str(), "PUT" | "POST")
        && exchange.head.header("content-length").is_none()
        && !matches!(signed.payload, Payload::Chunks { .. })
    {
        return Err(
            S3Error::new(411, "MissingContentLength", "You must provide the Content-Length HTTP header.").into()
        );
    }
    match &signed.payload {
        Payload::Chunks { signed: chunks_signed, trailer } => {
            let decoded = exchange.head.header("x-amz-decoded-content-length").and_then(|v| v.parse::<u64>().ok());
            let expected = decoded.ok_or_else(|| {
                S3Error::new(411, "MissingContentLength", "You must provide x-amz-decoded-content-length.")
            })?;
            let reader = BufReader::with_capacity(BUFFER, BodyReader(exchange));
            chunks(reader, signed, *chunks_signed, *trailer, expected, sink)
        }
        plain => {
            let mut digest = Sha256::new();
            let hashed = matches!(plain, Payload::Hash(_));
            let mut buffer = vec![0; BUFFER];
            loop {
                let got = exchange.read_body(&mut buffer).map_err(|_| Failure::Gone)?;
                if got == 0 {
                    break;
                }
                if hashed {
                    digest.update(&buffer[..got]);
                }
                sink(&buffer[..got])?;
            }
            match plain {
                Payload::Hash(hash) if *hash != hex(&digest.finalize()) => {
                    let message = "The provided 'x-amz-content-sha256' header does not match what was computed.";
                    Err(S3Error::new(400, "XAmzContentSHA256Mismatch", message).into())
                }
                _ => Ok(Vec::new()),
            }
        }
    }
}

fn line(reader: &mut impl BufRead) -> Result<String, Failure> {
    let mut line = Vec::new();
    reader.by_ref().take(4096).read_until(b'\n', &mut line).map_err(|_| Failure::Gone)?;
    if line.pop() != Some(b'\n') {
        return Err(incomplete("The body ends inside a chunk's header."));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| incomplete("A chunk's header is not text."))
}

fn chunks(
    mut reader: impl BufRead,
    signed: &Signed,
    chunks_signed: bool,
    trailer: bool,
    expected: u64,
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<Trailers, Failure> {
    let mut previous = signed.signature.clone();
    let mut total = 0;
    let mut buffer = vec![0; BUFFER];
    loop {
        let header = line(&mut reader)?;
        let (size, extension) = header.split_once(';').unwrap_or((&header, ""));
        let size = u64::from_str_radix(size.trim(), 16).map_err(|_| incomplete("A chunk's size is not a number."))?;
        let mut digest = Sha256::new();
        let mut left = size;
        while left > 0 {
            let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let got = reader.read(&mut buffer[..want]).map_err(|_| Failure::Gone)?;
            if got == 0 {
                return Err(incomplete("The body ends inside a chunk."));
            }
            if chunks_signed {
                digest.update(&buffer[..got]);
            }
            sink(&buffer[..got])?;
            left -= got as u64;
        }
        total += size;
        if chunks_signed {
            let right = signed.of_chunk(&previous, &hex(&digest.finalize()));
            if extension.trim().strip_prefix("chunk-signature=") != Some(right.as_str()) {
                return Err(mismatch());
            }
            previous = right;
        }
        if size == 0 {
            break;
        }
        if !line(&mut reader)?.is_empty() {
            return Err(incomplete("A chunk is longer than it said."));
        }
    }
    if total != expected {
        return Err(incomplete("The body's length is not x-amz-decoded-content-length."));
    }
    if !trailer {
        return Ok(Vec::new());
    }
    trailers(reader, signed, chunks_signed, &previous)
}

fn trailers(mut reader: impl BufRead, signed: &Signed, must_sign: bool, previous: &str) -> Result<Trailers, Failure> {
    let mut found = Trailers::new();
    let mut signature = None;
    // An unsigned trailer may end with the body instead of an empty line.
    while !reader.fill_buf().map_err(|_| Failure::Gone)?.is_empty() {
        let text = line(&mut reader)?;
        if text.is_empty() {
            break;
        }
        let malformed = || S3Error::new(400, "MalformedTrailerError", "A trailing header has no colon.");
        let (name, value) = text.split_once(':').ok_or_else(malformed)?;
        match name {
            "x-amz-trailer-signature" => signature = Some(value.trim().to_owned()),
            _ => found.push((name.to_ascii_lowercase(), value.trim().to_owned())),
        }
    }
    if must_sign {
        let canonical: String = found.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        if signature != Some(signed.of_trailer(previous, &canonical)) {
            return Err(mismatch());
        }
    }
    Ok(found)
}

/// The body's text, for the calls whose body is a document.
pub(super) fn document(exchange: &mut Exchange<'_>, signed: &Signed) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    read(exchange, signed, |piece| {
        bytes.extend_from_slice(piece);
        if bytes.len() > 8 * 1024 * 1024 { Err(io::Error::other("the document is too long")) } else { Ok(()) }
    })?;
    String::from_utf8(bytes).map_err(|_| S3Error::new(400, "MalformedXML", "The XML is not UTF-8.").into())
}

/// A call without a body may say so by the hash of nothing.
pub(super) fn none(exchange: &mut Exchange<'_>, signed: &Signed) -> Result<(), Failure> {
    match &signed.payload {
        Payload::Hash(hash) if exchange.head.header("content-length").is_none() && *hash == sha256_hex(b"") => Ok(()),
        _ => document(exchange, signed).map(drop),
    }
}
