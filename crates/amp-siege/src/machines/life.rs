//! One machine: an empty disk, and the three calls that a container makes.

use std::fmt;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use amp_sandbox::process::{Ended, Running};
use amp_sandbox::time::Window;
use chrono::{DateTime, Utc};

use crate::Siege;
use crate::faketime::Faketime;

/// What a machine does, in this order.
pub(super) const STEPS: [&str; 3] = ["amp-load --restore", "amp-extract", "amp-load"];
pub(super) const RESTORE: usize = 0;
pub(super) const EXTRACT: usize = 1;
pub(super) const LOAD: usize = 2;

/// A machine's disk.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub(super) folder: PathBuf,
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.folder.file_name().unwrap_or_default().to_string_lossy())
    }
}

/// When a machine dies, unless that step ends before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Death {
    pub(super) step: usize,
    pub(super) after: Duration,
}

#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) body: Body,
    /// `--days` of the restore.
    pub(super) days: Option<&'static str>,
    /// What it fetches; the default is what a daily call sees to.
    pub(super) window: Option<Window>,
    pub(super) steps: Range<usize>,
    /// How long after the others it begins.
    pub(super) begins: Duration,
    pub(super) death: Option<Death>,
}

impl Life {
    /// Makes the calls, as far as the machine lives. A machine that dies leaves its disk as it is, and nobody comes back to it.
    pub(super) fn live(
        &self,
        siege: &Siege,
        faketime: &Faketime,
        moment: DateTime<Utc>,
        settings: &str,
    ) -> io::Result<Vec<Ended>> {
        thread::sleep(self.begins);
        fs::create_dir_all(&self.body.folder)?;
        fs::write(self.body.folder.join(".env"), settings)?;
        let mut all = Vec::new();
        for step in self.steps.clone() {
            let program = STEPS[step].split(' ').next().unwrap_or_default();
            let mut command = siege.programs.command(&[], program, &self.body.folder);
            match step {
                RESTORE => {
                    command.arg("--restore").args(self.days.iter().flat_map(|days| ["--days", days]));
                }
                EXTRACT => {
                    faketime.set(&mut command, moment);
                    let window = self.window.map(|window| [window.start.to_string(), window.end.to_string()]);
                    command.args(window.iter().flat_map(|[start, end]| ["--start", start, "--end", end]));
                }
                _ => {}
            }
            let death = self.death.filter(|death| death.step == step);
            let ended = finish(Running::start(command, Stdio::null())?, death)?;
            let is_dead = ended.was_killed();
            all.push(ended);
            if is_dead {
                break;
            }
        }
        Ok(all)
    }

    /// Compares the bucket with what the machine knows of it.
    pub(super) fn verify(&self, siege: &Siege) -> io::Result<Ended> {
        let mut command = siege.programs.command(&[], "amp-load", &self.body.folder);
        command.arg("--verify");
        Running::start(command, Stdio::null())?.wait()
    }
}

fn finish(mut running: Running, death: Option<Death>) -> io::Result<Ended> {
    if let Some(Death { after, .. }) = death {
        let begun = Instant::now();
        while begun.elapsed() < after && !running.is_over()? {
            thread::sleep(Duration::from_micros(300));
        }
        running.kill();
    }
    running.wait()
}
