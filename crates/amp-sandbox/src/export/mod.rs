//! A double of Amplitude's Export API.

mod answer;
mod archive;
mod bandwidth;
mod rule;
mod server;

pub use crate::http::Framing;
pub use archive::{ArchiveSource, Layout};
pub use rule::{Fault, Hours, Rule, When};
pub use server::{ExportConfig, ExportRequest, ExportServer, Limit};
