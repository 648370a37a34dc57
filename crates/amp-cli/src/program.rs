//! The two programs as the front tells them apart.

use std::time::Duration;

/// Which program this is.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What its log files begin with.
    pub log_prefix: &'static str,
    /// How often it tries again where nothing else is set.
    pub max_retries: u32,
    /// Its first backoff where nothing else is set.
    pub retry_base: Duration,
    /// A flag that makes a run another job, and what the metrics of that job begin with; those of others begin with the program's name.
    pub other_job: Option<(&'static str, &'static str)>,
    /// Flags with which it only looks: nothing is changed, and no metrics are left.
    pub looks: &'static [&'static str],
    /// What to write instead of an argument that it does not have and other tools do.
    pub instead_of: fn(&str) -> Option<&'static str>,
}
