//! A disk of 24 MiB that fills up, while downloading, while unpacking and while loading.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use amp_sandbox::events::Dataset;

use crate::Siege;
use crate::contents::names;
use crate::lab::{Lab, Setup, window};
use crate::tally::Tally;

/// A file system in memory; unmounted when dropped.
pub(crate) struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Of so many MiB; none where we may not mount.
    pub(crate) fn mount(at: &Path, mib: u32) -> Option<Self> {
        let mounted = mount(&["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"], at);
        mounted.then(|| Self(at.to_owned()))
    }

    fn grow(&self) -> bool {
        mount(&["-o", "remount,size=400m"], &self.0)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        unmount(&self.0);
    }
}

/// If it can't be unmounted now, the next siege tries again.
fn unmount(at: &Path) {
    let _ = Command::new("umount").arg(at).stderr(Stdio::null()).status();
}

/// Unmounts what an earlier siege left mounted below its folder, for inspection or because it was stopped.
pub(crate) fn release(folder: &Path) {
    let labs = (0..CASES.len()).map(|number| folder.join(format!("disk-{number}"))).chain([folder.join("year")]);
    labs.filter(|lab| lab.is_dir()).for_each(|lab| unmount(&lab));
}

fn mount(options: &[&str], at: &Path) -> bool {
    Command::new("mount").args(options).arg(at).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Bytes of the disk.
const FULL: u64 = 24 << 20;

/// What is full when, and what amp-extract is told about limits.
const CASES: [(&str, u64, &[&str]); 4] = [
    // The archive fits, what is in it does not: the limit says so beforehand, or the disk itself.
    ("unpacking, by the limit", 0, &[]),
    ("unpacking, by the disk", 0, &["--max-unpacked", "10G"]),
    ("downloading", 22 << 20, &["--max-unpacked", "10G"]),
    ("the ledger", FULL, &[]),
];

pub(crate) fn run(siege: &Siege, tally: &mut Tally) -> io::Result<()> {
    let window = window("2025-11-06T22..2025-11-06T23")?;
    let seed = siege.random("disk", 0).u64(..);
    // One file is so small that it is put whole.
    let dataset = Dataset::new(seed).parts_per_hour(2).events_per_part(6_000).events_in_file(window.start, 0, 20);
    let setup = Setup::new(dataset, window);
    for (number, (what, ballast, more)) in CASES.into_iter().enumerate().skip(if siege.short { 3 } else { 0 }) {
        let name = format!("disk-{number}");
        let folder = siege.folder.join(&name);
        fs::create_dir_all(&folder)?;
        let Some(tmpfs) = Tmpfs::mount(&folder, 24) else {
            tally.note("SKIPPED: no tmpfs can be mounted here");
            return Ok(());
        };
        // The lake grows elsewhere.
        std::os::unix::fs::symlink(elsewhere(siege, &name)?, folder.join("lake"))?;
        let mut lab = Lab::new(siege, &name, &setup)?;
        if ballast == FULL {
            lab.run("amp-extract", &["--max-unpacked", "1"])?;
        }
        fill(&folder.join("ballast"), ballast)?;
        let before = tally.violations();
        // The ledger has room in its last page for some lines, then for half of one.
        for _ in 0..if ballast == FULL { 40 } else { 2 } {
            tally.attacks += 1;
            let ended = lab.run("amp-extract", more)?;
            let step = format!("disk full: {what}");
            if let Some(problem) = ended.wrong_end(&[1, 2, 75]) {
                tally.violated(&problem, &step, &lab.folder);
            }
            let told = ["No space left", "free", "--max-unpacked"].iter().any(|word| ended.stderr.contains(word));
            if !told && !ended.stderr.is_empty() {
                tally.violated(&format!("the disk is not named: {}", ended.stderr), &step, &lab.folder);
            }
            for folder in ["extracted_data/.amp/partial", "downloaded_data"] {
                for name in names(&lab.folder.join(folder))?.iter().filter(|name| !name.ends_with(".zip")) {
                    tally.violated(&format!("{folder}/{name} takes room that is lacking"), &step, &lab.folder);
                }
            }
            lab.check(tally, &step)?;
        }
        if !tmpfs.grow() {
            tally.note("the tmpfs can't be grown");
            return Ok(());
        }
        lab.peace(tally, &format!("after growing the disk: {what}"), &[])?;
        loading(&mut lab, tally)?;
        let well = tally.violations() == before;
        drop(lab);
        if well {
            drop(tmpfs);
        } else {
            // Left mounted for inspection.
            std::mem::forget(tmpfs);
        }
    }
    Ok(())
}

/// Nothing may be deleted whose load can't be noted.
fn loading(lab: &mut Lab<'_>, tally: &mut Tally) -> io::Result<()> {
    lab.reset()?;
    if lab.run("amp-extract", &[])?.code != Some(0) {
        tally.violated("amp-extract fails with room enough", "disk full: loading", &lab.folder);
    }
    let full = lab.folder.join("full");
    fill(&full, u64::MAX)?;
    tally.attacks += 1;
    let ended = lab.run("amp-load", &[])?;
    if let Some(problem) = ended.wrong_end(&[0, 1, 2, 75]) {
        tally.violated(&problem, "disk full: loading", &lab.folder);
    }
    lab.check(tally, "disk full: loading")?;
    amp_sandbox::folder::clear(&full)?;
    lab.peace(tally, "after making room for loading", &[])?;
    Ok(())
}

fn elsewhere(siege: &Siege, name: &str) -> io::Result<PathBuf> {
    let lake = siege.folder.join(format!("{name}-lake"));
    fs::create_dir_all(&lake)?;
    Ok(lake)
}

/// Writes so many bytes, or as many as there is room for.
pub(crate) fn fill(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    let chunk = vec![1; 4096];
    let mut written = 0;
    while written < bytes {
        match file.write(&chunk) {
            Ok(more) => written += more as u64,
            Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
