//! The lines of newline-JSON, whole, while their bytes go by in buffers of any size.

use memchr::memchr;

/// No event comes near it: Amplitude takes at most 1 MiB of one. What is longer is counted and not shown.
const MAX_LINE_BYTES: usize = 4 << 20;

/// Cuts bytes that go by into lines.
#[derive(Debug, Default)]
pub struct LineSplitter {
    /// The beginning of a line that the next bytes go on with.
    begun: Vec<u8>,
    is_too_long: bool,
}

impl LineSplitter {
    /// Takes in the next bytes and shows each line that they end, without its newline; one that is too long is shown as `None`.
    pub fn update(&mut self, mut bytes: &[u8], mut visit: impl FnMut(Option<&[u8]>)) {
        while let Some(end) = memchr(b'\n', bytes) {
            if self.has_begun() {
                self.begin(&bytes[..end]);
                self.show(&mut visit);
            } else {
                visit(Some(&bytes[..end]));
            }
            bytes = &bytes[end + 1..];
        }
        self.begin(bytes);
    }

    /// Shows the last line if it lacks its newline.
    pub fn finish(&mut self, mut visit: impl FnMut(Option<&[u8]>)) {
        if self.has_begun() {
            self.show(&mut visit);
        }
    }

    fn has_begun(&self) -> bool {
        self.is_too_long || !self.begun.is_empty()
    }

    fn begin(&mut self, bytes: &[u8]) {
        self.is_too_long |= self.begun.len() + bytes.len() > MAX_LINE_BYTES;
        if self.is_too_long {
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(bytes);
        }
    }

    fn show(&mut self, visit: &mut impl FnMut(Option<&[u8]>)) {
        visit((!self.is_too_long).then_some(&self.begun));
        self.begun.clear();
        self.is_too_long = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(parts: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        let mut splitter = LineSplitter::default();
        let mut lines = Vec::new();
        parts.iter().for_each(|part| splitter.update(part, |line| lines.push(line.map(<[u8]>::to_vec))));
        splitter.finish(|line| lines.push(line.map(<[u8]>::to_vec)));
        lines
    }

    #[test]
    fn a_last_line_counts_with_and_without_its_newline() {
        assert_eq!(lines(&[]).len(), 0);
        assert_eq!(lines(&[b"a"]).len(), 1);
        assert_eq!(lines(&[b"a\n", b""]).len(), 1);
        assert_eq!(lines(&[b"a\nb", b"c\n\n"]), [Some(b"a".to_vec()), Some(b"bc".to_vec()), Some(vec![])]);
    }

    #[test]
    fn a_line_that_is_too_long_counts_and_the_next_is_whole_again() {
        let long = vec![b'x'; MAX_LINE_BYTES];
        assert_eq!(lines(&[&long, b"\nb\n"]), [Some(long.clone()), Some(b"b".to_vec())]);
        assert_eq!(lines(&[&long, b"x", &long, b"\nb\n"]), [None, Some(b"b".to_vec())]);
        assert_eq!(lines(&[&long, b"x"]), [None]);
    }

    proptest! {
        #[test]
        fn the_lines_are_the_same_wherever_the_buffers_end(text in "[ab\n]{0,40}", cuts in prop::collection::vec(0usize..40, 0..6)) {
            let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut <= text.len()).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let parts: Vec<_> = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
            let whole: Vec<_> = text.lines().map(|line| Some(line.as_bytes().to_vec())).collect();
            prop_assert_eq!(lines(&parts), whole);
        }
    }
}
