//! A second zip reader, as plain as can be: it holds the whole archive, follows every directory that could be meant, and shares with the
//! reader under test no more than the decoder of single streams.

use std::collections::HashMap;
use std::io::Read;

use flate2::bufread::{DeflateDecoder, GzDecoder};

/// Staged names with their bytes, in order, as [`ascii`] shows them.
pub(crate) type Staged = Vec<(String, Vec<u8>)>;

/// More than an input needs; ambiguous archives within ambiguous archives multiply.
const MOST_MEANINGS: usize = 64;
/// More than the reader under test lets come out of one.
const MOST_BYTES: u64 = 1 << 24;

/// Everything that the archive could be said to hold: one meaning for each directory that an end record could point to.
pub(crate) fn meanings(zip: &[u8], keep_gzip: bool, level: u32) -> Vec<Staged> {
    let mut found = Vec::new();
    for (start, base, entries) in directories(zip) {
        let Some(members) = members(zip, start, base, entries) else { continue };
        let mut so_far = vec![Staged::new()];
        for (name, content) in members {
            let choices = match kind(&name) {
                Kind::Other => continue,
                Kind::Zip if level == 2 => Vec::new(),
                Kind::Zip => content().map_or_else(Vec::new, |inner| meanings(&inner, keep_gzip, level + 1)),
                kind => staged(&name, kind, content(), keep_gzip).into_iter().map(|file| vec![file]).collect(),
            };
            so_far = so_far
                .iter()
                .flat_map(|before| choices.iter().map(move |more| [&before[..], &more[..]].concat()))
                .take(MOST_MEANINGS)
                .collect();
        }
        found.extend(so_far.into_iter().map(without_repetitions));
    }
    found
}

fn without_repetitions(mut staged: Staged) -> Staged {
    staged.sort();
    staged.dedup();
    staged
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Gzip,
    Plain,
    Zip,
    Other,
}

fn kind(name: &str) -> Kind {
    match name.to_ascii_lowercase() {
        _ if name.ends_with(".json.gz") => Kind::Gzip,
        _ if name.ends_with(".json") => Kind::Plain,
        _ if name.ends_with(".zip") => Kind::Zip,
        _ => Kind::Other,
    }
}

fn staged(name: &str, kind: Kind, content: Option<Vec<u8>>, keep_gzip: bool) -> Option<(String, Vec<u8>)> {
    let content = content?;
    let ending = if kind == Kind::Plain { ".json" } else { ".json.gz" };
    let stem = &name[..name.len() - ending.len()];
    if kind == Kind::Plain {
        return Some((format!("{stem}.json"), content));
    }
    let plain = gunzip(&content)?;
    Some(if keep_gzip { (format!("{stem}.json.gz"), content) } else { (format!("{stem}.json"), plain) })
}

/// Gzip members one after the other, none being no bytes.
pub(crate) fn gunzip(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    while !bytes.is_empty() {
        GzDecoder::new(&mut bytes).take(MOST_BYTES).read_to_end(&mut plain).ok()?;
    }
    Some(plain)
}

fn find(bytes: &[u8], signature: [u8; 4]) -> impl DoubleEndedIterator<Item = usize> {
    bytes.windows(4).enumerate().filter(move |(_, found)| **found == signature).map(|(at, _)| at)
}

fn number(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let field = bytes.get(at..at.checked_add(width)?)?;
    field.iter().rev().try_fold(0usize, |number, byte| Some(number.checked_mul(256)? + usize::from(*byte)))
}

/// Start of a directory, what its offsets count from, and its number of entries, after each end record of the archive.
fn directories(zip: &[u8]) -> Vec<(usize, usize, usize)> {
    let mut found = Vec::new();
    for end in find(zip, *b"PK\x05\x06").rev() {
        let (Some(entries), Some(bytes), Some(offset)) =
            (number(zip, end + 10, 2), number(zip, end + 12, 4), number(zip, end + 16, 4))
        else {
            continue;
        };
        let first = find(&zip[..end], *b"PK\x01\x02").find(|at| *at >= offset);
        for start in [end.checked_sub(bytes), Some(offset), first].into_iter().flatten() {
            if let Some(base) = start.checked_sub(offset) {
                found.push((start, base, entries));
            }
        }
        let locator = end.checked_sub(20).filter(|at| zip[*at..].starts_with(b"PK\x06\x07"));
        if let Some(far) = locator.and_then(|at| number(zip, at + 8, 8)) {
            for at in find(&zip[..end], *b"PK\x06\x06") {
                let (Some(base), Some(entries), Some(offset)) =
                    (at.checked_sub(far), number(zip, at + 32, 8), number(zip, at + 48, 8))
                else {
                    continue;
                };
                found.extend(base.checked_add(offset).map(|start| (start, base, entries)));
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

type Content<'a> = Box<dyn Fn() -> Option<Vec<u8>> + 'a>;

/// Names and contents. Of a path that stands twice, the last counts.
fn members(zip: &[u8], start: usize, base: usize, entries: usize) -> Option<Vec<(String, Content<'_>)>> {
    let mut at = start;
    let mut members: Vec<(String, Content<'_>)> = Vec::new();
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    for _ in 0..entries {
        let header = zip.get(at..at.checked_add(46)?)?;
        if !header.starts_with(b"PK\x01\x02") {
            return None;
        }
        let (name_bytes, extra_bytes) = (number(header, 28, 2)?, number(header, 30, 2)?);
        let mut path = zip.get(at + 46..at + 46 + name_bytes)?.to_vec();
        let extra = zip.get(at + 46 + name_bytes..at + 46 + name_bytes + extra_bytes)?;
        at += 46 + name_bytes + extra_bytes + number(header, 32, 2)?;
        if let Some(field) = extra_field(extra, 0x7075) {
            path = field.get(5..)?.to_vec();
        }
        let mut large = extra_field(extra, 1).unwrap_or_default();
        let mut wide = |at: usize| {
            let narrow = number(header, at, 4)?;
            if narrow != 0xffff_ffff || large.len() < 8 {
                return Some(narrow);
            }
            let (field, rest) = large.split_at(8);
            large = rest;
            number(field, 0, 8)
        };
        // In the order of the extra field: the unpacked size comes first.
        wide(24)?;
        let packed_bytes = wide(20)?;
        let local = base.checked_add(wide(42)?)?;
        let (method, crc) = (number(header, 10, 2)?, number(header, 16, 4)?);
        let content = move || {
            let data = local.checked_add(30)?.checked_add(number(zip, local + 26, 2)?)?;
            let data = data.checked_add(number(zip, local + 28, 2)?)?;
            let packed = zip.get(data..data.checked_add(packed_bytes)?)?;
            let mut plain = Vec::new();
            match method {
                0 => plain.extend_from_slice(packed),
                8 => drop(DeflateDecoder::new(packed).take(MOST_BYTES).read_to_end(&mut plain).ok()?),
                _ => return None,
            }
            (crc32(&plain) == crc).then_some(plain)
        };
        let name = ascii(&path);
        let name = name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
        match places.get(&path) {
            Some(place) => members[*place] = (name, Box::new(content)),
            None => {
                places.insert(path, members.len());
                members.push((name, Box::new(content)));
            }
        }
    }
    Some(members)
}

/// A name with `?` for each run of other characters, whose coding is not this reader's matter.
pub(crate) fn ascii(name: &[u8]) -> String {
    let runs = name.chunk_by(|a, b| !a.is_ascii() && !b.is_ascii());
    runs.map(|run| if run[0].is_ascii() { char::from(run[0]) } else { '?' }).collect()
}

fn extra_field(mut extra: &[u8], wanted: usize) -> Option<&[u8]> {
    let mut last = None;
    while let (Some(id), Some(bytes)) = (number(extra, 0, 2), number(extra, 2, 2)) {
        // One that claims more than there is has what there is.
        let (field, rest) = extra[4..].split_at(bytes.min(extra.len() - 4));
        if id == wanted {
            last = Some(field);
        }
        extra = rest;
    }
    last
}

fn crc32(bytes: &[u8]) -> usize {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum() as usize
}
