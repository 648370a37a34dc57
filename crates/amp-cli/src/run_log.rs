//! Names of the log files, one a run, and how many are kept.
#![expect(clippy::disallowed_methods, reason = "old logs are deleted here")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use amp_core::disk::check_links;
use chrono::{DateTime, Utc};

/// Length of `YYYY-MM-DD_HH-MM-SS`.
const TIME_LEN: usize = 19;

/// The log of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunLog {
    /// What all logs of the program begin with, such as `log_s3_load_`.
    pub(crate) prefix: &'static str,
    /// What distinguishes this run besides its time, such as `20251106T00_20251106T23_`; may be empty.
    pub(crate) subject: String,
    /// When the run began.
    pub(crate) started: DateTime<Utc>,
}

impl RunLog {
    /// Makes the log's file in `dir`, which is made if it is missing, and returns it with its path.
    /// A run that began in the same second as another gets `-2` behind the time.
    ///
    /// # Errors
    /// When the directory or the file cannot be made.
    pub(crate) fn create(&self, dir: &Path) -> io::Result<(File, PathBuf)> {
        check_links("create directory", dir).map_err(|error| error.source)?;
        fs::create_dir_all(dir)?;
        let stem = format!("{}{}{}", self.prefix, self.subject, self.started.format("%Y-%m-%d_%H-%M-%S"));
        for number in 1..100 {
            let path = match number {
                1 => dir.join(format!("{stem}.log")),
                _ => dir.join(format!("{stem}-{number}.log")),
            };
            match OpenOptions::new().create_new(true).append(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                file => return file.map(|file| (file, path)),
            }
        }
        Err(io::Error::other("a hundred runs began in this second"))
    }

    /// Deletes the oldest logs of the program in `dir` beyond the newest `keep`.
    ///
    /// # Errors
    /// When the directory cannot be read or a log cannot be deleted.
    pub(crate) fn prune(&self, dir: &Path, keep: usize) -> io::Result<()> {
        let mut logs = Vec::new();
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name().into_string().unwrap_or_default();
            if let Some(time) = self.time_of(&name) {
                logs.push((time, name));
            }
        }
        logs.sort_unstable();
        let excess = logs.len().saturating_sub(keep);
        logs.iter().take(excess).try_for_each(|(_, name)| fs::remove_file(dir.join(name)))
    }

    /// What orders the program's logs by time; `None` for other files.
    fn time_of(&self, name: &str) -> Option<String> {
        let stem = name.strip_prefix(self.prefix)?.strip_suffix(".log")?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (stem, number) = match stem.rsplit_once('-') {
            // Seconds have two digits and stand behind a time; a run's number stands behind the seconds.
            Some((rest, number)) if digits(number) && is_time(rest) => (rest, number.parse().ok()?),
            _ => (stem, 1u32),
        };
        is_time(stem).then(|| format!("{}-{number:03}", &stem[stem.len() - TIME_LEN..]))
    }
}

fn is_time(stem: &str) -> bool {
    let Some(time) = stem.len().checked_sub(TIME_LEN).and_then(|from| stem.get(from..)) else { return false };
    time.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 | 13 | 16 => byte == b'-',
        10 => byte == b'_',
        _ => byte.is_ascii_digit(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(subject: &str, second: u32) -> RunLog {
        let started = DateTime::from_timestamp(1_762_400_000 + i64::from(second), 0).unwrap();
        RunLog { prefix: "log_amplitude_", subject: subject.into(), started }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_newest_logs_of_this_program_are_kept_whatever_window_they_name() {
        let dir = tempfile::tempdir().unwrap();
        for (subject, second) in [
            ("20251106T00_20251106T23_", 0),
            ("20200101T00_20200101T23_", 1),
            ("20200101T00_20200101T23_", 1),
            ("20190101T00_20190101T23_", 2),
        ] {
            log(subject, second).create(dir.path()).unwrap();
        }
        fs::write(dir.path().join("log_s3_load_2020-01-01_00-00-00.log"), "").unwrap();
        fs::write(dir.path().join("log_amplitude_notes.log"), "").unwrap();
        log("", 3).prune(dir.path(), 2).unwrap();
        assert_eq!(
            names(dir.path()),
            [
                "log_amplitude_20190101T00_20190101T23_2025-11-06_03-33-22.log",
                "log_amplitude_20200101T00_20200101T23_2025-11-06_03-33-21-2.log",
                "log_amplitude_notes.log",
                "log_s3_load_2020-01-01_00-00-00.log",
            ]
        );
    }
}
