//! One request: waited for while anything moves, and its failure understood.

use std::error::Error as StdError;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use amp_cli::DETAIL;
use amp_core::retry::Effort;
use amp_core::secret::Secret;

use super::classify::{self, ErrorResponse};
use crate::store::body::BodyMonitor;
use crate::store::{StoreError, StoreErrorKind};

/// A request under way.
pub(super) struct Operation<'a> {
    /// What no message may show, should the server echo it.
    pub(super) secrets: &'a [Secret],
    pub(super) operation: &'static str,
    pub(super) target: String,
    pub(super) host: &'a str,
    pub(super) idle: Duration,
}

type SdkResult<T, E> = Result<T, aws_sdk_s3::error::SdkError<E>>;

impl Operation<'_> {
    pub(super) fn error(&self, kind: StoreErrorKind) -> StoreError {
        let target = match &kind {
            StoreErrorKind::Network(_) | StoreErrorKind::TimedOut(_) | StoreErrorKind::Unusable { .. } => {
                format!("{} at {}", self.target, self.host)
            }
            _ => self.target.clone(),
        };
        StoreError { operation: self.operation, target, kind, effort: Effort::default() }
    }

    pub(super) async fn run<T, E>(
        &self,
        request: impl Future<Output = SdkResult<T, E>>,
        monitor: Option<Arc<BodyMonitor>>,
    ) -> Result<T, StoreError>
    where
        E: StdError + aws_sdk_s3::error::ProvideErrorMetadata + Send + Sync + 'static,
    {
        let head = matches!(self.operation, "HeadObject" | "HeadBucket");
        self.run_raw(request, monitor).await.map_err(|answer| self.error(answer.into_kind(head)))
    }

    pub(super) async fn run_raw<T, E>(
        &self,
        request: impl Future<Output = SdkResult<T, E>>,
        monitor: Option<Arc<BodyMonitor>>,
    ) -> Result<T, ErrorResponse>
    where
        E: StdError + aws_sdk_s3::error::ProvideErrorMetadata + Send + Sync + 'static,
    {
        let began = Instant::now();
        let log = |status: &dyn Display| {
            let (operation, url, seconds) = (self.operation, &self.target, began.elapsed().as_secs_f64());
            tracing::info!(
                target: DETAIL,
                event = "request",
                operation,
                url,
                outcome = %status,
                seconds,
                "{operation} {url}: {status}, {seconds:.3} s"
            );
        };
        let monitor = monitor.unwrap_or_default();
        let mut request = std::pin::pin!(request);
        loop {
            let deadline = monitor.last_progress() + self.idle;
            match tokio::time::timeout_at(deadline.into(), &mut request).await {
                Ok(Ok(reply)) => {
                    log(&"done");
                    return Ok(reply);
                }
                Ok(Err(error)) => {
                    let fault = monitor.fault().map(|fault| ErrorResponse::none(StoreErrorKind::Body(fault)));
                    let answer = fault.unwrap_or_else(|| classify::classify(&error).scrubbed(self.secrets));
                    log(&answer.status());
                    return Err(answer);
                }
                // The body moved meanwhile: the server is only slow.
                Err(_) if monitor.last_progress() + self.idle > deadline => {}
                Err(_) => {
                    log(&"no answer");
                    return Err(ErrorResponse::none(StoreErrorKind::TimedOut(self.idle)));
                }
            }
        }
    }
}
