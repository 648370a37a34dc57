#![no_main]
#![allow(dead_code)]

#[path = "../../crates/amp-core/tests/fuzz/ledger.rs"]
mod ledger;
#[path = "../../crates/amp-core/tests/fuzz/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ledger::any_bytes(bytes));
