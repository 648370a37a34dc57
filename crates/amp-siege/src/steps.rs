//! SIGKILL at each step on purpose: before every system call that changes a file or sends to S3.

use std::io;

use amp_sandbox::strace::is_there;

use crate::Siege;
use crate::lab::{Lab, Setup};
use crate::strace::{Census, kill_about, kill_at, spread};
use crate::tally::Tally;

const CALLS: [&str; 22] = [
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "flock",
    "openat",
    "mkdir",
    "ftruncate",
    "fallocate",
    "utimensat",
    "fsetxattr",
    "lseek",
    "getdents64",
    "sendto",
    "sendmsg",
    "writev",
    "exit_group",
];

pub(crate) fn run(siege: &Siege, tally: &mut Tally) -> io::Result<()> {
    if !is_there() {
        return skip(siege, tally);
    }
    let mut random = siege.random("steps", 0);
    let mut setup = Setup::small(random.u64(..))?;
    // The last file goes by multipart upload.
    setup.dataset = setup.dataset.events_in_file(setup.window.end, 1, 700);
    let mut lab = Lab::new(siege, "steps", &setup)?;
    for program in ["amp-extract", "amp-load"] {
        prepare(&mut lab, program)?;
        let census = Census::take(&lab, program, &CALLS)?;
        each_call(&mut lab, tally, program, &setup, &census)?;
        each_path(&mut lab, tally, program, &setup, &census)?;
    }
    if tally.held() { lab.clear() } else { Ok(()) }
}

/// Kills before each call of each kind.
fn each_call(lab: &mut Lab<'_>, tally: &mut Tally, program: &str, setup: &Setup, census: &Census) -> io::Result<()> {
    for (call, numbers) in &census.all {
        let before = tally.attacks;
        for k in spread(numbers, if lab.siege.short { 1 } else { 40 }) {
            let step = format!("{program} killed before {call} {k}");
            if attempt(lab, tally, program, setup, &kill_at(call, k), &step)? {
                tally.count(&format!("at {call}"), 1);
            }
        }
        if tally.attacks == before {
            tally.violated("strace killed nothing", &format!("{program} {call}"), &lab.folder);
        }
    }
    Ok(())
}

/// Kills before each call about each file, whichever thread makes it.
fn each_path(lab: &mut Lab<'_>, tally: &mut Tally, program: &str, setup: &Setup, census: &Census) -> io::Result<()> {
    for ((path, call), most) in census.about.iter().step_by(if lab.siege.short { 12 } else { 1 }) {
        for k in 1..=*most {
            let step = format!("{program} killed before {call} {k} about {path}");
            let wrapper = kill_about(path, &lab.folder, call, k);
            let killed = attempt(lab, tally, program, setup, &wrapper, &step)?;
            tally.count("before a call about a file of ours", u64::from(killed));
            if lab.siege.short {
                break;
            }
        }
    }
    Ok(())
}

/// Says whether the program was killed.
fn attempt(
    lab: &mut Lab<'_>,
    tally: &mut Tally,
    program: &str,
    setup: &Setup,
    wrapper: &[String],
    step: &str,
) -> io::Result<bool> {
    if tally.is_lost() {
        return Ok(false);
    }
    prepare(lab, program)?;
    let ended = lab.start(wrapper, program, &[])?.wait()?;
    let killed = ended.was_killed();
    tally.attacks += u64::from(killed);
    if let Some(problem) = ended.wrong_end(&[0]).filter(|_| !killed) {
        tally.violated(&format!("not killed: {problem}"), step, &lab.folder);
    }
    if !(lab.check(tally, step)? && lab.peace(tally, step, &[])?) {
        // This one is left for inspection.
        *lab = Lab::new(lab.siege, &format!("steps-{}", tally.violations()), setup)?;
    }
    Ok(killed)
}

/// A fresh lab, in which amp-load has what to load.
pub(crate) fn prepare(lab: &mut Lab<'_>, program: &str) -> io::Result<()> {
    lab.reset()?;
    if program == "amp-load" && lab.run("amp-extract", &[])?.code != Some(0) {
        return Err(io::Error::other("amp-extract does not stage what amp-load is to load"));
    }
    Ok(())
}

/// Without strace.
pub(crate) fn skip(siege: &Siege, tally: &mut Tally) -> io::Result<()> {
    if siege.require_strace {
        return Err(io::Error::other("strace is missing or may not trace; install it, or leave --require-strace out"));
    }
    tally.note("SKIPPED: strace is missing or may not trace");
    Ok(())
}
