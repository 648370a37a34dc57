//! What goes wrong on a day.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use amp_sandbox::time::Hour;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use fastrand::Rng;

/// Something that goes wrong with a daily call.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Mishap {
    /// The machine is off.
    Off,
    /// Both programs are started before Amplitude has all of yesterday.
    Early,
    /// The Export API follows this rule.
    Export(String),
    /// Yesterday is empty for once, though the day before was not.
    FlakyEmpty,
    /// S3 follows this rule.
    S3(String),
    /// SIGKILL to amp-extract, at this part of its usual time.
    KillExtract(f64),
    /// SIGKILL to amp-load.
    KillLoad(f64),
    /// The disk is full but for so many bytes.
    DiskFull(u64),
    /// Somebody else holds amp-extract's lock.
    ExtractLocked,
    /// Somebody else holds amp-load's lock.
    LoadLocked,
    /// The machine's clock is off by so much.
    Clock(TimeDelta),
    /// A setting that does not parse.
    BadSetting,
    /// A key that nobody knows.
    WrongKey,
    /// A new key, and the old one is revoked.
    Rotated,
    /// The old key is revoked, and the new one is in place only the day after.
    RotatedLate,
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Export(rule) => write!(f, "Export API {rule}"),
            Self::S3(rule) => write!(f, "S3 {rule}"),
            Self::Clock(off) => write!(f, "clock off by {} h", off.num_hours()),
            Self::KillExtract(_) => write!(f, "amp-extract killed"),
            Self::KillLoad(_) => write!(f, "amp-load killed"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// One day's calls.
#[derive(Debug, Clone)]
pub(super) struct Day {
    pub(super) date: NaiveDate,
    /// When they are made, by a right clock.
    pub(super) moment: DateTime<Utc>,
    pub(super) mishaps: Vec<Mishap>,
    /// A second project is exported on the same machine, at the same minute.
    pub(super) beside_another: bool,
}

impl Day {
    /// Yesterday by the clock that the calls have.
    pub(super) fn yesterday_by_clock(&self) -> NaiveDate {
        let mut off = self.mishaps.iter().filter_map(|mishap| match mishap {
            Mishap::Clock(off) => Some(*off),
            _ => None,
        });
        yesterday((self.moment + off.next_back().unwrap_or_default()).date_naive())
    }
}

/// Yesterday's name: the day that the call of `date` is for.
pub(super) fn yesterday(date: NaiveDate) -> NaiveDate {
    date.pred_opt().unwrap_or_default()
}

/// Draws the days of a year, the same for the same seed.
pub(super) struct Calendar {
    random: Rng,
    first: NaiveDate,
    /// Numbers of the days on which the machine is off, in a row longer than what a default call repairs.
    absence: Range<i64>,
    /// Numbers of the days on which there is a second project.
    second_project: Range<i64>,
    /// Days without an event.
    empty: BTreeSet<NaiveDate>,
}

impl Calendar {
    /// Of so many days. Nothing goes wrong on the first and after the last.
    pub(super) fn new(mut random: Rng, first: NaiveDate, days: i64) -> Self {
        let absent = days / 3 + random.i64(0..5);
        let second = days * 2 / 3 + random.i64(0..5);
        let absence = absent..absent + 8 + random.i64(0..4).min(days / 30);
        let second_project = second..second + if days > 100 { 12 } else { 4 };
        let all = first.iter_days().take(days as usize);
        let empty = all.filter(|_| random.u8(..20) == 0).collect();
        Self { random, first, absence, second_project, empty }
    }

    /// Whether nothing happened on that day.
    pub(super) fn is_empty(&self, day: NaiveDate) -> bool {
        self.empty.contains(&day)
    }

    pub(super) fn day(&mut self, date: NaiveDate, is_calm: bool) -> Day {
        let number = (date - self.first).num_days();
        let beside_another = self.second_project.contains(&number);
        let mut mishaps = Vec::new();
        if self.absence.contains(&number) && !is_calm {
            mishaps.push(Mishap::Off);
        } else if !is_calm {
            let count = self.random.choice([0, 0, 0, 0, 1, 1, 1, 1, 2, 2]).unwrap_or_default();
            mishaps.extend((0..count).map(|_| self.draw(date)));
            // Nobody takes a lock twice.
            mishaps.dedup();
            // Two clocks that are ahead together cannot be told from two that are right.
            if mishaps.iter().any(|mishap| matches!(mishap, Mishap::Clock(_))) {
                mishaps.retain(|mishap| !matches!(mishap, Mishap::Export(rule) if rule.contains("date=+")));
            }
        }
        // Alone: what a flaky answer leaves open is asked for by a run that gets the right one.
        if mishaps.contains(&Mishap::FlakyEmpty) {
            mishaps = vec![Mishap::FlakyEmpty];
        }
        let minutes = if mishaps.contains(&Mishap::Early) {
            self.random.i64(1..119)
        } else if self.random.u8(..8) == 0 {
            self.random.i64(125..1430)
        } else {
            self.random.i64(185..215)
        };
        let moment = Hour::of(date, 0).start() + TimeDelta::minutes(minutes);
        Day { date, moment, mishaps, beside_another }
    }

    fn draw(&mut self, date: NaiveDate) -> Mishap {
        let random = &mut self.random;
        match random.u8(..26) {
            0..=1 => Mishap::Off,
            2..=3 => Mishap::Early,
            4..=9 => Mishap::Export(export_rule(random, date, &self.empty)),
            10 => Mishap::FlakyEmpty,
            11..=13 => Mishap::KillExtract(random.f64()),
            14 => Mishap::KillLoad(random.f64()),
            15..=16 => Mishap::DiskFull(random.choice([0, 3000, 40_000, 300_000]).unwrap_or_default()),
            17 => Mishap::ExtractLocked,
            18 => Mishap::LoadLocked,
            19..=20 => {
                let hours = [-24, 24, -3, 3, -24 * 30, 24 * 30, -24 * 20_000];
                Mishap::Clock(TimeDelta::hours(random.choice(hours).unwrap_or_default()))
            }
            21 => Mishap::BadSetting,
            22 => Mishap::WrongKey,
            23 => Mishap::S3(s3_rule(random)),
            24 => Mishap::Rotated,
            _ => Mishap::RotatedLate,
        }
    }
}

fn export_rule(random: &mut Rng, date: NaiveDate, empty: &BTreeSet<NaiveDate>) -> String {
    let has_data = |day: &NaiveDate| !empty.contains(day);
    // One that no default call asks for any more: part of a day that is asked for cannot be told from all of it.
    let other = (9..).map(|days| date - TimeDelta::days(days)).find(has_data).unwrap_or(date);
    let (day, before) = (yesterday(date), yesterday(yesterday(date)));
    let over_midnight = match has_data(&day) && has_data(&before) {
        true => format!("archive-of={before}T05..{day}T08"),
        false => format!("archive-of={other}T09"),
    };
    let faults = [
        "status=503".to_owned(),
        "status=502".to_owned(),
        "status=429,retry-after=0".to_owned(),
        "status=504".to_owned(),
        "status=400".to_owned(),
        "foreign-404".to_owned(),
        "foreign-404".to_owned(),
        "text,retry-after=0".to_owned(),
        "html".to_owned(),
        "empty".to_owned(),
        "reset".to_owned(),
        "reset=700".to_owned(),
        "cut=500".to_owned(),
        "flip=-40".to_owned(),
        "stall=300".to_owned(),
        "drip=20".to_owned(),
        "endless".to_owned(),
        "ending=.avro".to_owned(),
        "date=-1d".to_owned(),
        "date=+1d".to_owned(),
        format!("archive-of={other}"),
        format!("archive-of={other}T00..{other}T11"),
        over_midnight,
        format!("foreign-hour={other}T07"),
    ];
    let fault = random.choice(&faults).map_or("status=503", String::as_str);
    // Each of these costs a read timeout: for every hour of a week, they would outlast the patience with a program that hangs.
    let is_slow = ["stall", "drip"].iter().any(|slow| fault.starts_with(slow));
    let times: &[_] = if is_slow { &["times=1", "times=2"] } else { &["", "times=1", "times=2"] };
    format!("{}:{fault}", random.choice(times).copied().unwrap_or_default())
}

fn s3_rule(random: &mut Rng) -> String {
    let rules = [
        ":status=503,code=SlowDown",
        "op=PutObject,nth=5-:status=500",
        "op=PutObject:lost-reply",
        "op=PutObject,nth=9-:reset",
        "op=PutObject:wrong-checksum",
        "op=HeadBucket:status=403",
    ];
    random.choice(rules).unwrap_or_default().to_owned()
}
