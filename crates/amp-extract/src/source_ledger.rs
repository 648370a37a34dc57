//! The ledger as the run's own source sees it: which hours are its project's, and how that becomes known.

use std::sync::{Arc, Mutex, MutexGuard};

use amp_core::archive::{Format, Formats};
use amp_core::disk::DiskError;
use amp_core::ledger::{
    FileRecord, HourIndex, HourRecord, Ledger, Owner, Owners, Partition, SourceId, SourceRecord, project_of,
};
use amp_core::window::HourWindow;
use chrono::{DateTime, NaiveDate, Utc};

use crate::locked::locked;
use crate::sources::{Marker, first_marker, recorded};

/// A ledger and whose hours a run asks for. Clones share what becomes known of the source.
#[derive(Debug, Clone)]
pub struct SourceLedger {
    ledger: Ledger,
    source: SourceId,
    owners: Arc<Mutex<Owners>>,
    marker: Arc<Mutex<Marker>>,
    first_repaired: NaiveDate,
}

impl SourceLedger {
    /// The ledger as `source` sees it, by what is known of sources and of its own `marker`. What it takes over from others begins with
    /// `first_repaired` at the earliest.
    pub fn new(ledger: Ledger, source: SourceId, owners: Owners, marker: Marker, first_repaired: NaiveDate) -> Self {
        let (owners, marker) = (Arc::new(Mutex::new(owners)), Arc::new(Mutex::new(marker)));
        Self { ledger, source, owners, marker, first_repaired }
    }

    /// Who asks.
    pub fn source(&self) -> &SourceId {
        &self.source
    }

    /// Whose hours they are, as far as it is known by now.
    pub fn owner(&self) -> Owner {
        self.owners().owner_of(&self.source)
    }

    /// What is known of sources by now.
    pub fn owners(&self) -> MutexGuard<'_, Owners> {
        locked(&self.owners)
    }

    /// What is known of the hours of `day`.
    ///
    /// # Errors
    /// When the ledger cannot be read; a damaged line is no error.
    pub fn index(&self, day: NaiveDate) -> Result<HourIndex, DiskError> {
        self.ledger.hours(Partition::Day(day), &self.owners())
    }

    /// In which form the files of a window are staged: those of an hour that is known in one form keep it, lest they stand twice in the
    /// bucket.
    ///
    /// # Errors
    /// As [`Self::index`].
    pub fn formats(&self, window: HourWindow, default: Format) -> Result<Formats, DiskError> {
        let (index, owner) = (self.index(window.start().date())?, self.owner());
        let known = |hour| {
            let name = &index.last_fetched(hour, &owner).first()?.name;
            Some((hour, if name.ends_with(".gz") { Format::JsonGz } else { Format::Json }))
        };
        Ok(Formats { default, hours: window.hours().filter_map(known).collect() })
    }

    /// What is known of files whose names tell no hour.
    ///
    /// # Errors
    /// As [`Self::index`].
    pub fn undated(&self) -> Result<HourIndex, DiskError> {
        self.ledger.hours(Partition::Undated, &self.owners())
    }

    /// Whether the hours of `source` are this one's too.
    pub fn is_ours(&self, source: &SourceId) -> bool {
        let owners = self.owners();
        owners.owner_of(source) == owners.owner_of(&self.source)
    }

    /// Notes what became of hours of `day` and waits until it is on disk.
    pub fn append(&self, day: NaiveDate, record: &HourRecord) -> Result<(), DiskError> {
        self.ledger.append(day, record)
    }

    /// Takes in what Amplitude's clock said, `theirs`, when this machine's said `ours`: it may set right from which day on every day is owed.
    ///
    /// # Errors
    /// When that cannot be noted.
    pub fn note_clock(&self, ours: DateTime<Utc>, theirs: DateTime<Utc>) -> Result<(), DiskError> {
        let marker = std::mem::replace(&mut *locked(&self.marker), Marker::Stands);
        let mut owners = self.owners();
        let before = recorded(&owners, &owners.owner_of(&self.source));
        let Some(day) = marker.set_right(before, ours, theirs) else { return Ok(()) };
        tracing::info!("by Amplitude's clock, every day is owed from {day} on");
        self.add(&mut owners, SourceRecord { owed_from: Some(day), ..self.record() })
    }

    /// Notes whose hours the source asks for, once the names of files that it delivered tell. The marker of a project that had one stays; one
    /// that had none gets that of the source, with what it takes over.
    pub fn note_project(&self, files: &[FileRecord]) -> Result<(), DiskError> {
        let mut owners = self.owners();
        if owners.owner_of(&self.source).is_project() {
            return Ok(());
        }
        let Some(project) = project_of(files.iter().map(|file| file.name.as_str())) else { return Ok(()) };
        let mut record = SourceRecord { project: Some(project), ..self.record() };
        let own = recorded(&owners, &owners.owner_of(&self.source));
        let mut joined = owners.clone();
        joined.apply(record.clone());
        let owner = joined.owner_of(&self.source);
        let of_others = joined.markers().filter(|(source, whose, _)| **source != self.source && *whose == owner);
        let of_others = of_others.map(|(_, _, day)| day).min();
        record.owed_from =
            own.map(|own| of_others.unwrap_or_else(|| first_marker(&joined, &owner, own, self.first_repaired)));
        self.add(&mut owners, record)?;
        tracing::info!("this key is one of {owner}");
        Ok(())
    }

    fn record(&self) -> SourceRecord {
        SourceRecord { time: Utc::now(), source: self.source.clone(), host: None, project: None, owed_from: None }
    }

    fn add(&self, owners: &mut Owners, record: SourceRecord) -> Result<(), DiskError> {
        self.ledger.append_sources(std::slice::from_ref(&record))?;
        owners.apply(record);
        Ok(())
    }
}
