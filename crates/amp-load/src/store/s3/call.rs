//! One request: waited for while anything moves, and its failure understood.

use std::error::Error as StdError;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use amp_core::secret::Secret;

use super::answer::{self, Answer};
use crate::body::Flow;
use crate::store::{StoreError, Trouble};

/// A request under way.
pub(super) struct Call<'a> {
    /// What no message may show, should the server echo it.
    pub(super) secrets: &'a [Secret],
    pub(super) operation: &'static str,
    pub(super) target: String,
    pub(super) idle: Duration,
}

type SdkResult<T, E> = Result<T, aws_sdk_s3::error::SdkError<E>>;

impl Call<'_> {
    pub(super) fn error(&self, trouble: Trouble) -> StoreError {
        StoreError { operation: self.operation, target: self.target.clone(), trouble }
    }

    pub(super) async fn done<T, E>(
        &self,
        request: impl Future<Output = SdkResult<T, E>>,
        flow: Option<Arc<Flow>>,
    ) -> Result<T, StoreError>
    where
        E: StdError + aws_sdk_s3::error::ProvideErrorMetadata + Send + Sync + 'static,
    {
        let head = matches!(self.operation, "HeadObject" | "HeadBucket");
        self.answer(request, flow).await.map_err(|answer| self.error(answer.into_trouble(head)))
    }

    pub(super) async fn answer<T, E>(
        &self,
        request: impl Future<Output = SdkResult<T, E>>,
        flow: Option<Arc<Flow>>,
    ) -> Result<T, Answer>
    where
        E: StdError + aws_sdk_s3::error::ProvideErrorMetadata + Send + Sync + 'static,
    {
        let began = Instant::now();
        let told = |status: &dyn Display| {
            tracing::info!("{} {}: {status}, {:.3} s", self.operation, self.target, began.elapsed().as_secs_f64());
        };
        let flow = flow.unwrap_or_default();
        let mut request = std::pin::pin!(request);
        loop {
            let deadline = flow.moved() + self.idle;
            match tokio::time::timeout_at(deadline.into(), &mut request).await {
                Ok(Ok(reply)) => {
                    told(&"done");
                    return Ok(reply);
                }
                Ok(Err(error)) => {
                    let fault = flow.fault().map(|fault| Answer::none(Trouble::Body(fault)));
                    let answer = fault.unwrap_or_else(|| answer::understand(&error).scrubbed(self.secrets));
                    told(&answer.status());
                    return Err(answer);
                }
                // The body moved meanwhile: the server is only slow.
                Err(_) if flow.moved() + self.idle > deadline => {}
                Err(_) => {
                    told(&"no answer");
                    return Err(Answer::none(Trouble::TimedOut(self.idle)));
                }
            }
        }
    }
}
