//! The front that both programs share: from the command line to the exit code, with everything between that is not their own job.

mod args;
mod launch;
mod logging;
mod metrics;
mod output;
mod progress;
mod shell;
mod start;
mod stop;

pub use args::{Common, CommonArgs, EXIT_CODES, LogFormat, MORE_HELP, OutputFormat, ProgressMode};
pub use launch::{Program, Resolved, Session, launch};
pub use metrics::Page;
pub use output::{Document, Exit, Outcome, human_bytes};
pub use stop::Stop;
