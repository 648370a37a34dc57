//! Small files: one request each.

use std::sync::Arc;

use amp_core::progress::Transfer;
use amp_core::receipt::Receipt;

use super::Uploader;
use crate::checksum::HashedFile;
use crate::error::LoadError;
use crate::store::{NewObject, StoreError, StoreErrorKind};

impl Uploader {
    /// Sends a file in one request and has it confirmed.
    pub(super) async fn send_whole(
        &self,
        file: &HashedFile,
        object: &NewObject,
        transfer: &Arc<dyn Transfer>,
    ) -> Result<Receipt, LoadError> {
        let checksum = file.content.to_checksum();
        let body = self.body(file, 0, true, transfer);
        let mut tried_before = false;
        let reply = self.requests.run_keeping(None, file.content.digest.bytes, |retry| {
            tried_before = retry > 0;
            self.store.put(object, &checksum, &body)
        });
        let (reply, permit) = match reply.await {
            Ok((reply, permit)) => (Some(reply), Some(permit)),
            // It may be ours: an answer that was lost does not undo the upload.
            Err(StoreError { kind: StoreErrorKind::Exists, .. }) if tried_before => (None, None),
            Err(error) => return Err(error.into()),
        };
        self.confirm(object, file, checksum, reply, permit).await
    }
}
