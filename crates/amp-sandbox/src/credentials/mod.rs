//! The services that give out AWS credentials: STS, instance metadata, the container agent, the portal of IAM Identity Center, and
//! a program of `credential_process`. S3 accepts what they give out.

mod process;
mod server;

use chrono::{DateTime, Utc};

pub use process::{ProcessAnswer, ProcessScript};
pub use server::{CredentialAnswer, CredentialRequest, CredentialServer, CredentialService};

/// A key that may sign requests to S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The access key id.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
    /// Must come with each request, if there is one.
    pub session_token: Option<String>,
    /// From then on requests are refused.
    pub expires: Option<DateTime<Utc>>,
}

impl Credentials {
    /// A key without a token and without an end, as a user's.
    pub fn lasting(access_key: &str, secret_key: &str) -> Self {
        let (access_key, secret_key) = (access_key.to_owned(), secret_key.to_owned());
        Self { access_key, secret_key, session_token: None, expires: None }
    }

    /// Those of a role, numbered.
    pub fn temporary(number: u64, expires: DateTime<Utc>) -> Self {
        Self {
            access_key: format!("ASIASANDBOX{number:09}"),
            secret_key: format!("temporary/secret+{number}"),
            session_token: Some(format!("temporary/token=={number}")),
            expires: Some(expires),
        }
    }
}
