//! What state in the bucket needs besides writing: which keys there are, what a small object holds, and deleting one.

use super::S3Store;
use crate::store::{StoreError, StoreErrorKind};

impl S3Store {
    /// The keys that begin with `prefix` and come after `after`, in order; a request for each thousand.
    ///
    /// # Errors
    /// When S3 does not list them all.
    pub async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, StoreError> {
        let operation = self.operation("ListObjectsV2", prefix);
        let mut keys = Vec::new();
        let mut continuation = None;
        loop {
            let request = self
                .client
                .list_objects_v2()
                .bucket(&self.bucket)
                .set_expected_bucket_owner(self.owner.clone())
                .prefix(prefix)
                .set_start_after(after.map(str::to_owned))
                .set_continuation_token(continuation);
            let page = operation.run_raw(request.send(), None).await.map_err(|answer| {
                let statement = format!(
                    r#"{{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::{}"}}"#,
                    self.bucket
                );
                operation.error(answer.into_kind_with(format!("allow {statement}")))
            })?;
            keys.extend(page.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
            if page.is_truncated() != Some(true) || page.next_continuation_token().is_none() {
                return Ok(keys);
            }
            continuation = page.next_continuation_token;
        }
    }

    /// What an object of at most `limit` bytes holds; of a larger one no more than its first bytes, `None` when there is none.
    ///
    /// # Errors
    /// When it does not come, or not whole.
    pub async fn get(&self, key: &str, limit: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let operation = self.operation("GetObject", key);
        let request =
            self.client.get_object().bucket(&self.bucket).set_expected_bucket_owner(self.owner.clone()).key(key);
        let mut body = match operation.run_raw(request.send(), None).await {
            Ok(reply) => reply.body,
            Err(answer) => {
                let statement = format!(
                    r#"{{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::{}/{key}"}}"#,
                    self.bucket
                );
                return match answer.into_kind_with(format!("allow {statement}, or all keys below that prefix")) {
                    StoreErrorKind::NotFound(_) => Ok(None),
                    kind => Err(operation.error(kind)),
                };
            }
        };
        let mut bytes = Vec::new();
        while bytes.len() <= limit {
            match tokio::time::timeout(self.idle, body.try_next()).await {
                Ok(Ok(Some(more))) => bytes.extend_from_slice(&more),
                Ok(Ok(None)) => break,
                Ok(Err(error)) => {
                    return Err(operation.error(StoreErrorKind::Network(format!("the object breaks off: {error}"))));
                }
                Err(_) => return Err(operation.error(StoreErrorKind::TimedOut(self.idle))),
            }
        }
        Ok(Some(bytes))
    }

    /// Deletes an object. One that is gone already is fine.
    ///
    /// # Errors
    /// [`StoreErrorKind::Denied`] when we may not; else when S3 does not say that it is gone.
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let operation = self.operation("DeleteObject", key);
        let request =
            self.client.delete_object().bucket(&self.bucket).set_expected_bucket_owner(self.owner.clone()).key(key);
        match operation.run(request.send(), None).await {
            Ok(_) | Err(StoreError { kind: StoreErrorKind::NotFound(_), .. }) => Ok(()),
            Err(StoreError { kind: StoreErrorKind::Refused { answer, .. }, .. }) => {
                Err(operation.error(StoreErrorKind::Denied(answer)))
            }
            Err(error) => Err(error),
        }
    }
}
