//! What a power cut would find: each step is on disk before the next one relies on it. strace tells the order of the calls.

use amp_sandbox::strace::{self, Call};
use amp_sandbox::tools;

use crate::support::{DAY, Lab};

const ROOT: &str = "extracted_data";
const HOURS: &str = "extracted_data/.amp/hours";
const LEDGER: &str = "extracted_data/.amp/hours/2025-11-06.jsonl";
const ARCHIVE: &str = "downloaded_data/amplitude_20251106T00_20251106T23.zip";

/// The calls of a first run that stages a day, by name and what they were about; `None` without strace.
fn calls() -> Option<Vec<Call>> {
    if !tools::has("strace, allowed to trace", strace::is_there()) {
        return None;
    }
    let lab = Lab::new();
    let log = lab.path("strace.log");
    let trace =
        "trace=mkdir,openat,write,writev,pwrite64,connect,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat";
    let wrapper = [&["strace"], &strace::FLAGS[..], &[log.to_str().unwrap(), "--seccomp-bpf", "-e", trace]].concat();
    lab.command(&["--date", DAY]).wrapped(&wrapper).run().exits(0);
    lab.assert_staged(&[DAY]);
    Some(strace::calls(&log, &lab.path(".").canonicalize().unwrap()).unwrap())
}

/// Calls whose name begins so and that went well.
fn named<'a>(calls: &'a [Call], name: &'a str) -> impl Iterator<Item = &'a Call> {
    calls.iter().filter(move |call| call.name.starts_with(name) && !call.failed)
}

/// The renames that give a file its final name.
fn publications(calls: &[Call]) -> Vec<&Call> {
    let is_staged = |call: &&Call| call.becomes.as_ref().is_some_and(|name| name.ends_with(".json"));
    let renames: Vec<_> = named(calls, "rename").filter(is_staged).collect();
    assert_eq!(renames.len(), 24, "{renames:?}");
    renames
}

/// What was written to the ledger: asked, staging, fetched.
fn notes(calls: &[Call]) -> [&Call; 3] {
    let notes: Vec<_> = named(calls, "write").filter(|call| call.about == LEDGER).collect();
    notes.try_into().unwrap()
}

fn archive_deleted(calls: &[Call]) -> &Call {
    named(calls, "unlink").find(|call| call.about == ARCHIVE).expect("the archive is deleted")
}

#[test]
fn every_byte_of_a_file_is_on_disk_before_it_gets_its_final_name() {
    let Some(calls) = calls() else { return };
    for rename in publications(&calls) {
        assert!(strace::is_on_disk(&calls, &rename.about, rename.began), "{rename:?}");
    }
}

#[test]
fn the_names_of_all_files_are_on_disk_before_the_archive_goes_and_their_hours_count_as_fetched() {
    let Some(calls) = calls() else { return };
    let named = publications(&calls).iter().map(|rename| rename.ended).max().unwrap();
    let deleted = archive_deleted(&calls);
    assert!(strace::is_synced(&calls, ROOT, named, deleted.began), "{deleted:?}");
    let [_, _, fetched] = notes(&calls);
    assert!(strace::is_synced(&calls, ROOT, named, fetched.began), "{fetched:?}");
    let is_gone = strace::is_synced(&calls, "downloaded_data", deleted.ended, fetched.began);
    assert!(is_gone, "no later run looks at the archive of hours that are fetched");
}

#[test]
fn what_is_asked_for_is_on_disk_before_anything_is_sent() {
    let Some(calls) = calls() else { return };
    let connected = calls.iter().find(|call| call.name == "connect").unwrap();
    assert!(strace::is_on_disk(&calls, LEDGER, connected.began), "{connected:?}");
    let made = named(&calls, "openat").find(|call| call.about == LEDGER).unwrap();
    assert!(strace::is_synced(&calls, HOURS, made.ended, connected.began), "the ledger's own name");
}

#[test]
fn the_names_of_new_directories_are_on_disk_before_anything_is_sent() {
    let Some(calls) = calls() else { return };
    let connected = calls.iter().find(|call| call.name == "connect").unwrap();
    let dirs = [("", ROOT), (ROOT, "extracted_data/.amp"), ("extracted_data/.amp", HOURS)];
    for (parent, dir) in dirs {
        let made = named(&calls, "mkdir").find(|call| call.about == dir).unwrap_or_else(|| panic!("{dir} is not made"));
        assert!(strace::is_synced(&calls, parent, made.ended, connected.began), "{made:?}");
    }
}

#[test]
fn the_digests_of_files_are_on_disk_before_they_get_their_final_names_and_what_was_fetched_at_the_end() {
    let Some(calls) = calls() else { return };
    let [asked, staging, fetched] = notes(&calls);
    let first = publications(&calls).iter().map(|rename| rename.began).min().unwrap();
    assert!(asked.ended < staging.began && staging.ended < first && first < fetched.began, "{asked:?} {staging:?}");
    assert!(strace::is_on_disk(&calls, LEDGER, first));
    assert!(strace::is_on_disk(&calls, LEDGER, usize::MAX));
}
