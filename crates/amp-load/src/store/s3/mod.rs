//! S3 through the AWS SDK, which no other module names.

mod answer;
mod call;
mod connect;
mod object;
mod parts;

use std::time::Duration;

use amp_core::secret::Secret;
use aws_sdk_s3::Client;
use url::Url;

use self::answer::Answer;
use self::call::Call;
use super::{Storage, StoreError, Trouble};

/// A bucket.
pub struct S3Store {
    client: Client,
    bucket: String,
    owner: Option<String>,
    endpoint: Option<Url>,
    storage: Storage,
    idle: Duration,
    /// What was used to sign, to be kept out of messages.
    secrets: Vec<Secret>,
}

impl S3Store {
    /// What a key is called in messages.
    #[must_use]
    pub fn url(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    /// Whether the bucket is there and takes our credentials. Without permission to look it is taken to be.
    ///
    /// # Errors
    /// When it is not, or no answer came.
    pub async fn check(&self, prefix: &str) -> Result<(), StoreError> {
        let call = self.call("HeadBucket", "");
        let head = self.client.head_bucket().bucket(&self.bucket).set_expected_bucket_owner(self.owner.clone());
        let error = match call.done(head.send(), None).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        match &error.trouble {
            Trouble::Network(_) | Trouble::TimedOut(_) | Trouble::Busy { .. } => return Err(error),
            _ => {}
        }
        // A HEAD says no more than a number; the answer to a list says why.
        let call = self.call("ListObjectsV2", "");
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).max_keys(1);
        match call.answer(list.set_expected_bucket_owner(self.owner.clone()).send(), None).await {
            Ok(_) => Ok(()),
            Err(Answer { code: Some(code), .. }) if code == "AccessDenied" => {
                tracing::info!("bucket {}: the credentials may not list it; going on", self.bucket);
                Ok(())
            }
            Err(answer) => Err(call.error(answer.into_bucket_trouble(&self.bucket))),
        }
    }

    fn call(&self, operation: &'static str, key: &str) -> Call<'_> {
        Call { secrets: &self.secrets, operation, target: self.url(key), idle: self.idle }
    }
}
