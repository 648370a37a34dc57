//! An archive's way through the library: opened and checked, its entries unpacked to files.
#![expect(clippy::unwrap_used, reason = "nothing from outside reaches it")]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use amp_core::archive::{ExportArchive, Format, Limits, Unpacked, Unpacking, unpack};
use amp_core::progress::NoProgress;
use amp_core::stage::Staging;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;
use zip::{ZipWriter, write::SimpleFileOptions};

const MEMBERS: usize = 10_000;
const JSON_BYTES: usize = 32 << 20;

fn main() {
    divan::main();
}

/// A directory in memory where there is one, so that the disk is not what is measured.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Events that pack about as well as real ones do: the same names, values that differ.
fn events(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut events = Vec::with_capacity(bytes + 1024);
    while events.len() < bytes {
        writeln!(
            events,
            "{{\"$insert_id\":\"{:032x}\",\"amplitude_id\":{},\"app\":100011471,\"city\":\"Utrecht\",\"client_event_time\":\"2025-11-06 \
             10:{:02}:{:02}.{:06}\",\"country\":\"Netherlands\",\"device_id\":\"{:016x}\",\"event_id\":{},\"event_type\":\"page viewed\",\
             \"event_properties\":{{\"path\":\"/products/{}\",\"referrer\":\"https://www.example.com/\",\"position\":{}}},\"library\":\
             \"amplitude-ts/2.11.1\",\"os_name\":\"Chrome\",\"platform\":\"Web\",\"session_id\":{},\"user_properties\":{{\"plan\":\"free\"}}}}",
            random.u128(..),
            random.u32(..),
            random.u8(..60),
            random.u8(..60),
            random.u32(..1_000_000),
            random.u64(..),
            random.u16(..),
            random.u16(..),
            random.u8(..),
            random.u64(..),
        )
        .unwrap();
    }
    events
}

/// Writes an archive of `entries` files that hold `json` each.
fn archive(dir: &Path, entries: usize, json: &[u8]) -> PathBuf {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(json).unwrap();
    let packed = packed.finish().unwrap();
    let path = dir.join("amplitude.zip");
    let mut zip = ZipWriter::new(BufWriter::new(File::create(&path).unwrap()));
    for entry in 0..entries {
        let name = format!("100011471/100011471_2025-11-06_{}#{}.json.gz", entry % 24, entry / 24);
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(&packed).unwrap();
    }
    zip.finish().unwrap().flush().unwrap();
    path
}

fn unpacked(archive: &Path, staging: &Staging, format: Format) -> Unpacked {
    let how = Unpacking {
        staging,
        formats: &format.into(),
        limits: Limits { max_unpacked: u64::MAX, max_ratio: 250 },
        threads: 1,
        transfer: &NoProgress,
        cancelled: &AtomicBool::new(false),
    };
    unpack(&ExportArchive::open(archive).unwrap(), &how, None).unwrap()
}

/// One entry of 32 MiB of JSON by one thread. The figure is of JSON, in either form.
#[divan::bench(args = [Format::Json, Format::JsonGz], sample_size = 1, max_time = 5)]
fn inflate(bencher: Bencher<'_, '_>, format: Format) {
    let dir = scratch();
    let json = events(JSON_BYTES);
    let archive = archive(dir.path(), 1, &json);
    let staging = Staging::open(&dir.path().join("extracted_data")).unwrap();
    // Whoever drops what came out deletes it, after the clock has stopped.
    bencher.counter(BytesCount::of_slice(&json)).bench_local(|| unpacked(&archive, &staging, format));
}

/// Directory and local headers of 10,000 entries.
#[divan::bench(max_time = 5)]
fn open(bencher: Bencher<'_, '_>) {
    let dir = scratch();
    let archive = archive(dir.path(), MEMBERS, b"{}\n");
    bencher.counter(ItemsCount::new(MEMBERS)).bench_local(|| ExportArchive::open(&archive).unwrap());
}

/// 10,000 entries of a line each, where what is done for every file counts, not its bytes.
#[divan::bench(sample_size = 1, max_time = 5)]
fn unpack_small(bencher: Bencher<'_, '_>) {
    let dir = scratch();
    let archive = archive(dir.path(), MEMBERS, b"{}\n");
    let staging = Staging::open(&dir.path().join("extracted_data")).unwrap();
    bencher.counter(ItemsCount::new(MEMBERS)).bench_local(|| unpacked(&archive, &staging, Format::Json));
}
