//! What `amp-extract` and `amp-load` share.
//!
//! The library knows no network, no terminal, no clock and no environment: the time, randomness and
//! the way to show progress are passed in. The two programs meet only in the directory that [`stage`] describes.

pub mod archive;
pub mod checksum;
pub mod disk;
pub mod event_dates;
pub mod examine;
pub mod hint;
pub mod hour;
pub mod jsonl;
pub mod ledger;
pub mod lines;
pub mod lock;
pub mod name;
pub mod progress;
pub mod receipt;
pub mod reserve;
pub mod retry;
pub mod rows;
pub mod secret;
pub mod stage;
pub mod window;
