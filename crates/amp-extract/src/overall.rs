//! How far a run of several days is.

use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use amp_core::window::HourWindow;
use chrono::NaiveDate;

/// The days of a run and how many of its requests are done.
#[derive(Debug)]
pub(crate) struct Overall {
    days: Vec<NaiveDate>,
    requests: usize,
    done: AtomicUsize,
    began: Instant,
}

impl Overall {
    /// Of a run that begins now to make `requests`.
    pub(crate) fn new(requests: &[HourWindow]) -> Self {
        let mut days: Vec<NaiveDate> = requests.iter().map(|request| request.start().date()).collect();
        days.sort_unstable();
        days.dedup();
        Self { days, requests: requests.len(), done: AtomicUsize::new(0), began: Instant::now() }
    }

    /// One more request is done, whatever came of it.
    pub(crate) fn one_done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Where `window` stands among the days, how much is done, and how long the rest takes at this pace; nothing of a run of one day.
    pub(crate) fn at(&self, window: HourWindow) -> String {
        let Some(day) = self.days.iter().position(|day| *day == window.start().date()) else { return String::new() };
        if self.days.len() < 2 {
            return String::new();
        }
        let done = self.done.load(Ordering::Relaxed).min(self.requests);
        let mut text = format!(", day {} of {}, {} %", day + 1, self.days.len(), done * 100 / self.requests);
        if let Ok(each) = u32::try_from(done)
            && each > 0
        {
            let left = u32::try_from(self.requests - done).unwrap_or(u32::MAX);
            write!(text, ", about {} left", roughly(self.began.elapsed() / each * left)).ok();
        }
        text
    }
}

fn roughly(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use amp_core::window::WindowSpec;

    #[test]
    fn a_run_of_several_days_tells_how_far_it_is() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let days = |last| WindowSpec::last(last).unwrap().resolve(now, None).unwrap().window.unwrap().days();
        let requests: Vec<HourWindow> = days("364d").collect();
        let overall = Overall::new(&requests);
        assert_eq!(overall.at(requests[0]), ", day 1 of 364, 0 %");
        (0..11).for_each(|_| overall.one_done());
        let text = overall.at(requests[11]);
        assert!(text.starts_with(", day 12 of 364, 3 %, about ") && text.ends_with(" left"), "{text}");
        assert_eq!(Overall::new(&requests[..1]).at(requests[0]), "");
        assert_eq!(
            [119, 7199, 18_000].map(|seconds| roughly(Duration::from_secs(seconds))),
            ["119 s", "119 min", "5 h"]
        );
    }
}
