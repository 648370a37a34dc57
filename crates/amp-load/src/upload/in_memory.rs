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

impl Uploader {
    /// Uploads these bytes like a file, and has them confirmed.
    ///
    /// # Errors
    /// When S3 does not confirm that it holds them.
    pub(crate) async fn upload_bytes(&self, object: &NewObject, content: Vec<u8>) -> Result<Receipt, LoadError> {
        let algorithm = self.options().checksum;
        let in_memory = move || -> io::Result<HashedFile> {
            let mut file = File::from(memfd_create("object", MemfdFlags::CLOEXEC)?);
            file.write_all(&content)?;
            let content = ContentChecksum::read(&file, 0, content.len() as u64, algorithm)?;
            Ok(HashedFile { file: Arc::new(file), content })
        };
        let file = blocking(in_memory).await?.map_err(|error| LoadError::Internal(error.to_string()))?;
        // The total on the screen is of files.
        let item: Arc<dyn Transfer> = Arc::new(NoProgress);
        self.upload_whole(&file, object, &item).await
    }
}
