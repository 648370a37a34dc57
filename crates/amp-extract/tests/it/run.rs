//! One run of the real binary, from its command line to what it said.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use amp_sandbox::{process, schema};
use serde_json::Value;

/// A run about to begin.
pub(crate) struct Run {
    command: Command,
    stdout: Stdio,
}

impl Run {
    pub(crate) fn new(command: Command) -> Self {
        Self { command, stdout: Stdio::piped() }
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
        self.stdout = stdout.into();
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
        command.current_dir(self.command.get_current_dir().unwrap());
        Self { command, ..self }
    }

    /// The same run on a terminal of its own, which [`Ran::stdout`] shows, redirected as told.
    pub(crate) fn on_a_terminal(self, columns: u16, redirected: &str) -> Self {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        let words: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        let line = format!("stty rows 40 cols {columns}; {} {redirected}", words.join(" "));
        let mut script = Command::new("sh");
        script.args(["-c", "exec script --quiet --return --command \"$0\" /dev/null", &line]).env_clear();
        script.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TERM", "xterm");
        script.current_dir(self.command.get_current_dir().unwrap());
        Self { command: script, ..self }
    }

    pub(crate) fn run(self) -> Ran {
        self.spawn().wait()
    }

    pub(crate) fn spawn(self) -> Running {
        Running(process::Running::start(self.command, self.stdout).unwrap())
    }
}

/// A run under way.
pub(crate) struct Running(process::Running);

impl Running {
    pub(crate) fn signal(&self, name: &str) {
        self.0.signal(name).unwrap();
    }

    pub(crate) fn is_over(&mut self) -> bool {
        self.0.is_over().unwrap()
    }

    /// What is on stderr so far.
    pub(crate) fn stderr(&self) -> String {
        self.0.stderr()
    }

    pub(crate) fn wait(self) -> Ran {
        let ended = self.0.wait().unwrap();
        assert!(!ended.hung, "it hangs: {ended:#?}");
        Ran { code: ended.code, stdout: ended.stdout, stderr: ended.stderr, peak_bytes: ended.peak_bytes }
    }
}

/// A run that ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The most memory it had.
    pub(crate) peak_bytes: u64,
}

impl Ran {
    /// The one document on stdout, which is as its schema describes it.
    pub(crate) fn json(&self) -> Value {
        let document = serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"));
        assert_eq!(schema::departure(&document), None, "{document:#}");
        document
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
