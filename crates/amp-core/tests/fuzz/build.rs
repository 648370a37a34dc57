//! Builds archives by hand as a script says, hostile ones among them, and tells what is to come of them.

use std::collections::BTreeMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};

use super::script::Script;

/// What is to be staged of an archive, or `None` where it must be refused.
pub(crate) type Expected = Option<BTreeMap<String, Vec<u8>>>;

pub(crate) struct Built {
    pub(crate) zip: Vec<u8>,
    /// As newline-JSON, and as the members' own gzip bytes.
    pub(crate) expected: [Expected; 2],
    /// Whether junk around it looks like parts of a zip, so that it may be read in more than one way.
    pub(crate) ambiguous: bool,
}

const NAMES: [&str; 22] = [
    "1/1_2025-11-06_0#0.json.gz",
    "1/1_2025-11-06_1#0.json.gz",
    "2/1_2025-11-06_1#0.json.gz",
    "a.json.gz",
    "a.json",
    "b/a.json",
    "b\\c.json",
    "../d.json.gz",
    "/etc/e.json",
    "é.json.gz",
    "inner.zip",
    "1/inner.zip",
    "notes.txt",
    "empty/",
    "no_suffix",
    "x.json.gz.gz",
    ".hidden.json",
    "b/..",
    "line\nfeed.json",
    "",
    ".gz",
    "x.JSON",
];
/// File types of Unix modes: none said, regular, directory, symbolic link, pipe.
const TYPES: [u32; 5] = [0, 0o100_644, 0o040_755, 0o120_777, 0o010_644];

struct Member {
    path: &'static str,
    content: Vec<u8>,
    /// What it adds to either form.
    adds: [Expected; 2],
}

/// Builds an archive of the members the script tells; `level` is how many archives it lies within.
pub(crate) fn archive(script: &mut Script<'_>, level: u32) -> Built {
    let frame = script.byte();
    let prefix = if frame & 1 != 0 { script.run() } else { &[] };
    let comment = if frame & 2 != 0 { script.run() } else { &[] };
    let base = if frame & 4 != 0 { prefix.len() } else { 0 };
    let mut ambiguous = [prefix, comment].iter().any(|junk| junk.windows(2).any(|pair| pair == b"PK"));
    let (mut zip, mut central) = (prefix.to_vec(), Vec::new());
    let mut shown: Vec<Member> = Vec::new();
    let mut refused = false;
    let count = script.byte() % 6;
    for _ in 0..count {
        let path = NAMES[usize::from(script.byte()) % NAMES.len()];
        let how = script.byte();
        // Most members are plain files; what is refused is rarer, so that archives of several members get past it.
        let unix = if how & 0xc0 == 0xc0 { script.one_of(&TYPES) } else { 0 };
        let encrypted = how & 0xe0 == 0xa0;
        let (content, adds, inner_is_ambiguous) = content(script, path, level);
        ambiguous |= inner_is_ambiguous;
        let method = match how & 3 {
            3 if how & 0x10 != 0 => 99,
            0 => 0,
            _ => 8,
        };
        let is_dir = path.ends_with('/') && matches!(unix & 0o170_000, 0 | 0o040_000);
        let is_event_file = !matches!(kind_of(path), "");
        let wrong = !matches!(unix & 0o170_000, 0 | 0o100_000) || encrypted || !good(path);
        let adds = if !is_dir && (wrong || (method == 99 && is_event_file)) { [None, None] } else { adds };
        let member = Member { path, content, adds };
        entry(&mut zip, &mut central, base, &member, Shape { how, unix, encrypted, method, large: how & 8 != 0 });
        match shown.iter_mut().find(|other| other.path == path) {
            Some(other) => {
                refused |= other.content != member.content;
                *other = member;
            }
            None => shown.push(member),
        }
    }
    let offset = zip.len() - base;
    zip.extend_from_slice(&central);
    end(&mut zip, usize::from(count), central.len(), offset, base, frame & 8 != 0, comment);
    let form = |form: usize| {
        let mut all = BTreeMap::new();
        for member in &shown {
            for (name, bytes) in member.adds[form].as_ref()? {
                if all.insert(name.clone(), bytes.clone()).is_some_and(|other| other != *bytes) {
                    return None;
                }
            }
        }
        (!refused).then_some(all)
    };
    Built { zip, expected: [form(0), form(1)], ambiguous }
}

fn last_component(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or_default()
}

fn good(path: &str) -> bool {
    let name = last_component(path);
    !name.is_empty() && !name.starts_with('.') && !name.contains('\n')
}

fn kind_of(path: &str) -> &'static str {
    [".json.gz", ".json", ".zip"].into_iter().find(|suffix| path.ends_with(suffix)).unwrap_or_default()
}

fn content(script: &mut Script<'_>, path: &str, level: u32) -> (Vec<u8>, [Expected; 2], bool) {
    let nothing = || Some(BTreeMap::new());
    let file = |name: &str, bytes: &[u8]| Some(BTreeMap::from([(name.to_owned(), bytes.to_vec())]));
    let name = last_component(path);
    match kind_of(path) {
        ".zip" if level <= 2 => {
            let inner = archive(script, level + 1);
            let expected = if level == 2 { [None, None] } else { inner.expected };
            (inner.zip, expected, inner.ambiguous)
        }
        ".json.gz" => {
            let parts = script.byte() % 3;
            let (mut zipped, mut plain) = (Vec::new(), Vec::new());
            for _ in 0..parts {
                let text = text(script);
                let mut encoder = GzEncoder::new(&mut zipped, Compression::fast());
                encoder.write_all(&text).and_then(|()| encoder.try_finish()).expect("memory takes all");
                drop(encoder);
                plain.extend_from_slice(&text);
            }
            let adds = [file(name.trim_end_matches(".gz"), &plain), file(name, &zipped)];
            (zipped, adds, false)
        }
        ".json" => {
            let text = text(script);
            let adds = [file(name, &text), file(name, &text)];
            (text, adds, false)
        }
        _ => (text(script), [nothing(), nothing()], false),
    }
}

fn text(script: &mut Script<'_>) -> Vec<u8> {
    let times = 1 + usize::from(script.byte()) % 8;
    script.run().repeat(times)
}

struct Shape {
    how: u8,
    unix: u32,
    encrypted: bool,
    method: u16,
    /// Whether its sizes stand in a zip64 field.
    large: bool,
}

fn put(bytes: &mut Vec<u8>, fields: &[(usize, usize)]) {
    for (value, width) in fields {
        bytes.extend_from_slice(&value.to_le_bytes()[..*width]);
    }
}

/// Writes a member's header and data to `zip` and its line to the directory (APPNOTE.TXT 4.3.7 and 4.3.12).
fn entry(zip: &mut Vec<u8>, central: &mut Vec<u8>, base: usize, member: &Member, shape: Shape) {
    let (name, content) = (member.path.as_bytes(), &member.content);
    let mut packed = Vec::new();
    if shape.method == 8 {
        let mut encoder = DeflateEncoder::new(&mut packed, Compression::fast());
        encoder.write_all(content).and_then(|()| encoder.try_finish()).expect("memory takes all");
        drop(encoder);
    } else {
        packed.extend_from_slice(content);
    }
    let mut crc = flate2::Crc::new();
    crc.update(content);
    let crc = crc.sum() as usize;
    let trails = shape.how & 4 != 0 && shape.method == 8;
    let large = shape.large && !trails;
    let flags = usize::from(shape.encrypted) | usize::from(trails) << 3 | usize::from(!name.is_ascii()) << 11;
    let (packed_bytes, plain_bytes) = if large { (0xffff_ffff, 0xffff_ffff) } else { (packed.len(), content.len()) };
    let mut extra = Vec::new();
    if large {
        put(&mut extra, &[(1, 2), (16, 2), (content.len(), 8), (packed.len(), 8)]);
    }
    let offset = zip.len() - base;
    zip.extend_from_slice(b"PK\x03\x04");
    put(zip, &[(45, 2), (flags, 2), (usize::from(shape.method), 2), (0x5b66_0000, 4)]);
    put(zip, &if trails { [(0, 4), (0, 4), (0, 4)] } else { [(crc, 4), (packed_bytes, 4), (plain_bytes, 4)] });
    put(zip, &[(name.len(), 2), (extra.len(), 2)]);
    zip.extend_from_slice(name);
    zip.extend_from_slice(&extra);
    zip.extend_from_slice(&packed);
    if trails {
        zip.extend_from_slice(b"PK\x07\x08");
        put(zip, &[(crc, 4), (packed.len(), 4), (content.len(), 4)]);
    }
    central.extend_from_slice(b"PK\x01\x02");
    // Made on Unix, so that the mode counts.
    put(central, &[(0x032d, 2), (45, 2), (flags, 2), (usize::from(shape.method), 2), (0x5b66_0000, 4), (crc, 4)]);
    put(central, &[(packed_bytes, 4), (plain_bytes, 4), (name.len(), 2), (extra.len(), 2), (0, 2), (0, 2), (0, 2)]);
    put(central, &[((shape.unix as usize) << 16, 4), (offset, 4)]);
    central.extend_from_slice(name);
    central.extend_from_slice(&extra);
}

/// Writes the end records (APPNOTE.TXT 4.3.14 to 4.3.16).
fn end(zip: &mut Vec<u8>, count: usize, bytes: usize, offset: usize, base: usize, large: bool, comment: &[u8]) {
    if large {
        let at = zip.len() - base;
        zip.extend_from_slice(b"PK\x06\x06");
        put(zip, &[(44, 8), (45, 2), (45, 2), (0, 4), (0, 4), (count, 8), (count, 8), (bytes, 8), (offset, 8)]);
        zip.extend_from_slice(b"PK\x06\x07");
        put(zip, &[(0, 4), (at, 8), (1, 4)]);
    }
    let (count, bytes, offset) = if large { (0xffff, 0xffff_ffff, 0xffff_ffff) } else { (count, bytes, offset) };
    zip.extend_from_slice(b"PK\x05\x06");
    put(zip, &[(0, 2), (0, 2), (count, 2), (count, 2), (bytes, 4), (offset, 4), (comment.len(), 2)]);
    zip.extend_from_slice(comment);
}
