#![no_main]
#![allow(dead_code)]

#[path = "../../crates/amp-core/tests/fuzz/archive.rs"]
mod archive;
#[path = "../../crates/amp-core/tests/fuzz/build.rs"]
mod build;
#[path = "../../crates/amp-core/tests/fuzz/peer.rs"]
mod peer;
#[path = "../../crates/amp-core/tests/fuzz/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| archive::built(bytes));
