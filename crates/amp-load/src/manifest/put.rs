//! Puts the manifests that are due, when everything else is done.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use amp_core::checksum::Digest;
use amp_core::ledger::LoadRecord;
use amp_core::progress::{NoProgress, Transfer};
use amp_core::receipt::Receipt;
use amp_core::retry::Verdict;
use rustix::fs::{MemfdFlags, memfd_create};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use super::due::{Due, Manifests};
use super::journal::Line;
use super::prefix::name;
use crate::error::LoadError;
use crate::loader::Loader;
use crate::plan::Planned;
use crate::store::NewObject;
use crate::sum::Sum;
use crate::threads::blocking;

impl Manifests {
    /// Puts all manifests that are due. To be called when the uploads of the run are over.
    pub(crate) async fn put_due(self: &Arc<Self>, loader: &Arc<Loader>) {
        let mut tasks = JoinSet::new();
        let days = self.ledger.days().unwrap_or_else(|error| {
            loader.tally.unput(None, &error.to_string(), &Verdict::Permanent);
            Vec::new()
        });
        for day in days {
            if loader.halt.is_requested() {
                break;
            }
            let manifests = Arc::clone(self);
            let due = blocking(move || manifests.due(day)).await.map_err(|error| error.to_string());
            match due.and_then(|due| due) {
                Ok(None) => {}
                Ok(Some(_)) if loader.tally.in_vain() >= loader.patience() => {
                    let error =
                        format!("manifests from {day} on were not tried: the server keeps failing; run again later");
                    loader.tally.unput(None, &error, &Verdict::TRANSIENT);
                    break;
                }
                Ok(Some(due)) => {
                    let Some(permit) = loader.permit().await else { break };
                    let (manifests, loader) = (Arc::clone(self), Arc::clone(loader));
                    tasks.spawn(async move { manifests.put(&loader, due, permit).await });
                }
                Err(error) => {
                    let planned = Planned { file: name(day), key: self.prefix.key(day) };
                    loader.tally.unput(Some(&planned), &error, &Verdict::Permanent);
                }
            }
        }
        while let Some(joined) = tasks.join_next().await {
            if let Err(error) = joined {
                loader.tally.unput(None, &format!("internal error: {error}"), &Verdict::Permanent);
            }
        }
    }

    /// Puts a manifest and notes it, and only then counts it: a run that is killed before the note puts it again.
    async fn put(self: Arc<Self>, loader: &Loader, due: Due, _permit: OwnedSemaphorePermit) {
        let Due { planned, content, digest, marks } = due;
        let receipt = match upload(loader, &planned.key, content, digest).await {
            Ok(receipt) => receipt,
            Err(error) => {
                let Some(verdict) = error.verdict() else { return };
                loader.tally.unput(Some(&planned), &told(&error), &verdict);
                if verdict == Verdict::Refused {
                    loader.halt.request();
                }
                return;
            }
        };
        let load = self.load_of(&planned.file, &planned.key, digest);
        let load = LoadRecord { checksum: receipt.checksum().clone(), proof: receipt.proof(), ..load };
        let noted = blocking(move || self.journal.note(Line { load, marks })).await;
        match noted.and_then(|noted| noted.map_err(LoadError::from)) {
            Ok(()) => {
                tracing::info!("{} -> {} ({} bytes)", planned.file, loader.store.url(&planned.key), digest.bytes);
                loader.tally.put();
            }
            Err(error) => {
                let error = format!("S3 has it, but that cannot be noted, so the next run puts it again: {error}");
                loader.tally.unput(Some(&planned), &error, &Verdict::Permanent);
            }
        }
    }
}

/// What a failure means for a manifest: no file is there that could stay.
fn told(error: &LoadError) -> String {
    match error {
        LoadError::Store(error) => format!("{error}; the next run puts it again"),
        LoadError::Unconfirmed(mismatch) => format!("it was put, but {mismatch}; the next run puts it again"),
        LoadError::Vanished => "it was put, but the server does not have it; the next run puts it again".to_owned(),
        LoadError::Unprovable(error) => {
            format!("it was put, but nothing confirms it: {error}; allow s3:GetObject, and the next run puts it again")
        }
        error => error.to_string(),
    }
}

/// Uploads a manifest like any file. It is in memory: nothing of it can be left behind on the disk.
async fn upload(loader: &Loader, key: &str, content: Vec<u8>, digest: Digest) -> Result<Receipt, LoadError> {
    let algorithm = loader.settings.checksum;
    let in_memory = move || -> io::Result<(File, Sum)> {
        let mut file = File::from(memfd_create("manifest", MemfdFlags::CLOEXEC)?);
        file.write_all(&content)?;
        let sum = Sum::of(&file, 0, digest.bytes, algorithm)?;
        Ok((file, sum))
    };
    let (file, sum) = blocking(in_memory).await?.map_err(|error| LoadError::Internal(error.to_string()))?;
    // Whatever --if-exists says of data: a manifest is replaced when its day has changed.
    let object = NewObject { key: key.to_owned(), content_type: "application/json", only_if_new: false };
    // The total on the screen is of files.
    let item: Arc<dyn Transfer> = Arc::new(NoProgress);
    loader.upload_whole(&Arc::new(file), &sum, &object, &item).await
}
