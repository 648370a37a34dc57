//! Finds out which manifests are to be put.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{self, BufWriter, IntoInnerError, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use amp_core::checksum::Digest;
use amp_core::disk::{DiskContext, DiskError};
use amp_core::ledger::{FileIndex, HourIndex, Ledger, LedgerPositions, LoadLine, LoadRecord, Owners, Partition};
use amp_core::receipt::{Algorithm, Checksum, Proof};
use amp_core::stage::Staging;
use chrono::{NaiveDate, Utc};

use super::journal::{ManifestJournal, ManifestRecord};
use super::prefix::{ManifestId, ManifestPrefix};
use super::{CompleteDay, Destination, Incomplete, Listing, Manifest};
use crate::checksum::ContentChecksum;
use crate::plan::PlannedUpload;
use crate::upload::file_in_memory;

/// The manifests of a run.
pub(crate) struct Manifests {
    pub(super) ledger: Ledger,
    pub(super) journal: ManifestJournal,
    pub(super) prefix: ManifestPrefix,
    to: Destination,
    /// Files without a day in their name that were loaded under a manifest's key, by that key; read once.
    undated: Mutex<Option<Arc<HashMap<String, String>>>>,
    /// What each manifest was said to wait for.
    logged: Mutex<HashMap<ManifestId, Incomplete>>,
    /// The day that was read last: its projects come one after the other.
    latest: Mutex<Option<DayLedger>>,
}

/// The hours of a day, and how far its part of the ledger had come before they were read.
struct DayLedger {
    day: NaiveDate,
    positions: LedgerPositions,
    hours: Arc<HourIndex>,
}

/// What is to be done about the manifest of a day.
enum ManifestState {
    /// Nothing: it is in the bucket, and nothing happened to its day.
    Current,
    /// Nothing: something happened to its day, but the manifest is the same.
    Unchanged(ManifestRecord),
    /// Nothing yet.
    Incomplete(Incomplete),
    /// It is to be put once what is planned is loaded.
    Planned,
    /// It is to be put.
    Pending(PendingManifest),
    /// It must not be put.
    KeyTaken(KeyTaken),
}

/// A manifest that is to be put.
pub(super) struct PendingManifest {
    pub(super) planned: PlannedUpload,
    pub(super) content: File,
    pub(super) digest: Digest,
    pub(super) positions: Option<LedgerPositions>,
}

/// A manifest would take the place of data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{key}` is the key of a manifest and of the data file `{file}`; use another --manifest-prefix, such as `_manifests/`"
)]
pub(crate) struct KeyTaken {
    pub(crate) key: String,
    pub(crate) file: String,
}

impl Manifests {
    /// Those below `prefix`, by the ledger and the journal of `staging`.
    pub(crate) fn open(staging: &Staging, prefix: ManifestPrefix, to: Destination) -> Result<Self, DiskError> {
        let (ledger, journal) = (Ledger::at(&staging.state_dir()), ManifestJournal::open(staging)?);
        Ok(Self {
            ledger,
            journal,
            prefix,
            to,
            undated: Mutex::default(),
            latest: Mutex::default(),
            logged: Mutex::default(),
        })
    }

    /// Every manifest that there may be: of each day that the ledger knows, and then of each project that it knows.
    pub(super) fn ids(&self) -> Result<Vec<ManifestId>, DiskError> {
        let days = self.ledger.days()?;
        // Whose hours they are may have become known since.
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if !self.prefix.is_per_project() {
            return Ok(days.into_iter().map(|day| ManifestId { day, project: None }).collect());
        }
        let owners = Owners::read(&self.ledger)?;
        let mut projects: Vec<_> = owners.projects().into_iter().map(|project| Some(project.to_owned())).collect();
        if projects.is_empty() {
            projects.push(None);
        }
        let of_day = |day| projects.iter().map(move |project| ManifestId { day, project: project.clone() });
        Ok(days.into_iter().flat_map(of_day).collect())
    }

    /// Whether a manifest is to be put as the ledger stands. Says of each day why not, if none is.
    pub(crate) fn is_any_pending(&self) -> Result<bool, DiskError> {
        let mut waiting = Vec::new();
        for id in self.ids()? {
            match self.evaluate(&id, &[])? {
                ManifestState::Current => {}
                ManifestState::Unchanged(line) => self.journal.append(line)?,
                ManifestState::Incomplete(why) => waiting.push((id, why)),
                ManifestState::Planned | ManifestState::Pending(_) | ManifestState::KeyTaken(_) => return Ok(true),
            }
        }
        waiting.iter().for_each(|(id, why)| log_incomplete(id, why));
        Ok(false)
    }

    /// The keys of the manifests that would be put once `planned` is loaded, as far as the ledger tells what those files hold.
    /// A file that is loaded again counts as a new object, though it may turn out the same.
    pub(crate) fn expected(&self, planned: &[PlannedUpload], staging: &Staging) -> Result<Vec<String>, DiskError> {
        let mut known: HashMap<Partition, FileIndex> = HashMap::new();
        let mut loads = Vec::new();
        for upload in planned {
            let file = &upload.file;
            let partition = Partition::of_file(file);
            let known = match known.entry(partition) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(self.ledger.files(partition)?),
            };
            let Some(staged) = staging.staged(file)? else { continue };
            let untouched = known.versions(file).iter().find(|unpacked| staged.is_untouched(unpacked));
            loads.extend(untouched.map(|unpacked| (upload, unpacked.digest)));
        }
        let mut keys = Vec::new();
        for id in self.ids()? {
            match self.evaluate(&id, &loads)? {
                ManifestState::Planned | ManifestState::Pending(_) => keys.push(self.prefix.key(&id)),
                ManifestState::KeyTaken(taken) => tracing::warn!("{id}: {taken}"),
                ManifestState::Incomplete(why) => log_incomplete(&id, &why),
                ManifestState::Current | ManifestState::Unchanged(_) => {}
            }
        }
        Ok(keys)
    }

    pub(super) fn load_of(&self, file: &str, key: &str, digest: Digest) -> LoadRecord {
        LoadRecord {
            time: Utc::now(),
            file: file.to_owned(),
            digest,
            bucket: self.to.bucket.clone(),
            key: key.to_owned(),
            endpoint: self.to.endpoint.clone(),
            checksum: Checksum { algorithm: Algorithm::Crc64nvme, value: digest.crc64nvme.to_string() },
            proof: Proof::Checksum,
            etag: None,
            version_id: None,
            in_place_of: Vec::new(),
        }
    }

    /// What is to be done about a day, if the loads of `planned` are added to what the ledger has.
    ///
    /// amp-extract may be at work on the day. Nobody but this run loads, for it holds the lock, and none of its own uploads is under way:
    /// until the next round, the bucket holds what the load records say. amp-extract notes `asked` before it fetches an hour again and
    /// `fetched`, with the digests of the new files, after they have their names. Read before `asked`, the hours name files that are in the
    /// bucket as listed, whatever lies in their place on the disk a moment later; read between the two, the hour is unanswered; read after
    /// `fetched`, the new digests are none that was loaded. So no manifest names a file that is not in the bucket. The positions are read
    /// first: a line that is added while the rest is read makes the next run look again.
    fn evaluate(&self, id: &ManifestId, planned: &[(&PlannedUpload, Digest)]) -> Result<ManifestState, DiskError> {
        if self.prefix.is_per_project() && id.project.is_none() {
            return Ok(ManifestState::Incomplete(Incomplete::NoProject));
        }
        let (partition, key) = (Partition::Day(id.day), self.prefix.key(id));
        let positions = self.ledger.positions(partition)?;
        if self.journal.is_current(&self.to, &key, positions) {
            return Ok(ManifestState::Current);
        }
        let day = match CompleteDay::of(id, &*self.hours(id.day, positions)?) {
            Ok(day) => day,
            Err(why) => return Ok(ManifestState::Incomplete(why)),
        };
        let mut listing = match Listing::of(day, &self.to, &key) {
            Ok(listing) => listing,
            Err(why) => return Ok(ManifestState::Incomplete(why)),
        };
        let mut partitions = listing.partitions();
        partitions.insert(partition);
        partitions.iter().try_for_each(|partition| listing.read(&self.ledger, *partition))?;
        for (PlannedUpload { file, key }, digest) in planned {
            listing.plan(&self.load_of(file, key, *digest));
        }
        if let Some(why) = listing.lacks(&self.ledger)? {
            return Ok(ManifestState::Incomplete(why));
        }
        let undated = self.undated()?;
        if let Some(file) = listing.taken_by.as_ref().or_else(|| undated.get(&key)) {
            return Ok(ManifestState::KeyTaken(KeyTaken { file: file.clone(), key }));
        }
        if listing.is_planned() {
            return Ok(ManifestState::Planned);
        }
        let (content, digest) = written(&listing.manifest(&self.ledger)?).context("write", Path::new(&id.file()))?;
        // What rests on other days' ledgers too is looked at in every run.
        let positions = (partitions.len() == 1).then_some(positions);
        Ok(match self.journal.same(&self.to, &key, digest) {
            Some(line) if line.positions == positions => ManifestState::Current,
            Some(line) => ManifestState::Unchanged(ManifestRecord { positions, ..line }),
            None => ManifestState::Pending(PendingManifest {
                planned: PlannedUpload { file: id.file(), key },
                content,
                digest,
                positions,
            }),
        })
    }

    /// The hours of a day of which `positions` were read before.
    fn hours(&self, day: NaiveDate, positions: LedgerPositions) -> Result<Arc<HourIndex>, DiskError> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = latest.as_ref().filter(|read| read.day == day && read.positions == positions) {
            return Ok(Arc::clone(&read.hours));
        }
        // Two such days at the same time would be too much.
        *latest = None;
        let hours = Arc::new(self.ledger.hours(Partition::Day(day), &Owners::read(&self.ledger)?)?);
        if !self.prefix.is_per_project() {
            return Ok(hours);
        }
        *latest = Some(DayLedger { day, positions, hours: Arc::clone(&hours) });
        Ok(hours)
    }

    fn undated(&self) -> Result<Arc<HashMap<String, String>>, DiskError> {
        let mut undated = self.undated.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(undated) = &*undated {
            return Ok(Arc::clone(undated));
        }
        let mut read = HashMap::new();
        self.ledger.read_loads(Partition::Undated, |line, _| match line {
            LoadLine::Loaded(record) if self.to.has(&record) && self.prefix.is_manifest_key(&record.key) => {
                read.insert(record.key, record.file);
            }
            LoadLine::Loaded(_) => {}
            LoadLine::Lost(lost) if lost.bucket == self.to.bucket => {
                read.retain(|key, file| *key != lost.key || *file != lost.file);
            }
            LoadLine::Lost(_) => {}
        })?;
        let read = Arc::new(read);
        *undated = Some(Arc::clone(&read));
        Ok(read)
    }

    /// Whether a manifest of `day` cannot be put for lack of an hour or a load.
    pub(crate) fn is_incomplete(&self, day: NaiveDate) -> Result<bool, DiskError> {
        for id in self.ids()?.into_iter().filter(|id| id.day == day) {
            if matches!(self.evaluate(&id, &[])?, ManifestState::Incomplete(_)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// That manifest if it is to be put. Blocks on the disk.
    pub(super) fn pending(&self, id: &ManifestId) -> Result<Option<PendingManifest>, String> {
        match self.evaluate(id, &[]).map_err(|error| error.to_string())? {
            ManifestState::Pending(pending) => return Ok(Some(pending)),
            ManifestState::KeyTaken(taken) => return Err(taken.to_string()),
            ManifestState::Unchanged(line) => self.journal.append(line).map_err(|error| error.to_string())?,
            ManifestState::Incomplete(why) => {
                let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
                if logged.get(id) != Some(&why) {
                    log_incomplete(id, &why);
                    logged.insert(id.clone(), why);
                }
            }
            ManifestState::Current | ManifestState::Planned => {}
        }
        Ok(None)
    }
}

/// The manifest in a file that is on no disk, and what it is known by.
fn written(manifest: &Manifest<'_>) -> io::Result<(File, Digest)> {
    let mut content = BufWriter::new(file_in_memory()?);
    serde_json::to_writer(&mut content, manifest)?;
    content.write_all(b"\n")?;
    let content = content.into_inner().map_err(IntoInnerError::into_error)?;
    let digest = ContentChecksum::read(&content, 0, u64::MAX, Algorithm::Crc64nvme)?.digest;
    Ok((content, digest))
}

fn log_incomplete(id: &ManifestId, why: &Incomplete) {
    tracing::info!("{id}: no manifest yet: {why}");
}
