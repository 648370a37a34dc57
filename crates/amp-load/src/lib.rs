//! Loads what lies in `extracted_data/` into an S3 bucket and deletes what S3 confirmed.
//!
//! [`run`] is the door. A file's way: it is scanned and gets its key ([`plan`]), is taken up ([`loader`]), is inspected for its digest
//! ([`inspect`]), goes out as a plain body ([`upload`]) through the AWS SDK ([`store`]), what S3 answers becomes a receipt ([`upload`]),
//! and against the receipt it is noted and deleted ([`recorder`]). When all is done, whole days get their manifests ([`manifest`]), and what the
//! ledger gained goes into the bucket, too ([`state`]).

mod args;
mod checksum;
mod descriptors;
mod error;
pub mod inspect;
pub mod key;
pub mod loader;
pub mod manifest;
mod modes;
pub mod plan;
pub mod recorder;
mod settings;
pub mod state;
mod stats;
pub mod store;
mod summary;
pub mod tags;
mod threads;
pub mod upload;

use amp_cli::{DETAIL, Finding, Session};

pub use args::Args;
use modes::Run;
pub use settings::{IfExists, Settings, VerifyOptions};
pub use summary::{Failure, Files, Summary, VERIFY_JOB, Verified};

/// Tests what a run with `settings` needs and loads nothing.
pub async fn check(settings: &Settings, session: &Session) -> Vec<Finding> {
    modes::check(settings, session).await
}

/// Does what `settings` ask and says what came of it. Every failure is in the summary.
pub async fn run(settings: Settings, session: &Session) -> Summary {
    let mut summary = Summary::new(&settings.bucket.name);
    let run = Run::new(&settings, session);
    let ended = match (settings.verify, settings.restore_days, session.common.dry_run) {
        (Some(options), ..) => modes::verify(&run, options, &mut summary).await,
        (None, Some(days), _) => modes::restore(&run, days, &mut summary).await,
        (None, None, true) => modes::dry_run(&run, &mut summary).await,
        (None, None, false) => modes::load(&run, &mut summary).await,
    };
    if let Err(error) = ended {
        summary.stopped_by(error);
    }
    summary.count_unfinished();
    summary.retries = run.retrier.retries();
    summary.seconds = session.seconds();
    let result = summary.line();
    tracing::info!(target: DETAIL, event = "result", result, "{result}");
    summary
}
