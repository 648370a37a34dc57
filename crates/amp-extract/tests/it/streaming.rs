//! Members that are unpacked while their archive arrives: used when the whole archive lists the same, and only then.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Instant;

use amp_core::archive::{ArchiveError, ExportArchive, Format, Limits, StreamingUnpacker, Unpacked, Unpacking, unpack};
use amp_core::progress::NoProgress;
use amp_core::stage::Staging;
use amp_sandbox::archive::{ArchiveBuilder, MemberSpec, gzip, zeros_gzip};

use crate::support::HANG;

const LIMITS: Limits = Limits { max_unpacked: 1 << 30, max_ratio: 250 };
const EVENTS: [&[u8]; 3] = [b"{\"a\":1}\n", b"{\"b\":2}\n{\"b\":3}\n", b"{\"c\":4}"];

struct Lab {
    dir: tempfile::TempDir,
    staging: Arc<Staging>,
}

impl Lab {
    fn new(archive: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let staging = Arc::new(Staging::open(&dir.path().join("staging")).unwrap());
        let lab = Self { dir, staging };
        lab.write(archive);
        lab
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("archive")
    }

    fn write(&self, archive: &[u8]) {
        fs::write(self.path(), archive).unwrap();
    }

    fn start(&self, format: Format) -> StreamingUnpacker {
        self.start_within(format, LIMITS)
    }

    fn start_within(&self, format: Format, limits: Limits) -> StreamingUnpacker {
        StreamingUnpacker::start(
            File::open(self.path()).unwrap(),
            &self.path(),
            Arc::clone(&self.staging),
            format.into(),
            limits,
        )
    }

    fn unpack(&self, format: Format, streaming: &StreamingUnpacker) -> Result<Unpacked, ArchiveError> {
        self.unpack_within(format, streaming, LIMITS, false)
    }

    fn unpack_within(
        &self,
        format: Format,
        streaming: &StreamingUnpacker,
        limits: Limits,
        cancelled: bool,
    ) -> Result<Unpacked, ArchiveError> {
        let cancelled = AtomicBool::new(cancelled);
        let staging = &self.staging;
        let how = Unpacking {
            staging,
            formats: &format.into(),
            limits,
            threads: 2,
            transfer: &NoProgress,
            cancelled: &cancelled,
        };
        unpack(&ExportArchive::open(&self.path())?, &how, Some(streaming))
    }

    /// The bytes of what was unpacked, by name.
    fn files(&self, unpacked: Unpacked) -> Vec<(String, Vec<u8>)> {
        self.staging.publish(unpacked.files).unwrap();
        let names = self.staging.scan().unwrap().files;
        names.into_iter().map(|name| (name.clone(), fs::read(self.staging.root().join(name)).unwrap())).collect()
    }

    fn partials(&self) -> usize {
        fs::read_dir(self.staging.state_dir().join("partial")).unwrap().count()
    }
}

fn wait_for(streaming: &StreamingUnpacker, bytes: u64) {
    let began = Instant::now();
    while streaming.ready_bytes() < bytes {
        assert!(began.elapsed() < HANG, "{} of {bytes} bytes were unpacked ahead", streaming.ready_bytes());
        thread::yield_now();
    }
}

fn name(index: usize) -> String {
    format!("100011471_2025-11-06_4#{index}.json")
}

fn archive(events: &[&[u8]], change: impl Fn(MemberSpec) -> MemberSpec) -> Vec<u8> {
    let members = events.iter().enumerate();
    let members = members.map(|(i, events)| change(MemberSpec::new(format!("1/{}.gz", name(i)), gzip(events))));
    members.fold(ArchiveBuilder::new(), ArchiveBuilder::member).build()
}

fn expected(events: &[&[u8]]) -> Vec<(String, Vec<u8>)> {
    events.iter().enumerate().map(|(i, events)| (name(i), events.to_vec())).collect()
}

#[test]
fn members_are_unpacked_as_they_arrive_however_their_sizes_are_told() {
    let all: u64 = EVENTS.iter().map(|events| events.len() as u64).sum();
    let shapes: [fn(MemberSpec) -> MemberSpec; 3] =
        [|member| member.data_descriptor(false), |member| member.data_descriptor(true), MemberSpec::stored];
    for shape in shapes {
        let bytes = archive(&EVENTS, shape);
        let lab = Lab::new(&bytes);
        let streaming = lab.start(Format::Json);
        assert_eq!(streaming.ready_bytes(), 0, "nothing has arrived");
        let half = bytes.len() / 2;
        streaming.arrived(half as u64);
        wait_for(&streaming, EVENTS[0].len() as u64);
        streaming.arrived((bytes.len() - half) as u64);
        wait_for(&streaming, all);
        let unpacked = lab.unpack(Format::Json, &streaming).unwrap();
        assert_eq!(streaming.ready_bytes(), 0, "all of it was used");
        assert_eq!(lab.files(unpacked), expected(&EVENTS));
    }
}

#[test]
fn what_the_whole_archive_tells_otherwise_is_unpacked_anew() {
    // As long as the others, packed and unpacked, at the same places.
    let other: [&[u8]; 3] = [b"{\"a\":1}\n", b"{\"b\":7}\n{\"b\":8}\n", b"{\"c\":4}"];
    let stored = |member: MemberSpec| member.stored();
    let (before, after) = (archive(&EVENTS, stored), archive(&other, stored));
    assert_eq!(before.len(), after.len());
    let lab = Lab::new(&before);
    let streaming = lab.start(Format::Json);
    streaming.arrived(before.len() as u64);
    wait_for(&streaming, EVENTS.iter().map(|events| events.len() as u64).sum());
    lab.write(&after);
    let unpacked = lab.unpack(Format::Json, &streaming).unwrap();
    assert_eq!(lab.files(unpacked), expected(&other));
    assert_eq!(lab.partials(), 0);
}

#[test]
fn what_nobody_takes_is_deleted_and_a_download_that_ends_early_is_not_waited_for() {
    let bytes = archive(&EVENTS, |member| member);
    let lab = Lab::new(&bytes);
    let streaming = lab.start(Format::JsonGz);
    streaming.arrived(bytes.len() as u64 / 2);
    wait_for(&streaming, 1);
    assert!(lab.partials() > 0);
    drop(streaming);
    assert_eq!(lab.partials(), 0);
}

#[test]
fn a_bomb_is_refused_with_and_without_a_head_start() {
    let good = MemberSpec::new(format!("1/{}.gz", name(0)), gzip(EVENTS[0]));
    let bomb = MemberSpec::new(format!("1/{}.gz", name(1)), zeros_gzip(1)).stored();
    let bytes = ArchiveBuilder::new().member(good).member(bomb).build();
    let lab = Lab::new(&bytes);
    let streaming = lab.start(Format::Json);
    streaming.arrived(bytes.len() as u64);
    wait_for(&streaming, EVENTS[0].len() as u64);
    let error = lab.unpack(Format::Json, &streaming).unwrap_err();
    assert!(matches!(error, ArchiveError::TooMuch(_)), "{error}");
    drop(streaming);
    assert_eq!(lab.partials(), 0);
}

#[test]
fn what_was_given_up_of_a_head_start_does_not_count_against_the_limits() {
    let events: [&[u8]; 2] = [EVENTS[0], &[b'\n'; 1 << 20]];
    let bytes = archive(&events, |member| member);
    let lab = Lab::new(&bytes);
    let within = |max_unpacked| Limits { max_unpacked, max_ratio: u64::MAX };
    let streaming = lab.start_within(Format::Json, within(900 << 10));
    streaming.arrived(bytes.len() as u64);
    wait_for(&streaming, events[0].len() as u64);
    let unpacked = lab.unpack_within(Format::Json, &streaming, within(1100 << 10), false).unwrap();
    assert_eq!(lab.files(unpacked), expected(&events));
    assert_eq!(streaming.written(), 0, "all was taken or given up");
}

#[test]
fn what_was_used_of_a_head_start_counts_against_the_limits() {
    let bytes = archive(&EVENTS, |member| member);
    let lab = Lab::new(&bytes);
    let streaming = lab.start(Format::Json);
    streaming.arrived(bytes.len() as u64);
    let all: u64 = EVENTS.iter().map(|events| events.len() as u64).sum();
    wait_for(&streaming, all);
    let error =
        lab.unpack_within(Format::Json, &streaming, Limits { max_unpacked: all - 1, ..LIMITS }, false).unwrap_err();
    assert!(matches!(error, ArchiveError::TooMuch(_)), "{error}");
}

#[test]
fn what_lies_ready_counts_before_it_is_taken() {
    // The biggest is unpacked first, and not ahead. It is damaged at its end, which is not reached.
    let mut damaged = gzip(&[b'\n'; 1 << 20]);
    *damaged.last_mut().unwrap() ^= 1;
    let ready = MemberSpec::new(format!("1/{}.gz", name(0)), gzip(&[b'\n'; 300 << 10])).stored();
    let damaged = MemberSpec::new(format!("1/{}.gz", name(1)), damaged).stored().data_descriptor(true);
    let lab = Lab::new(&ArchiveBuilder::new().member(ready).member(damaged).build());
    let within = |max_unpacked| Limits { max_unpacked, max_ratio: u64::MAX };
    let streaming = lab.start_within(Format::Json, within(900 << 10));
    streaming.arrived(lab.path().metadata().unwrap().len());
    wait_for(&streaming, 300 << 10);
    let (staging, cancelled) = (&lab.staging, &AtomicBool::new(false));
    let limits = within(1200 << 10);
    let how =
        Unpacking { staging, formats: &Format::Json.into(), limits, threads: 1, transfer: &NoProgress, cancelled };
    let error = unpack(&ExportArchive::open(&lab.path()).unwrap(), &how, Some(&streaming)).unwrap_err();
    assert!(matches!(error, ArchiveError::TooMuch(_)), "{error}");
}

#[test]
fn a_run_that_ends_does_not_wait_for_the_member_that_is_unpacked_ahead() {
    const WHOLE: usize = 1 << 28;
    let member = MemberSpec::new(format!("1/{}.gz", name(0)), gzip(&vec![0; WHOLE])).stored();
    let bytes = ArchiveBuilder::new().member(member).build();
    let lab = Lab::new(&bytes);
    let limits = Limits { max_unpacked: u64::MAX, max_ratio: u64::MAX };
    let streaming = lab.start_within(Format::Json, limits);
    streaming.arrived(bytes.len() as u64);
    while streaming.written() == 0 {
        thread::yield_now();
    }
    let error = lab.unpack_within(Format::Json, &streaming, limits, true).unwrap_err();
    assert!(matches!(error, ArchiveError::Cancelled), "{error}");
    assert!(streaming.written() < WHOLE as u64, "it was waited for to its end");
    drop(streaming);
    assert_eq!(lab.partials(), 0);
}

/// An archive of one member: gzip streams of nothing, one after the other, and then something else.
fn archive_of_nothings() -> Vec<u8> {
    let nothings = [gzip(b"").repeat(100_000), b"damaged".to_vec()].concat();
    ArchiveBuilder::new().member(MemberSpec::new(format!("1/{}.gz", name(0)), nothings)).build()
}

#[test]
fn bytes_of_which_no_event_comes_count_against_the_limits_as_they_come() {
    let lab = Lab::new(&archive_of_nothings());
    let streaming = lab.start(Format::JsonGz);
    let limits = Limits { max_unpacked: 1 << 20, ..LIMITS };
    let error = lab.unpack_within(Format::JsonGz, &streaming, limits, false).unwrap_err();
    assert!(matches!(error, ArchiveError::TooMuch(_)), "{error}");
}

#[test]
fn a_run_ends_amid_bytes_of_which_no_event_comes() {
    let lab = Lab::new(&archive_of_nothings());
    let streaming = lab.start(Format::Json);
    let error = lab.unpack_within(Format::Json, &streaming, LIMITS, true).unwrap_err();
    assert!(matches!(error, ArchiveError::Cancelled), "{error}");
}
