//! What a call adds to `sources.jsonl` before it does anything else: who it is, and from which day on every day is owed.

use amp_core::disk::DiskError;
use amp_core::hour::yesterday;
use amp_core::ledger::{Ledger, Owner, Owners, ScannedSource, SourceRecord};
use chrono::{DateTime, Datelike, Days, NaiveDate, Utc};

use crate::settings::Settings;

/// Amplitude began in this year: a clock that makes an earlier day yesterday is wrong.
const FIRST_YEAR: i32 = 2012;

/// What is known of sources, with what this call adds to it.
pub struct Known {
    /// All of it.
    pub owners: Owners,
    /// What the ledger has not got yet.
    pub additions: Vec<SourceRecord>,
}

impl Known {
    /// Reads what is known and finds out what this call adds; nothing is written.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn read(ledger: &Ledger, settings: &Settings, now: DateTime<Utc>) -> Result<Self, DiskError> {
        let mut known = Self { owners: Owners::read(ledger)?, additions: Vec::new() };
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
        let owner = known.owners.owner_of(&own.source);
        if settings.daily && recorded(&known.owners, &owner, now).is_none() {
            own.owed_from =
                Some(first_owed(&known.owners, Some(&owner), settings, now)).filter(|day| is_sane(*day, now));
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

/// The day from which on every day of `owner` is owed, or of all without one: the first that a call without a window covered. Where there was
/// none yet, this call is the first; it takes over what was owed under keys that never delivered anything, for they may have been wrong.
pub fn first_owed(owners: &Owners, owner: Option<&Owner>, settings: &Settings, now: DateTime<Utc>) -> NaiveDate {
    let of_owner = match owner {
        Some(owner) => recorded(owners, owner, now),
        None => owners.owed_from(|_| true).filter(|day| is_sane(*day, now)).min(),
    };
    let inherited = || {
        let of_others = owners.owed_from(|owner| !owner.is_project()).filter(|day| is_sane(*day, now)).min();
        of_others.map(|day| day.max(first_repaired(settings, now)))
    };
    of_owner.or_else(inherited).unwrap_or_else(|| yesterday(now)).min(yesterday(now))
}

fn recorded(owners: &Owners, owner: &Owner, now: DateTime<Utc>) -> Option<NaiveDate> {
    owners.owed_from(|whose| whose == owner).filter(|day| is_sane(*day, now)).min()
}

/// Whether the clock by which a day was noted was right, as far as that can be told.
pub fn is_sane(day: NaiveDate, now: DateTime<Utc>) -> bool {
    day.year() >= FIRST_YEAR && day <= yesterday(now)
}
