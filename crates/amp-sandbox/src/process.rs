//! Runs of the programs under test: started with their output kept, signalled, and ended by force when they hang.

use std::fs;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// Longer than any run on a test's little data takes; it only turns a hang into a failure.
pub const HANG: Duration = Duration::from_secs(120);

/// A run under way.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Output,
    stderr: Output,
    begun: Instant,
    peak_bytes: u64,
}

/// A run that is over.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// It did not end by itself within [`HANG`].
    pub hung: bool,
    /// Its stdout, if it was piped.
    pub stdout: String,
    /// Its stderr.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
    /// The most memory it had, as of a few milliseconds before its end; 0 for a run too short to be looked at.
    pub peak_bytes: u64,
}

impl Running {
    /// Starts a command in a process group of its own, with nothing on stdin. Its stderr is kept, and its stdout if that is piped.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command, stdout: impl Into<Stdio>) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        // Read while it runs: a pipe that is full would stop it.
        let (stdout, stderr) = (Output::of(child.stdout.take()), Output::of(child.stderr.take()));
        Ok(Self { child, stdout, stderr, begun: Instant::now(), peak_bytes: 0 })
    }

    /// What it has printed to stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.so_far()
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn is_over(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Sends it a signal, named as `kill` does: `INT`.
    ///
    /// # Errors
    /// When there is no such signal, or the run has ended and was waited for.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status()?;
        if sent.success() { Ok(()) } else { Err(io::Error::other(format!("SIG{name} cannot be sent"))) }
    }

    /// SIGKILL, to all that it started as well.
    pub fn kill(&self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // One that has ended needs no kill.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }

    /// Waits for its end, which comes by force if it is not there within [`HANG`].
    ///
    /// # Errors
    /// When the system does not say how it ended.
    pub fn wait(mut self) -> io::Result<Ended> {
        let mut pause = Duration::from_micros(200);
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(self.ended(status, false));
            }
            self.peak_bytes = peak_bytes(self.child.id()).unwrap_or(self.peak_bytes);
            if self.begun.elapsed() > HANG {
                self.kill();
                let status = self.child.wait()?;
                return Ok(self.ended(status, true));
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(5));
        }
    }

    fn ended(self, status: ExitStatus, hung: bool) -> Ended {
        let (took, peak_bytes) = (self.begun.elapsed(), self.peak_bytes);
        let (stdout, stderr) = (self.stdout.finish(), self.stderr.finish());
        Ended { code: status.code(), signal: status.signal(), hung, stdout, stderr, took, peak_bytes }
    }
}

/// The most memory that a process has had so far; the kernel forgets it when the process ends.
fn peak_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?;
    kib.parse::<u64>().ok().map(|kib| kib << 10)
}

/// What comes out of a pipe, read by a thread.
#[derive(Debug)]
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let shared = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let Some(mut pipe) = pipe else { return };
            let mut buffer = [0; 8192];
            while let Ok(got @ 1..) = pipe.read(&mut buffer) {
                shared.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..got]);
            }
        });
        Self { bytes, reader: Some(reader) }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    fn finish(mut self) -> String {
        // It only reads and does not panic.
        let _ = self.reader.take().map(JoinHandle::join);
        self.so_far()
    }
}

impl Ended {
    /// Whether SIGKILL ended it.
    pub fn was_killed(&self) -> bool {
        self.signal == Some(9) && !self.hung
    }

    /// What is wrong with a run that had to end by itself with one of `codes`.
    pub fn wrong_end(&self, codes: &[i32]) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Running {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Running::start(command, Stdio::piped()).unwrap()
    }

    #[test]
    fn what_a_run_prints_is_kept_however_much_it_is() {
        let ended = shell("head -c 300000 /dev/zero | tr '\\0' x; echo wrong >&2; exit 3").wait().unwrap();
        assert_eq!((ended.code, ended.stdout.len(), ended.stderr.as_str()), (Some(3), 300_000, "wrong\n"));
        assert!(ended.wrong_end(&[0]).unwrap().contains("exit code 3 instead of [0]: wrong"));
        assert_eq!(ended.wrong_end(&[1, 3]), None);
    }

    #[test]
    fn a_kill_reaches_what_the_run_started() {
        let running = shell("sleep 1000 & wait");
        running.kill();
        // It would not return while the sleeper held the pipe.
        assert!(running.wait().unwrap().was_killed());
    }

    #[test]
    fn a_run_is_seen_while_it_goes_and_a_signal_reaches_it() {
        let running = shell("echo begun >&2; exec sleep 1000");
        while running.stderr() != "begun\n" {
            thread::sleep(Duration::from_millis(1));
        }
        running.signal("INT").unwrap();
        assert_eq!(running.wait().unwrap().signal, Some(2));
    }
}
