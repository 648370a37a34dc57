//! What an archive may hold, and what it may not: all of it is staged, or nothing.

use std::collections::BTreeMap;

use amp_sandbox::archive::{
    ArchiveBuilder, MemberSpec, Method, gzip, gzip_with_wrong_crc, gzip_with_wrong_len, multi_member_gzip,
};

use crate::support::{HOUR, Lab, Ran};

const NAME: &str = "100011471/100011471_2025-11-06_4#0.json.gz";
const FILE: &str = "100011471_2025-11-06_4#0.json";
const OTHER: &str = "100011471_2025-11-06_4#1.json";
const EVENTS: &[u8] = b"{\"a\":1}\n{\"b\":2}\n";

fn one(name: impl Into<Vec<u8>>, data: impl Into<Vec<u8>>) -> ArchiveBuilder {
    ArchiveBuilder::new().file(name, data)
}

fn zip(name: &str, data: &[u8]) -> Vec<u8> {
    one(name, data).build()
}

fn run(lab: &Lab, args: &[&str]) -> Ran {
    lab.run(&[&["--start", HOUR, "--end", HOUR, "--max-retries", "0"], args].concat())
}

#[track_caller]
fn accepted(archive: ArchiveBuilder, files: &[(&str, &[u8])]) -> Ran {
    let lab = Lab::serving(archive.build());
    let ran = run(&lab, &[]);
    let document = ran.exits(0);
    let expected: BTreeMap<_, _> = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
    assert_eq!(lab.staged(), expected);
    assert_eq!(document["files"], files.len());
    lab.assert_clean();
    ran
}

/// Checks that nothing of the archive is staged though it holds a good member too, and gives what was said.
#[track_caller]
fn refused(archive: ArchiveBuilder, exit: i32, words: &[&str]) {
    for good_first in [false, true] {
        let good = MemberSpec::new(format!("1/{OTHER}.gz"), gzip(EVENTS));
        let archive = if good_first {
            // The good one in front: the bad one comes last.
            ArchiveBuilder::new().member(good).file("nested.zip", archive.clone().build())
        } else {
            archive.clone().member(good)
        };
        let lab = Lab::serving(archive.build());
        let ran = run(&lab, &[]);
        let document = ran.exits(exit);
        assert_eq!(document["files"], 0);
        ran.says(words).says(&["error: ", HOUR]);
        assert!(lab.staged_names().is_empty(), "{:?}", lab.staged_names());
        lab.assert_clean();
    }
}

#[test]
fn files_are_named_as_the_member_without_its_folder_and_gz() {
    accepted(one(NAME, gzip(EVENTS)), &[(FILE, EVENTS)]);
    accepted(one("a/b/../c/x y #é.json.gz", gzip(EVENTS)), &[("x y #é.json", EVENTS)]);
    accepted(one("../../../etc/up.json.gz", gzip(EVENTS)), &[("up.json", EVENTS)]);
    accepted(one("/abs/olute.json.gz", gzip(EVENTS)), &[("olute.json", EVENTS)]);
    accepted(one("C:\\win\\dows.json.gz", gzip(EVENTS)), &[("dows.json", EVENTS)]);
    accepted(one("plain.json", EVENTS), &[("plain.json", EVENTS)]);
}

#[test]
fn zips_within_are_opened_two_levels_deep_and_no_deeper() {
    let inner = zip(NAME, &gzip(EVENTS));
    accepted(one("day.zip", inner.clone()), &[(FILE, EVENTS)]);
    let two = zip("x/hour.zip", &inner);
    accepted(one("day.zip", two.clone()).file(OTHER, EVENTS), &[(FILE, EVENTS), (OTHER, EVENTS)]);
    let three = zip("deeper.zip", &two);
    let lab = Lab::serving(one("deepest.zip", three).file(OTHER, EVENTS).build());
    let ran = run(&lab, &[]);
    ran.exits(1);
    ran.says(&["two levels", "deepest.zip/deeper.zip/x/hour.zip"]);
    assert!(lab.staged_names().is_empty());
    lab.assert_clean();
}

#[test]
fn a_name_that_hides_or_is_empty_or_garbles_the_terminal_fails_the_archive() {
    let long = format!("{}.json.gz", "x".repeat(260));
    for (name, word) in [
        (".json.gz", "starts with a dot"),
        ("1/.hidden.json.gz", "starts with a dot"),
        ("1/..", "starts with a dot"),
        ("a\u{1b}[31m.json.gz", "control character"),
        ("two\nlines.json.gz", "control character"),
        ("nul\0.json.gz", "control character"),
        (&long, "longer than"),
    ] {
        refused(one(name, gzip(EVENTS)), 1, &[word]);
    }
}

#[test]
fn an_error_about_a_member_shows_its_name_without_control_characters() {
    let lab = Lab::serving(zip("bad\u{1b}]0;x\u{7}.json.gz", &gzip(EVENTS)));
    let ran = run(&lab, &[]);
    ran.exits(1);
    ran.does_not_say(&["\u{1b}", "\u{7}"]);
}

#[test]
fn two_members_of_one_name_are_one_file_if_their_bytes_agree_and_an_error_if_not() {
    accepted(one(NAME, gzip(EVENTS)).file(format!("2/{FILE}.gz"), gzip(EVENTS)), &[(FILE, EVENTS)]);
    accepted(one(NAME, gzip(EVENTS)).file(FILE, EVENTS), &[(FILE, EVENTS)]);
    refused(one(NAME, gzip(EVENTS)).file(format!("2/{FILE}.gz"), gzip(b"{}\n")), 1, &[FILE, "different bytes"]);
    refused(one(NAME, gzip(EVENTS)).file("n.zip", zip(FILE, b"{}\n")), 1, &[FILE, "different bytes"]);
}

#[test]
fn an_end_record_that_passes_over_a_member_fails_the_archive_repeated_members_or_not() {
    for first in [FILE, OTHER] {
        for zip64 in [false, true] {
            let member = |name: &str| MemberSpec::new(name, EVENTS).zip64(zip64);
            let archive = ArchiveBuilder::new().member(member(first)).member(member(OTHER)).member(member("last.json"));
            let mut bytes = archive.build();
            let end = bytes.len() - 22;
            // Members on this disk and in all, in either end record.
            bytes[end + 8] -= 1;
            bytes[end + 10] -= 1;
            if let Some(end64) = bytes.windows(4).position(|four| four == b"PK\x06\x06") {
                bytes[end64 + 24] -= 1;
                bytes[end64 + 32] -= 1;
            }
            let lab = Lab::serving(bytes);
            run(&lab, &[]).exits(75);
            assert!(lab.staged_names().is_empty(), "first {first}, zip64 {zip64}: {:?}", lab.staged_names());
            lab.assert_clean();
        }
    }
}

#[test]
fn what_is_no_regular_file_fails_the_archive() {
    let spec = || MemberSpec::new(NAME, gzip(EVENTS));
    for (mode, word) in [
        (0o120_777, "symbolic link"),
        (0o060_600, "regular file"),
        (0o010_644, "regular file"),
        (0o140_755, "regular file"),
    ] {
        refused(ArchiveBuilder::new().member(spec().unix_mode(mode)), 1, &[word, "4#0.json.gz"]);
    }
    // Whatever its name: a link would not be opened, but it has no place in an export either.
    refused(
        ArchiveBuilder::new().member(MemberSpec::new("readme.txt", "/etc/passwd").unix_mode(0o120_777)),
        1,
        &["symbolic link"],
    );
    refused(ArchiveBuilder::new().member(spec().encrypted()), 1, &["encrypted"]);
    refused(ArchiveBuilder::new().member(spec().method(Method::Other(14))), 1, &["neither stored nor deflated"]);
}

#[test]
fn directories_in_an_archive_are_passed_over_in_silence() {
    let folder = MemberSpec::new("100011471/", "").stored().unix_mode(0o040_755);
    let dos = MemberSpec::new("dos/", "").stored().unix_mode(0);
    let ran = accepted(ArchiveBuilder::new().member(folder).member(dos).file(NAME, gzip(EVENTS)), &[(FILE, EVENTS)]);
    ran.does_not_say(&["warning"]);
}

#[test]
fn other_members_are_skipped_with_a_warning() {
    let ran = accepted(
        one("README.txt", "hello").file(NAME, gzip(EVENTS)).file("x.json.gz.bak", "?").file("JSON.GZ", "?"),
        &[(FILE, EVENTS)],
    );
    ran.says(&["warning: ", "README.txt", "x.json.gz.bak", "JSON.GZ", "skipped"]);
}

#[test]
fn gzip_of_several_members_is_read_whole() {
    let packed = multi_member_gzip(&[b"{\"a\":", b"", b"1}\n{\"b\":2}", b"\n"]);
    let ran = accepted(one(NAME, packed), &[(FILE, EVENTS)]);
    assert_eq!(ran.json()["events"], 2);
}

#[test]
fn empty_members_and_a_missing_last_newline_are_taken_as_they_are() {
    let ran = accepted(one(NAME, gzip(b"")).file(format!("{OTHER}.gz"), b""), &[(FILE, b""), (OTHER, b"")]);
    assert_eq!(ran.json()["events"], 0);
    let ran = accepted(one(NAME, gzip(b"{}\n{}")), &[(FILE, b"{}\n{}")]);
    assert_eq!(ran.json()["events"], 2, "the last line counts");
    accepted(one(NAME, gzip(b"\xff\xfe\0not utf-8\n")), &[(FILE, b"\xff\xfe\0not utf-8\n")]);
}

#[test]
fn a_line_of_64_mebibytes_is_one_event() {
    let mut state = 1u32;
    let mut line: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b'a' + (state >> 28) as u8
    })
    .take(64 << 20)
    .collect();
    line.push(b'\n');
    let ran = accepted(one(NAME, gzip(&line)), &[(FILE, &line)]);
    assert_eq!(ran.json()["events"], 1);
}

#[test]
fn damaged_gzip_fails_the_archive() {
    let cut = gzip(EVENTS)[..20].to_vec();
    let trailed = [gzip(EVENTS), b"junk".to_vec()].concat();
    let second = [gzip(EVENTS), gzip_with_wrong_crc(EVENTS)].concat();
    for data in [gzip_with_wrong_crc(EVENTS), gzip_with_wrong_len(EVENTS), cut, trailed, second, EVENTS.to_vec()] {
        refused(one(NAME, data), 75, &["4#0.json.gz", "damaged"]);
    }
}

#[test]
fn a_member_whose_own_crc_length_or_local_name_is_wrong_fails_the_archive() {
    let spec = || MemberSpec::new(NAME, gzip(EVENTS));
    let plain = || MemberSpec::new("plain.json", EVENTS);
    for member in [
        spec().wrong_crc(),
        spec().stored().wrong_crc(),
        plain().wrong_crc(),
        plain().data_descriptor(true).wrong_crc(),
        spec().local_name("another.json.gz"),
    ] {
        refused(ArchiveBuilder::new().member(member), 75, &[]);
    }
}

#[test]
fn zip64_data_descriptors_and_stored_members_are_read() {
    for zip64 in [false, true] {
        for data_descriptor in [false, true] {
            for method in [Method::Stored, Method::Deflated] {
                let member = MemberSpec::new(NAME, gzip(EVENTS)).method(method).zip64(zip64);
                accepted(ArchiveBuilder::new().member(member.data_descriptor(data_descriptor)), &[(FILE, EVENTS)]);
            }
        }
    }
}

#[test]
fn an_archive_is_found_among_junk_around_it_or_refused_but_never_half_read() {
    let archive = || one(NAME, gzip(EVENTS)).file(OTHER, EVENTS);
    accepted(archive().comment("made by hand"), &[(FILE, EVENTS), (OTHER, EVENTS)]);
    for archive in [
        archive().prefix_junk("junk before"),
        archive().suffix_junk("junk behind"),
        archive().prefix_junk(vec![b'P'; 70_000]),
    ] {
        let lab = Lab::serving(archive.build());
        let ran = run(&lab, &[]);
        match ran.code {
            Some(0) => assert_eq!(lab.staged_names(), [FILE, OTHER]),
            Some(75) => assert!(lab.staged_names().is_empty()),
            _ => panic!("{ran:#?}"),
        }
        lab.assert_clean();
    }
}

#[test]
fn an_archive_without_members_is_success_with_a_warning() {
    let lab = Lab::serving(ArchiveBuilder::new().build());
    let ran = run(&lab, &[]);
    assert_eq!(ran.exits(0)["outcome"], "empty");
    ran.says(&["warning: ", "no events"]);
}

#[test]
fn ten_thousand_members_are_staged() {
    let mut archive = ArchiveBuilder::new();
    for part in 0..10_000 {
        archive = archive.member(MemberSpec::new(format!("1/1_2025-11-06_4#{part}.json"), "{}\n").stored());
    }
    let lab = Lab::serving(archive.build());
    // On a memory file system where there is one: this is not about the disk.
    let shm = std::path::Path::new("/dev/shm");
    let fast = shm.is_dir().then(|| tempfile::tempdir_in(shm).unwrap());
    let dir = fast.as_ref().map_or_else(|| lab.path("extracted_data"), |dir| dir.path().to_owned());
    let document = run(&lab, &["--extracted-dir", dir.to_str().unwrap()]).exits(0);
    assert_eq!((&document["files"], &document["events"]), (&10_000.into(), &10_000.into()));
}
