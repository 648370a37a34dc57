#![no_main]
#![allow(dead_code)]

// The file by itself: with the rest of its crate comes the AWS SDK.
#[path = "../../crates/amp-load/src/key.rs"]
mod key;
#[path = "../../crates/amp-load/tests/fuzz/template.rs"]
mod template;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| template::any_template(bytes));
