//! What is true: which rows each hour has, how they are divided into files now and before, what time it is. It knows nothing of the programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use amp_sandbox::events::Dataset;
use amp_sandbox::time::{Hour, Window};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::ReferenceStateMachine;

/// The days that have data, in these hours; all their other hours have none.
pub(crate) const DAYS: [&str; 3] = ["2025-11-06", "2025-11-07", "2025-11-08"];
const HOURS: [u32; 4] = [0, 5, 12, 23];
const PARTS: u32 = 2;
/// When the first call may be made: the first day has settled, the second has begun.
const BEGIN: &str = "2025-11-07T03:15:00Z";
/// When everything has settled.
const END: &str = "2025-11-09T03:15:00Z";

/// One thing that happens.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    Extract(Extract),
    Load {
        kill: Option<Kill>,
    },
    /// So many hours pass.
    Wait(i64),
    /// The key is revoked, and the settings have another one of the same project.
    NewKey,
    /// Amplitude divides the hour's rows into so many files from now on.
    Recut(Hour, u32),
}

#[derive(Debug, Clone)]
pub(crate) struct Extract {
    /// Without one it is the daily call.
    pub(crate) window: Option<Window>,
    pub(crate) force: bool,
    /// How many hours this machine's clock is off.
    pub(crate) clock: i64,
    pub(crate) not_found: Option<NotFound>,
    pub(crate) kill: Option<Kill>,
}

/// 404 for every window with hours of that day.
#[derive(Debug, Clone)]
pub(crate) struct NotFound {
    pub(crate) day: &'static str,
    /// In Amplitude's own words, or a proxy's.
    pub(crate) amplitudes: bool,
}

/// SIGKILL.
#[derive(Debug, Clone)]
pub(crate) enum Kill {
    /// So many milliseconds after the start.
    After(u64),
    /// Before a thread's call of that name and number.
    Before(&'static str, u32),
}

/// The calls between which a kill can make a difference.
const CALLS: [&str; 6] = ["rename", "unlink", "fdatasync", "fsync", "write", "sendto"];

#[derive(Clone)]
pub(crate) struct Model {
    seed: u64,
    pub(crate) now: DateTime<Utc>,
    pub(crate) keys: u32,
    /// How Amplitude has the rows now.
    pub(crate) dataset: Dataset,
    /// The rows of each hour that has any, which never change.
    pub(crate) rows: BTreeMap<Hour, BTreeSet<Vec<u8>>>,
    /// Whatever a file of that name may hold: one content for each way in which its hour was ever divided.
    pub(crate) contents: BTreeMap<String, Vec<Vec<u8>>>,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Model with seed {}", self.seed)
    }
}

pub(crate) fn moment(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(crate) fn day(text: &str) -> Window {
    text.parse().unwrap()
}

/// From the first day's first hour to the last one's last.
pub(crate) fn all_days() -> Window {
    Window::new(day(DAYS[0]).start, day(DAYS[2]).end)
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut dataset = Dataset::new(seed).parts_per_hour(PARTS).events_per_part(3).only(all_days());
        for hour in all_days().hours().filter(|hour| !HOURS.contains(&hour.hour_of_day())) {
            dataset = dataset.without_hour(hour);
        }
        let (rows, contents) = (BTreeMap::new(), BTreeMap::new());
        let mut model = Self { seed, now: moment(BEGIN), keys: 0, dataset, rows, contents };
        for hour in hours_with_data() {
            model.note_files(hour);
            let files = (0..PARTS).map(|part| model.dataset.bytes_of(hour, part));
            model.rows.insert(hour, files.flat_map(|bytes| lines(&bytes)).collect());
        }
        model
    }

    fn note_files(&mut self, hour: Hour) {
        for (hour, part) in self.dataset.files_in(hour.into()) {
            let name = self.dataset.expected_file(hour, part).name;
            self.contents.entry(name).or_default().push(self.dataset.bytes_of(hour, part));
        }
    }

    /// As time goes by, but not beyond the end.
    pub(crate) fn wait(&mut self, hours: i64) {
        self.now = (self.now + TimeDelta::hours(hours)).min(moment(END));
    }
}

fn hours_with_data() -> impl Iterator<Item = Hour> {
    all_days().hours().filter(|hour| HOURS.contains(&hour.hour_of_day()))
}

pub(crate) fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Command;

    fn init_state() -> BoxedStrategy<Self> {
        any::<u64>().prop_map(Self::new).no_shrink().boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Command> {
        let recut = (select(hours_with_data().collect::<Vec<_>>()), 1..=4_u32);
        prop_oneof![
            6 => extract().prop_map(Command::Extract),
            4 => proptest::option::weighted(0.3, kill()).prop_map(|kill| Command::Load { kill }),
            2 => (1..30_i64).prop_map(Command::Wait),
            1 => Just(Command::NewKey),
            2 => recut.prop_map(|(hour, parts)| Command::Recut(hour, parts)),
        ]
        .boxed()
    }

    fn apply(mut model: Self, command: &Command) -> Self {
        match command {
            Command::Extract(_) | Command::Load { .. } => {}
            Command::Wait(hours) => model.wait(*hours),
            Command::NewKey => model.keys += 1,
            Command::Recut(hour, parts) => {
                model.dataset = model.dataset.recut(*hour, *parts);
                model.note_files(*hour);
            }
        }
        model
    }
}

fn extract() -> impl Strategy<Value = Extract> {
    let within = (select(DAYS.to_vec()), 0..24_i64, 0..24_i64).prop_map(|(of, one, other)| {
        let start = day(of).start;
        Window::new(start.plus(one.min(other)), start.plus(one.max(other)))
    });
    let window = prop_oneof![
        4 => Just(None),
        2 => within.prop_map(Some),
        2 => select(DAYS.to_vec()).prop_map(|of| Some(day(of))),
        1 => Just(Some(all_days())),
    ];
    let clock = prop_oneof![4 => Just(0), 1 => -40..40_i64];
    let not_found = (select(DAYS.to_vec()), any::<bool>()).prop_map(|(day, amplitudes)| NotFound { day, amplitudes });
    let not_found = proptest::option::weighted(0.25, not_found);
    let fields = (window, proptest::bool::weighted(0.3), clock, not_found, proptest::option::weighted(0.3, kill()));
    fields.prop_map(|(window, force, clock, not_found, kill)| Extract { window, force, clock, not_found, kill })
}

fn kill() -> impl Strategy<Value = Kill> {
    prop_oneof![
        (0..150_u64).prop_map(Kill::After),
        (select(CALLS.to_vec()), 1..12_u32).prop_map(|(call, number)| Kill::Before(call, number)),
    ]
}
