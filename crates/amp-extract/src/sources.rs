//! What a call adds to `sources.jsonl` before it does anything else: who it is, and from which day on every day is owed.

use amp_core::disk::DiskError;
use amp_core::hour::yesterday;
use amp_core::ledger::{FIRST_YEAR, Ledger, Owner, Owners, ScannedSource, SourceRecord};
use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc};

use crate::settings::Settings;

/// Clocks that differ by more are not a matter of minutes or of a time zone: one of them is wrong.
const WRONG_CLOCK: TimeDelta = TimeDelta::hours(25);

/// What is known of sources, with what this call adds to it.
pub struct Known {
    /// All of it.
    pub owners: Owners,
    /// What the ledger has not got yet.
    pub additions: Vec<SourceRecord>,
    /// What this call may still say about its marker once it knows Amplitude's clock.
    pub marker: Marker,
}

/// A marker, which no later call moves, and which Amplitude's clock may set right once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// It stands.
    Stands,
    /// This call made it, by this machine's clock.
    Made(NaiveDate),
    /// It lies ahead of this machine's clock, or that clock says a time before Amplitude's: which of them is wrong is not known.
    Doubtful,
}

impl Marker {
    /// The day that is right instead of `recorded`, now that an answer told the time by `theirs` when it was `ours`.
    pub fn set_right(
        self,
        recorded: Option<NaiveDate>,
        ours: DateTime<Utc>,
        theirs: DateTime<Utc>,
    ) -> Option<NaiveDate> {
        let day = yesterday(theirs);
        let is_wrong = match self {
            Self::Stands => false,
            Self::Made(made) => recorded == Some(made) && (ours - theirs).abs() > WRONG_CLOCK,
            Self::Doubtful => recorded.is_none_or(|recorded| recorded > day),
        };
        Some(day).filter(|day| is_wrong && is_possible(*day))
    }
}

impl Known {
    /// Reads what is known and finds out what this call adds; nothing is written.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn read(ledger: &Ledger, settings: &Settings, now: DateTime<Utc>) -> Result<Self, DiskError> {
        let owners = Owners::read(ledger)?;
        let mut known = Self { owners, additions: Vec::new(), marker: Marker::Stands };
        if known.owners.is_empty() {
            // An earlier version's ledger, or none.
            for found in Owners::scan(ledger)? {
                known.add(inherited(found, settings, now));
            }
        }
        if settings.lacks_key {
            return Ok(known);
        }
        let source = settings.source();
        let mut own = SourceRecord { time: now, source, host: None, project: None, owed_from: None };
        if known.owners.host_of(&own.source).is_none() {
            own.host = settings.base_url.host_str().map(str::to_owned);
        }
        if settings.daily || settings.status {
            let owner = known.owners.owner_of(&own.source);
            let day = yesterday(now);
            known.marker = match recorded(&known.owners, &owner) {
                Some(recorded) if recorded <= day => Marker::Stands,
                None if is_possible(day) => {
                    let first = first_marker(&known.owners, &owner, day, first_repaired(settings, now));
                    own.owed_from = Some(first);
                    Marker::Made(first)
                }
                _ => Marker::Doubtful,
            };
        }
        if own.host.is_some() || own.owed_from.is_some() {
            known.add(own);
        }
        Ok(known)
    }

    fn add(&mut self, record: SourceRecord) {
        self.owners.apply(record.clone());
        self.additions.push(record);
    }
}

/// What a ledger without `sources.jsonl` says of a source. Which days a call without a window wanted cannot be told from backfills; only
/// the repair days are taken for such.
fn inherited(found: ScannedSource, settings: &Settings, now: DateTime<Utc>) -> SourceRecord {
    let ScannedSource { source, project, days } = found;
    let owed_from = days.range(first_repaired(settings, now)..=yesterday(now)).next().copied();
    SourceRecord { time: now, source, host: None, project, owed_from }
}

/// The first day of which a call without a window asks for what is owed. It always covers yesterday.
pub fn first_repaired(settings: &Settings, now: DateTime<Utc>) -> NaiveDate {
    let today = now.date_naive();
    today.checked_sub_days(Days::new(settings.repair_days.max(1).into())).unwrap_or(today)
}

/// The day from which on every day of `owner` is owed, or of all without one. A marker ahead of the clock is not used.
pub fn first_owed(owners: &Owners, owner: Option<&Owner>, now: DateTime<Utc>) -> NaiveDate {
    let recorded = match owner {
        Some(owner) => recorded(owners, owner),
        None => owners.markers().map(|(_, _, day)| day).filter(|day| is_possible(*day)).min(),
    };
    recorded.unwrap_or_else(|| yesterday(now)).min(yesterday(now))
}

/// The marker of `owner`: the earliest of its sources.
pub fn recorded(owners: &Owners, owner: &Owner) -> Option<NaiveDate> {
    owners.markers().filter(|(_, whose, day)| whose == owner && is_possible(*day)).map(|(_, _, day)| day).min()
}

/// The first marker of `owner`, which covers `day`. A project takes over what was owed under keys that delivered nothing, for they may have
/// been wrong, but nothing from before `first_repaired`. A source without a project does not: it may belong to one that has all that.
pub fn first_marker(owners: &Owners, owner: &Owner, day: NaiveDate, first_repaired: NaiveDate) -> NaiveDate {
    let falls_to_it = owners.markers().filter(|(source, ..)| owners.falls_to(source, owner));
    let taken_over = falls_to_it.map(|(_, _, marker)| marker).filter(|marker| is_possible(*marker)).min();
    taken_over.map_or(day, |taken_over| day.min(taken_over.max(first_repaired)))
}

/// Whether Amplitude can have data of that day.
fn is_possible(day: NaiveDate) -> bool {
    day.year() >= FIRST_YEAR
}

/// Whether the clock by which a day was noted was right, as far as that can be told.
pub fn is_sane(day: NaiveDate, now: DateTime<Utc>) -> bool {
    is_possible(day) && day <= yesterday(now)
}
