//! How a request can fail, and what that asks of us.

use std::borrow::Cow;
use std::time::Duration;

use amp_cli::{Retryable, Subject};
use amp_core::hint::Hint;
use amp_core::retry::{Effort, Verdict};

use super::BodyFault;

/// A request that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operation} {target}: {kind}{effort}")]
pub struct StoreError {
    /// S3's name of the operation.
    pub operation: &'static str,
    /// What it was to act on.
    pub target: String,
    /// What went wrong.
    pub kind: StoreErrorKind,
    /// What was tried against it.
    pub effort: Effort,
}

/// What went wrong with a request.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreErrorKind {
    /// No answer came, or not a whole one.
    #[error("no answer: {0}")]
    Network(String),
    /// Nothing moved for so long.
    #[error("nothing moved for {0:?}")]
    TimedOut(Duration),
    /// The server wants fewer requests.
    #[error("{answer}")]
    Throttled {
        /// What it said.
        answer: String,
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// The server has a problem that may pass.
    #[error("{answer}")]
    Busy {
        /// What it said.
        answer: String,
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// Credentials, permission or the bucket: all other requests would fail too.
    #[error("{answer}")]
    Refused {
        /// Whether a permission is missing, for this request at least.
        is_denied: bool,
        /// What the server said.
        answer: String,
        /// What to do.
        hint: String,
    },
    /// Credentials are configured, but could not be had in time: the service that gives them out is down or slow.
    #[error("cannot get AWS credentials: {0}")]
    CredentialsUnavailable(String),
    /// A setting that no request can be made with, or a server whose certificate is not accepted.
    #[error("{answer}")]
    Unusable {
        /// What is wrong.
        answer: String,
        /// What to do.
        hint: String,
    },
    /// This operation is not allowed or not known; others may be.
    #[error("{0}")]
    Denied(String),
    /// There is no such object or upload.
    #[error("{0}")]
    NotFound(String),
    /// The object exists and was not to be replaced.
    #[error("an object of that key exists")]
    Exists,
    /// The file was not what it should be while it was sent.
    #[error("{0}")]
    Body(BodyFault),
    /// The server took this request for wrong.
    #[error("{0}")]
    Rejected(String),
    /// The server did it, and its answer does not tell what.
    #[error("{0}")]
    Unreadable(String),
    /// The run is stopping.
    #[error("the run was stopped")]
    Stopped,
}

impl Hint for StoreError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match &self.kind {
            StoreErrorKind::TimedOut(_) => Some("--read-timeout sets how long to wait".into()),
            StoreErrorKind::Refused { hint, .. } | StoreErrorKind::Unusable { hint, .. } => Some(hint.clone().into()),
            StoreErrorKind::Exists => Some("--if-exists says what to do".into()),
            _ => None,
        }
    }
}

impl Retryable for StoreError {
    fn verdict(&self) -> Verdict {
        match &self.kind {
            StoreErrorKind::Network(_) | StoreErrorKind::TimedOut(_) | StoreErrorKind::CredentialsUnavailable(_) => {
                Verdict::TRANSIENT
            }
            StoreErrorKind::Throttled { retry_after, .. } | StoreErrorKind::Busy { retry_after, .. } => {
                Verdict::Transient { retry_after: *retry_after }
            }
            StoreErrorKind::Refused { .. } | StoreErrorKind::Unusable { .. } => Verdict::Refused,
            StoreErrorKind::Denied(_)
            | StoreErrorKind::NotFound(_)
            | StoreErrorKind::Exists
            | StoreErrorKind::Body(_)
            | StoreErrorKind::Rejected(_)
            | StoreErrorKind::Unreadable(_)
            | StoreErrorKind::Stopped => Verdict::Permanent,
        }
    }

    fn stopped() -> Self {
        Self { operation: "request", target: String::new(), kind: StoreErrorKind::Stopped, effort: Effort::default() }
    }

    fn after(self, effort: Effort) -> Self {
        Self { effort, ..self }
    }

    fn is_throttled(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Throttled { .. })
    }

    fn subject(&self) -> Subject {
        Subject { url: Some(self.target.clone()), ..Subject::default() }
    }
}
