//! Puts what the ledger has gained, and deletes the objects that say nothing more.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use amp_cli::Stop;
use amp_core::checksum::Digester;
use amp_core::disk::DiskError;
use amp_core::ledger::Partition;
use amp_core::retry::Verdict;
use chrono::Utc;
use serde::Serialize;
use tokio::task::JoinSet;

use super::content::{FORMAT, Marker};
use super::journal::Known;
use super::prefix::{StateObject, StatePrefix, Subject, crc_of};
use super::{State, digest_of_lines};
use crate::error::{LoadError, object_error};
use crate::plan::PlannedUpload;
use crate::stats::RunStats;
use crate::store::{NewObject, StoreError, StoreErrorKind};
use crate::upload::Uploader;

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PutCounts {
    /// State objects that S3 confirmed.
    pub put: usize,
    /// State objects deleted because another says all that they said.
    pub deleted: usize,
}

/// What is to be done about a subject.
struct Pending {
    subject: Subject,
    /// What is to be put; `None` where an object says it all and only others are to be deleted.
    content: Option<Vec<u8>>,
    known: Known,
}

/// What came of it.
struct Written {
    subject: Subject,
    known: Known,
    counts: PutCounts,
}

impl State {
    /// Whether the bucket lacks anything that the ledger says.
    ///
    /// # Errors
    /// When the ledger cannot be read or the journal written.
    pub(crate) fn is_any_pending(&mut self) -> Result<bool, DiskError> {
        Ok(!self.pending_days()?.is_empty() || self.pending_summary()?.is_some())
    }

    /// Puts what the bucket lacks, when all else that the run adds to the ledger is added. Returns the partitions that were put, and how much.
    pub(crate) async fn put_pending(
        &mut self,
        uploader: &Arc<Uploader>,
        stats: &RunStats,
        stop: &Stop,
    ) -> (BTreeSet<Partition>, PutCounts) {
        let (mut touched, mut counts) = (BTreeSet::new(), PutCounts::default());
        let pending = self.pending_days();
        let Some(pending) = recorded(pending, stats) else { return (touched, counts) };
        let deletes = Arc::new(AtomicBool::new(true));
        self.put_marker(uploader, stats, stop, &pending).await;
        let days = pending.iter().filter(|pending| pending.content.is_some());
        touched.extend(days.filter_map(|pending| match pending.subject {
            Subject::Lines(partition) => Some(partition),
            Subject::Summary => None,
        }));
        self.write(uploader, stats, stop, &deletes, pending, &mut counts).await;
        // Behind the days: it says of them that they are done.
        let summary = self.pending_summary();
        let Some(summary) = recorded(summary, stats) else { return (touched, counts) };
        self.write(uploader, stats, stop, &deletes, summary.into_iter().collect(), &mut counts).await;
        (touched, counts)
    }

    /// The partitions of which the ledger says what no object does. Where only the files' positions are new, the journal learns them.
    fn pending_days(&mut self) -> Result<Vec<Pending>, DiskError> {
        let around = self.surroundings()?;
        let (mut pending, mut unchanged) = (Vec::new(), Vec::new());
        for partition in self.ledger.partitions()? {
            let subject = Subject::Lines(partition);
            let known = self.journal.known(subject);
            let positions = self.ledger.positions(partition)?;
            let manifest = digest_of_lines(&around.manifests_of(partition));
            let untouched =
                known.filter(|known| known.positions == positions && known.manifest == manifest && known.is_put());
            if let Some(known) = untouched {
                if known.superseded().next().is_some() {
                    pending.push(Pending { subject, content: None, known: known.clone() });
                }
                continue;
            }
            let objects = known.map(|known| known.objects.clone()).unwrap_or_default();
            let (bytes, known) = self.read(partition, &around, objects)?;
            if bytes.is_empty() {
                continue;
            }
            let is_put = known.is_put();
            match is_put && known.superseded().next().is_none() {
                true => unchanged.push((subject, known)),
                false => pending.push(Pending { subject, content: (!is_put).then_some(bytes), known }),
            }
        }
        self.journal.append(unchanged)?;
        Ok(pending)
    }

    fn pending_summary(&self) -> Result<Option<Pending>, DiskError> {
        let summary = self.summary()?;
        let (bytes, subject) = (summary.to_bytes(), Subject::Summary);
        let known = self.journal.known(subject);
        let objects = known.map(|known| known.objects.clone()).unwrap_or_default();
        let known = Known { crc: crc_of(Digester::digest_of(&bytes)), objects, ..Known::default() };
        let is_put = known.is_put();
        let is_done = bytes.is_empty() || (is_put && known.superseded().next().is_none());
        Ok((!is_done).then(|| Pending { subject, content: (!is_put).then_some(bytes), known }))
    }

    /// Writes, once in the life of a prefix, that state is kept there.
    async fn put_marker(&mut self, uploader: &Uploader, stats: &RunStats, stop: &Stop, pending: &[Pending]) {
        if pending.is_empty() || self.journal.has_marker() || stop.is_requested() {
            return;
        }
        let marker = Marker { format: FORMAT, since: Utc::now().date_naive() };
        let bytes = serde_json::to_vec(&marker).unwrap_or_default();
        let key = self.prefix.marker();
        let object = NewObject { only_if_new: true, ..state_object(&key, "application/json") };
        match uploader.upload_bytes(&object, bytes).await {
            Ok(_) | Err(LoadError::Exists) => drop(recorded(self.journal.append_marker(), stats)),
            Err(error) => failed(&PlannedUpload { file: "state".to_owned(), key }, &error, stats),
        }
    }

    async fn write(
        &mut self,
        uploader: &Arc<Uploader>,
        stats: &RunStats,
        stop: &Stop,
        deletes: &Arc<AtomicBool>,
        pending: Vec<Pending>,
        counts: &mut PutCounts,
    ) {
        let mut tasks: JoinSet<Result<Written, (PlannedUpload, LoadError)>> = JoinSet::new();
        for work in pending {
            if stop.is_requested() || stats.is_outage() {
                break;
            }
            while tasks.len() >= uploader.request_limit() {
                let Some(joined) = tasks.join_next().await else { break };
                self.written(joined.map_err(|error| error.to_string()), stats, counts);
            }
            let (uploader, deletes) = (Arc::clone(uploader), Arc::clone(deletes));
            let (prefix, machine) = (self.prefix.clone(), self.machine.clone());
            tasks.spawn(async move { work.write(&uploader, &prefix, &machine, &deletes).await });
        }
        while let Some(joined) = tasks.join_next().await {
            self.written(joined.map_err(|error| error.to_string()), stats, counts);
        }
    }

    fn written(
        &mut self,
        joined: Result<Result<Written, (PlannedUpload, LoadError)>, String>,
        stats: &RunStats,
        counts: &mut PutCounts,
    ) {
        match joined {
            Ok(Ok(Written { subject, known, counts: PutCounts { put, deleted } })) => {
                counts.put += put;
                counts.deleted += deleted;
                recorded(self.journal.append(vec![(subject, known)]), stats);
            }
            Ok(Err((planned, error))) => failed(&planned, &error, stats),
            Err(error) => stats.object_failed(None, format!("internal error: {error}"), &Verdict::Permanent),
        }
    }
}

impl Pending {
    /// Puts the content and, when it is confirmed, deletes what it supersedes.
    async fn write(
        mut self,
        uploader: &Uploader,
        prefix: &StatePrefix,
        machine: &str,
        deletes: &AtomicBool,
    ) -> Result<Written, (PlannedUpload, LoadError)> {
        let mut counts = PutCounts::default();
        if let Some(bytes) = self.content {
            let object = StateObject::new(self.subject, machine, Digester::digest_of(&bytes));
            let key = prefix.key(&object);
            let planned = || PlannedUpload { file: format!("state of {}", self.subject), key: key.clone() };
            let length = bytes.len();
            uploader
                .upload_bytes(&state_object(&key, "application/x-ndjson"), bytes)
                .await
                .map_err(|error| (planned(), error))?;
            tracing::info!("state of {} -> {} ({length} bytes)", self.subject, uploader.url(&key));
            self.known.objects.insert(0, object.to_string());
            counts.put = 1;
        }
        let superseded: Vec<String> = self.known.superseded().cloned().collect();
        for name in superseded.into_iter().take_while(|_| deletes.load(Ordering::Relaxed)) {
            let key = format!("{}{name}", prefix.as_str());
            match uploader.retrier().run(|_| uploader.store().delete(&key)).await {
                Ok(()) => {
                    counts.deleted += 1;
                    self.known.objects.retain(|known| *known != name);
                }
                // Without that permission objects pile up, and all of them are true.
                Err(error) => {
                    deletes.store(false, Ordering::Relaxed);
                    warn_of_undeleted(&error);
                }
            }
        }
        Ok(Written { subject: self.subject, known: self.known, counts })
    }
}

fn warn_of_undeleted(error: &StoreError) {
    match error.kind {
        StoreErrorKind::Stopped => {}
        StoreErrorKind::Denied(_) => tracing::warn!(
            hint = "allow s3:DeleteObject below the state prefix",
            "{error}: superseded state objects stay, and each --restore reads them again"
        ),
        _ => tracing::warn!("{error}; the next run deletes superseded state objects"),
    }
}

fn state_object(key: &str, content_type: &'static str) -> NewObject {
    NewObject { key: key.to_owned(), content_type, only_if_new: false, in_default_class: true }
}

fn failed(planned: &PlannedUpload, error: &LoadError, stats: &RunStats) {
    let Some(verdict) = error.verdict() else { return };
    let error = object_error(error).within("the state of this run is not in the bucket");
    stats.object_failed(Some(planned), error, &verdict);
}

/// The value, or `None` where the disk failed, which is counted.
fn recorded<T>(result: Result<T, DiskError>, stats: &RunStats) -> Option<T> {
    result.map_err(|error| stats.object_failed(None, error, &Verdict::Permanent)).ok()
}
