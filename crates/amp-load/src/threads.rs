//! Work that blocks, off the reactor.

use tokio::sync::Semaphore;

use crate::error::LoadError;

/// Pieces of work at the same time: each may hold a buffer to read with, and more would only wait for the disk.
const MAX_AT_ONCE: usize = 16;

static AT_WORK: Semaphore = Semaphore::const_new(MAX_AT_ONCE);

/// Runs `work` on a thread that may block, when its turn has come.
///
/// # Errors
/// When the thread dies.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, LoadError> {
    let _turn = AT_WORK.acquire().await.map_err(|error| LoadError::Internal(error.to_string()))?;
    tokio::task::spawn_blocking(work).await.map_err(|error| LoadError::Internal(error.to_string()))
}
