//! Why a file was not loaded, and what an error of the store means for the run.

use std::borrow::Cow;

use amp_cli::{Diagnostic, Exit, Retryable, RunError};
use amp_core::disk::DiskError;
use amp_core::hint::Hint;
use amp_core::receipt::Mismatch;
use amp_core::retry::Verdict;

use crate::store::{BodyFault, StoreError, StoreErrorKind};

/// Why a file was not loaded. It stays where it is.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A request failed.
    #[error("{0}; the file stays")]
    Store(StoreError),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It is not the file that was unpacked.
    #[error("it changed since it was unpacked ({0})")]
    Modified(String),
    /// It is being written to.
    #[error("the file changed while being read; nothing was stored")]
    ChangedWhileRead,
    /// The key is taken.
    #[error("an object of that key exists")]
    Exists,
    /// What S3 holds is not the file.
    #[error("it was uploaded, but {0}; the file stays")]
    Unconfirmed(#[from] Mismatch),
    /// S3 says that it holds nothing.
    #[error("it was uploaded, but the server does not have it; the file stays")]
    Vanished,
    /// Nothing tells what S3 holds.
    #[error("it was uploaded, but nothing confirms it: the answer has no checksum, and {0}; the file stays")]
    Unprovable(StoreError),
    /// S3 holds the bytes, and does not say that they are encrypted as asked.
    #[error(
        "it was uploaded, but the server does not confirm --sse {asked} (it tells {told}); the file stays, its object may be stored in the clear"
    )]
    NotEncrypted {
        /// What was asked for.
        asked: String,
        /// What the server says.
        told: String,
    },
    /// A thread of ours failed.
    #[error("internal error: {0}")]
    Internal(String),
}

impl From<StoreError> for LoadError {
    fn from(error: StoreError) -> Self {
        match error.kind {
            StoreErrorKind::Body(BodyFault::Changed) => Self::ChangedWhileRead,
            StoreErrorKind::Exists => Self::Exists,
            _ => Self::Store(error),
        }
    }
}

impl Hint for LoadError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::Store(error) => return error.hint(),
            Self::Disk(error) => return error.hint(),
            Self::Modified(_) => {
                "`amp-extract --force --date` with the day in its name fetches it again, `amp-load --accept-modified` uploads it as it is"
            }
            Self::ChangedWhileRead => "run again when its writer is done",
            Self::Exists => {
                "`--if-exists overwrite` replaces it, `--if-exists skip` takes it for the file if it is the same"
            }
            Self::Unconfirmed(_) | Self::Vanished => "run again",
            Self::Unprovable(_) => "allow s3:GetObject and run again",
            Self::NotEncrypted { .. } => "leave --sse away, or load into a server that encrypts",
            Self::Internal(_) => return None,
        };
        Some(hint.into())
    }
}

impl LoadError {
    /// What the failure means for the others: `None` when the run was stopped and this is no failure.
    pub fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Store(StoreError { kind: StoreErrorKind::Stopped, .. }) => None,
            Self::Store(error) => Some(error.verdict()),
            _ => Some(Verdict::Permanent),
        }
    }
}

impl From<LoadError> for Diagnostic {
    fn from(error: LoadError) -> Self {
        Self::of(&error)
    }
}

/// What a failure means for an object that is made in memory: no file is there that could stay.
pub(crate) fn object_error(error: &LoadError) -> Diagnostic {
    let told = match error {
        LoadError::Store(error) => Diagnostic::of(error),
        LoadError::Unconfirmed(mismatch) => format!("it was put, but {mismatch}").into(),
        LoadError::Vanished => "it was put, but the server does not have it".into(),
        LoadError::Unprovable(error) => {
            Diagnostic::from(format!("it was put, but nothing confirms it: {error}")).with_hint("allow s3:GetObject")
        }
        LoadError::NotEncrypted { asked, told } => {
            format!("it was put, but the server does not confirm --sse {asked} (it tells {told})").into()
        }
        error => return Diagnostic::of(error),
    };
    told.with_hint("the next run puts it again")
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        let exit = match (&error.kind, error.verdict()) {
            (StoreErrorKind::Stopped, _) => Exit::Interrupted,
            (StoreErrorKind::Unusable { .. }, _) => Exit::Unusable,
            (_, Verdict::Transient { .. }) => Exit::Temporary,
            _ => Exit::Refused,
        };
        let told = Diagnostic::of(&error);
        let told = match exit {
            Exit::Temporary => told.with_hint("check the network and the endpoint, or run again later"),
            _ => told,
        };
        Self { exit, message: Some(told) }
    }
}
