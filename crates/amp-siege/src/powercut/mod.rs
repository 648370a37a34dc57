//! Power cuts by replay: of what strace saw a program do, any legal part is on the disk, and both programs go on from there.

mod disk;
mod trace;

use std::io;
use std::path::Path;

use amp_sandbox::strace::is_there;

use self::disk::Disk;
use self::trace::{CALLS, Event, FLAGS, events};
use crate::Siege;
use crate::lab::{BUCKET, Lab, Setup};
use crate::steps::{prepare, skip};
use crate::tally::Tally;

/// What the programs write to. Their logs promise nothing.
const PARTS: [&str; 2] = ["extracted_data", "downloaded_data"];
/// Cuts of each program.
const CUTS: usize = 250;

pub(crate) fn run(siege: &Siege, tally: &mut Tally) -> io::Result<()> {
    if !is_there() {
        return skip(siege, tally);
    }
    let mut random = siege.random("powercut", 0);
    let mut setup = Setup::small(random.u64(..))?;
    // The last file goes by multipart upload.
    setup.dataset = setup.dataset.events_in_file(setup.window.end, 1, 700);
    let mut lab = Lab::new(siege, "powercut", &setup)?;
    for program in ["amp-extract", "amp-load"] {
        prepare(&mut lab, program)?;
        // What is staged by now must not get lost.
        lab.check(tally, &format!("before {program}"))?;
        let staged = lab.watch.clone();
        let mut disk = Disk::of(&lab.folder, &PARTS)?;
        let events = traced(&lab, program)?;
        disk.replay(&events);
        for number in 0..if siege.short { CUTS / 25 } else { CUTS } {
            let cut = random.choice(&events).map_or(0, |event| event.ended);
            let step = format!("{program}: cut {number}, after line {cut}");
            lab.reset()?;
            disk.cut(cut, &mut random).restore(&lab.folder)?;
            let loads = disk.written_below(Path::new("extracted_data/.amp/loads"), &events, cut);
            restore_bucket(&lab, &loads)?;
            lab.watch = staged.clone();
            tally.attacks += 1;
            if !(lab.check(tally, &step)? && lab.peace(tally, &step, &[])?) {
                // This one is left for inspection.
                lab = Lab::new(siege, &format!("powercut-{}", tally.violations()), &setup)?;
            }
            if tally.is_lost() {
                return Ok(());
            }
        }
        tally.count(&format!("steps of {program}"), events.len() as u64);
    }
    if tally.held() { lab.clear() } else { Ok(()) }
}

/// What a program that nobody disturbs changes.
fn traced(lab: &Lab<'_>, program: &str) -> io::Result<Vec<Event>> {
    let log = lab.folder.join("strace.log");
    let log_name = log.display().to_string();
    let wrapper = [&["strace"], &FLAGS[..], &[&log_name, "--seccomp-bpf", "-e", CALLS]].concat();
    let wrapper: Vec<String> = wrapper.into_iter().map(str::to_owned).collect();
    let ended = lab.start(&wrapper, program, &[])?.wait()?;
    if let Some(problem) = ended.wrong_end(&[0]) {
        return Err(io::Error::other(format!("{program} under strace: {problem}")));
    }
    events(&log, &lab.folder)
}

/// The bucket has what was about to be recorded as loaded, and nothing that might only have been uploaded: the least that is legal.
fn restore_bucket(lab: &Lab<'_>, loads: &[u8]) -> io::Result<()> {
    let loads = String::from_utf8_lossy(loads);
    for (name, bytes) in lab.expected.iter().filter(|(name, _)| loads.contains(name.as_str())) {
        lab.s3.put_object_directly(BUCKET, name, bytes)?;
    }
    Ok(())
}
