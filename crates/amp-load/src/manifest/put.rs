//! Puts the manifests that are to be put, when the files of a round are loaded.

use std::sync::Arc;

use amp_cli::{Diagnostic, Stop};
use amp_core::ledger::LoadRecord;
use amp_core::retry::Verdict;
use tokio::task::{JoinError, JoinSet};

use super::journal::ManifestRecord;
use super::pending::{Manifests, PendingManifest};
use crate::error::{LoadError, object_error};
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
            stats.object_failed(None, error, &Verdict::Permanent);
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
                    stats.object_failed(None, error, &Verdict::TRANSIENT);
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
                    stats.object_failed(Some(&planned), error, &Verdict::Permanent);
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
        let receipt = match uploader.upload_in_memory(&manifest_object(&planned.key), content).await {
            Ok(receipt) => receipt,
            Err(error) => {
                let Some(verdict) = error.verdict() else { return };
                stats.object_failed(Some(&planned), object_error(&error), &verdict);
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
                let PlannedUpload { file, key } = &planned;
                let (bytes, url) = (digest.bytes, uploader.url(key));
                tracing::info!(event = "manifest_uploaded", file, key, bytes, "{file} -> {url} ({bytes} bytes)");
                stats.manifest_uploaded();
            }
            Err(error) => {
                let error = Diagnostic::of(&error)
                    .within("uploaded, but the record of it could not be written, so the next run uploads it again");
                stats.object_failed(Some(&planned), error, &Verdict::Permanent);
            }
        }
    }
}

fn joined(stats: &RunStats, joined: Option<Result<(), JoinError>>) {
    if let Some(Err(error)) = joined {
        stats.object_failed(None, format!("internal error: {error}"), &Verdict::Permanent);
    }
}

/// Whatever --if-exists says of data: a manifest is replaced when its day has changed.
fn manifest_object(key: &str) -> NewObject {
    NewObject { key: key.to_owned(), content_type: "application/json", only_if_new: false, in_default_class: false }
}
