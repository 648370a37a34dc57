//! A siege of amp-extract and amp-load: both real programs are killed, starved, lied to and raced, and after each attack it is looked whether
//! anything was lost.

mod calls;
mod check;
mod clock;
mod contents;
mod disk;
mod faketime;
mod false_answers;
mod kill;
mod lab;
mod ledger;
mod machines;
mod network;
mod powercut;
mod races;
mod steps;
mod strace;
mod tally;
mod year;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use amp_sandbox::folder;
use amp_sandbox::out::{complain, say};
use amp_sandbox::programs::Programs;
use clap::{Parser, ValueEnum};

use crate::tally::Tally;

/// Kill, starve and deceive amp-extract and amp-load and look for a lost event
#[derive(Parser)]
#[command(name = "amp-siege", version)]
struct Args {
    /// Which phases
    #[arg(value_enum, value_name = "PHASE", default_values_t = Phase::value_variants().to_vec())]
    phases: Vec<Phase>,
    /// The same seed makes the same choices [default: another one each time; it is printed]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Kills of the first phase
    #[arg(long, value_name = "N", default_value_t = 500)]
    kills: u64,
    /// A cut of each phase, in a minute or two together; a month instead of the year
    #[arg(long)]
    short: bool,
    /// That strace is missing is a failure
    #[arg(long)]
    require_strace: bool,
    /// Folder for everything; emptied if an earlier siege made it [default: siege/ in the target directory]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Build and attack the programs with optimisation
    #[arg(long)]
    release: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Phase {
    /// SIGKILL at random moments
    Kill,
    /// SIGKILL at each system call
    Steps,
    /// An error from each system call on the data
    Calls,
    /// States of the disk that a power cut may leave, replayed from what each program did
    Powercut,
    /// Each fault of Export API and S3, and servers that lie
    Network,
    /// A disk that is full
    Disk,
    /// Runs side by side, and readers
    Races,
    /// Other times and time zones
    Clock,
    /// A month of machines with empty disks, whose only memory is the bucket
    Machines,
    /// A year of daily calls, most of which something goes wrong with
    Year,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", format!("{self:?}").to_lowercase())
    }
}

/// What every phase is given.
struct Siege {
    programs: Programs,
    folder: PathBuf,
    seed: u64,
    kills: u64,
    short: bool,
    require_strace: bool,
}

impl Siege {
    /// A stream of choices of its own for each part of a siege.
    fn random(&self, part: &str, number: u64) -> fastrand::Rng {
        let mix = part.bytes().fold(self.seed, |mix, byte| mix.wrapping_mul(0x0100_0000_01B3) ^ u64::from(byte));
        fastrand::Rng::with_seed(mix.wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&format!("amp-siege: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether everything held.
fn run(args: &Args) -> io::Result<bool> {
    let programs = Programs::beside_us(args.release)?;
    programs.build()?;
    let folder = args.dir.clone().unwrap_or_else(|| programs.target().join("siege"));
    disk::release(&folder);
    let _lock = folder::fresh(&folder)?;
    let siege = Siege {
        programs,
        folder: folder.canonicalize()?,
        seed: args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000_000)),
        kills: if args.short { args.kills.min(20) } else { args.kills },
        short: args.short,
        require_strace: args.require_strace,
    };
    complain(&format!("Siege with seed {} in {}", siege.seed, siege.folder.display()));
    let begun = Instant::now();
    let mut tallies = Vec::new();
    for phase in &args.phases {
        let mut tally = Tally::new(&phase.to_string());
        match phase {
            Phase::Kill => kill::run(&siege, &mut tally)?,
            Phase::Steps => steps::run(&siege, &mut tally)?,
            Phase::Calls => calls::run(&siege, &mut tally)?,
            Phase::Powercut => powercut::run(&siege, &mut tally)?,
            Phase::Network => {
                network::run(&siege, &mut tally)?;
                false_answers::run(&siege, &mut tally)?;
            }
            Phase::Disk => disk::run(&siege, &mut tally)?,
            Phase::Races => races::run(&siege, &mut tally)?,
            Phase::Clock => clock::run(&siege, &mut tally)?,
            Phase::Machines => machines::run(&siege, &mut tally)?,
            Phase::Year => year::run(&siege, &mut tally)?,
        }
        tally.done();
        complain(&tally.to_string());
        tallies.push(tally);
    }
    tallies.iter().for_each(|tally| say(&tally.to_string()));
    let held = tallies.iter().all(Tally::held);
    say(&format!(
        "seed {}, {:.0} s: {}",
        siege.seed,
        begun.elapsed().as_secs_f64(),
        if held { "held" } else { "FALLEN" }
    ));
    Ok(held)
}
