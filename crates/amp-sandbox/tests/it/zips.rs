//! Archives made by hand, read by someone else's reader.

use std::io::{Cursor, Read};

use amp_sandbox::archive::{ArchiveBuilder, MemberSpec, gzip};
use zip::ZipArchive;

fn read(archive: Vec<u8>) -> zip::result::ZipResult<Vec<(String, Vec<u8>)>> {
    let mut zip = ZipArchive::new(Cursor::new(archive))?;
    let mut members = Vec::new();
    for index in 0..zip.len() {
        let mut member = zip.by_index(index)?;
        let mut data = Vec::new();
        member.read_to_end(&mut data)?;
        members.push((member.name()?.into_owned(), data));
    }
    Ok(members)
}

#[test]
fn every_layout_is_readable() {
    for variant in 0..8 {
        let member =
            MemberSpec::new("1/a#0.json.gz", gzip(b"{}\n")).data_descriptor(variant & 1 != 0).zip64(variant & 2 != 0);
        let member = if variant & 4 != 0 { member.stored() } else { member };
        let archive = ArchiveBuilder::new().member(member).file("1/b.json", "text").build();
        let members = read(archive).unwrap();
        assert_eq!(members[0], ("1/a#0.json.gz".to_owned(), gzip(b"{}\n")), "variant {variant}");
        assert_eq!(members[1], ("1/b.json".to_owned(), b"text".to_vec()));
    }
}

#[test]
fn junk_around_an_archive_does_not_hide_it() {
    let builder = ArchiveBuilder::new().file("a", "text").comment("made by hand");
    assert_eq!(read(builder.prefix_junk(*b"#!/bin/sh\n").build()).unwrap().len(), 1);
}

#[test]
fn hostile_members_are_what_they_claim_to_be() {
    let wrong = ArchiveBuilder::new().member(MemberSpec::new("a", "text").wrong_crc()).build();
    assert!(read(wrong).is_err());
    let encrypted = ArchiveBuilder::new().member(MemberSpec::new("a", "text").encrypted()).build();
    assert!(read(encrypted).is_err());
    let link = ArchiveBuilder::new().member(MemberSpec::new("a", "/etc/passwd").unix_mode(0o120_777)).build();
    assert!(ZipArchive::new(Cursor::new(link)).unwrap().by_index(0).unwrap().is_symlink());
}
