//! Where a request's body ends.

use std::io::{self, BufRead, Read};

/// The framing of a request body, and how much of it is left.
pub(super) enum Body {
    Length(u64),
    Chunked { left: u64, ended: bool },
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// A line without its end, at most 16 KiB.
pub(super) fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    reader.by_ref().take(16 * 1024).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| bad("a line is not UTF-8"))
}

impl Body {
    pub(super) fn ended(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked { ended: true, .. })
    }

    /// Zero only at the end; a connection that closes before is an error.
    pub(super) fn read(&mut self, reader: &mut impl BufRead, buffer: &mut [u8]) -> io::Result<usize> {
        if let Self::Chunked { left: left @ 0, ended: ended @ false } = self {
            let line = read_line(reader)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            *left = u64::from_str_radix(size, 16).map_err(|_| bad("a chunk's size is not a number"))?;
            if *left == 0 {
                while !read_line(reader)?.is_empty() {}
                *ended = true;
            }
        }
        let left = match self {
            Self::Length(left) | Self::Chunked { left, .. } => left,
        };
        if *left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let want = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
        let got = reader.read(&mut buffer[..want])?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *left -= got as u64;
        if *left == 0 && matches!(self, Self::Chunked { .. }) && !read_line(reader)?.is_empty() {
            return Err(bad("a chunk is longer than it said"));
        }
        Ok(got)
    }
}
