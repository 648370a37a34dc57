//! S3 through the AWS SDK, which no other module names.

mod capped;
mod causes;
mod classify;
mod connect;
mod credentials;
mod hosts;
mod keys;
mod object;
mod operation;
mod options;
mod parts;

use std::time::Duration;

use amp_core::secret::Secret;
use aws_sdk_s3::Client;
use url::Url;

use self::classify::ErrorResponse;
use self::hosts::Hosts;
use self::operation::Operation;
use super::{ObjectOptions, StoreError, StoreErrorKind};

/// A bucket.
#[derive(Clone)]
pub struct S3Store {
    client: Client,
    bucket: String,
    owner: Option<String>,
    endpoint: Option<Url>,
    /// The host that is asked, for what went wrong before it answered.
    host: String,
    hosts: Hosts,
    credentials_source: String,
    object_options: ObjectOptions,
    idle: Duration,
    /// What was used to sign, to be kept out of messages.
    secrets: Vec<Secret>,
}

impl S3Store {
    /// How objects are stored.
    pub fn object_options(&self) -> &ObjectOptions {
        &self.object_options
    }

    /// Who gave the credentials, in words.
    pub fn credentials_source(&self) -> &str {
        &self.credentials_source
    }

    /// The region, and the host that is asked.
    pub fn region_and_host(&self) -> (&str, &str) {
        (&self.hosts.region, &self.host)
    }

    /// Another bucket at the same endpoint, with the same credentials.
    pub async fn of_bucket(&self, bucket: &str) -> Self {
        let host = self.hosts.of(bucket).await.unwrap_or_else(|_| self.host.clone());
        Self { bucket: bucket.to_owned(), host, ..self.clone() }
    }

    /// What a key is called in messages.
    pub fn url(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    /// Makes sure that the bucket is there and takes our credentials; says whether we may list it. Without permission to look it is taken to
    /// be there.
    ///
    /// # Errors
    /// When it is not, or no answer came.
    pub async fn check(&self, prefix: &str) -> Result<bool, StoreError> {
        let operation = self.operation("HeadBucket", "");
        let head = self.client.head_bucket().bucket(&self.bucket).set_expected_bucket_owner(self.owner.clone());
        let error = match operation.run(head.send(), None).await {
            Ok(_) => return Ok(true),
            Err(error) => error,
        };
        match &error.kind {
            StoreErrorKind::Network(_)
            | StoreErrorKind::TimedOut(_)
            | StoreErrorKind::Throttled { .. }
            | StoreErrorKind::Busy { .. }
            | StoreErrorKind::CredentialsUnavailable(_)
            | StoreErrorKind::Unusable { .. } => return Err(error),
            _ => {}
        }
        // A HEAD says no more than a number; the answer to a list says why.
        let operation = self.operation("ListObjectsV2", "");
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).max_keys(1);
        match operation.run_raw(list.set_expected_bucket_owner(self.owner.clone()).send(), None).await {
            Ok(_) => Ok(true),
            Err(ErrorResponse { code: Some(code), .. }) if code == classify::ACCESS_DENIED => {
                tracing::info!("bucket {}: the credentials may not list it; going on", self.bucket);
                Ok(false)
            }
            Err(answer) => Err(operation.error(answer.into_bucket_error(&self.bucket))),
        }
    }

    fn operation(&self, operation: &'static str, key: &str) -> Operation<'_> {
        Operation { secrets: &self.secrets, operation, target: self.url(key), host: &self.host, idle: self.idle }
    }
}
