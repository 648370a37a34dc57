//! How the file descriptors that the process may have are shared out: a file that is uploaded takes one, its connection another or two.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For the log, the locks, the ledger and what libraries open.
const OTHERS: usize = 64;
/// More are of no use.
const PLENTY: u64 = 4096;

/// Who may have how many descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// Requests at the same time.
    pub(crate) requests: usize,
    /// Files that wait to be recorded; as many again may be at it.
    pub(crate) queue: usize,
}

impl Descriptors {
    /// Asks the system for as many as it gives without leave.
    pub(crate) fn of_process() -> Self {
        let limit = getrlimit(Resource::Nofile);
        let wanted = limit.maximum.unwrap_or(PLENTY).min(PLENTY);
        let current = limit.current.unwrap_or(PLENTY);
        let raised = current < wanted
            && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }).is_ok();
        Self::of(if raised { wanted } else { current })
    }

    fn of(descriptors: u64) -> Self {
        let free = usize::try_from(descriptors.min(PLENTY)).unwrap_or_default().saturating_sub(OTHERS);
        Self { requests: (free / 4).max(1), queue: (free / 10).clamp(1, 128) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::MAX_WAITING;

    #[test]
    fn all_together_have_no_more_than_there_are() {
        for descriptors in [256, 512, 1024, 4096, 1 << 20] {
            let Descriptors { requests, queue } = Descriptors::of(descriptors);
            let files = requests + MAX_WAITING + 2 * queue;
            assert!((files + 2 * requests + 32) as u64 <= descriptors, "{descriptors}: {requests} {queue}");
        }
        assert_eq!(Descriptors::of(4096), Descriptors { requests: 1008, queue: 128 });
        assert_eq!(Descriptors::of(10), Descriptors { requests: 1, queue: 1 });
    }
}
