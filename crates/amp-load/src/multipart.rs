//! Large files: uploaded in parts, compared before they are put together, aborted when anything fails.

use std::sync::Arc;
use std::time::Duration;

use amp_cli::Stop;
use amp_core::progress::Transfer;
use amp_core::receipt::{Algorithm, Checksum, Receipt, Stored};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::task::JoinSet;

use crate::checksum::{ContentChecksum, combine_parts};
use crate::error::LoadError;
use crate::inspect::InspectedFile;
use crate::loader::{GRACE, Loader};
use crate::store::{AssembledObject, NewObject, Retrier, S3Store, StoreError, StoreErrorKind, StoredPart};
use crate::threads::blocking;
use crate::upload_journal::{Leftover, UploadJournal};

/// Parts are no smaller: fewer requests.
const MIN_PART_BYTES: u64 = 16 << 20;
/// S3 takes no more parts.
const MAX_PARTS: u64 = 10_000;
/// An abort must not hold the exit up for longer.
const ABORT_TIMEOUT: Duration = Duration::from_secs(15);
/// The server's clock may be so far behind ours.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// Where each part begins and how long it is.
fn parts(bytes: u64) -> impl Iterator<Item = (i32, u64, u64)> {
    let size = MIN_PART_BYTES.max(bytes.div_ceil(MAX_PARTS));
    (0..bytes.div_ceil(size)).map(move |n| (n as i32 + 1, n * size, size.min(bytes - n * size)))
}

impl Loader {
    /// Uploads a file in parts, each with a permit of its own, and has it confirmed.
    pub(crate) async fn upload_in_parts(
        self: &Arc<Self>,
        inspected: &InspectedFile,
        object: &NewObject,
        item: &Arc<dyn Transfer>,
    ) -> Result<Receipt, LoadError> {
        let Some(_one_of_few) = self.stop.unless_requested(self.large.acquire()).await else {
            return Err(stopped(object).into());
        };
        let key = &object.key;
        let begun = Utc::now();
        self.uploads.record_begun(key)?;
        let mut tried_before = false;
        let created = self.retrier.run_with_grace(GRACE, |retry| {
            tried_before = retry > 0;
            self.store.create(object, self.settings.checksum)
        });
        let id = match created.await {
            Ok(id) => id,
            Err(error) => {
                let certain = matches!(error.kind, StoreErrorKind::Refused { .. } | StoreErrorKind::Rejected(_));
                if certain && !tried_before {
                    self.uploads.record_closed(key, None)?;
                }
                return Err(error.into());
            }
        };
        if !tried_before {
            self.uploads.record_open(key, &id)?;
        }
        let mut tasks = JoinSet::new();
        let (checksum, reply) = match self.send_parts(&mut tasks, inspected, object, item, &id).await {
            Ok(sent) => sent,
            Err(error) => {
                // No part may arrive after the abort.
                tasks.shutdown().await;
                if abort(&self.store, key, &id).await {
                    self.uploads.record_closed(key, Some(&id))?;
                }
                return Err(error);
            }
        };
        self.uploads.record_closed(key, Some(&id))?;
        if tried_before {
            // A first attempt whose answer was lost may have begun another upload.
            sweep(&self.store, &self.uploads, key, begun).await;
        }
        self.confirm(self.pending(key, &inspected.file, &inspected.content, checksum), reply).await
    }

    /// Uploads the parts and has them put together; the reply is `None` when it was lost and the upload is known to be over.
    async fn send_parts(
        self: &Arc<Self>,
        tasks: &mut JoinSet<Result<(ContentChecksum, StoredPart), LoadError>>,
        inspected: &InspectedFile,
        object: &NewObject,
        item: &Arc<dyn Transfer>,
        id: &str,
    ) -> Result<(Checksum, Option<Stored>), LoadError> {
        let mut done: Vec<(ContentChecksum, StoredPart)> = Vec::new();
        for (number, offset, length) in parts(inspected.content.digest.bytes) {
            while let Some(joined) = tasks.try_join_next() {
                done.push(part_of(joined)?);
            }
            let Some(permit) = self.permit().await else { return Err(stopped(object).into()) };
            let (loader, file) = (Arc::clone(self), Arc::clone(&inspected.file));
            let (key, id) = (object.key.clone(), id.to_owned());
            let total = inspected.content.digest.bytes;
            let body = self.source(&inspected.file, offset, &inspected.content, offset + length == total, item);
            tasks.spawn(async move {
                let _permit = permit;
                let algorithm = loader.settings.checksum;
                let sum = blocking(move || ContentChecksum::read(&file, offset, length, algorithm)).await?;
                let sum = sum.map_err(|error| LoadError::Internal(format!("cannot read part {number}: {error}")))?;
                if sum.digest.bytes != length {
                    return Err(LoadError::ChangedWhileRead);
                }
                let source = body.with_digest(sum.digest);
                let put = |_| loader.store.upload_part(&key, &id, number, sum.to_checksum(), &source);
                let part = loader.retrier.run(put).await?;
                Ok((sum, part))
            });
        }
        while let Some(joined) = tasks.join_next().await {
            done.push(part_of(joined)?);
        }
        done.sort_unstable_by_key(|(_, part)| part.number);
        let (sums, parts): (Vec<_>, Vec<_>) = done.into_iter().unzip();
        let (digest, checksum) = combine_parts(&sums);
        if digest != inspected.content.digest {
            return Err(LoadError::ChangedWhileRead);
        }
        let assembled = AssembledObject { parts: &parts, bytes: digest.bytes, checksum: &checksum };
        let mut tried_before = false;
        let completed = self.retrier.run_with_grace(GRACE, |retry| {
            tried_before = retry > 0;
            self.store.complete(object, id, &assembled)
        });
        match completed.await {
            Ok(reply) => Ok((checksum, Some(reply))),
            // Over, though not by an answer that reached us.
            Err(StoreError { kind: StoreErrorKind::NotFound(_) | StoreErrorKind::Exists, .. }) if tried_before => {
                Ok((checksum, None))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The checksum that the object will have when the file is uploaded.
    pub(crate) async fn final_checksum(&self, inspected: &InspectedFile) -> Result<Checksum, LoadError> {
        let algorithm = self.settings.checksum;
        let bytes = inspected.content.digest.bytes;
        if bytes <= self.settings.multipart_threshold || algorithm == Algorithm::Crc64nvme {
            return Ok(inspected.content.to_checksum());
        }
        let file = Arc::clone(&inspected.file);
        let sums = blocking(move || {
            parts(bytes)
                .map(|(_, offset, length)| ContentChecksum::read(&file, offset, length, algorithm))
                .collect::<Result<Vec<_>, _>>()
        });
        let sums = sums.await?.map_err(|error| LoadError::Internal(format!("cannot read the file: {error}")))?;
        Ok(combine_parts(&sums).1)
    }
}

fn part_of(
    joined: Result<Result<(ContentChecksum, StoredPart), LoadError>, tokio::task::JoinError>,
) -> Result<(ContentChecksum, StoredPart), LoadError> {
    joined.map_err(|error| LoadError::Internal(error.to_string()))?
}

fn stopped(object: &NewObject) -> StoreError {
    StoreError { operation: "UploadPart", target: object.key.clone(), kind: StoreErrorKind::Stopped }
}

/// Gives an upload up, whether or not the run is stopping, and says whether it is gone.
async fn abort(store: &S3Store, key: &str, id: &str) -> bool {
    let policy = amp_core::retry::RetryPolicy { max_retries: 2, base: Duration::from_secs(1) };
    let retrier = Retrier::new(policy, Stop::default());
    let aborted = tokio::time::timeout(ABORT_TIMEOUT, retrier.run(|_| store.abort(key, id))).await;
    let problem = match aborted {
        Ok(Ok(())) => {
            tracing::info!("{}: the upload in parts was aborted", store.url(key));
            return true;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    tracing::warn!(
        "{}: its upload in parts could not be aborted ({problem}); the next run tries again",
        store.url(key)
    );
    false
}

/// Aborts what uploads of that key were begun at or after `at`, as far as we may look.
async fn sweep(store: &S3Store, uploads: &UploadJournal, key: &str, at: DateTime<Utc>) {
    let listed = tokio::time::timeout(ABORT_TIMEOUT, store.open_uploads(key)).await;
    let problem = match listed {
        Ok(Ok(open)) => {
            let mut gone = true;
            for upload in open.into_iter().filter(|upload| upload.initiated >= at - CLOCK_SKEW) {
                gone &= abort(store, key, &upload.id).await;
            }
            if gone {
                warn_on_error(uploads.record_closed(key, None));
            }
            return;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    tracing::warn!("{}: cannot look for uploads in parts that a run left open ({problem})", store.url(key));
}

fn warn_on_error(noted: Result<(), amp_core::disk::DiskError>) {
    if let Err(error) = noted {
        tracing::warn!("{error}");
    }
}

/// Aborts what earlier runs left open in the bucket.
pub(crate) async fn abort_leftovers(store: &S3Store, uploads: &UploadJournal) {
    for leftover in uploads.leftovers() {
        match leftover {
            Leftover::Open { key, id } => {
                if abort(store, &key, &id).await {
                    warn_on_error(uploads.record_closed(&key, Some(&id)));
                }
            }
            Leftover::Begun { key, time } => sweep(store, uploads, &key, time).await,
        }
    }
    warn_on_error(uploads.tidy());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_file_and_are_never_too_many_or_too_small() {
        for bytes in [1, MIN_PART_BYTES, MIN_PART_BYTES + 1, 300 << 20, 5 << 40] {
            let all: Vec<_> = parts(bytes).collect();
            assert!(all.len() as u64 <= MAX_PARTS);
            let mut next = 0;
            for (index, (number, offset, length)) in all.iter().enumerate() {
                assert_eq!((*number as usize, *offset), (index + 1, next));
                assert!(*length >= MIN_PART_BYTES || index + 1 == all.len());
                next += length;
            }
            assert_eq!(next, bytes);
        }
    }
}
