//! What a program asked of the system, read from a log of `strace`.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// How a log must be written to be read here: all threads, descriptors with their paths, no data. The log's name comes next.
pub const FLAGS: [&str; 6] = ["-f", "-y", "-qq", "-s", "0", "-o"];

/// Whether strace is here and may trace.
#[must_use]
pub fn is_there() -> bool {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=write", "true"]);
    command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// One call as strace wrote it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The thread that made it.
    pub thread: u32,
    /// Its name.
    pub name: String,
    /// Whether what it was about lies below the folder.
    pub is_ours: bool,
    /// Whether it went wrong because strace had it fail.
    pub injected: bool,
    /// Whether it gave an error.
    pub failed: bool,
    /// What it was about, without the folder.
    pub about: String,
    /// The new name that it gave that.
    pub becomes: Option<String>,
    /// The line of the log at which it began.
    pub began: usize,
    /// The line at which it came back; where it never did, after all of them.
    pub ended: usize,
}

impl Call {
    fn parse(line: &str, number: usize, folder: &Path) -> Option<Self> {
        let (thread, rest) = line.split_once(' ')?;
        let (name, arguments) = rest.trim_start().split_once('(')?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return None;
        }
        // A path that is given counts, else that of the descriptor; one without a slash before it is relative to our folder.
        let given = arguments.split('"').nth(1).filter(|path| !path.is_empty());
        let open = || Some(arguments.split_once('<')?.1.split_once('>')?.0);
        let path = given.or_else(open).unwrap_or_default();
        let below = Path::new(path).strip_prefix(folder).ok();
        let is_relative = given.is_some() && !path.starts_with('/');
        let mut call = Self {
            thread: thread.parse().ok()?,
            name: name.to_owned(),
            is_ours: below.is_some() || is_relative,
            injected: false,
            failed: false,
            about: below.map_or_else(|| path.to_owned(), |below| below.display().to_string()),
            becomes: arguments.split('"').nth(3).filter(|_| name.starts_with("rename")).map(str::to_owned),
            began: number,
            ended: usize::MAX,
        };
        if !line.ends_with("<unfinished ...>") {
            call.end(line, number);
        }
        Some(call)
    }

    fn end(&mut self, line: &str, number: usize) {
        self.ended = number;
        self.injected = line.ends_with("(INJECTED)");
        self.failed = line.rsplit_once(" = ").is_some_and(|(_, result)| result.starts_with("-1 "));
    }
}

/// The calls in a log of strace, in the order in which they began.
///
/// # Errors
/// When the log cannot be read.
pub fn calls(log: &Path, folder: &Path) -> io::Result<Vec<Call>> {
    let text = fs::read(log)?;
    Ok(parse(&String::from_utf8_lossy(&text), folder))
}

fn parse(text: &str, folder: &Path) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(call) = Call::parse(line, number, folder) {
            calls.push(call);
        } else if line.contains(" resumed>") {
            // The rest of a call that another thread's came between.
            let thread = line.split(' ').next().and_then(|thread| thread.parse().ok());
            if let Some(call) = calls.iter_mut().rev().find(|call| Some(call.thread) == thread) {
                call.end(line, number);
            }
        }
    }
    calls
}

/// Whether some thread synced `path`, from a moment after line `after` to one before line `before`.
#[must_use]
pub fn is_synced(calls: &[Call], path: &str, after: usize, before: usize) -> bool {
    calls.iter().any(|call| {
        let is_sync = matches!(call.name.as_str(), "fsync" | "fdatasync") && call.about == path && !call.failed;
        is_sync && call.began > after && call.ended < before
    })
}

/// Whether something was written to `path` before line `before`, and all of that was on disk by then.
#[must_use]
pub fn is_on_disk(calls: &[Call], path: &str, before: usize) -> bool {
    let is_write = |call: &&Call| matches!(call.name.as_str(), "write" | "writev" | "pwrite64" | "pwritev");
    let writes = calls.iter().filter(is_write).filter(|call| call.about == path && call.began < before);
    writes.map(|call| call.ended).max().is_some_and(|last| is_synced(calls, path, last, before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_tells_whether_it_is_about_our_files() {
        let ours = |line: &str| Call::parse(line, 0, Path::new("/x/lab")).map(|call| (call.is_ours, call.injected));
        assert_eq!(
            ours(r#"7 write(5</x/lab/a.json>, ""..., 9) = -1 EIO (Input/output error) (INJECTED)"#),
            Some((true, true))
        );
        assert_eq!(ours(r#"7 write(2<pipe:[12]>, ""..., 9) = 9"#), Some((false, false)));
        assert_eq!(
            ours(r#"7 openat(AT_FDCWD</x/lab>, "/etc/ld.so.cache", O_RDONLY) = 3</etc/ld.so.cache>"#),
            Some((false, false))
        );
        assert_eq!(
            ours(r#"7 openat(AT_FDCWD</x/lab>, "extracted_data/.amp", O_RDONLY <unfinished ...>"#),
            Some((true, false))
        );
        assert_eq!(ours(r#"7 <... write resumed>) = 9"#), None);
    }

    #[test]
    fn a_call_in_two_lines_is_one() {
        let text = "7 write(3</x/lab/a>,  <unfinished ...>\n8 write(4</y>, \"\"..., 2) = 2\n7 <... write resumed>\"\"..., 9) = -1 EIO (INJECTED)\n";
        let calls = parse(text, Path::new("/x/lab"));
        assert_eq!(calls.len(), 2);
        assert!(calls[0].is_ours && calls[0].injected && calls[0].failed && !calls[1].injected);
        assert_eq!([(calls[0].began, calls[0].ended), (calls[1].began, calls[1].ended)], [(0, 2), (1, 1)]);
    }

    #[test]
    fn what_was_written_is_on_disk_only_after_a_sync_that_began_later_and_came_back() {
        let at_line_3 = |lines: [&str; 3]| {
            let calls = parse(&lines.join("\n"), Path::new("/x"));
            is_on_disk(&calls, "a", 3)
        };
        let (write, sync) = (r#"7 write(3</x/a>, ""..., 9) = 9"#, "7 fdatasync(3</x/a>) = 0");
        assert!(at_line_3([write, sync, ""]));
        assert!(at_line_3([write, write, sync]));
        assert!(!at_line_3([write, sync, write]), "more was written since");
        assert!(!at_line_3([write, "7 fdatasync(3</x/b>) = 0", ""]), "another file's");
        assert!(!at_line_3([write, "7 fsync(3</x/a>)      = -1 EIO (Input/output error)", ""]));
        assert!(!at_line_3([write, "7 fsync(3</x/a> <unfinished ...>", ""]), "it had not come back");
        assert!(at_line_3([write, "7 fsync(3</x/a> <unfinished ...>", "7 <... fsync resumed>) = 0"]));
        assert!(!at_line_3(["7 fsync(3</x/a> <unfinished ...>", write, "7 <... fsync resumed>) = 0"]), "began before");
        assert!(!at_line_3([sync, "", ""]), "nothing was written");
    }
}
