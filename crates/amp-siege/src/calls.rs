//! An error from the k-th call on the data, for every k.

use std::io;

use amp_sandbox::folder;
use amp_sandbox::strace::{calls, is_there};

use crate::Siege;
use crate::contents::names;
use crate::lab::{Lab, Setup};
use crate::steps::{prepare, skip};
use crate::strace::{Census, fail_at, spread};
use crate::tally::Tally;

/// What may fail and how.
const ERRORS: [(&str, &[&str]); 17] = [
    ("write", &["ENOSPC", "EIO"]),
    ("pwrite64", &["ENOSPC", "EIO"]),
    ("read", &["EIO"]),
    ("pread64", &["EIO"]),
    ("fsync", &["EIO", "ENOSPC"]),
    ("fdatasync", &["EIO", "ENOSPC"]),
    ("rename", &["EACCES", "EIO", "ENOSPC"]),
    ("renameat", &["EACCES", "EIO", "ENOSPC"]),
    ("renameat2", &["EACCES", "EIO", "ENOSPC"]),
    ("unlink", &["EACCES", "EIO"]),
    ("unlinkat", &["EACCES", "EIO"]),
    ("mkdir", &["EACCES", "ENOSPC"]),
    ("openat", &["EACCES", "ENOSPC", "EMFILE"]),
    ("flock", &["ENOLCK"]),
    ("fallocate", &["ENOSPC", "EOPNOTSUPP"]),
    ("utimensat", &["EACCES"]),
    ("getdents64", &["EIO"]),
];

pub(crate) fn run(siege: &Siege, tally: &mut Tally) -> io::Result<()> {
    if !is_there() {
        return skip(siege, tally);
    }
    let mut random = siege.random("calls", 0);
    let mut setup = Setup::small(random.u64(..))?;
    setup.dataset = setup.dataset.events_in_file(setup.window.end, 1, 700);
    let mut lab = Lab::new(siege, "calls", &setup)?;
    let names: Vec<&str> = ERRORS.iter().map(|(call, _)| *call).collect();
    let most = if siege.short { 1 } else { 40 };
    for program in ["amp-extract", "amp-load"] {
        prepare(&mut lab, program)?;
        let census = Census::take(&lab, program, &names)?;
        for (call, errors) in ERRORS {
            let Some(numbers) = census.ours.get(call) else { continue };
            let errors = if siege.short { &errors[..1] } else { errors };
            for (k, error) in spread(numbers, most).into_iter().flat_map(|k| errors.iter().map(move |e| (k, *e))) {
                if !attempt(&mut lab, tally, program, (call, k, error))? {
                    lab = Lab::new(siege, &format!("calls-{}", tally.violations()), &setup)?;
                }
                if tally.is_lost() {
                    return Ok(());
                }
            }
        }
    }
    if tally.held() { lab.clear() } else { Ok(()) }
}

fn attempt(
    lab: &mut Lab<'_>,
    tally: &mut Tally,
    program: &str,
    (call, k, error): (&str, u32, &str),
) -> io::Result<bool> {
    prepare(lab, program)?;
    let log = lab.folder.join("strace.log");
    let ended = lab.start(&fail_at(call, k, error, &log.display().to_string()), program, &[])?.wait()?;
    let hit: Vec<_> = calls(&log, &lab.folder)?.into_iter().filter(|made| made.injected).collect();
    let about: Vec<&str> = hit.iter().map(|made| made.about.as_str()).collect();
    let step = format!("{program}: {call} {k} gives {error} ({})", about.join(", "));
    let before = tally.violations();
    if hit.iter().any(|made| made.is_ours) {
        tally.attacks += 1;
    }
    // What else it hit (a pipe, the runtime's own wake-up call, a library) is not what is tested.
    if hit.is_empty() {
        tally.count("hit nothing", 1);
    } else if hit.iter().all(|made| made.is_ours) {
        if let Some(problem) = ended.wrong_end(&[0, 1, 2, 3, 75]) {
            tally.violated(&problem, &step, &lab.folder);
        }
        let undeletable = ["unlink", "unlinkat", "openat", "getdents64"].contains(&call);
        for name in names(&lab.folder.join("extracted_data/.amp/partial"))?.iter().filter(|_| !undeletable) {
            tally.violated(&format!("partial/{name} left behind"), &step, &lab.folder);
        }
        let code = ended.code.map_or_else(|| "signal".to_owned(), |code| format!("exit {code}"));
        tally.count(&code, 1);
        if ended.code == Some(0) && !is_done(lab, program)? {
            tally.violated("it ended with 0, and its work is not done", &step, &lab.folder);
        }
    } else {
        tally.count("hit others too", 1);
    }
    lab.check(tally, &step)?;
    if call.starts_with("unlink") && ended.stderr.contains("cannot delete") {
        // That an archive could not be deleted was said; no later run looks at it again.
        folder::clear(&lab.folder.join("downloaded_data"))?;
    }
    lab.peace(tally, &step, &[])?;
    Ok(tally.violations() == before)
}

/// Whether all files are staged or beyond, and for amp-load in the bucket.
fn is_done(lab: &Lab<'_>, program: &str) -> io::Result<bool> {
    let staged = names(&lab.folder.join("extracted_data"))?;
    let object = |name: &str| lab.s3.object(crate::lab::BUCKET, name).is_some();
    Ok(lab.expected.keys().all(|name| object(name) || (program == "amp-extract" && staged.contains(name))))
}
