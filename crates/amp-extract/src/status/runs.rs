//! The last runs of both programs, by their logs. A log may be of another version or cut short: what it does not tell is left out.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde_json::Value;

/// As many runs of both programs together are shown.
const MAX_RUNS: usize = 20;
/// The result stands in the last lines.
const MAX_TAIL_BYTES: u64 = 256 << 10;
/// Length of `YYYY-MM-DD_HH-MM-SS`.
const TIME_LEN: usize = 19;
/// The programs by what their logs begin with.
const PROGRAMS: [(&str, &str); 2] = [("log_amplitude_", "amp-extract"), ("log_s3_load_", "amp-load")];

/// A run, as its log tells of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LoggedRun {
    pub(super) program: &'static str,
    /// `2025-11-07 03:15:00`, in UTC.
    pub(super) began: String,
    /// How it ended; `None`: it was killed, or is still at work.
    pub(super) result: Option<Value>,
    pub(super) log: String,
}

/// The latest runs in `dir`, the newest first; none where there are no logs.
pub(super) fn latest(dir: &Path) -> Vec<LoggedRun> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut runs: Vec<_> = names.filter_map(named).collect();
    runs.sort_unstable_by(|a, b| (&b.began, &b.log).cmp(&(&a.began, &a.log)));
    runs.truncate(MAX_RUNS);
    runs.iter_mut().for_each(|run| run.result = tail(&dir.join(&run.log)).and_then(|text| result_in(&text)));
    runs
}

/// The run whose log has that name.
fn named(log: String) -> Option<LoggedRun> {
    let (prefix, program) = PROGRAMS.iter().find(|(prefix, _)| log.starts_with(prefix))?;
    let stem = log.strip_prefix(prefix)?.strip_suffix(".log")?;
    let time = stem.match_indices(|c: char| c.is_ascii_digit()).find_map(|(at, _)| {
        let time = stem.get(at..at + TIME_LEN)?;
        let like = "9999-99-99_99-99-99".bytes();
        let is_time = time.bytes().zip(like).all(|(byte, like)| byte == like || byte.is_ascii_digit() && like == b'9');
        is_time.then(|| format!("{} {}", &time[..10], time[11..].replace('-', ":")))
    })?;
    Some(LoggedRun { program, began: time, result: None, log })
}

/// The end of a file, as far as it is text.
fn tail(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file()))?;
    let bytes = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(MAX_TAIL_BYTES))).ok()?;
    let mut tail = Vec::new();
    file.take(MAX_TAIL_BYTES).read_to_end(&mut tail).ok()?;
    Some(String::from_utf8_lossy(&tail).into_owned())
}

/// The last result in a log of either format.
fn result_in(text: &str) -> Option<Value> {
    let is_result = |found: &Value| found["program"].is_string() && found["outcome"].is_string();
    text.lines().rev().find_map(|line| {
        let in_text = line.find("{\"program\":").and_then(|at| serde_json::from_str(&line[at..]).ok());
        let in_json = || {
            let line: Value = serde_json::from_str(line).ok()?;
            serde_json::from_str(line["message"].as_str()?).ok()
        };
        in_text.or_else(in_json).filter(is_result)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_runs_come_first_and_what_is_no_log_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let result = r#"{"program":"amp-load","outcome":"complete","seconds":1.5}"#;
        let json = serde_json::json!({"level": "INFO", "message": result}).to_string();
        for (name, text) in [
            ("log_amplitude_20251106T00_20251106T23_2025-11-07_03-15-00.log", "INFO one\nWARN two\n".to_owned()),
            ("log_amplitude_2025-11-07_03-15-00-2.log", format!("… INFO {result}\n… INFO exit code 0\n")),
            ("log_s3_load_2025-11-08_03-15-00.log", format!("{json}\n")),
            ("log_s3_load_notes.log", result.to_owned()),
            ("log_s3_load_2025-11-08_03-15-00.log.gz", result.to_owned()),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        fs::create_dir(dir.path().join("log_s3_load_2025-11-01_03-15-00.log")).unwrap();
        let found = latest(dir.path());
        let seen: Vec<_> = found.iter().map(|run| (run.program, run.began.as_str(), run.result.is_some())).collect();
        assert_eq!(
            seen,
            [
                ("amp-load", "2025-11-08 03:15:00", true),
                ("amp-extract", "2025-11-07 03:15:00", false),
                ("amp-extract", "2025-11-07 03:15:00", true),
                ("amp-load", "2025-11-01 03:15:00", false),
            ]
        );
        for number in 0..30 {
            fs::write(dir.path().join(format!("log_s3_load_2025-12-01_03-15-{number:02}.log")), "").unwrap();
        }
        assert_eq!(latest(dir.path()).len(), MAX_RUNS);
        assert_eq!(latest(&dir.path().join("nowhere")), []);
    }

    #[test]
    fn a_long_log_is_read_from_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log_s3_load_2025-11-08_03-15-00.log");
        let lines = "é a line of the log\n".repeat(30_000);
        fs::write(&path, format!("{lines}{{\"program\":\"amp-load\",\"outcome\":\"failed\"}}\n")).unwrap();
        assert_eq!(latest(dir.path())[0].result.as_ref().unwrap()["outcome"], "failed");
    }
}
