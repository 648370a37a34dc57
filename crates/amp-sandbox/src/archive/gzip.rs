//! Gzip members, right and wrong.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};

use super::{ArchiveBuilder, MemberSpec};

/// One gzip member of the bytes.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // A Vec takes everything.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

/// One gzip member for each of the pieces, one after the other.
pub fn multi_member_gzip(pieces: &[&[u8]]) -> Vec<u8> {
    pieces.iter().flat_map(|piece| gzip(piece)).collect()
}

/// Gzip whose CRC-32 is not that of the bytes.
pub fn gzip_with_wrong_crc(bytes: &[u8]) -> Vec<u8> {
    flipped_trailer(bytes, 8)
}

/// Gzip whose length field is not that of the bytes.
pub fn gzip_with_wrong_len(bytes: &[u8]) -> Vec<u8> {
    flipped_trailer(bytes, 4)
}

fn flipped_trailer(bytes: &[u8], from_end: usize) -> Vec<u8> {
    let mut packed = gzip(bytes);
    let at = packed.len() - from_end;
    packed[at] ^= 0x01;
    packed
}

/// Gzip of so many GiB of zeros: about 1 MiB each.
pub fn zeros_gzip(gib: u32) -> Vec<u8> {
    let zeros = vec![0; 1024 * 1024];
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..u64::from(gib) * 1024 {
        let _ = encoder.write_all(&zeros);
    }
    encoder.finish().unwrap_or_default()
}

/// An archive of a few KiB whose one member unpacks, twice, to so many GiB.
pub fn zeros_bomb(gib: u32) -> Vec<u8> {
    let name = "100011471/100011471_2025-11-06_0#0.json.gz";
    ArchiveBuilder::new().member(MemberSpec::new(name, zeros_gzip(gib)).level(9)).build()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::{GzDecoder, MultiGzDecoder};

    use super::*;

    #[test]
    fn only_the_right_gzip_is_read_without_error() {
        let mut text = String::new();
        MultiGzDecoder::new(&multi_member_gzip(&[b"a\n", b"b\n"])[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "a\nb\n");
        for wrong in [gzip_with_wrong_crc(b"text"), gzip_with_wrong_len(b"text")] {
            assert!(GzDecoder::new(&wrong[..]).read_to_end(&mut Vec::new()).is_err());
        }
    }

    #[test]
    fn a_bomb_is_small() {
        assert!(zeros_bomb(1).len() < 64 * 1024);
    }
}
