//! One run of the real binary, from its command line to what it said.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::HANG;

/// A run about to begin.
pub(crate) struct Run {
    command: Command,
}

impl Run {
    pub(crate) fn new(command: Command) -> Self {
        Self { command }
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn cwd(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub(crate) fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    /// The same run, by a shell that does `preparation` first.
    pub(crate) fn after(self, preparation: &str) -> Self {
        self.wrapped(&["sh", "-c", &format!("{preparation}; exec \"$0\" \"$@\"")])
    }

    /// The same run, started by `wrapper`: a program and its arguments.
    pub(crate) fn wrapped(self, wrapper: &[&str]) -> Self {
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(self.command.get_program()).args(self.command.get_args());
        command.env_clear().envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(self.command.get_current_dir().unwrap()).stdin(Stdio::null());
        Self { command }
    }

    /// The same run on a terminal of its own, which [`Ran::stdout`] shows, redirected as told.
    pub(crate) fn on_a_terminal(self, columns: u16, redirected: &str) -> Self {
        let program = self.command.get_program().to_str().unwrap();
        let words: Vec<_> = self.command.get_args().map(|word| word.to_str().unwrap()).collect();
        let line = format!("stty rows 40 cols {columns}; '{program}' {} {redirected}", words.join(" "));
        let mut script = Command::new("sh");
        script
            .args(["-c", "exec script --quiet --return --command \"$0\" /dev/null", &line])
            .env_clear()
            .stdin(Stdio::null());
        script.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TERM", "xterm");
        script.current_dir(self.command.get_current_dir().unwrap());
        Self { command: script }
    }

    pub(crate) fn run(mut self) -> Ran {
        self.command.stdout(Stdio::piped());
        self.start().wait()
    }

    /// Starts it with stdout where [`Self::stdout`] put it.
    pub(crate) fn run_as_it_is(self) -> Ran {
        self.start().wait()
    }

    pub(crate) fn spawn(mut self) -> Running {
        self.command.stdout(Stdio::piped());
        self.start()
    }

    fn start(mut self) -> Running {
        let child = self.command.stderr(Stdio::piped()).spawn().unwrap();
        Running { child }
    }
}

/// A run under way.
pub(crate) struct Running {
    pub(crate) child: Child,
}

impl Running {
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn wait(mut self) -> Ran {
        let reader = |stream: Option<Box<dyn Read + Send>>| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                stream.map(|mut stream| stream.read_to_end(&mut bytes));
                String::from_utf8(bytes).unwrap()
            })
        };
        let stdout = reader(self.child.stdout.take().map(|out| Box::new(out) as _));
        let stderr = reader(self.child.stderr.take().map(|err| Box::new(err) as _));
        let until = Instant::now() + HANG;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > until => {
                    self.child.kill().unwrap();
                    panic!("it hangs; on stderr: {}", stderr.join().unwrap());
                }
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        Ran { code: status.code(), stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
    }
}

/// A run that ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The one document on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Checks the exit code and gives the document.
    #[track_caller]
    pub(crate) fn exits(&self, code: i32) -> Value {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self.json()
    }

    /// Checks that all of these words are on stderr.
    #[track_caller]
    pub(crate) fn says(&self, words: &[&str]) -> &Self {
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is missing: {self:#?}");
        }
        self
    }

    #[track_caller]
    pub(crate) fn does_not_say(&self, words: &[&str]) -> &Self {
        for word in words {
            assert!(!self.stderr.contains(word) && !self.stdout.contains(word), "`{word}` was said: {self:#?}");
        }
        self
    }
}
