//! The real `amp-extract` against a double of the Export API on loopback: each row of the contract's tables at least once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a test stops at the first surprise, and its helpers may do what the programs may not"
)]

mod archives;
mod check;
mod concurrency;
mod dates;
mod disk;
mod durability;
mod empty_days;
mod flips;
mod foreign;
mod key_files;
mod labels;
mod late;
mod ledger;
mod limits;
mod loads;
mod logs;
mod markers;
mod max_staged;
mod memory;
mod metrics;
mod network;
mod output;
mod owed;
mod owners;
mod parallel;
mod precedence;
mod repair;
mod run;
mod secrets;
mod settings;
mod shell;
mod signals;
mod snapshots;
mod splitting;
mod staging;
mod status;
mod status_form;
mod status_page;
mod statuses;
mod streaming;
mod support;
mod terminal;
mod tls;
mod upgrade;
mod verify;
mod windows;
