//! Fuzzing on the stable toolchain, as in amp-core: replays `fuzz/corpus/key` and changes each of its inputs a number of times.
#![allow(clippy::unwrap_used, reason = "panicking is how a target tells")]
#![allow(clippy::print_stderr, reason = "an input that failed must be seen")]

#[path = "../../../amp-core/tests/fuzz/replay.rs"]
mod replay;
mod template;

use amp_load::key;

#[test]
fn no_template_makes_a_key_that_is_too_long_or_lacks_its_prefix() {
    replay::replay("key", 200, template::any_template);
}
