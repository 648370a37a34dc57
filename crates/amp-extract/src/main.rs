//! `amp-extract`: raw events out of Amplitude, into `extracted_data/`.

use std::process::ExitCode;
use std::time::Duration;

use amp_cli::{Program, launch};
use amp_extract::{Args, Settings, VERIFY_JOB, check, run};

fn main() -> ExitCode {
    let program = Program {
        name: env!("CARGO_BIN_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        log_prefix: "log_amplitude_",
        max_retries: 3,
        retry_base: Duration::from_secs(2),
        other_job: Some(("--verify", VERIFY_JOB)),
        looks: &["--check", "--dry-run", "--status"],
        instead_of: Args::instead_of,
    };
    launch::<Args, _, _>(program, Settings::resolve, check::check, run)
}
