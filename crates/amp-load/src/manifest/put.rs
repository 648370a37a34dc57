//! Puts the manifests that are to be put, when the files of a round are loaded.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use amp_cli::{Diagnostic, Stop};
use amp_core::checksum::Digest;
use amp_core::ledger::LoadRecord;
use amp_core::progress::{NoProgress, Transfer};
use amp_core::receipt::Receipt;
use amp_core::retry::Verdict;
use rustix::fs::{MemfdFlags, memfd_create};
use tokio::task::{JoinError, JoinSet};

use super::journal::ManifestRecord;
use super::pending::{Manifests, PendingManifest};
use crate::checksum::{ContentChecksum, HashedFile};
use crate::error::LoadError;
use crate::plan::PlannedUpload;
use crate::stats::RunStats;
use crate::store::NewObject;
use crate::threads::blocking;
use crate::upload::Uploader;

impl Manifests {
    /// Puts all manifests that are to be put. To be called when no upload is under way.
    pub(crate) async fn put_pending(self: &Arc<Self>, uploader: &Arc<Uploader>, stats: &Arc<RunStats>, stop: &Stop) {
        stats.begin_manifests();
        let mut tasks = JoinSet::new();
        let ids = self.ids().unwrap_or_else(|error| {
            stats.manifest_failed(None, error, &Verdict::Permanent);
            Vec::new()
        });
        for id in ids {
            if stop.is_requested() {
                break;
            }
            let (manifests, wanted) = (Arc::clone(self), id.clone());
            let pending = blocking(move || manifests.pending(&wanted)).await.map_err(|error| error.to_string());
            match pending.and_then(|pending| pending) {
                Ok(None) => {}
                Ok(Some(_)) if stats.is_outage() => {
                    let error = format!("manifests from {id} on were not tried: the server keeps failing");
                    let error = Diagnostic::from(error).with_hint("run again later");
                    stats.manifest_failed(None, error, &Verdict::TRANSIENT);
                    break;
                }
                Ok(Some(pending)) => {
                    while tasks.len() >= uploader.request_limit() {
                        joined(stats, tasks.join_next().await);
                    }
                    let (manifests, uploader) = (Arc::clone(self), Arc::clone(uploader));
                    let stats = Arc::clone(stats);
                    tasks.spawn(async move { manifests.put(&uploader, &stats, pending).await });
                }
                Err(error) => {
                    let planned = PlannedUpload { file: id.file(), key: self.prefix.key(&id) };
                    stats.manifest_failed(Some(&planned), error, &Verdict::Permanent);
                }
            }
        }
        while !tasks.is_empty() {
            joined(stats, tasks.join_next().await);
        }
    }

    /// Puts a manifest and notes it, and only then counts it: a run that is killed before the note puts it again.
    async fn put(self: Arc<Self>, uploader: &Uploader, stats: &RunStats, pending: PendingManifest) {
        let PendingManifest { planned, content, digest, positions } = pending;
        let receipt = match upload(uploader, &planned.key, content, digest).await {
            Ok(receipt) => receipt,
            Err(error) => {
                let Some(verdict) = error.verdict() else { return };
                stats.manifest_failed(Some(&planned), manifest_error(&error), &verdict);
                return;
            }
        };
        let load = self.load_of(&planned.file, &planned.key, digest);
        let load = LoadRecord {
            checksum: receipt.checksum().clone(),
            proof: receipt.proof(),
            etag: receipt.etag().map(str::to_owned),
            version_id: receipt.version_id().map(str::to_owned),
            ..load
        };
        let noted = blocking(move || self.journal.append(ManifestRecord { load, positions })).await;
        match noted.and_then(|noted| noted.map_err(LoadError::from)) {
            Ok(()) => {
                tracing::info!("{} -> {} ({} bytes)", planned.file, uploader.url(&planned.key), digest.bytes);
                stats.manifest_uploaded();
            }
            Err(error) => {
                let error = Diagnostic::of(&error)
                    .within("uploaded, but the record of it could not be written, so the next run uploads it again");
                stats.manifest_failed(Some(&planned), error, &Verdict::Permanent);
            }
        }
    }
}

fn joined(stats: &RunStats, joined: Option<Result<(), JoinError>>) {
    if let Some(Err(error)) = joined {
        stats.manifest_failed(None, format!("internal error: {error}"), &Verdict::Permanent);
    }
}

/// What a failure means for a manifest: no file is there that could stay.
fn manifest_error(error: &LoadError) -> Diagnostic {
    let told = match error {
        LoadError::Store(error) => Diagnostic::of(error),
        LoadError::Unconfirmed(mismatch) => format!("it was put, but {mismatch}").into(),
        LoadError::Vanished => "it was put, but the server does not have it".into(),
        LoadError::Unprovable(error) => {
            Diagnostic::from(format!("it was put, but nothing confirms it: {error}")).with_hint("allow s3:GetObject")
        }
        error => return Diagnostic::of(error),
    };
    told.with_hint("the next run puts it again")
}

/// Uploads a manifest like any file. It is in memory: nothing of it can be left behind on the disk.
async fn upload(uploader: &Uploader, key: &str, content: Vec<u8>, digest: Digest) -> Result<Receipt, LoadError> {
    let algorithm = uploader.options().checksum;
    let in_memory = move || -> io::Result<HashedFile> {
        let mut file = File::from(memfd_create("manifest", MemfdFlags::CLOEXEC)?);
        file.write_all(&content)?;
        let content = ContentChecksum::read(&file, 0, digest.bytes, algorithm)?;
        Ok(HashedFile { file: Arc::new(file), content })
    };
    let file = blocking(in_memory).await?.map_err(|error| LoadError::Internal(error.to_string()))?;
    // Whatever --if-exists says of data: a manifest is replaced when its day has changed.
    let object = NewObject { key: key.to_owned(), content_type: "application/json", only_if_new: false };
    // The total on the screen is of files.
    let item: Arc<dyn Transfer> = Arc::new(NoProgress);
    uploader.upload_whole(&file, &object, &item).await
}
