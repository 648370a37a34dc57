//! Runs side by side: of the same program, of both on the same files, and of those who read them meanwhile.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use amp_sandbox::export::{Fault, Rule};
use amp_sandbox::s3::{S3Fault, S3Op, S3Rule};
use fastrand::Rng;

use crate::Siege;
use crate::contents::{Expected, names};
use crate::lab::{Lab, Setup, expected};
use crate::steps::prepare;
use crate::tally::Tally;

pub(crate) fn run(siege: &Siege, tally: &mut Tally) -> io::Result<()> {
    let mut random = siege.random("races", 0);
    let setup = Setup::small(random.u64(..))?;
    let mut lab = Lab::new(siege, "races", &setup)?;
    for program in ["amp-extract", "amp-load"] {
        second_run(&mut lab, tally, program)?;
    }
    let other = Setup::small(random.u64(..))?;
    for number in 0..if siege.short { 3 } else { 30 } {
        replaced(&mut lab, tally, [&setup, &other], Duration::from_millis(random.u64(..250)), number)?;
        if tally.is_lost() {
            return Ok(());
        }
    }
    lab.export.set_dataset(setup.dataset.clone());
    lab.expected = expected(&setup.dataset, setup.window);
    for number in 0..if siege.short { 2 } else { 10 } {
        readers(&mut lab, tally, number)?;
    }
    for number in 0..if siege.short { 2 } else { 20 } {
        followed(&mut lab, tally, &mut random, number)?;
        if tally.is_lost() {
            return Ok(());
        }
    }
    if tally.held() { lab.clear() } else { Ok(()) }
}

/// amp-load follows an amp-extract that waits for room, and one of them is killed: the other ends by itself.
fn followed(lab: &mut Lab<'_>, tally: &mut Tally, random: &mut Rng, number: u32) -> io::Result<()> {
    let (killed, after) = (["amp-extract", "amp-load", "neither"][random.usize(..3)], random.u64(..1_500));
    let step = format!("follow {number}: {killed} killed {after} ms after both began");
    lab.reset()?;
    lab.export.add_rule(Rule::always(Fault::Delay(Duration::from_millis(200))));
    lab.s3.add_rule(S3Rule::on(S3Op::PutObject, S3Fault::Delay(Duration::from_millis(30))));
    let load = lab.start(&[], "amp-load", &["--follow", "--concurrency", "2"])?;
    let extract = lab.start(&[], "amp-extract", &["--parallel", "1", "--max-staged", "1"])?;
    tally.attacks += 1;
    thread::sleep(Duration::from_millis(after));
    match killed {
        "amp-extract" => extract.kill(),
        "amp-load" => load.kill(),
        _ => {}
    }
    for (ended, is_victim) in [(extract.wait()?, killed == "amp-extract"), (load.wait()?, killed == "amp-load")] {
        // An amp-extract whose amp-load is gone ends with 1 if it needs room.
        let codes: &[i32] = if killed == "amp-load" { &[0, 1] } else { &[0] };
        if let Some(problem) = ended.wrong_end(codes).filter(|_| !(is_victim && ended.was_killed())) {
            tally.violated(&problem, &step, &lab.folder);
        }
    }
    tally.count("follows", 1);
    if killed == "neither" && !lab.is_loaded() {
        tally.violated("both ended with 0, and files are left", &step, &lab.folder);
    }
    lab.check(tally, &step)?;
    lab.peace(tally, &step, &[])?;
    Ok(())
}

/// The second of two runs leaves at once, and the first does not mind.
fn second_run(lab: &mut Lab<'_>, tally: &mut Tally, program: &str) -> io::Result<()> {
    let step = format!("two of {program}");
    prepare(lab, program)?;
    lab.export.add_rule(Rule::always(Fault::Delay(Duration::from_millis(700))));
    lab.s3.add_rule(S3Rule::always(S3Fault::Delay(Duration::from_millis(300))));
    let first = lab.start(&[], program, &[])?;
    thread::sleep(Duration::from_millis(400));
    tally.attacks += 1;
    // The first one's stderr is the file's; both may say what they like in it.
    let second = lab.run(program, &[])?;
    if let Some(problem) = second.wrong_end(&[75]) {
        tally.violated(&format!("the second: {problem}"), &step, &lab.folder);
    }
    if let Some(problem) = first.wait()?.wrong_end(&[0]) {
        tally.violated(&format!("the first: {problem}"), &step, &lab.folder);
    }
    lab.check(tally, &step)?;
    lab.peace(tally, &step, &[])?;
    Ok(())
}

/// While amp-load uploads slowly, amp-extract replaces the files by others: those must not be deleted for the old ones' receipts.
fn replaced(
    lab: &mut Lab<'_>,
    tally: &mut Tally,
    [old, new]: [&Setup; 2],
    after: Duration,
    number: u32,
) -> io::Result<()> {
    let step = format!("race {number}: files replaced {} ms after amp-load began", after.as_millis());
    lab.export.set_dataset(old.dataset.clone());
    lab.expected = expected(&old.dataset, old.window);
    prepare(lab, "amp-load")?;
    lab.s3.add_rule(S3Rule::on(S3Op::PutObject, S3Fault::Delay(Duration::from_millis(150))));
    lab.export.set_dataset(new.dataset.clone());
    let load = lab.start(&[], "amp-load", &["--concurrency", "2"])?;
    thread::sleep(after);
    tally.attacks += 1;
    let extract = lab.run("amp-extract", &["--force"])?;
    let load = load.wait()?;
    // A file that changed under amp-load may count as failed; a later run takes it.
    for (ended, codes) in [(extract, &[0][..]), (load, &[0, 1])] {
        if let Some(problem) = ended.wrong_end(codes) {
            tally.violated(&problem, &step, &lab.folder);
        }
    }
    lab.expected = expected(&new.dataset, new.window);
    lab.settle();
    // The newer files are staged or in the bucket, whatever of the older ones is there too.
    let findings = lab.contents().nothing_gone()?;
    tally.take(findings, &step, &lab.folder);
    lab.peace(tally, &step, &[])?;
    Ok(())
}

/// Whoever reads the files while both programs work sees whole ones only, and does not disturb.
fn readers(lab: &mut Lab<'_>, tally: &mut Tally, number: u32) -> io::Result<()> {
    let step = format!("readers {number}");
    lab.reset()?;
    lab.s3.add_rule(S3Rule::always(S3Fault::Delay(Duration::from_millis(5))));
    let (over, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    let folder = lab.folder.join("extracted_data");
    let wrong = thread::scope(|scope| -> io::Result<Vec<String>> {
        let reader = scope.spawn(|| {
            let mut wrong = Vec::new();
            while !over.load(Ordering::Relaxed) {
                wrong.extend(read_all(&folder, &lab.expected, &reads));
            }
            wrong
        });
        let done = (|| {
            for _ in 0..3 {
                let extract = lab.start(&[], "amp-extract", &["--force"])?;
                let load = lab.run("amp-load", &[])?;
                for ended in [extract.wait()?, load, lab.run("amp-load", &[])?] {
                    if let Some(problem) = ended.wrong_end(&[0]) {
                        tally.violated(&problem, &step, &lab.folder);
                    }
                }
            }
            Ok(())
        })();
        over.store(true, Ordering::Relaxed);
        let wrong = reader.join().unwrap_or_else(|_| vec!["the reader panicked".to_owned()]);
        done.map(|()| wrong)
    })?;
    wrong.iter().for_each(|what| tally.violated(what, &step, &lab.folder));
    tally.attacks += 1;
    tally.count("whole files read meanwhile", reads.into_inner());
    lab.check(tally, &step)?;
    lab.peace(tally, &step, &[])?;
    Ok(())
}

/// Reads whatever has a final name.
fn read_all(folder: &std::path::Path, expected: &Expected, reads: &AtomicU64) -> Vec<String> {
    let mut wrong = Vec::new();
    for name in names(folder).unwrap_or_default().into_iter().filter(|name| name != ".amp") {
        // It may be gone by now.
        let Ok(found) = fs::read(folder.join(&name)) else { continue };
        reads.fetch_add(1, Ordering::Relaxed);
        if expected.get(&name) != Some(&found) {
            wrong.push(format!("a reader saw {name} with {} bytes that are not its own", found.len()));
        }
    }
    wrong
}
