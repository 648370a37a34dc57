//! `amp-load`: what lies in `extracted_data/`, into S3.

use std::process::ExitCode;
use std::time::Duration;

use amp_cli::{Program, launch};
use amp_load::{Args, Settings, VERIFY_JOB, check, run};

fn main() -> ExitCode {
    let program = Program {
        name: env!("CARGO_BIN_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        log_prefix: "log_s3_load_",
        max_retries: 10,
        retry_base: Duration::from_millis(200),
        other_job: Some(("--verify", VERIFY_JOB)),
        looks: &["--check", "--dry-run"],
        instead_of: Args::instead_of,
    };
    launch::<Args, _, _>(program, Settings::resolve, check, run)
}
