//! One byte that is another on its way.

/// Which byte, and how it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flip {
    /// Its position; from the end if negative (-1 is the last).
    pub at: i64,
    /// The bits that change.
    pub mask: u8,
}

impl Flip {
    /// All bits of the byte at a position.
    pub fn at(at: i64) -> Self {
        Self { at, mask: 0xFF }
    }

    /// The position in a body of that length.
    pub(crate) fn at_of(self, length: u64) -> u64 {
        if self.at < 0 { length.saturating_sub(self.at.unsigned_abs()) } else { self.at.unsigned_abs() }
    }

    pub(crate) fn in_body_of(self, length: u64) -> FlipInFlight {
        FlipInFlight { left: self.at_of(length), mask: Some(self.mask) }
    }
}

/// A body that passes piece by piece.
#[derive(Debug)]
pub(crate) struct FlipInFlight {
    /// Bytes before the one that changes.
    left: u64,
    mask: Option<u8>,
}

impl FlipInFlight {
    /// Changes the byte if it is in this piece.
    pub(crate) fn pass(&mut self, piece: &mut [u8]) {
        let Some(mask) = self.mask else { return };
        match usize::try_from(self.left).ok().and_then(|at| piece.get_mut(at)) {
            Some(byte) => {
                *byte ^= mask;
                self.mask = None;
            }
            None => self.left -= piece.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_changes_wherever_the_pieces_are_cut() {
        for (flip, changed) in [(Flip::at(0), 0), (Flip::at(5), 5), (Flip { at: -1, mask: 1 }, 9)] {
            for size in 1..=10 {
                let mut body = *b"0123456789";
                let mut flight = flip.in_body_of(10);
                body.chunks_mut(size).for_each(|piece| flight.pass(piece));
                let differing: Vec<usize> = (0..10).filter(|i| body[*i] != b"0123456789"[*i]).collect();
                assert_eq!(differing, [changed], "{flip:?} in pieces of {size}");
            }
        }
    }
}
