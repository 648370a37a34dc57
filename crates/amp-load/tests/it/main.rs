//! The real `amp-load` against a double of S3 on loopback: each row of the contract's tables at least once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a test stops at the first surprise, and its helpers may do what the programs may not"
)]

mod addresses;
mod amazon;
mod check;
mod concurrency;
mod confirmation;
mod credentials;
mod durability;
mod exists;
mod faults;
mod follow;
mod full_disk;
mod healing;
mod keys;
mod local;
mod manifests;
mod memory;
mod metrics;
mod multipart;
mod settings;
mod shell;
mod signals;
mod snapshots;
mod starting;
mod state;
mod storing;
mod support;
mod tls;
mod uploading;
mod verifying;
