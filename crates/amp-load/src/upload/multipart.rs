//! Large files: uploaded in parts, compared before they are put together, aborted when anything fails.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use amp_core::progress::Transfer;
use amp_core::receipt::{Algorithm, Checksum, Receipt};
use chrono::{DateTime, Utc};
use tokio::task::{JoinError, JoinSet};

use super::Uploader;
use crate::checksum::{ContentChecksum, HashedFile, combine_parts, md5_of_parts};
use crate::error::LoadError;
use crate::store::{
    AssembledObject, HeldObject, NewObject, ObjectOptions, StoreError, StoreErrorKind, StoredPart, UploadBody,
};
use crate::threads::blocking;

/// How long a request that must not be left half done may go on after the run was told to stop.
const GRACE: Duration = Duration::from_secs(10);
/// Parts are no smaller: fewer requests.
const MIN_PART_BYTES: u64 = 8 << 20;
/// Parts of files of many are larger: fewer requests.
const USUAL_PART_BYTES: u64 = 16 << 20;
/// So many parts of the smaller kind keep a line busy.
const MANY_PARTS: u64 = 64;
/// S3 takes no more parts.
const MAX_PARTS: u64 = 10_000;

/// A part of a file.
#[derive(Debug, Clone, Copy)]
struct PartRange {
    /// Counted from 1.
    number: i32,
    offset: u64,
    length: u64,
}

/// The parts of a file of that many bytes, in order.
fn parts(bytes: u64) -> impl Iterator<Item = PartRange> {
    let size = bytes.div_ceil(MANY_PARTS).clamp(MIN_PART_BYTES, USUAL_PART_BYTES).max(bytes.div_ceil(MAX_PARTS));
    (0..bytes.div_ceil(size)).map(move |n| PartRange {
        number: n as i32 + 1,
        offset: n * size,
        length: size.min(bytes - n * size),
    })
}

/// The ETag of an object that was uploaded in those parts, as a server without checksums makes it.
pub(super) fn etag_of_parts(file: &File, bytes: u64) -> io::Result<String> {
    md5_of_parts(file, parts(bytes).map(|part| (part.offset, part.length)))
}

/// An upload in parts that was begun.
pub(super) struct BegunUpload {
    pub(super) id: String,
    /// When, by our clock.
    pub(super) began: DateTime<Utc>,
    /// Whether an attempt before, whose answer was lost, may have begun another.
    pub(super) tried_before: bool,
}

type SentPart = (ContentChecksum, StoredPart);

impl Uploader {
    /// Uploads a file in parts and has it confirmed.
    pub(super) async fn upload_in_parts(
        self: &Arc<Self>,
        file: &HashedFile,
        object: &NewObject,
        transfer: &Arc<dyn Transfer>,
    ) -> Result<Receipt, LoadError> {
        let key = &object.key;
        let BegunUpload { id, began, tried_before } = self.begin(object, self.store.object_options()).await?;
        let mut tasks = JoinSet::new();
        let (checksum, reply) = match self.send_parts(&mut tasks, file, object, transfer, &id).await {
            Ok(sent) => sent,
            Err(error) => {
                // No part may arrive after the abort.
                tasks.shutdown().await;
                if self.abort(key, &id).await {
                    self.journal.record_closed(key, Some(&id))?;
                }
                return Err(error);
            }
        };
        self.journal.record_closed(key, Some(&id))?;
        if tried_before {
            // A first attempt whose answer was lost may have begun another upload.
            self.sweep(key, began).await;
        }
        self.confirm(object, file, checksum, reply, None).await
    }

    /// Begins an upload in parts, which the journal knows before S3 does.
    pub(super) async fn begin(&self, object: &NewObject, options: &ObjectOptions) -> Result<BegunUpload, LoadError> {
        let key = &object.key;
        let began = Utc::now();
        self.journal.record_begun(key)?;
        let mut tried_before = false;
        let created = self.requests.run_with_grace(GRACE, |retry| {
            tried_before = retry > 0;
            self.store.create(object, options, self.options.checksum)
        });
        let id = match created.await {
            Ok(id) => id,
            Err(error) => {
                // After any other failure an upload may be open, of which we have no id.
                let certain = matches!(error.kind, StoreErrorKind::Refused { .. } | StoreErrorKind::Rejected(_));
                if certain && !tried_before {
                    self.journal.record_closed(key, None)?;
                }
                return Err(error.into());
            }
        };
        // Where the first answer was lost, two uploads may be open: the line that one was begun stands until both are closed.
        if !tried_before {
            self.journal.record_open(key, &id)?;
        }
        Ok(BegunUpload { id, began, tried_before })
    }

    /// Uploads the parts and has them put together; the reply is `None` when it was lost and the upload is known to be over.
    async fn send_parts(
        self: &Arc<Self>,
        tasks: &mut JoinSet<Result<SentPart, LoadError>>,
        file: &HashedFile,
        object: &NewObject,
        transfer: &Arc<dyn Transfer>,
        id: &str,
    ) -> Result<(Checksum, Option<HeldObject>), LoadError> {
        let total = file.content.digest.bytes;
        let mut sent: Vec<SentPart> = Vec::new();
        for part in parts(total) {
            while let Some(joined) = tasks.try_join_next() {
                sent.push(joined_part(joined)?);
            }
            while tasks.len() >= self.requests.limit()
                && let Some(joined) = tasks.join_next().await
            {
                sent.push(joined_part(joined)?);
            }
            let (uploader, key, id) = (Arc::clone(self), object.key.clone(), id.to_owned());
            let body = self.body(file, part.offset, part.offset + part.length == total, transfer);
            tasks.spawn(async move { uploader.send_part(&key, &id, part, body).await });
        }
        while let Some(joined) = tasks.join_next().await {
            sent.push(joined_part(joined)?);
        }
        sent.sort_unstable_by_key(|(_, part)| part.number);
        let (checksums, parts): (Vec<_>, Vec<_>) = sent.into_iter().unzip();
        let (digest, checksum) = combine_parts(&checksums);
        // Each part was what was read of it; together they must be what was read of the file.
        if digest != file.content.digest {
            return Err(LoadError::ChangedWhileRead);
        }
        let assembled = AssembledObject { parts: &parts, bytes: digest.bytes, checksum: &checksum };
        let mut tried_before = false;
        let completed = self.requests.run_with_grace(GRACE, |retry| {
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

    /// Reads a part for its checksum, then sends it.
    async fn send_part(&self, key: &str, id: &str, part: PartRange, body: UploadBody) -> Result<SentPart, LoadError> {
        let PartRange { number, offset, length } = part;
        let (file, algorithm) = (Arc::clone(&body.file), self.options.checksum);
        let read = blocking(move || ContentChecksum::read(&file, offset, length, algorithm)).await?;
        let content = read.map_err(|error| LoadError::Internal(format!("cannot read part {number}: {error}")))?;
        if content.digest.bytes != length {
            return Err(LoadError::ChangedWhileRead);
        }
        let body = body.with_digest(content.digest);
        let put = |_| self.store.upload_part(key, id, number, content.to_checksum(), &body);
        let stored = self.requests.run(length, put).await?;
        Ok((content, stored))
    }

    /// The checksum that the object will have when the file is uploaded.
    pub(super) async fn final_checksum(&self, file: &HashedFile) -> Result<Checksum, LoadError> {
        let algorithm = self.options.checksum;
        let bytes = file.content.digest.bytes;
        if !self.is_large(bytes) || algorithm == Algorithm::Crc64nvme {
            return Ok(file.content.to_checksum());
        }
        let file = Arc::clone(&file.file);
        let read = blocking(move || {
            parts(bytes)
                .map(|part| ContentChecksum::read(&file, part.offset, part.length, algorithm))
                .collect::<Result<Vec<_>, _>>()
        });
        let parts = read.await?.map_err(|error| LoadError::Internal(format!("cannot read the file: {error}")))?;
        Ok(combine_parts(&parts).1)
    }
}

fn joined_part(joined: Result<Result<SentPart, LoadError>, JoinError>) -> Result<SentPart, LoadError> {
    joined.map_err(|error| LoadError::Internal(error.to_string()))?
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
            for (index, PartRange { number, offset, length }) in all.iter().enumerate() {
                assert_eq!((*number as usize, *offset), (index + 1, next));
                assert!(*length >= MIN_PART_BYTES || index + 1 == all.len());
                next += length;
            }
            assert_eq!(next, bytes);
        }
    }
}
