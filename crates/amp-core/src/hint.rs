//! What a person can do about an error, apart from what the error says.

use std::borrow::Cow;

/// An error that may know what to do about it. `Display` says what happened, to what; the hint stands beside it.
pub trait Hint {
    /// What to do, in the imperative, without a full stop.
    fn hint(&self) -> Option<Cow<'static, str>>;
}
