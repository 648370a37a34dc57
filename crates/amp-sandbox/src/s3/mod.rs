//! A double of S3 that checks signatures, digests and checksums before it keeps anything.

mod answer;
mod bucket;
mod call;
mod checksum;
mod complete;
mod error;
mod multipart;
mod object;
mod payload;
mod quirks;
mod range;
mod receive;
mod rule;
mod server;
mod sigv4;
mod state;
mod store;

pub use crate::flip::Flip;
pub use call::S3Op;
pub use quirks::Quirks;
pub use rule::{S3Fault, S3Rule};
pub use server::{S3Config, S3Server};
pub use state::S3Request;
pub use store::ObjectInfo;
