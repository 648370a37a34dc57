//! SIGKILL at random moments, of either program or of both side by side.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use amp_sandbox::events::Dataset;
use amp_sandbox::process::{Ended, Running};
use amp_sandbox::s3::{S3Fault, S3Rule};
use fastrand::Rng;

use crate::Siege;
use crate::contents::names;
use crate::lab::BUCKET;
use crate::lab::{Lab, Setup, window};
use crate::tally::Tally;

/// Steps of a round at most; a round that is done earlier goes on with `--force`.
const STEPS: u64 = 25;

pub(crate) fn run(siege: &Siege, tally: &mut Tally) -> io::Result<()> {
    let (mut kills, mut rounds) = (0, 0);
    while kills < siege.kills && !tally.is_lost() {
        let before = tally.violations();
        let mut random = siege.random("kill", rounds);
        let mut lab = Lab::new(siege, &format!("kill-{rounds}"), &setup(&mut random)?)?;
        kills += round(&mut lab, tally, &mut random, rounds, siege.kills - kills)?;
        if tally.violations() == before {
            lab.clear()?;
        }
        rounds += 1;
    }
    tally.attacks = kills;
    tally.count("rounds", rounds);
    Ok(())
}

/// Some hours over midnight, of which one file goes in one or two parts.
fn setup(random: &mut Rng) -> io::Result<Setup> {
    let window = window("2025-11-06T22..2025-11-07T01")?;
    let large = if random.u8(..3) == 0 { 9_800 } else { 1_200 };
    let dataset = Dataset::new(random.u64(..)).parts_per_hour(random.u32(1..5)).events_per_part(random.u64(1..130));
    let dataset = dataset.events_in_file(window.end, 0, large).last_newline(random.bool());
    Ok(Setup { bandwidth: Some(random.u64(5_000_000..60_000_000)), ..Setup::new(dataset, window) })
}

/// The servers answer slowly enough for kills to land everywhere.
fn slow(lab: &Lab<'_>, delay: Duration) {
    lab.s3.add_rule(S3Rule::always(S3Fault::Delay(delay)));
}

fn round(lab: &mut Lab<'_>, tally: &mut Tally, random: &mut Rng, number: u64, most: u64) -> io::Result<u64> {
    let delay = Duration::from_millis(random.u64(..25));
    // How long each program takes when nobody disturbs it.
    slow(lab, delay);
    let extract = lab.run("amp-extract", &[])?;
    let load = lab.run("amp-load", &[])?;
    for ended in [&extract, &load] {
        if let Some(problem) = ended.wrong_end(&[0]) {
            tally.violated(&format!("before any kill: {problem}"), &format!("round {number}"), &lab.folder);
        }
    }
    lab.reset()?;
    slow(lab, delay);

    let (mut kills, mut torn) = (0, 0);
    if random.bool() {
        torn += tear(lab)?;
    }
    for step in 0..STEPS {
        if kills >= most {
            break;
        }
        let name = format!("round {number} step {step}");
        // What is done would be passed over.
        let force: &[&str] = if lab.is_loaded() || random.u8(..4) == 0 { &["--force"] } else { &[] };
        let is_empty = names(&lab.folder.join("extracted_data"))?.iter().all(|name| name == ".amp");
        let (extracts, loads) = match random.u8(..3) {
            _ if is_empty && random.u8(..4) > 0 => (true, random.u8(..3) == 0),
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        let after = |usual: &Ended, random: &mut Rng| usual.took.mul_f64(random.f64());
        let mut runs = Vec::new();
        if extracts {
            runs.push((lab.start(&[], "amp-extract", force)?, after(&extract, random)));
        }
        if loads {
            runs.push((lab.start(&[], "amp-load", &[])?, after(&load, random)));
        }
        for ended in kill_each(runs)? {
            let end = if ended.was_killed() { None } else { ended.wrong_end(&[0]) };
            if let Some(problem) = end {
                tally.violated(&format!("not killed: {problem}"), &name, &lab.folder);
            }
            kills += u64::from(ended.was_killed());
            tally.count("ended before their kill", u64::from(!ended.was_killed()));
        }
        found(lab, tally)?;
        if !lab.check(tally, &name)? || tally.is_lost() {
            break;
        }
        if random.u8(..4) == 0 {
            torn += tear(lab)?;
        }
    }
    lab.peace(tally, &format!("round {number} end"), &[])?;
    if lab.watch.torn > kills + torn {
        let text = format!("{} torn lines in the ledger after {kills} kills and {torn} by us", lab.watch.torn);
        tally.violated(&text, &format!("round {number} end"), &lab.folder);
    }
    tally.count("ledger lines torn", torn);
    Ok(kills)
}

/// Leaves half a line at the end of the files of the ledger, as when the machine stops within a write: a kill cannot.
fn tear(lab: &Lab<'_>) -> io::Result<u64> {
    let mut torn = 0;
    for kind in ["hours", "loads"] {
        let folder = lab.folder.join("extracted_data/.amp").join(kind);
        fs::create_dir_all(&folder)?;
        for day in ["2025-11-06", "2025-11-07"] {
            let mut file = OpenOptions::new().create(true).append(true).open(folder.join(format!("{day}.jsonl")))?;
            file.write_all(b"{\"kind\":\"fetched\",\"at\":\"2025-1")?;
            torn += 1;
        }
    }
    Ok(torn)
}

/// Counts what kills interrupted.
fn found(lab: &Lab<'_>, tally: &mut Tally) -> io::Result<()> {
    let downloads = names(&lab.folder.join("downloaded_data"))?;
    let partials = names(&lab.folder.join("extracted_data/.amp/partial"))?;
    let left = [
        ("left a download", downloads.iter().any(|name| name.contains(".part-"))),
        ("left an archive", downloads.iter().any(|name| name.ends_with(".zip"))),
        ("left unpacked files", !partials.is_empty()),
        ("left an upload in parts", !lab.s3.open_uploads(BUCKET).is_empty()),
    ];
    left.into_iter().for_each(|(what, is_so)| tally.count(what, u64::from(is_so)));
    Ok(())
}

/// Kills each run so long after now, if it is not over by then.
fn kill_each(runs: Vec<(Running, Duration)>) -> io::Result<Vec<Ended>> {
    let begun = Instant::now();
    let mut ended = Vec::new();
    let mut left = runs;
    left.sort_by_key(|(_, after)| *after);
    for (mut running, after) in left {
        while begun.elapsed() < after && !running.is_over()? {
            thread::sleep(after.saturating_sub(begun.elapsed()).min(Duration::from_micros(500)));
        }
        running.kill();
        ended.push(running.wait()?);
    }
    Ok(ended)
}
