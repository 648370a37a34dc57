//! Work that blocks, off the reactor.

use crate::error::LoadError;

/// Runs `work` on a thread that may block.
///
/// # Errors
/// When the thread dies.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| LoadError::Internal(error.to_string()))
}
