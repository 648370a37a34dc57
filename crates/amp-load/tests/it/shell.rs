//! `-h`, `--help`, `--completions` and `--man`: they need no settings and change nothing.

#[path = "../../../amp-cli/tests/shared/shell.rs"]
mod shared;

const NAME: &str = "amp-load";
const BINARY: &str = env!("CARGO_BIN_EXE_amp-load");
