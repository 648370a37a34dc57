//! Objects that are made in memory: nothing of them can be left behind on the disk.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use amp_core::progress::{NoProgress, Transfer};
use amp_core::receipt::Receipt;
use rustix::fs::{MemfdFlags, memfd_create};

use super::Uploader;
use crate::checksum::{ContentChecksum, HashedFile};
use crate::error::LoadError;
use crate::store::NewObject;
use crate::threads::blocking;

/// An empty file that is on no disk: gone when it is closed.
///
/// # Errors
/// When the system refuses it.
pub(crate) fn file_in_memory() -> io::Result<File> {
    Ok(File::from(memfd_create("object", MemfdFlags::CLOEXEC)?))
}

impl Uploader {
    /// Uploads these bytes like a file, and has them confirmed.
    ///
    /// # Errors
    /// When S3 does not confirm that it holds them.
    pub(crate) async fn upload_bytes(&self, object: &NewObject, content: Vec<u8>) -> Result<Receipt, LoadError> {
        let written = file_in_memory().and_then(|mut file| file.write_all(&content).map(|()| file));
        self.upload_in_memory(object, written.map_err(|error| LoadError::Internal(error.to_string()))?).await
    }

    /// Uploads what was written to a [`file_in_memory`], and has it confirmed.
    ///
    /// # Errors
    /// When S3 does not confirm that it holds the bytes.
    pub(crate) async fn upload_in_memory(&self, object: &NewObject, file: File) -> Result<Receipt, LoadError> {
        let algorithm = self.options().checksum;
        let hashed = move || -> io::Result<HashedFile> {
            let content = ContentChecksum::read(&file, 0, u64::MAX, algorithm)?;
            Ok(HashedFile { file: Arc::new(file), content })
        };
        let file = blocking(hashed).await?.map_err(|error| LoadError::Internal(error.to_string()))?;
        // The total on the screen is of files.
        let item: Arc<dyn Transfer> = Arc::new(NoProgress);
        self.upload_whole(&file, object, &item).await
    }
}
