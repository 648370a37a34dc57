//! Makes S3's word for an upload into a receipt: by its checksum, else its ETag, else its size.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use amp_cli::Retrier;
use amp_core::receipt::{Expected, Proof, Receipt, Stored};
use tokio::sync::OnceCell;

use crate::checksum::md5_hex;
use crate::error::LoadError;
use crate::store::{S3Store, StoreError, StoreErrorKind};
use crate::threads::blocking;

/// What is known of a server's word.
#[derive(Debug)]
pub(super) struct Confirmer {
    /// Amazon's own answers need no second look.
    amazon: bool,
    /// Whether a checksum in the server's answers is only what we sent it.
    echoes: OnceCell<bool>,
    size_warned: AtomicBool,
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
        Self { amazon, echoes: OnceCell::new(), size_warned: AtomicBool::new(false) }
    }

    /// The receipt for an upload that the server answered with `reply`, or whose answer was lost.
    ///
    /// # Errors
    /// When what the server holds is something else, or nothing tells.
    pub(super) async fn confirm(
        &self,
        store: &S3Store,
        retrier: &Retrier,
        pending: PendingUpload<'_>,
        reply: Option<Stored>,
    ) -> Result<Receipt, LoadError> {
        let reply = reply.unwrap_or_default();
        if reply.checksum.is_some() {
            let first_look = || self.is_echo(store, retrier, &pending);
            if self.amazon || !*self.echoes.get_or_try_init(first_look).await? {
                return Ok(Receipt::compare(&pending.expected, &Stored { etag: None, ..reply })?);
            }
        }
        let algorithm = pending.expected.checksum.algorithm;
        match retrier.run(|_| store.head(pending.key, algorithm)).await {
            Ok(Some(held)) => self.confirm_held(pending, held).await,
            Ok(None) => Err(LoadError::Vanished),
            Err(error @ StoreError { kind: StoreErrorKind::Denied(_), .. }) if reply.etag.is_none() => {
                Err(LoadError::Unprovable(error))
            }
            Err(StoreError { kind: StoreErrorKind::Denied(_), .. }) => {
                self.confirm_held(pending, Stored { checksum: None, ..reply }).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The receipt by what `held` offers, strongest first.
    ///
    /// # Errors
    /// When it is something else.
    pub(super) async fn confirm_held(
        &self,
        mut pending: PendingUpload<'_>,
        held: Stored,
    ) -> Result<Receipt, LoadError> {
        if held.checksum.is_none() && held.etag.is_some() {
            let (file, bytes) = (Arc::clone(pending.file), pending.expected.digest.bytes);
            pending.expected.etag =
                Some(blocking(move || md5_hex(&file, bytes)).await?.map_err(|error| {
                    LoadError::Internal(format!("cannot read the file again for its MD5: {error}"))
                })?);
        }
        let receipt = Receipt::compare(&pending.expected, &held)?;
        if receipt.proof() == Proof::Size && !self.size_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the server tells neither checksum nor MD5 of what it stores: uploads are confirmed by their size alone"
            );
        }
        Ok(receipt)
    }

    /// Looks whether the server knows the checksum of an object that it has just confirmed by one.
    async fn is_echo(
        &self,
        store: &S3Store,
        retrier: &Retrier,
        pending: &PendingUpload<'_>,
    ) -> Result<bool, LoadError> {
        let algorithm = pending.expected.checksum.algorithm;
        let echoes = match retrier.run(|_| store.head(pending.key, algorithm)).await {
            Ok(None) => return Err(LoadError::Vanished),
            Ok(Some(held)) if held.checksum.is_none() => true,
            Ok(Some(held)) => {
                Receipt::compare(&pending.expected, &Stored { etag: None, ..held })?;
                false
            }
            Err(StoreError { kind: StoreErrorKind::Denied(_), .. }) => true,
            Err(error) => return Err(error.into()),
        };
        if echoes {
            tracing::info!("the server does not keep checksums: what it answers to an upload is not taken for proof");
        }
        Ok(echoes)
    }
}
