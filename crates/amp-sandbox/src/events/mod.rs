//! Seeded events in the form of Amplitude's export.

mod dataset;
mod row;

pub use dataset::{Dataset, ExpectedFile};
