//! What several lanes share.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks it, for one lane at a time. A lane that panicked while it held it left no half-made value: each change is one assignment or sum.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
