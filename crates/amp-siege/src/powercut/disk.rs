//! What may be on a disk after a power cut, by what was changed and synced until then.
//!
//! Assumed of the file system is what POSIX says, and no more, but for the last of these:
//! - What was written to a file, its length and its attributes are there after `fsync`; after `fdatasync` attributes need not be. Until then
//!   each file has lost all of it, kept all, kept it up to some byte, or has its length with zeros in place of the bytes.
//! - A name that was made, changed or removed in a directory is so after `fsync` of that directory. Until then any of these may have come to
//!   pass and any not; a file is synced and gone if its name is not. Changes that concern one name keep their order.
//! - A rename is atomic, between directories, too, and `fsync` of either one keeps it.
//!
//! Longer than 350 lines: these rules, how a trace is replayed by them and their tests are read together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use rustix::fs::{XattrFlags, setxattr};

use super::trace::{Event, Step};

/// A change, and when it was made.
struct Change<T> {
    at: usize,
    what: T,
    /// When it was on disk for sure.
    synced: Option<usize>,
}

impl<T> Change<T> {
    fn new(event: &Event, what: T) -> Self {
        Self { at: event.ended, what, synced: None }
    }

    fn sync(&mut self, by: &Event) {
        if self.at < by.began && self.synced.is_none() {
            self.synced = Some(by.ended);
        }
    }

    fn is_synced(&self, cut: usize) -> bool {
        self.synced.is_some_and(|synced| synced <= cut)
    }
}

/// To a file.
enum Content {
    Write(u64, Vec<u8>),
    Truncate(u64),
    Grow(u64),
    Attribute(String, Vec<u8>),
}

/// To the names.
enum Naming {
    Make(PathBuf, Node),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf, Node),
}

impl Naming {
    fn concerns(&self, dir: &Path) -> bool {
        let is_in = |path: &PathBuf| path.parent() == Some(dir);
        match self {
            Self::Make(path, _) | Self::Remove(path) => is_in(path),
            Self::Rename(from, to, _) => is_in(from) || is_in(to),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Make(path, node) => drop(names.insert(path.clone(), *node)),
            Self::Remove(path) => drop(names.remove(path)),
            Self::Rename(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Node {
    Dir,
    File(usize),
}

#[derive(Default)]
struct File {
    before: Vec<u8>,
    changes: Vec<Change<Content>>,
    length: u64,
}

/// What a descriptor is of: which file, where in it, and whether each write goes to its end.
struct Opened {
    number: usize,
    place: u64,
    appends: bool,
}

type Descriptors = HashMap<i64, Opened>;

/// All that happened to a folder, from a state that was all on disk.
#[derive(Default)]
pub(super) struct Disk {
    before: BTreeMap<PathBuf, Node>,
    files: Vec<File>,
    names: Vec<Change<Naming>>,
}

/// One state that a cut may leave.
pub(super) struct Remains {
    dirs: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, FileState>,
}

/// A file's bytes, and its extended attributes by name.
type FileState = (Vec<u8>, BTreeMap<String, Vec<u8>>);

impl Disk {
    /// A folder as it is before the first event: these parts of it.
    pub(super) fn of(folder: &Path, parts: &[&str]) -> io::Result<Self> {
        let mut disk = Self::default();
        for part in parts {
            disk.add(folder, Path::new(part))?;
        }
        Ok(disk)
    }

    fn add(&mut self, folder: &Path, path: &Path) -> io::Result<()> {
        let full = folder.join(path);
        if full.is_dir() {
            self.before.insert(path.to_owned(), Node::Dir);
            for entry in fs::read_dir(full)? {
                self.add(folder, &path.join(entry?.file_name()))?;
            }
        } else if full.is_file() {
            let before = fs::read(full)?;
            self.before.insert(path.to_owned(), Node::File(self.files.len()));
            self.files.push(File { length: before.len() as u64, before, ..File::default() });
        }
        Ok(())
    }

    /// Takes in what happened.
    pub(super) fn replay(&mut self, events: &[Event]) {
        let mut names = self.before.clone();
        let mut open = Descriptors::new();
        for event in events {
            let naming = match &event.step {
                Step::Open { descriptor, path, creates, truncates, appends } => {
                    let known = names.get(path).copied();
                    let number = match known {
                        Some(Node::File(number)) => number,
                        None if *creates => self.files.len(),
                        _ => {
                            open.remove(descriptor);
                            continue;
                        }
                    };
                    open.insert(*descriptor, Opened { number, place: 0, appends: *appends });
                    if known.is_none() {
                        self.files.push(File::default());
                        Naming::Make(path.clone(), Node::File(number))
                    } else {
                        if *truncates {
                            self.files[number].change(event, Content::Truncate(0));
                        }
                        continue;
                    }
                }
                Step::MakeDir(path) => Naming::Make(path.clone(), Node::Dir),
                Step::Rename { from, to } => match names.get(from) {
                    Some(node) => Naming::Rename(from.clone(), to.clone(), *node),
                    None => continue,
                },
                Step::Unlink(path) => Naming::Remove(path.clone()),
                step => {
                    self.change_or_sync(event, step, &mut open);
                    continue;
                }
            };
            naming.apply(&mut names);
            self.names.push(Change::new(event, naming));
        }
    }

    fn change_or_sync(&mut self, event: &Event, step: &Step, open: &mut Descriptors) {
        let (descriptor, what) = match step {
            Step::Truncate { descriptor, length } => (descriptor, Content::Truncate(*length)),
            Step::Allocate { descriptor, length } => (descriptor, Content::Grow(*length)),
            Step::SetAttribute { descriptor, name, value } => {
                (descriptor, Content::Attribute(name.clone(), value.clone()))
            }
            Step::Write { descriptor, offset, data } => {
                let Some(Opened { number, place, appends }) = open.get_mut(descriptor) else { return };
                let at = offset.unwrap_or(if *appends { self.files[*number].length } else { *place });
                if offset.is_none() {
                    *place = at + data.len() as u64;
                }
                (descriptor, Content::Write(at, data.clone()))
            }
            Step::Seek { descriptor, place } => {
                if let Some(opened) = open.get_mut(descriptor) {
                    opened.place = *place;
                }
                return;
            }
            Step::Sync { descriptor, path, data_only } => {
                return self.sync(event, open.get(descriptor), path, *data_only);
            }
            _ => return,
        };
        if let Some(opened) = open.get(descriptor) {
            self.files[opened.number].change(event, what);
        }
    }

    /// Syncs a file, or the directory `path`.
    fn sync(&mut self, event: &Event, file: Option<&Opened>, path: &Path, data_only: bool) {
        match file {
            Some(file) => {
                let is_kept = |what: &Content| !data_only || !matches!(what, Content::Attribute(..));
                let changes = self.files[file.number].changes.iter_mut();
                changes.filter(|change| is_kept(&change.what)).for_each(|change| change.sync(event));
            }
            None => {
                let changes = self.names.iter_mut().filter(|change| change.what.concerns(path));
                changes.for_each(|change| change.sync(event));
            }
        }
    }

    /// What a cut after that line of the log may leave.
    pub(super) fn cut(&self, cut: usize, random: &mut Rng) -> Remains {
        let mut names = self.before.clone();
        // All that is not synced, nothing of it, or each change as it falls.
        let odds = *random.choice(&[0.0, 1.0, 0.5]).unwrap_or(&0.5);
        for change in self.names.iter().filter(|change| change.at <= cut) {
            if change.is_synced(cut) || random.f64() < odds {
                change.what.apply(&mut names);
            }
        }
        let (mut dirs, mut files) = (BTreeSet::new(), BTreeMap::new());
        // A directory comes before what is in it, and what is in one that is gone is gone.
        for (path, node) in names {
            let is_there = path.parent().is_some_and(|dir| dir.as_os_str().is_empty() || dirs.contains(dir));
            match node {
                _ if !is_there => {}
                Node::Dir => drop(dirs.insert(path)),
                Node::File(number) => drop(files.insert(path, self.files[number].cut(cut, random))),
            }
        }
        Remains { dirs, files }
    }

    /// What was written below `dir` by that line, or was about to be.
    pub(super) fn written_below(&self, dir: &Path, events: &[Event], cut: usize) -> Vec<u8> {
        let mut descriptors = BTreeSet::new();
        let mut written = Vec::new();
        for event in events.iter().filter(|event| event.began <= cut) {
            match &event.step {
                Step::Open { descriptor, path, .. } if path.starts_with(dir) => drop(descriptors.insert(*descriptor)),
                Step::Open { descriptor, .. } => drop(descriptors.remove(descriptor)),
                Step::Write { descriptor, data, .. } if descriptors.contains(descriptor) => written.extend(data),
                _ => {}
            }
        }
        written
    }
}

impl File {
    fn change(&mut self, event: &Event, what: Content) {
        self.length = match &what {
            Content::Write(at, data) => self.length.max(at + data.len() as u64),
            Content::Truncate(length) => *length,
            Content::Grow(length) => self.length.max(*length),
            Content::Attribute(..) => self.length,
        };
        self.changes.push(Change::new(event, what));
    }

    fn cut(&self, cut: usize, random: &mut Rng) -> FileState {
        let (mut bytes, mut attributes) = (self.before.clone(), BTreeMap::new());
        let made: Vec<_> = self.changes.iter().filter(|change| change.at <= cut).collect();
        let unsynced = made.iter().filter(|change| !change.is_synced(cut)).count();
        let fate = random.u8(..4);
        let kept = match fate {
            0 => 0,
            1 => random.usize(..=unsynced),
            _ => unsynced,
        };
        let mut left = kept;
        for change in made {
            let is_synced = change.is_synced(cut);
            if !is_synced {
                if left == 0 {
                    continue;
                }
                left -= 1;
            }
            match &change.what {
                Content::Truncate(length) => bytes.resize(usize::try_from(*length).unwrap_or_default(), 0),
                Content::Grow(length) => bytes.resize(bytes.len().max(usize::try_from(*length).unwrap_or_default()), 0),
                Content::Attribute(name, value) => drop(attributes.insert(name.clone(), value.clone())),
                Content::Write(at, data) => {
                    let mut data = data.clone();
                    if !is_synced && fate == 1 && left == 0 {
                        data.truncate(random.usize(..=data.len()));
                    } else if !is_synced && fate == 3 {
                        data.fill(0);
                    }
                    let at = usize::try_from(*at).unwrap_or_default();
                    bytes.resize(bytes.len().max(at + data.len()), 0);
                    bytes[at..at + data.len()].copy_from_slice(&data);
                }
            }
        }
        (bytes, attributes)
    }
}

impl Remains {
    /// Makes a folder so, which has none of it.
    pub(super) fn restore(&self, folder: &Path) -> io::Result<()> {
        self.dirs.iter().try_for_each(|dir| fs::create_dir(folder.join(dir)))?;
        for (path, (bytes, attributes)) in &self.files {
            let path = folder.join(path);
            fs::write(&path, bytes)?;
            for (name, value) in attributes {
                setxattr(&path, name.as_str(), value, XattrFlags::empty())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One after the other.
    fn history(steps: Vec<Step>) -> (Disk, usize) {
        let events: Vec<Event> =
            steps.into_iter().enumerate().map(|(at, step)| Event { began: at, ended: at, step }).collect();
        let mut disk = Disk::default();
        disk.replay(&events);
        (disk, events.len())
    }

    fn create(descriptor: i64, path: &str) -> Step {
        Step::Open { descriptor, path: path.into(), creates: true, truncates: false, appends: false }
    }

    fn write(descriptor: i64, data: &[u8]) -> Step {
        Step::Write { descriptor, offset: None, data: data.to_vec() }
    }

    fn sync(descriptor: i64, path: &str) -> Step {
        Step::Sync { descriptor, path: path.into(), data_only: false }
    }

    /// Every state in some thousand: the files, with what they hold.
    fn states((disk, end): (Disk, usize)) -> BTreeSet<Vec<(String, Vec<u8>)>> {
        let mut random = Rng::with_seed(1);
        let state = |_| {
            let files = disk.cut(end, &mut random).files.into_iter();
            files.map(|(path, (bytes, _))| (path.display().to_string(), bytes)).collect()
        };
        (0..2000).map(state).collect()
    }

    fn file(name: &str, bytes: &[u8]) -> (String, Vec<u8>) {
        (name.to_owned(), bytes.to_vec())
    }

    #[test]
    fn what_is_not_synced_may_be_there_in_part_as_zeros_or_not_at_all() {
        let found = states(history(vec![create(3, "a"), write(3, b"xy")]));
        let contents: [&[u8]; 4] = [b"", b"x", b"xy", b"\0\0"];
        assert_eq!(found, contents.map(|bytes| vec![file("a", bytes)]).into_iter().chain([vec![]]).collect());
    }

    #[test]
    fn what_is_synced_is_there_if_its_name_is() {
        let steps = || vec![create(3, "a"), write(3, b"xy"), sync(3, "a")];
        assert_eq!(states(history(steps())), [vec![], vec![file("a", b"xy")]].into());
        let steps = steps().into_iter().chain([sync(4, "")]).collect();
        assert_eq!(states(history(steps)), [vec![file("a", b"xy")]].into());
    }

    #[test]
    fn a_rename_keeps_the_file_under_either_name() {
        let rename = Step::Rename { from: "a".into(), to: "b".into() };
        let steps =
            vec![create(3, "a"), write(3, b"x"), sync(3, "a"), sync(4, ""), rename, write(3, b"y"), sync(3, "b")];
        assert_eq!(states(history(steps)), [vec![file("a", b"xy")], vec![file("b", b"xy")]].into());
    }

    #[test]
    fn what_is_in_a_directory_goes_with_its_name() {
        let steps = vec![Step::MakeDir("d".into()), create(3, "d/a"), sync(4, "d")];
        assert_eq!(states(history(steps)), [vec![], vec![file("d/a", b"")]].into());
    }
}
