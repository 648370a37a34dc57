//! What the lines of a file add up to, taken as its bytes go by. It is the same in whatever order they stand and into however many files they are cut.

use std::fmt;
use std::iter::Sum;

use crc_fast::CrcAlgorithm::Crc64Nvme;
use memchr::memchr_iter;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The lines of a file, or of several. Equal rows mean, for our purpose, the same lines, in any order: each as often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rows {
    /// How many.
    pub lines: u64,
    /// What they add up to.
    pub fingerprint: RowFingerprint,
}

impl Sum for Rows {
    fn sum<I: Iterator<Item = Self>>(rows: I) -> Self {
        rows.fold(Self::default(), |all, Self { lines, fingerprint }| Self {
            lines: all.lines + lines,
            fingerprint: RowFingerprint(all.fingerprint.0.wrapping_add(fingerprint.0)),
        })
    }
}

/// The sum, modulo 2^64, of a number for each line: its CRC64NVME without the newline, mixed so that sums of such numbers tell lines apart.
/// Displays as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowFingerprint(u64);

impl fmt::Display for RowFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for RowFingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RowFingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = u64::from_str_radix(&text, 16).ok().filter(|_| text.len() == 16);
        number.map(Self).ok_or_else(|| de::Error::custom("not the fingerprint of rows"))
    }
}

/// Takes the [`Rows`] of bytes as they go by. A last line counts with and without its newline.
#[derive(Debug, Default)]
pub struct RowCounter {
    rows: Rows,
    /// A line that began and has not ended.
    open: Option<crc_fast::Digest>,
}

impl RowCounter {
    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let mut start = 0;
        for end in memchr_iter(b'\n', bytes) {
            let line = &bytes[start..end];
            let crc = match self.open.take() {
                Some(mut open) => {
                    open.update(line);
                    open.finalize()
                }
                None => crc_fast::checksum(Crc64Nvme, line),
            };
            self.add(crc);
            start = end + 1;
        }
        if start < bytes.len() {
            self.open.get_or_insert_with(|| crc_fast::Digest::new(Crc64Nvme)).update(&bytes[start..]);
        }
    }

    /// The rows so far.
    pub fn rows(mut self) -> Rows {
        if let Some(open) = self.open.take() {
            self.add(open.finalize());
        }
        self.rows
    }

    fn add(&mut self, crc: u64) {
        self.rows.lines += 1;
        let sum = &mut self.rows.fingerprint.0;
        *sum = sum.wrapping_add(mixed(crc));
    }
}

/// A bijection without a pattern (the finalizer of splitmix64): CRCs are linear, and sums of them alone would not tell lines apart.
fn mixed(crc: u64) -> u64 {
    let x = crc.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(parts: &[&[u8]]) -> Rows {
        let mut counter = RowCounter::default();
        parts.iter().for_each(|part| counter.update(part));
        counter.rows()
    }

    #[test]
    fn a_last_line_counts_with_and_without_its_newline() {
        let lines = |parts: &[&[u8]]| rows(parts).lines;
        assert_eq!(lines(&[]), 0);
        assert_eq!(lines(&[b"a"]), 1);
        assert_eq!(lines(&[b"a\n", b""]), 1);
        assert_eq!(lines(&[b"a\nb", b"c\n\n"]), 3);
        assert_eq!(lines(&[&[b'\n'; 1000]]), 1000);
        assert_eq!(rows(&[b"a\nb"]), rows(&[b"a\nb\n"]));
    }

    #[test]
    fn the_fingerprint_stays_what_it_was() {
        let line = serde_json::to_string(&rows(&[b"{\"uuid\":1}\n{\"uuid\":2}\n"]).fingerprint).unwrap();
        assert_eq!(line, "\"7271b0d6ee26200c\"");
        assert!(serde_json::from_str::<RowFingerprint>(&line).is_ok());
        assert!(serde_json::from_str::<RowFingerprint>("\"1\"").is_err());
    }

    #[test]
    fn lines_that_differ_repeat_or_lack_tell() {
        let all = rows(&[b"a\nb\nc\n"]);
        for other in [&b"a\nb\nd\n"[..], b"a\nb\nb\n", b"a\nbc\n\n", b"ab\n\nc\n", b"a\nb\nc\nc\n"] {
            assert_ne!(rows(&[other]), all);
        }
        assert_ne!(rows(&[b"a\na\n"]).fingerprint, rows(&[b"b\nb\n"]).fingerprint);
    }

    proptest! {
        #[test]
        fn neither_order_nor_cut_nor_buffers_matter(
            lines in proptest::collection::vec("[ab]{0,40}", 0..30),
            seed in any::<u64>(),
            cut in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
        ) {
            let text = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes();
            let whole = text(&lines);
            let expected = rows(&[&whole]);
            let (left, right) = whole.split_at(at.index(whole.len() + 1));
            prop_assert_eq!(rows(&[left, right]), expected);
            let mut shuffled = lines.clone();
            fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
            let (one, other) = shuffled.split_at(cut.index(lines.len() + 1));
            let parts = [rows(&[&text(one)]), rows(&[&text(other)])];
            prop_assert_eq!(parts.into_iter().sum::<Rows>(), expected);
        }
    }
}
