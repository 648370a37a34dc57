//! The ledger as the run's own source sees it: which hours are its project's, and how that becomes known.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amp_core::disk::DiskError;
use amp_core::ledger::{
    FileRecord, HourIndex, HourRecord, Ledger, Owner, Owners, Partition, SourceId, SourceRecord, project_of,
};
use chrono::{NaiveDate, Utc};

/// A ledger and whose hours a run asks for. Clones share what becomes known of the source.
#[derive(Debug, Clone)]
pub struct SourceLedger {
    ledger: Ledger,
    source: SourceId,
    owners: Arc<Mutex<Owners>>,
}

impl SourceLedger {
    /// The ledger as `source` sees it, by what is known of sources.
    pub fn new(ledger: Ledger, source: SourceId, owners: Owners) -> Self {
        Self { ledger, source, owners: Arc::new(Mutex::new(owners)) }
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
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the hours of `day`.
    ///
    /// # Errors
    /// When the ledger cannot be read; a damaged line is no error.
    pub fn index(&self, day: NaiveDate) -> Result<HourIndex, DiskError> {
        self.ledger.hours(Partition::Day(day), &self.owners())
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

    /// Notes whose hours the source asks for, once the names of files that it delivered tell.
    pub fn note_project(&self, files: &[FileRecord]) -> Result<(), DiskError> {
        let mut owners = self.owners();
        if owners.owner_of(&self.source).is_project() {
            return Ok(());
        }
        let project = project_of(files.iter().map(|file| file.name.as_str()));
        if project.is_some() {
            let (time, source) = (Utc::now(), self.source.clone());
            let record = SourceRecord { time, source, host: None, project, owed_from: None };
            self.ledger.append_sources(std::slice::from_ref(&record))?;
            owners.apply(record);
            tracing::info!("this key is one of {}", owners.owner_of(&self.source));
        }
        Ok(())
    }
}
