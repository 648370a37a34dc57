//! The two servers, asked over the wire by a client that shares no code with them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end at any line")]
#![allow(clippy::print_stderr, reason = "shown of failed tests only")]

mod client;
mod conformance;
mod credentials;
mod export;
mod export_faults;
mod s3_faults;
mod s3_multipart;
mod s3_quirks;
mod s3_strict;
mod signer;
mod tls;
mod zips;
