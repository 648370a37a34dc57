//! The flags that both commands have.

use amp_sandbox::events::Dataset;
use amp_sandbox::export::{ExportServer, Rule};
use amp_sandbox::s3::{S3Rule, S3Server};
use clap::Args;

/// The bucket of both commands.
pub(crate) const BUCKET: &str = "amplitude-lake";

/// Which events there are, and what goes wrong.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// Events a day
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    events: u64,
    /// Files an hour
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1000))]
    parts: u32,
    /// The same seed gives the same events
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Bytes a second that the Export API sends at most, such as 3M
    #[arg(long, value_name = "SIZE", value_parser = amp_sandbox::size)]
    pub(crate) bandwidth: Option<u64>,
    /// What the Export API does wrong, such as req=1-2:status=503 or req=1:cut=1000 (--help lists all)
    #[arg(long, value_name = "RULE")]
    fault: Vec<Rule>,
    /// What S3 does wrong, such as op=PutObject,nth=1-3:status=503,code=SlowDown
    #[arg(long, value_name = "RULE")]
    s3_fault: Vec<S3Rule>,
}

impl DataArgs {
    pub(crate) fn dataset(&self) -> Dataset {
        Dataset::new(self.seed).parts_per_hour(self.parts).events_per_day(self.events)
    }

    pub(crate) fn add_faults(&self, export: &ExportServer, s3: &S3Server) {
        self.fault.iter().for_each(|rule| export.add_rule(rule.clone()));
        self.s3_fault.iter().for_each(|rule| s3.add_rule(rule.clone()));
    }
}
