//! Settings: where they come from, how they are read, and all that is wrong with them told at once.

mod aws_env;
mod dotenv;
mod labels;
mod names;
mod parse;
mod resolver;
mod secret;

pub(crate) use self::aws_env::export_aws;
pub use self::dotenv::{DotEnv, DotEnvError};
pub use self::labels::Labels;
pub(crate) use self::labels::{LABELS, is_label_name};
pub use self::parse::{
    is_loopback, parse_bool, parse_bytes, parse_duration, parse_endpoint, parse_number, parse_parallelism,
};
pub use self::resolver::{Resolver, Setting, SettingsError};
pub use self::secret::parse_plain;
