//! Runs of the programs and how they end.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// No run of so little data takes so long.
const LIMIT: Duration = Duration::from_secs(60);

/// A run under way.
pub(super) struct Running {
    child: Child,
    said: PathBuf,
    begun: Instant,
}

/// A run that is over.
#[derive(Debug)]
pub(super) struct Ended {
    /// Its exit code; none when a signal ended it.
    pub(super) code: Option<i32>,
    /// The signal that ended it.
    pub(super) signal: Option<i32>,
    /// It did not end by itself in time.
    pub(super) hung: bool,
    /// Its stderr.
    pub(super) stderr: String,
    pub(super) took: Duration,
}

impl Running {
    /// Starts a command, its stderr in a file: nobody need read it meanwhile.
    pub(super) fn start(mut command: Command, said: PathBuf) -> io::Result<Self> {
        let stderr = File::create(&said)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).process_group(0);
        Ok(Self { child: command.spawn()?, said, begun: Instant::now() })
    }

    pub(super) fn is_over(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// SIGKILL, to whatever it started as well.
    pub(super) fn kill(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // One that is over needs no kill.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }

    /// Waits for its end, which comes by force if it is not there in time.
    pub(super) fn wait(mut self) -> io::Result<Ended> {
        let mut pause = Duration::from_micros(200);
        loop {
            if let Some(status) = self.child.try_wait()? {
                return self.ended(status, false);
            }
            if self.begun.elapsed() > LIMIT {
                self.kill();
                let status = self.child.wait()?;
                return self.ended(status, true);
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(5));
        }
    }

    fn ended(&self, status: ExitStatus, hung: bool) -> io::Result<Ended> {
        let stderr = String::from_utf8_lossy(&fs::read(&self.said)?).into_owned();
        Ok(Ended { code: status.code(), signal: status.signal(), hung, stderr, took: self.begun.elapsed() })
    }
}

impl Ended {
    /// SIGKILL ended it.
    pub(super) fn was_killed(&self) -> bool {
        self.signal == Some(9) && !self.hung
    }

    /// What is wrong with a run that had to end by itself with one of `codes`.
    pub(super) fn wrong_end(&self, codes: &[i32]) -> Option<String> {
        let problem = match (self.hung, self.code) {
            (true, _) => "it hung".to_owned(),
            _ if self.stderr.contains("panicked at") => "it panicked".to_owned(),
            (_, Some(code)) if codes.contains(&code) => return None,
            (_, Some(code)) => format!("exit code {code} instead of {codes:?}"),
            (_, None) => format!("signal {:?} ended it", self.signal),
        };
        Some(format!("{problem}: {}", self.stderr.trim().chars().take(600).collect::<String>()))
    }
}
