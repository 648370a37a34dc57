//! strace as a saboteur: it kills a program at its k-th call of a kind, or has the call fail.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use amp_sandbox::strace::{FLAGS, calls};

use crate::lab::Lab;

fn wrapper(log: &str, more: &[&str]) -> Vec<String> {
    ["strace"].iter().chain(&FLAGS).chain(&[log]).chain(more).map(|part| (*part).to_owned()).collect()
}

/// Kills at the `k`-th call of `call` that a thread makes, before it is made.
pub(crate) fn kill_at(call: &str, k: u32) -> Vec<String> {
    wrapper("/dev/null", &["-e", &format!("trace={call}"), "-e", &format!("inject={call}:signal=KILL:when={k}")])
}

/// The same, counting only calls about that path, named as the program names it or as the kernel names what it opened.
pub(crate) fn kill_about(path: &str, folder: &Path, call: &str, k: u32) -> Vec<String> {
    let mut wrapper = kill_at(call, k);
    wrapper.extend(["-P".to_owned(), path.to_owned(), "-P".to_owned(), folder.join(path).display().to_string()]);
    wrapper
}

/// Has the `k`-th call of `call` of each thread fail; `log` tells which it was.
pub(crate) fn fail_at(call: &str, k: u32, error: &str, log: &str) -> Vec<String> {
    let what = [format!("trace={call}"), format!("inject={call}:error={error}:when={k}")];
    // Faster; but it would not kill.
    wrapper(log, &["--seccomp-bpf", "-e", &what[0], "-e", &what[1]])
}

/// At which numbers, counted by thread as strace does, an undisturbed run makes each call: all of them, and those about our files.
#[derive(Debug, Default)]
pub(crate) struct Census {
    pub(crate) all: BTreeMap<String, BTreeSet<u32>>,
    pub(crate) ours: BTreeMap<String, BTreeSet<u32>>,
    /// How often a thread makes a call about a file of ours whose name is the same in each run.
    pub(crate) about: BTreeMap<(String, String), u32>,
}

impl Census {
    /// Counts while the program runs to its end.
    pub(crate) fn take(lab: &Lab<'_>, program: &str, names: &[&str]) -> io::Result<Self> {
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
pub(crate) fn spread(numbers: &BTreeSet<u32>, most: usize) -> Vec<u32> {
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
    fn a_spread_keeps_both_ends() {
        assert_eq!(spread(&(1..=100).collect(), 4), [1, 34, 67, 100]);
        assert_eq!(spread(&(1..=3).collect(), 4), [1, 2, 3]);
    }
}
