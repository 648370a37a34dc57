//! What is taken of every byte that goes by: CRC64NVME and newlines, a buffer of the size that the programs use at a time.

use amp_core::checksum::{Digester, LineCounter};
use divan::counter::BytesCount;
use divan::{Bencher, black_box};

const BUFFER: usize = 256 * 1024;

fn main() {
    divan::main();
}

/// Lines of about 700 bytes, as events are.
fn events() -> Vec<u8> {
    let line = [&[b'x'; 699][..], b"\n"].concat();
    line.iter().copied().cycle().take(BUFFER).collect()
}

#[divan::bench]
fn digest(bencher: Bencher<'_, '_>) {
    let bytes = events();
    let mut digester = Digester::default();
    bencher.counter(BytesCount::of_slice(&bytes)).bench_local(|| {
        digester.update(black_box(&bytes));
        digester.digest()
    });
}

#[divan::bench]
fn count_lines(bencher: Bencher<'_, '_>) {
    let bytes = events();
    let mut counter = LineCounter::default();
    bencher.counter(BytesCount::of_slice(&bytes)).bench_local(|| {
        counter.update(black_box(&bytes));
        counter.lines()
    });
}
