//! A double of Amplitude's Export API.

mod answer;
mod archive;
mod bandwidth;
mod fault;
mod rule;
mod send;
mod server;
mod state;

pub use crate::http::Framing;
pub use archive::{ArchiveSource, Layout};
pub use fault::Fault;
pub use rule::{GRAMMAR, Hours, Rule, When};
pub use server::{ExportConfig, ExportRequest, ExportServer, Limit};
