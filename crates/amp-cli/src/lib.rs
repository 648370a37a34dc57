//! The front that both programs share: from the command line to the exit code, with everything between that is not their own job.

mod args;
mod check;
mod choices;
mod diagnostic;
mod document;
mod human;
mod json_log;
mod launch;
mod logging;
mod metrics;
mod outcome;
mod program;
mod progress;
mod retry;
mod run_log;
mod session;
pub mod settings;
mod shell;
mod start;
mod stop;
mod tls;

pub use args::{Common, CommonArgs, EXIT_CODES, LogFormat, MORE_HELP, OutputFormat, ProgressMode};
pub use check::{Finding, Level, check_dir, check_ledger};
pub use choices::Choices;
pub use diagnostic::Diagnostic;
pub use document::{Document, Printed};
pub use human::{counted, human_bytes};
pub use launch::{Resolved, launch};
pub use logging::{DETAIL, PASSING};
pub use metrics::Page;
pub use outcome::{Ending, Exit, Outcome, RunError};
pub use program::Program;
pub use retry::{Retrier, Retryable, Subject};
pub use session::Session;
pub use stop::Stop;
pub use tls::{CaBundle, TlsFailure, tls_failure};
