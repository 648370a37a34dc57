//! Reads choices off a fuzzer's bytes; where they end, every choice is the first one.

use std::path::Path;

pub(crate) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or_default()
    }

    pub(crate) fn word(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }

    pub(crate) fn bytes(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A run of bytes of its own length, 255 at most.
    pub(crate) fn run(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte());
        self.bytes(length)
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }

    /// Changes single bytes of `bytes`, where the script says so; tells how many.
    pub(crate) fn damage(&mut self, bytes: &mut [u8], most: usize) -> usize {
        let mut edits = 0;
        while !self.is_over() && edits < most && !bytes.is_empty() {
            let (at, flip) = (self.word() % bytes.len(), self.byte().max(1));
            bytes[at] ^= flip;
            edits += 1;
        }
        edits
    }
}

/// A directory of this input's own, in memory where the system has such a place: thousands of inputs sync their files.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).expect("a directory for the input's files")
}
