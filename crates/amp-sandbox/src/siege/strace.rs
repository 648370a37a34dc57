//! strace as a saboteur: it kills a program at its k-th call of a kind, or has the call fail.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use super::lab::Lab;

/// Whether strace is here and may trace.
pub(super) fn is_there() -> bool {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=write", "true"]);
    command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn wrapper(log: &str, more: &[&str]) -> Vec<String> {
    let fixed = ["strace", "-f", "-y", "-qq", "-s", "0", "-o", log];
    fixed.iter().chain(more).map(|part| (*part).to_owned()).collect()
}

/// Kills at the `k`-th call of `call` that a thread makes, before it is made.
pub(super) fn kill_at(call: &str, k: u32) -> Vec<String> {
    wrapper("/dev/null", &["-e", &format!("trace={call}"), "-e", &format!("inject={call}:signal=KILL:when={k}")])
}

/// The same, counting only calls about that path, named as the program names it or as the kernel names what it opened.
pub(super) fn kill_about(path: &str, folder: &Path, call: &str, k: u32) -> Vec<String> {
    let mut wrapper = kill_at(call, k);
    wrapper.extend(["-P".to_owned(), path.to_owned(), "-P".to_owned(), folder.join(path).display().to_string()]);
    wrapper
}

/// Has the `k`-th call of `call` of each thread fail; `log` tells which it was.
pub(super) fn fail_at(call: &str, k: u32, error: &str, log: &str) -> Vec<String> {
    let what = [format!("trace={call}"), format!("inject={call}:error={error}:when={k}")];
    // Faster; but it would not kill.
    wrapper(log, &["--seccomp-bpf", "-e", &what[0], "-e", &what[1]])
}

/// One call as strace wrote it down.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    thread: u32,
    pub(super) name: String,
    /// What it was about lies below the folder.
    pub(super) is_ours: bool,
    pub(super) injected: bool,
    /// What it was about, without the folder.
    pub(super) about: String,
    /// The new name that it gave that.
    becomes: Option<String>,
}

impl Call {
    fn parse(line: &str, folder: &Path) -> Option<Self> {
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
        Some(Self {
            thread: thread.parse().ok()?,
            name: name.to_owned(),
            is_ours: below.is_some() || is_relative,
            injected: line.ends_with("(INJECTED)"),
            about: below.map_or_else(|| path.to_owned(), |below| below.display().to_string()),
            becomes: arguments.split('"').nth(3).filter(|_| name.starts_with("rename")).map(str::to_owned),
        })
    }
}

/// The calls in a log of strace.
pub(super) fn calls(log: &Path, folder: &Path) -> io::Result<Vec<Call>> {
    let text = fs::read(log)?;
    Ok(parse(&String::from_utf8_lossy(&text), folder))
}

fn parse(text: &str, folder: &Path) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    for line in text.lines() {
        if let Some(call) = Call::parse(line, folder) {
            calls.push(call);
        } else if line.ends_with("(INJECTED)") {
            // The rest of a call that another thread's came between.
            let thread = line.split(' ').next().and_then(|thread| thread.parse().ok());
            if let Some(call) = calls.iter_mut().rev().find(|call| Some(call.thread) == thread) {
                call.injected = true;
            }
        }
    }
    calls
}

/// At which numbers, counted by thread as strace does, an undisturbed run makes each call: all of them, and those about our files.
#[derive(Debug, Default)]
pub(super) struct Census {
    pub(super) all: BTreeMap<String, BTreeSet<u32>>,
    pub(super) ours: BTreeMap<String, BTreeSet<u32>>,
    /// How often a thread makes a call about a file of ours whose name is the same in each run.
    pub(super) about: BTreeMap<(String, String), u32>,
}

impl Census {
    /// Counts while the program runs to its end.
    pub(super) fn take(lab: &Lab<'_>, program: &str, names: &[&str]) -> io::Result<Self> {
        let log = lab.folder.join("strace.log");
        let trace = format!("trace={}", names.join(","));
        let wrapper = wrapper(&log.display().to_string(), &["--seccomp-bpf", "-e", &trace]);
        let ended = lab.start(&wrapper, program, &[])?.wait()?;
        if let Some(problem) = ended.wrong_end(&[0]) {
            return Err(io::Error::other(format!("{program} under strace: {problem}")));
        }
        let (mut census, mut counts, mut by_path) = (Self::default(), BTreeMap::new(), BTreeMap::new());
        for call in calls(&log, &lab.folder)? {
            let count: &mut u32 = counts.entry((call.thread, call.name.clone())).or_default();
            *count += 1;
            census.all.entry(call.name.clone()).or_default().insert(*count);
            if call.is_ours {
                census.ours.entry(call.name.clone()).or_default().insert(*count);
                for path in [Some(call.about), call.becomes].into_iter().flatten().filter(|path| is_steady(path)) {
                    let count: &mut u32 = by_path.entry((call.thread, path.clone(), call.name.clone())).or_default();
                    *count += 1;
                    let most = census.about.entry((path, call.name.clone())).or_default();
                    *most = (*most).max(*count);
                }
            }
        }
        Ok(census)
    }
}

/// Neither a number of a process nor a time is part of it.
fn is_steady(path: &str) -> bool {
    !path.contains(".part-") && !path.contains("/partial/") && !path.contains("logs/")
}

/// At most so many of the numbers, spread evenly, the first and the last among them.
pub(super) fn spread(numbers: &BTreeSet<u32>, most: usize) -> Vec<u32> {
    let all: Vec<u32> = numbers.iter().copied().collect();
    if all.len() <= most {
        return all;
    }
    let mut picked: Vec<u32> =
        (0..most).filter_map(|n| all.get(n * (all.len() - 1) / (most - 1).max(1)).copied()).collect();
    picked.dedup();
    picked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_tells_whether_it_is_about_our_files() {
        let ours = |line: &str| Call::parse(line, Path::new("/x/lab")).map(|call| (call.is_ours, call.injected));
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
        assert!(calls[0].is_ours && calls[0].injected && !calls[1].injected);
    }

    #[test]
    fn a_spread_keeps_both_ends() {
        assert_eq!(spread(&(1..=100).collect(), 4), [1, 34, 67, 100]);
        assert_eq!(spread(&(1..=3).collect(), 4), [1, 2, 3]);
    }
}
