//! A small archive with each byte changed, or cut at each length: what it unpacks to is exactly right, or nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use amp_core::archive::{ExportArchive, Format, Limits, StreamingUnpacker, Unpacking, unpack};
use amp_core::progress::NoProgress;
use amp_core::stage::Staging;
use amp_sandbox::archive::{ArchiveBuilder, MemberSpec, gzip, multi_member_gzip};

type Files = BTreeMap<String, Vec<u8>>;

/// What the archive unpacks to, with a head start and without; `None` if it is refused. Either way the directory is empty again afterwards.
fn unpacked(staging: &Arc<Staging>, bytes: &[u8], format: Format) -> Option<Files> {
    let with = unpacked_once(staging, bytes, format, true);
    let without = unpacked_once(staging, bytes, format, false);
    assert!(with == without, "with a head start {with:?}, without {without:?}");
    with
}

fn unpacked_once(staging: &Arc<Staging>, bytes: &[u8], format: Format, head_start: bool) -> Option<Files> {
    let path = staging.root().join("archive");
    fs::write(&path, bytes).unwrap();
    let limits = Limits { max_unpacked: 1 << 20, max_ratio: 250 };
    let streaming = head_start.then(|| {
        let streaming =
            StreamingUnpacker::start(fs::File::open(&path).unwrap(), &path, Arc::clone(staging), format.into(), limits);
        streaming.arrived(bytes.len() as u64);
        // Time for a member or two, mostly; how far it comes must not matter.
        thread::sleep(Duration::from_micros(50));
        streaming
    });
    let archive = ExportArchive::open(&path);
    fs::remove_file(&path).unwrap();
    let how = Unpacking {
        staging,
        formats: &format.into(),
        limits,
        threads: 1,
        transfer: &NoProgress,
        cancelled: &AtomicBool::new(false),
    };
    let unpacked = archive.and_then(|archive| unpack(&archive, &how, streaming.as_ref()));
    drop(streaming);
    let files = unpacked.ok().map(|unpacked| {
        staging.publish(unpacked.files).unwrap();
        take(staging.root())
    });
    let partials = fs::read_dir(staging.root().join(".amp/partial")).unwrap();
    assert_eq!(partials.count(), 0, "a partial file is left");
    assert!(take(staging.root()).is_empty(), "a refused archive left a file");
    files
}

fn take(dir: &Path) -> Files {
    let mut files = Files::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap).filter(|entry| entry.file_type().unwrap().is_file()) {
        files.insert(entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
        fs::remove_file(entry.path()).unwrap();
    }
    files
}

fn archives() -> Vec<Vec<u8>> {
    let first = || MemberSpec::new("1/1_2025-11-06_4#0.json.gz", gzip(b"{\"a\":1}\n{\"b\":2}\n"));
    let second = || MemberSpec::new("1/1_2025-11-06_4#1.json.gz", multi_member_gzip(&[b"{\"c\":3}", b"\n"]));
    let plain = || MemberSpec::new("1/1_2025-11-06_5#0.json", "{\"d\":4}\n");
    let build = |change: &dyn Fn(MemberSpec) -> MemberSpec| {
        ArchiveBuilder::new().member(change(first())).member(change(second())).member(change(plain())).build()
    };
    vec![
        build(&|member| member),
        build(&|member| member.data_descriptor(true)),
        build(&|member| member.stored()),
        build(&|member| member.zip64(true)),
        ArchiveBuilder::new().file("n.zip", build(&|member| member)).build(),
    ]
}

/// A memory file system where there is one: thousands of files are synced.
fn staging() -> (tempfile::TempDir, Arc<Staging>) {
    let shm = Path::new("/dev/shm");
    let dir = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap();
    let staging = Staging::open(dir.path()).unwrap();
    (dir, Arc::new(staging))
}

#[test]
fn an_archive_with_any_one_byte_changed_is_unpacked_exactly_or_not_at_all() {
    let (_dir, staging) = staging();
    for (number, archive) in archives().iter().enumerate() {
        for format in [Format::Json, Format::JsonGz] {
            let right = unpacked(&staging, archive, format).unwrap();
            assert_eq!(right.len(), 3);
            let mut refused = 0;
            for at in 0..archive.len() {
                for mask in [0x01, 0x80, 0xFF] {
                    let mut changed = archive.clone();
                    changed[at] ^= mask;
                    match unpacked(&staging, &changed, format) {
                        Some(files) => {
                            assert!(files == right, "archive {number}, byte {at} ^ {mask:#x}, {format:?}: {files:?}")
                        }
                        None => refused += 1,
                    }
                }
            }
            assert!(refused > archive.len(), "only {refused} changes were seen");
        }
    }
}

#[test]
fn an_archive_cut_at_any_length_is_not_unpacked() {
    let (_dir, staging) = staging();
    for (number, archive) in archives().iter().enumerate() {
        for length in 0..archive.len() {
            assert_eq!(unpacked(&staging, &archive[..length], Format::Json), None, "archive {number} cut at {length}");
        }
    }
}

#[test]
fn an_archive_with_any_one_byte_left_out_or_put_in_is_unpacked_exactly_or_not_at_all() {
    let (_dir, staging) = staging();
    let archive = &archives()[1];
    let right = unpacked(&staging, archive, Format::Json).unwrap();
    for at in 0..archive.len() {
        let mut shorter = archive.clone();
        shorter.remove(at);
        let mut longer = archive.clone();
        longer.insert(at, 0);
        for changed in [shorter, longer] {
            if let Some(files) = unpacked(&staging, &changed, Format::Json) {
                assert!(files == right, "byte {at}: {files:?}");
            }
        }
    }
}
