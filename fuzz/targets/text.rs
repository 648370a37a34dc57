#![no_main]
#![allow(dead_code, unused_imports)]

#[path = "../../crates/amp-core/tests/fuzz/script.rs"]
mod script;
// The module by itself: with the rest of its crate come clap, tokio and a terminal.
#[path = "../../crates/amp-cli/src/settings/mod.rs"]
mod settings;
#[path = "../../crates/amp-cli/tests/fuzz/text.rs"]
mod text;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| text::any_text(bytes));
