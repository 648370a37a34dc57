//! What a program changed on the disk, in order, from a log of strace with all data in it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Calls that change a file or a directory, or sync one.
pub(super) const CALLS: &str = "trace=openat,mkdir,write,pwrite64,writev,lseek,ftruncate,fallocate,fsetxattr,fsync,fdatasync,\
                                rename,renameat,renameat2,unlink,unlinkat";
/// How the log must be written: all threads, paths of descriptors, every byte in hexadecimal.
pub(super) const FLAGS: [&str; 7] = ["-f", "-y", "-qq", "-xx", "-s", "16777216", "-o"];

/// A step, and between which lines of the log it was made.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) began: usize,
    pub(super) ended: usize,
    pub(super) step: Step,
}

/// Paths are relative to the folder.
#[derive(Debug)]
pub(super) enum Step {
    Open {
        descriptor: i64,
        path: PathBuf,
        creates: bool,
        truncates: bool,
        appends: bool,
    },
    MakeDir(PathBuf),
    /// At the descriptor's own place, without an offset.
    Write {
        descriptor: i64,
        offset: Option<u64>,
        data: Vec<u8>,
    },
    Seek {
        descriptor: i64,
        place: u64,
    },
    Truncate {
        descriptor: i64,
        length: u64,
    },
    Allocate {
        descriptor: i64,
        length: u64,
    },
    SetAttribute {
        descriptor: i64,
        name: String,
        value: Vec<u8>,
    },
    Sync {
        descriptor: i64,
        path: PathBuf,
        data_only: bool,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Unlink(PathBuf),
}

/// The steps below `folder` that went well, in the order in which they came back.
pub(super) fn events(log: &Path, folder: &Path) -> io::Result<Vec<Event>> {
    let text = fs::read(log)?;
    Ok(parse(&String::from_utf8_lossy(&text), folder))
}

fn parse(text: &str, folder: &Path) -> Vec<Event> {
    let mut begun: HashMap<&str, (usize, &str)> = HashMap::new();
    let mut events = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(first) = rest.strip_suffix("<unfinished ...>") {
            begun.insert(thread, (number, first));
            continue;
        }
        let (began, whole) = match rest.split_once(" resumed>") {
            Some((_, last)) => match begun.remove(thread) {
                Some((began, first)) => (began, format!("{first}{last}")),
                None => continue,
            },
            None => (number, rest.to_owned()),
        };
        if let Some(step) = step(&whole, folder) {
            events.push(Event { began, ended: number, step });
        }
    }
    events
}

fn step(call: &str, folder: &Path) -> Option<Step> {
    let (name, rest) = call.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let result: i64 = result.split(['<', ' ']).next()?.parse().ok().filter(|result| *result >= 0)?;
    let strings: Vec<Vec<u8>> = arguments.split('"').skip(1).step_by(2).map(bytes).collect();
    // A name that is given is relative to the folder, in which the program runs.
    let given = |index: usize| below(strings.get(index)?, folder);
    let opened = || {
        let (descriptor, rest) = arguments.split_once('<')?;
        // A pipe or a socket has no path.
        let path = Some(bytes(rest.split_once('>')?.0)).filter(|path| path.starts_with(b"/"))?;
        Some((descriptor.parse().ok()?, below(&path, folder)?))
    };
    let number = |index: usize| arguments.trim_end_matches(')').split(", ").nth(index)?.parse().ok();
    Some(match name {
        "openat" => Step::Open {
            descriptor: result,
            path: given(0)?,
            creates: arguments.contains("O_CREAT"),
            truncates: arguments.contains("O_TRUNC"),
            appends: arguments.contains("O_APPEND"),
        },
        "mkdir" => Step::MakeDir(given(0)?),
        "write" | "writev" | "pwrite64" => {
            let mut data = strings.concat();
            data.truncate(usize::try_from(result).ok()?);
            let offset = if name == "pwrite64" { Some(number(3)?) } else { None };
            Step::Write { descriptor: opened()?.0, offset, data }
        }
        "lseek" => Step::Seek { descriptor: opened()?.0, place: result.try_into().ok()? },
        "ftruncate" => Step::Truncate { descriptor: opened()?.0, length: number(1)? },
        "fallocate" => Step::Allocate { descriptor: opened()?.0, length: number(2)? + number(3)? },
        "fsetxattr" => Step::SetAttribute {
            descriptor: opened()?.0,
            name: String::from_utf8(strings.first()?.clone()).ok()?,
            value: strings.get(1)?.clone(),
        },
        "fsync" | "fdatasync" => {
            let (descriptor, path) = opened()?;
            Step::Sync { descriptor, path, data_only: name == "fdatasync" }
        }
        "rename" | "renameat" | "renameat2" => Step::Rename { from: given(0)?, to: given(1)? },
        "unlink" | "unlinkat" => Step::Unlink(given(0)?),
        _ => return None,
    })
}

/// A path of the folder, without it.
fn below(path: &[u8], folder: &Path) -> Option<PathBuf> {
    let path = Path::new(std::str::from_utf8(path).ok()?);
    if path.is_relative() { Some(path.to_owned()) } else { path.strip_prefix(folder).ok().map(Path::to_owned) }
}

/// `\x41\x42`, or what strace left as it is.
fn bytes(text: &str) -> Vec<u8> {
    if !text.starts_with("\\x") {
        return text.as_bytes().to_vec();
    }
    text.split("\\x").skip(1).map(|digits| u8::from_str_radix(digits, 16).unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_read_with_its_data_also_where_another_thread_came_between() {
        let text = "7 openat(AT_FDCWD<\\x2f\\x78>, \"\\x61\", O_WRONLY|O_CREAT|O_APPEND, 0600) = 3<\\x2f\\x78\\x2f\\x61>\n\
                    7 write(3<\\x2f\\x78\\x2f\\x61>, \"\\x68\\x69\" <unfinished ...>\n\
                    8 fsync(4<\\x2f\\x78>) = 0\n\
                    7 <... write resumed>, 2) = 1\n\
                    8 fsync(3<\\x2f\\x79>) = 0\n\
                    8 unlink(\"\\x61\") = -1 ENOENT (No such file or directory)\n";
        let events = parse(text, Path::new("/x"));
        let [open, sync, write] = &events[..] else { panic!("{events:?}") };
        assert!(
            matches!(&open.step, Step::Open { descriptor: 3, creates: true, truncates: false, appends: true, path }
            if path == Path::new("a"))
        );
        assert!(matches!(&sync.step, Step::Sync { data_only: false, path, .. } if path.as_os_str().is_empty()));
        assert!(
            matches!(&write.step, Step::Write { descriptor: 3, offset: None, data } if data == b"h"),
            "1 of 2 bytes"
        );
        assert_eq!((write.began, write.ended), (1, 3));
    }
}
