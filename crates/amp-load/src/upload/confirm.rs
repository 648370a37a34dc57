//! Makes S3's word for an upload into a receipt: by a checksum that it keeps, else its ETag, else by reading the object back.

use std::fs::File;
use std::sync::{Arc, OnceLock};

use amp_core::progress::NoProgress;
use amp_core::receipt::{Expected, Receipt, Stored};
use tokio::sync::Mutex;

use super::multipart::etag_of_parts;
use super::requests::{Permit, Requests};
use crate::checksum::md5_hex;
use crate::error::LoadError;
use crate::store::{HeldObject, S3Store, StoreError, StoreErrorKind};
use crate::threads::blocking;

/// What is known of a server's word.
#[derive(Debug)]
pub(super) struct Confirmer {
    /// Whether the server tells checksums of its own, both in its answer to an upload and later; one that only does either echoes what we
    /// sent, or keeps it unchecked. Known of Amazon, asked once of others.
    keeps_checksums: OnceLock<bool>,
    /// Held by whoever asks.
    asking: Mutex<()>,
}

/// An upload that is to be confirmed.
#[derive(Debug)]
pub(super) struct PendingUpload<'a> {
    /// Its key.
    pub(super) key: &'a str,
    /// Its file.
    pub(super) file: &'a Arc<File>,
    /// What the object must be.
    pub(super) expected: Expected,
}

impl Confirmer {
    /// For a server that is Amazon's, or not.
    pub(super) fn new(amazon: bool) -> Self {
        let keeps_checksums = OnceLock::new();
        if amazon {
            keeps_checksums.get_or_init(|| true);
        }
        Self { keeps_checksums, asking: Mutex::default() }
    }

    /// The receipt for an upload that the server answered with `reply`, or whose answer was lost. What has to be asked is asked with `permit`.
    ///
    /// # Errors
    /// When what the server holds is something else, or nothing tells.
    pub(super) async fn confirm<'a>(
        &self,
        store: &S3Store,
        requests: &'a Requests,
        mut permit: Option<Permit<'a>>,
        pending: PendingUpload<'_>,
        reply: Option<HeldObject>,
    ) -> Result<Receipt, LoadError> {
        let reply = reply.unwrap_or_default();
        if reply.checksum.is_some() && self.keeps_checksums(store, requests, &mut permit, &pending).await? {
            return Ok(Receipt::compare(&pending.expected, &reply.into())?);
        }
        let head = |_| store.head(pending.key, pending.expected.checksum.algorithm);
        match requests.run_keeping(permit, 0, head).await {
            Ok((Some(held), permit)) => Box::pin(self.confirm_held(store, requests, Some(permit), pending, held)).await,
            Ok((None, _)) => Err(LoadError::Vanished),
            Err(StoreError { kind: StoreErrorKind::Denied(_), .. }) => {
                Box::pin(self.confirm_held(store, requests, None, pending, HeldObject { checksum: None, ..reply }))
                    .await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The receipt by what `held` offers, strongest first; where that is nothing, the object is read back.
    ///
    /// # Errors
    /// When it is something else, or may not be read.
    pub(super) async fn confirm_held<'a>(
        &self,
        store: &S3Store,
        requests: &'a Requests,
        permit: Option<Permit<'a>>,
        mut pending: PendingUpload<'_>,
        mut held: HeldObject,
    ) -> Result<Receipt, LoadError> {
        if self.keeps_checksums.get() != Some(&true) {
            held.checksum = None;
        }
        if held.checksum.is_none() {
            pending.expected.etag = etag(&pending, &held).await?;
        }
        let proves = held.checksum.is_some() || pending.expected.etag.is_some();
        let mut stored = Stored::from(held);
        if !proves {
            // The size is compared first: bytes that are too few need not be read.
            if stored.bytes.is_none_or(|bytes| bytes == pending.expected.digest.bytes) {
                let read =
                    |_| Box::pin(async { store.read_back(pending.key, &NoProgress).await.map_err(of_this_object) });
                let (digest, _) = requests.run_keeping(permit, 0, read).await.map_err(unprovable)?;
                stored.read_back = Some(digest);
            }
        }
        Ok(Receipt::compare(&pending.expected, &stored)?)
    }

    /// Whether the server keeps checksums. One upload asks; the others wait for its answer, and leave their permits to others meanwhile.
    async fn keeps_checksums<'a>(
        &self,
        store: &S3Store,
        requests: &'a Requests,
        permit: &mut Option<Permit<'a>>,
        pending: &PendingUpload<'_>,
    ) -> Result<bool, LoadError> {
        if let Some(keeps) = self.keeps_checksums.get() {
            return Ok(*keeps);
        }
        let _asking = match self.asking.try_lock() {
            Ok(asking) => asking,
            Err(_) => {
                drop(permit.take());
                self.asking.lock().await
            }
        };
        if let Some(keeps) = self.keeps_checksums.get() {
            return Ok(*keeps);
        }
        let keeps = Box::pin(Self::ask(store, requests, permit, pending)).await?;
        Ok(*self.keeps_checksums.get_or_init(|| keeps))
    }

    /// Looks whether the server knows the checksum of an object that it has just confirmed by one.
    async fn ask<'a>(
        store: &S3Store,
        requests: &'a Requests,
        permit: &mut Option<Permit<'a>>,
        pending: &PendingUpload<'_>,
    ) -> Result<bool, LoadError> {
        let head = |_| store.head(pending.key, pending.expected.checksum.algorithm);
        let answer = requests.run_keeping(permit.take(), 0, head).await.map(|(held, kept)| {
            *permit = Some(kept);
            held
        });
        let keeps = match answer {
            Ok(None) => return Err(LoadError::Vanished),
            Ok(Some(HeldObject { checksum: None, .. })) | Err(StoreError { kind: StoreErrorKind::Denied(_), .. }) => {
                false
            }
            Ok(Some(HeldObject { bytes, checksum, .. })) => {
                Receipt::compare(&pending.expected, &Stored { bytes, checksum, ..Stored::default() })?;
                true
            }
            Err(error) => return Err(error.into()),
        };
        if !keeps {
            tracing::info!("the server does not keep checksums: what it answers to an upload is not taken for proof");
        }
        Ok(keeps)
    }
}

/// The ETag that the object must have if `held` has one that is an MD5. It is computed from the file, never from what went out.
async fn etag(pending: &PendingUpload<'_>, held: &HeldObject) -> Result<Option<String>, LoadError> {
    let Some(parts) = held.md5_parts() else { return Ok(None) };
    let (file, bytes) = (Arc::clone(pending.file), pending.expected.digest.bytes);
    let read = blocking(move || if parts == 0 { md5_hex(&file, bytes) } else { etag_of_parts(&file, bytes) }).await?;
    let etag = read.map_err(|error| LoadError::Internal(format!("cannot read the file again for its MD5: {error}")))?;
    // Whoever uploaded it in other parts has another ETag for the same bytes.
    let same_parts = parts == 0 || etag.ends_with(&format!("-{parts}"));
    Ok(same_parts.then_some(etag))
}

/// GetObject answers 403 as a refusal: of this operation, not of the run.
fn of_this_object(error: StoreError) -> StoreError {
    match error.kind {
        StoreErrorKind::Refused { ref answer, ref hint, .. } => {
            let kind = StoreErrorKind::Denied(format!("{answer}; {hint}"));
            StoreError { kind, ..error }
        }
        _ => error,
    }
}

fn unprovable(error: StoreError) -> LoadError {
    match error.kind {
        StoreErrorKind::Denied(_) => LoadError::Unprovable(error),
        StoreErrorKind::NotFound(_) => LoadError::Vanished,
        _ => error.into(),
    }
}
