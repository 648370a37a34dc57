//! The sizes of the buffers that bytes are read and written through, and how one is filled.

use std::io::{self, Read};

/// Smaller buffers cost up to twice the time; bigger ones gain nothing.
pub(super) const INPUT_BYTES: usize = 64 * 1024;
pub(super) const OUTPUT_BYTES: usize = 256 * 1024;

/// Fills `buffer` as far as the reader has bytes: fewer, larger writes.
pub(super) fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
