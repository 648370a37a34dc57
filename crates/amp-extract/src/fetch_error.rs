//! Why a window was not got, and what that means for the window and for the run.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::PathBuf;

use amp_cli::{Exit, Retryable, RunError, Subject, human_bytes};
use amp_core::archive::ArchiveError;
use amp_core::disk::DiskError;
use amp_core::hint::Hint;
use amp_core::retry::{Effort, Verdict};
use amp_core::window::HourWindow;

use crate::export_error::ExportError;

/// Why a window was not got.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error("{0}: {1}")]
    Archive(HourWindow, ArchiveError),
    #[error(
        "{window}: the archive is not of this window: it holds `{file}`, of another hour. A proxy or a cache may have answered with \
         another export; nothing of it was staged"
    )]
    ForeignHour { window: HourWindow, file: String },
    #[error(
        "{window}: `{file}` came with {other} too, with other bytes, and its name tells no hour: staging it would replace the other one. \
         Nothing of the archive was staged"
    )]
    NameTaken { window: HourWindow, file: String, other: String },
    #[error("{0}: {1}")]
    Disk(HourWindow, DiskError),
    #[error(
        "{window}: the disk of `{}` is full: {} usable (5 % of what is free is left alone), {needed} needed",
        dir.display(), human_bytes(*free)
    )]
    DiskFull { window: HourWindow, dir: PathBuf, free: u64, needed: String },
    #[error("{0}: an internal error while unpacking")]
    Internal(HourWindow),
    #[error("{0}{1}")]
    GivenUp(Box<Self>, Effort),
    #[error("stopped")]
    Stopped,
}

impl Hint for FetchError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Export(error) => error.hint(),
            Self::Archive(_, error) => error.hint(),
            Self::Disk(_, error) => error.hint(),
            Self::DiskFull { .. } => Some("make room and run again".into()),
            Self::Internal(_) => Some("the log has more, please report it".into()),
            Self::GivenUp(error, _) => error.hint(),
            Self::ForeignHour { .. } | Self::NameTaken { .. } | Self::Stopped => None,
        }
    }
}

impl Retryable for FetchError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Export(error) => error.verdict(),
            Self::Archive(_, error) if error.is_damage() => Verdict::TRANSIENT,
            Self::ForeignHour { .. } => Verdict::TRANSIENT,
            Self::GivenUp(error, _) => error.verdict(),
            _ => Verdict::Permanent,
        }
    }

    fn stopped() -> Self {
        Self::Stopped
    }

    fn after(self, effort: Effort) -> Self {
        match self {
            Self::Stopped => Self::Stopped,
            error => Self::GivenUp(Box::new(error), effort),
        }
    }

    fn subject(&self) -> Subject {
        Subject { window: self.window().map(|window| window.to_string()), url: None, status: self.status() }
    }

    /// 504 is documented as too much data: waiting does not help, asking for less does.
    fn is_worth_waiting(&self) -> bool {
        self.status() != Some(504)
    }
}

impl FetchError {
    /// What is wrong with the archive of `window`.
    pub(crate) fn of_archive(window: HourWindow, error: ArchiveError) -> Self {
        match error {
            ArchiveError::Cancelled => Self::Stopped,
            ArchiveError::Disk(error) => Self::of_disk(window, error),
            error => Self::Archive(window, error),
        }
    }

    /// What the disk did not do for `window`; a wait for the other program that a signal ended is a stop.
    pub(crate) fn of_disk(window: HourWindow, error: DiskError) -> Self {
        if error.source.kind() == ErrorKind::Interrupted { Self::Stopped } else { Self::Disk(window, error) }
    }

    /// Whether the archive is not to blame, so that it may go without another download.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Archive(_, error) => error.is_local(),
            Self::Disk(..) | Self::DiskFull { .. } | Self::Stopped => true,
            _ => false,
        }
    }

    /// What it means for the run, if no other request would go either.
    pub(crate) fn ends_run(&self) -> Option<RunError> {
        match self {
            Self::GivenUp(error, _) => error.ends_run(),
            Self::Export(ExportError::Untrusted { .. }) => Some(RunError::told(Exit::Unusable)),
            error => (error.verdict() == Verdict::Refused).then(|| RunError::told(Exit::Refused)),
        }
    }

    /// Whether it is an outage of the network or of Amplitude, which passes by itself.
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::ForeignHour { .. } => false,
            Self::GivenUp(error, _) => error.is_outage(),
            error => matches!(error.verdict(), Verdict::Transient { .. }),
        }
    }

    /// The window that was not got.
    fn window(&self) -> Option<HourWindow> {
        match self {
            Self::Export(error) => Some(error.window()),
            Self::Archive(window, _) | Self::Disk(window, _) | Self::Internal(window) => Some(*window),
            Self::ForeignHour { window, .. } | Self::NameTaken { window, .. } | Self::DiskFull { window, .. } => {
                Some(*window)
            }
            Self::GivenUp(error, _) => error.window(),
            Self::Stopped => None,
        }
    }

    /// The HTTP status, where it is the failure.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Export(error) => error.status(),
            Self::GivenUp(error, _) => error.status(),
            _ => None,
        }
    }

    /// Whether there is no room left, so that another window would meet the same.
    pub(crate) fn is_full_disk(&self) -> bool {
        match self {
            Self::DiskFull { .. } => true,
            Self::Disk(_, error) => error.is_full(),
            Self::GivenUp(error, _) => error.is_full_disk(),
            _ => false,
        }
    }
}
