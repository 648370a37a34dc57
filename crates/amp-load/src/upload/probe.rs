//! Whether an upload would be allowed, found out without writing an object.

use super::Uploader;
use super::multipart::BegunUpload;
use crate::error::LoadError;
use crate::store::{NewObject, ObjectOptions, StoreError};

/// An id that no upload has.
const NO_UPLOAD: &str = "amp-load-check";

impl Uploader {
    /// Finds out whether uploads of that key may be aborted, by aborting one that is not there.
    ///
    /// # Errors
    /// When S3 does not take the request.
    pub async fn try_abort(&self, key: &str) -> Result<(), StoreError> {
        self.retrier.run(|_| self.store.abort(key, NO_UPLOAD)).await
    }

    /// Finds out whether `object` may be written with `options`: begins an upload in parts and aborts it. Should that be cut short, the
    /// next run aborts it by the journal.
    ///
    /// # Errors
    /// When S3 does not begin it, or the journal cannot be written.
    pub async fn try_upload(&self, object: &NewObject, options: &ObjectOptions) -> Result<(), LoadError> {
        let BegunUpload { id, began, tried_before } = self.begin(object, options).await?;
        if self.abort(&object.key, &id).await {
            self.journal.record_closed(&object.key, Some(&id))?;
        }
        if tried_before {
            self.sweep(&object.key, began).await;
        }
        Ok(())
    }
}
