//! Programs at another time than the machine's, by libfaketime.

use std::process::Command;

use chrono::{DateTime, Utc};

/// The library, where it is installed.
#[derive(Debug, Clone)]
pub(crate) struct Faketime {
    library: String,
}

impl Faketime {
    /// Finds it by the program `faketime`, which itself leaves a semaphore behind when it is killed and so is not used.
    pub(crate) fn find() -> Option<Self> {
        let output = Command::new("faketime").args(["-m", "-f", "+0s", "printenv", "LD_PRELOAD"]).output().ok()?;
        let library = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !library.is_empty()).then_some(Self { library })
    }

    /// Has a command run at that moment. Only the calendar is moved, neither waits nor times of files.
    pub(crate) fn set(&self, command: &mut Command, moment: DateTime<Utc>) {
        // Relative, so that the zone does not matter to the library.
        let offset = format!("{:+}s", (moment - Utc::now()).num_seconds());
        command.env("LD_PRELOAD", &self.library).env("FAKETIME", offset);
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1");
    }
}
