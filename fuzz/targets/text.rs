#![no_main]
#![allow(dead_code)]

#[path = "../../crates/amp-core/tests/fuzz/script.rs"]
mod script;
#[path = "../../crates/amp-core/tests/fuzz/text.rs"]
mod text;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| text::any_text(bytes));
