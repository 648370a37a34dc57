//! What went wrong and, apart, what to do about it.

use std::fmt;

use amp_core::disk::DiskError;
use amp_core::hint::Hint;
use amp_core::lock::LockError;
use serde::{Serialize, Serializer};

/// A failure as a person reads it. Where one text is needed, as in a result, the hint stands behind the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What happened, to what.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// What an error says, and its hint.
    pub fn of(error: &(impl fmt::Display + Hint)) -> Self {
        Self { message: error.to_string(), hint: error.hint().map(Into::into) }
    }

    /// The same with what it happened to in front.
    #[must_use]
    pub fn within(self, context: impl fmt::Display) -> Self {
        Self { message: format!("{context}: {}", self.message), ..self }
    }

    /// The same with something to do, behind what is known already.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        self.hint = Some(match self.hint {
            Some(known) => format!("{known}; {hint}"),
            None => hint,
        });
        self
    }

    /// Says it as an error, to stderr and to the log.
    pub fn error(&self) {
        tracing::error!(hint = self.hint, "{}", self.message);
    }

    /// Says it as a warning, to stderr and to the log.
    pub fn warn(&self) {
        tracing::warn!(hint = self.hint, "{}", self.message);
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<String> for Diagnostic {
    fn from(message: String) -> Self {
        Self { message, hint: None }
    }
}

impl From<&str> for Diagnostic {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

impl From<DiskError> for Diagnostic {
    fn from(error: DiskError) -> Self {
        Self::of(&error)
    }
}

impl From<LockError> for Diagnostic {
    fn from(error: LockError) -> Self {
        Self::of(&error)
    }
}
