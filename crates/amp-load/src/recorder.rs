//! Notes what S3 confirmed, and only then deletes it. One thread does both, so that many files share one wait for the disk.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use amp_cli::{DETAIL, Diagnostic};
use amp_core::checksum::Digest;
use amp_core::ledger::{Ledger, LoadRecord};
use amp_core::receipt::{Proof, Receipt};
use amp_core::stage::{Removal, StagedFile};
use chrono::Utc;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

use crate::error::LoadError;
use crate::plan::PlannedUpload;
use crate::stats::RunStats;

/// How long the first of a batch waits for others: a sync for each small file would cost more than its upload.
const BATCH_DELAY: Duration = Duration::from_millis(20);

/// A file of which S3 holds every byte.
#[derive(Debug)]
pub struct Loaded {
    /// The file.
    pub staged: StagedFile,
    /// Its name and key.
    pub planned: PlannedUpload,
    /// The proof.
    pub receipt: Receipt,
    /// What was unpacked under the name, where the operator accepted something else.
    pub in_place_of: Vec<Digest>,
    /// Whether the bucket had it before.
    pub already_there: bool,
    /// How long it took.
    pub seconds: f64,
}

/// Where the records of a run go.
#[derive(Debug, Clone)]
pub struct Recorder {
    /// The ledger.
    pub ledger: Ledger,
    /// The bucket.
    pub bucket: String,
    /// The endpoint, where it is not Amazon's.
    pub endpoint: Option<String>,
    /// Whether confirmed files stay.
    pub keep_local: bool,
    /// How many files are open at most while they wait to be noted.
    pub queue: usize,
    /// Told what became of each.
    pub stats: Arc<RunStats>,
}

impl Recorder {
    /// Takes files in until the sender is dropped; the handle ends when all are dealt with.
    pub fn start(self) -> (Sender<Loaded>, JoinHandle<()>) {
        let (sender, receiver) = channel(self.queue);
        (sender, tokio::task::spawn_blocking(move || self.run(receiver)))
    }

    fn run(self, mut receiver: Receiver<Loaded>) {
        while let Some(first) = receiver.blocking_recv() {
            thread::sleep(BATCH_DELAY);
            let mut batch = vec![first];
            while batch.len() < self.queue
                && let Ok(next) = receiver.try_recv()
            {
                batch.push(next);
            }
            self.settle(batch);
        }
    }

    fn settle(&self, batch: Vec<Loaded>) {
        let records: Vec<_> = batch.iter().map(|loaded| self.record(loaded)).collect();
        if let Err(error) = self.ledger.append_loads(&records) {
            let told = Diagnostic::of(&error)
                .within("uploaded, but the ledger could not be written, so the local file was kept");
            batch.iter().for_each(|Loaded { planned, .. }| self.stats.failed(planned, told.clone(), None));
            return;
        }
        batch.into_iter().for_each(|loaded| self.finish(loaded));
    }

    fn record(&self, loaded: &Loaded) -> LoadRecord {
        LoadRecord {
            time: Utc::now(),
            file: loaded.planned.file.clone(),
            digest: loaded.receipt.digest(),
            bucket: self.bucket.clone(),
            key: loaded.planned.key.clone(),
            endpoint: self.endpoint.clone(),
            checksum: loaded.receipt.checksum().clone(),
            proof: loaded.receipt.proof(),
            etag: loaded.receipt.etag().map(str::to_owned),
            version_id: loaded.receipt.version_id().map(str::to_owned),
            in_place_of: loaded.in_place_of.clone(),
        }
    }

    fn finish(&self, Loaded { staged, planned, receipt, already_there, seconds, .. }: Loaded) {
        let PlannedUpload { file, key } = &planned;
        let (bytes, did) = (receipt.digest().bytes, if already_there { "is there already:" } else { "->" });
        let proof = match receipt.proof() {
            Proof::Checksum => "checksum",
            Proof::Etag => "MD5",
            Proof::ReadBack => "reading it back",
            Proof::Size => "size",
        };
        let bucket = &self.bucket;
        tracing::info!(
            event = if already_there { "file_skipped" } else { "file_uploaded" },
            file,
            key,
            bytes,
            seconds,
            "{file} {did} s3://{bucket}/{key} ({bytes} bytes, confirmed by {proof}, {seconds:.3} s)"
        );
        self.stats.confirmed(bytes, already_there);
        if self.keep_local {
            return;
        }
        match staged.remove(&receipt) {
            Ok(Removal::Deleted) => {
                tracing::info!(target: DETAIL, event = "file_deleted", file, key, bytes, "{file}: deleted");
                self.stats.deleted();
            }
            Ok(Removal::Replaced) => tracing::info!("{file} was replaced meanwhile and stays for the next run"),
            Err(error) => self.stats.delete_failed(&planned, &LoadError::from(error)),
        }
    }
}
