#![no_main]

#[path = "../../crates/amp-core/tests/fuzz/name.rs"]
mod name;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| name::any_path(bytes));
