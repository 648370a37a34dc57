//! A program that `credential_process` in a profile runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Credentials;

/// What the program does.
#[derive(Debug, Clone)]
pub enum ProcessAnswer {
    /// Prints them.
    Give(Credentials),
    /// Prints a text, which is perhaps no document, and ends well.
    Print(String),
    /// Prints this text to stderr and ends with status 1.
    Fail(String),
    /// Neither prints nor ends.
    Hang,
}

/// The program and the configuration of AWS that names it, in a folder.
#[derive(Debug)]
pub struct ProcessScript {
    folder: PathBuf,
}

impl ProcessScript {
    /// Writes both.
    pub fn write(folder: &Path, answer: &ProcessAnswer) -> io::Result<Self> {
        let script = Self { folder: folder.to_owned() };
        script.answer(answer)?;
        // The shell reads it: a file that was just written cannot always be executed.
        let command = format!("/bin/sh {}", script.path("credential-process").display());
        let (runs, then) = (script.path("credential-process.runs"), script.path("credential-process.then"));
        let text = format!("echo run >>'{}'\n. '{}'\n", runs.display(), then.display());
        fs::write(script.path("credential-process"), text)?;
        fs::write(script.path("aws-config"), format!("[default]\ncredential_process = {command}\n"))?;
        Ok(script)
    }

    /// Another answer from now on.
    pub fn answer(&self, answer: &ProcessAnswer) -> io::Result<()> {
        let (said, then) = match answer {
            ProcessAnswer::Give(credentials) => (document(credentials), ""),
            ProcessAnswer::Print(text) => (text.clone(), ""),
            ProcessAnswer::Fail(text) => (text.clone(), " >&2; exit 1"),
            ProcessAnswer::Hang => (String::new(), "; exec sleep 86400"),
        };
        let out = self.path("credential-process.out");
        fs::write(&out, said)?;
        fs::write(self.path("credential-process.then"), format!("cat '{}'{then}\n", out.display()))
    }

    /// The environment that leads a program here.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        vec![("AWS_CONFIG_FILE", self.path("aws-config").display().to_string())]
    }

    /// How often the program was run.
    pub fn runs(&self) -> usize {
        fs::read_to_string(self.path("credential-process.runs")).map_or(0, |runs| runs.lines().count())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn document(credentials: &Credentials) -> String {
    let mut fields = vec![
        "\"Version\": 1".to_owned(),
        format!("\"AccessKeyId\": \"{}\"", credentials.access_key),
        format!("\"SecretAccessKey\": \"{}\"", credentials.secret_key),
    ];
    fields.extend(credentials.session_token.as_ref().map(|token| format!("\"SessionToken\": \"{token}\"")));
    fields.extend(
        credentials.expires.map(|moment| format!("\"Expiration\": \"{}\"", moment.format("%Y-%m-%dT%H:%M:%SZ"))),
    );
    format!("{{{}}}", fields.join(", "))
}
