//! What is taken of every byte that goes by: CRC64NVME, events by date and rows, a buffer of the size that the programs use at a time.

use amp_core::checksum::Digester;
use amp_core::event_dates::EventCounter;
use amp_core::rows::RowCounter;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};

const BUFFER: usize = 256 * 1024;

fn main() {
    divan::main();
}

/// Rows of 1.5 KB, of which `event_time` is in the middle, as events are.
fn events() -> Vec<u8> {
    let columns = |name: &str| {
        format!(",\"{name}_client_upload_time\":\"2025-11-06 10:00:00.000000\",\"{name}_carrier\":null").repeat(8)
    };
    let line = format!(
        "{{\"adid\":null{},\"event_time\":\"2025-11-06 10:00:00.000000\",\"event_type\":\"page viewed\"{}}}\n",
        columns("city"),
        columns("uuid")
    );
    line.bytes().cycle().take(BUFFER).collect()
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
fn count_events(bencher: Bencher<'_, '_>) {
    let bytes = events();
    bencher.counter(BytesCount::of_slice(&bytes)).bench_local(|| {
        let mut counter = EventCounter::default();
        counter.update(black_box(&bytes));
        counter.finish()
    });
}

#[divan::bench]
fn rows(bencher: Bencher<'_, '_>) {
    let bytes = events();
    bencher.counter(BytesCount::of_slice(&bytes)).bench_local(|| {
        let mut counter = RowCounter::default();
        counter.update(black_box(&bytes));
        counter.rows()
    });
}
