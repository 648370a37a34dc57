//! Fuzzing on the stable toolchain, as in amp-core: replays `fuzz/corpus/text` and changes each of its inputs a number of times.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "panicking is how a target tells")]
#![allow(clippy::print_stderr, reason = "an input that failed must be seen")]

#[path = "../../../amp-core/tests/fuzz/replay.rs"]
mod replay;
#[path = "../../../amp-core/tests/fuzz/script.rs"]
#[allow(dead_code, reason = "other targets need the rest")]
mod script;
mod text;

use amp_cli::settings;

#[test]
fn no_text_makes_windows_sizes_or_settings_leave_their_bounds() {
    replay::replay("text", 20, text::any_text);
}
