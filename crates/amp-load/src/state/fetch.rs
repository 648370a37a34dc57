//! Reads what the bucket holds and the ledger may not have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use amp_cli::Retrier;
use amp_core::checksum::Digester;
use amp_core::disk::DiskError;
use amp_core::ledger::{Owner, Owners, Partition};
use chrono::NaiveDate;
use tokio::task::JoinSet;

use super::State;
use super::content::{DayContent, DoneClaim, Marker, SummaryContent};
use super::prefix::{KeyKind, StateObject, Subject};
use crate::store::{S3Store, StoreError};

/// An object of more bytes is none of ours. A day with 48 files takes 31 kB.
const MAX_OBJECT_BYTES: usize = 256 << 20;
/// Objects read at the same time.
const PARALLEL: usize = 16;
/// How often the bucket is listed at most, where other machines fold objects meanwhile.
const MAX_ROUNDS: usize = 4;

/// The bucket, for reading.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) store: Arc<S3Store>,
    pub(crate) retrier: Arc<Retrier>,
}

/// Of which days state is read.
pub(crate) enum Scope {
    /// Of this day and all later ones, and of earlier ones that are not known to be done.
    Since(NaiveDate),
    /// Of these alone.
    Days(BTreeSet<NaiveDate>),
}

/// What the bucket holds that the ledger may not have.
#[derive(Default)]
pub(crate) struct Fetched {
    pub(super) listing: Listing,
    /// Of each partition, what its objects say, and their names.
    pub(super) days: BTreeMap<Partition, (DayContent, Vec<String>)>,
    pub(super) summary: SummaryContent,
    pub(super) summaries: Vec<String>,
    /// Days that are left in the bucket, for they are done.
    pub(super) left: Vec<DoneClaim>,
    pub(super) unread: usize,
    seen: BTreeSet<StateObject>,
}

#[derive(Default)]
pub(super) struct Listing {
    pub(super) objects: BTreeSet<StateObject>,
    pub(super) has_marker: bool,
    pub(super) foreign: Vec<String>,
}

impl Fetched {
    /// Whether anything was read of a day.
    pub(crate) fn has_days(&self) -> bool {
        !self.days.is_empty()
    }
}

impl Listing {
    fn of(&self, subject: Subject) -> impl Iterator<Item = &StateObject> {
        self.objects.iter().filter(move |object| object.subject == subject)
    }

    fn days(&self) -> BTreeSet<Partition> {
        let partition = |object: &StateObject| match object.subject {
            Subject::Lines(partition) => Some(partition),
            Subject::Summary => None,
        };
        self.objects.iter().filter_map(partition).collect()
    }
}

impl State {
    /// Reads what the bucket holds and the ledger may not have. Nothing is changed.
    ///
    /// # Errors
    /// When the bucket cannot be listed or an object cannot be read. A damaged one is no error, nor is one that another machine folds meanwhile.
    pub(crate) async fn fetch(&self, reader: &Reader, scope: &Scope) -> Result<Fetched, RestoreError> {
        let mut fetched = Fetched::default();
        for _ in 0..MAX_ROUNDS {
            fetched.listing = self.list(reader, scope).await?;
            let summaries = fetched.listing.of(Subject::Summary).cloned().collect();
            let mut complete = self.read_objects(reader, summaries, &mut fetched).await?;
            fetched.left = match scope {
                Scope::Since(first) => self.done_before(*first, &fetched)?,
                Scope::Days(_) => Vec::new(),
            };
            let left: BTreeSet<NaiveDate> = fetched.left.iter().map(|claim| claim.day).collect();
            let mut wanted = Vec::new();
            for partition in fetched.listing.days() {
                let is_wanted = match (partition, scope) {
                    (Partition::Day(day), Scope::Since(_)) => !left.contains(&day),
                    (Partition::Day(day), Scope::Days(days)) => days.contains(&day),
                    (Partition::Undated, _) => true,
                };
                if is_wanted {
                    let held = self.held(partition)?;
                    let missing = fetched
                        .listing
                        .of(Subject::Lines(partition))
                        .filter(|object| !held.contains(&object.to_string()));
                    wanted.extend(missing.cloned());
                }
            }
            complete &= self.read_objects(reader, wanted, &mut fetched).await?;
            if complete {
                break;
            }
        }
        if let Scope::Since(_) = scope {
            self.say_what_is_there(reader, &fetched.listing).await?;
        }
        Ok(fetched)
    }

    async fn list(&self, reader: &Reader, scope: &Scope) -> Result<Listing, StoreError> {
        let after = match scope {
            Scope::Days(days) => days.first().map(|day| self.prefix.before(Partition::Day(*day))),
            Scope::Since(_) => None,
        };
        let keys = reader.retrier.run(|_| reader.store.list(self.prefix.as_str(), after.as_deref())).await?;
        let mut listing = Listing::default();
        for key in keys {
            match self.prefix.kind(&key) {
                KeyKind::Object(object) => drop(listing.objects.insert(object)),
                KeyKind::Marker => listing.has_marker = true,
                KeyKind::Foreign => listing.foreign.push(key),
            }
        }
        Ok(listing)
    }

    /// Reads objects that were not read yet; says whether all of them were there.
    async fn read_objects(
        &self,
        reader: &Reader,
        objects: Vec<StateObject>,
        fetched: &mut Fetched,
    ) -> Result<bool, StoreError> {
        let mut objects =
            objects.into_iter().filter(|object| !fetched.seen.contains(object)).collect::<Vec<_>>().into_iter();
        let mut tasks = JoinSet::new();
        let mut complete = true;
        loop {
            while tasks.len() < PARALLEL
                && let Some(object) = objects.next()
            {
                let (reader, key) = (reader.clone(), self.prefix.key(&object));
                tasks.spawn(async move {
                    let bytes = reader.retrier.run(|_| reader.store.get(&key, MAX_OBJECT_BYTES)).await;
                    (object, key, bytes)
                });
            }
            let Some(joined) = tasks.join_next().await else { return Ok(complete) };
            // A thread that died read nothing: the hours of that object are fetched again.
            let Ok((object, key, bytes)) = joined else { continue };
            match bytes? {
                Some(bytes) => fetched.take(object, &reader.store.url(&key), &bytes),
                None => complete = false,
            }
        }
    }

    /// The days before `first` that need not be read: all of their hours are final by the one object that there is, or was until the bucket's
    /// lifecycle deleted it.
    fn done_before(&self, first: NaiveDate, fetched: &Fetched) -> Result<Vec<DoneClaim>, DiskError> {
        let mut owners = Owners::read(&self.ledger)?;
        fetched.summary.sources.values().for_each(|record| owners.apply(record.clone()));
        // A source whose project has become known since: its hours are the project's.
        let is_current = |owner: &Owner| match owner {
            Owner::Project { .. } => true,
            Owner::Source(source) => owners.owner_of(source) == *owner,
        };
        let here: BTreeSet<Partition> = self.ledger.partitions()?.into_iter().collect();
        let is_left = |claim: &&DoneClaim| {
            let mut objects = fetched.listing.of(Subject::Lines(Partition::Day(claim.day)));
            claim.day < first
                && !here.contains(&Partition::Day(claim.day))
                && objects.all(|object| object.crc == claim.crc)
                && claim.owners.iter().all(is_current)
        };
        Ok(fetched.summary.done.iter().filter(is_left).cloned().collect())
    }

    async fn say_what_is_there(&self, reader: &Reader, listing: &Listing) -> Result<(), StoreError> {
        let place = reader.store.url(self.prefix.as_str());
        if let [example, ..] = listing.foreign.as_slice() {
            let count = listing.foreign.len();
            tracing::warn!("{count} objects below {place} are not state, such as `{example}`: they are left alone");
        }
        if !listing.days().is_empty() {
            return Ok(());
        }
        if !listing.has_marker && listing.objects.is_empty() {
            tracing::info!("there is no state below {place}: a first run");
            return Ok(());
        }
        let marker = self.prefix.marker();
        let marker = reader.retrier.run(|_| reader.store.get(&marker, MAX_OBJECT_BYTES)).await?;
        let marker: Option<Marker> = marker.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let since = marker.map(|marker| format!(" since {}", marker.since)).unwrap_or_default();
        tracing::warn!(
            "state was kept below {place}{since}, and that of every day is gone, by a lifecycle rule or by hand: what it said is fetched again"
        );
        Ok(())
    }
}

impl Fetched {
    /// Takes in an object's bytes, if they are those that it was written with: of a part of its lines, an hour might seem done that was lost since.
    fn take(&mut self, object: StateObject, url: &str, bytes: &[u8]) {
        self.seen.insert(object.clone());
        if !object.has(Digester::digest_of(bytes)) {
            tracing::warn!(
                "{url} is damaged and is not used: what only it says is fetched again; delete it when that is done"
            );
            self.unread += 1;
            return;
        }
        let name = object.to_string();
        let unread = match object.subject {
            Subject::Lines(partition) => {
                let (content, unread) = DayContent::parse(bytes);
                let (known, names) = self.days.entry(partition).or_default();
                known.merge(content);
                names.extend((unread == 0).then_some(name));
                unread
            }
            Subject::Summary => {
                let (content, unread) = SummaryContent::parse(bytes);
                self.summary.merge(content);
                self.summaries.extend((unread == 0).then_some(name));
                unread
            }
        };
        if unread > 0 {
            tracing::warn!(
                hint = "update amp-load",
                "{url}: {unread} of its lines are of a newer version and are skipped"
            );
            self.unread += 1;
        }
    }
}

/// Why state could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    /// A request failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
}
