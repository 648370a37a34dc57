//! Who asks: the keys that were set, or those that AWS's default chain finds, within a time and once a run.

use std::io::{self, ErrorKind};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use amp_cli::{TlsFailure, tls_failure};
use aws_config::SdkConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future;
use aws_sdk_s3::config::{Credentials, ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_s3::error::ConnectorError;

use super::causes::{causes, chain};
use crate::store::{StaticCredentials, StoreErrorKind};

const NO_KEYS: &str = "set AWS_ACCESS_KEY and AWS_SECRET_KEY, or AWS_PROFILE, or run where a role is attached";
/// The provider that those from our own settings name.
const OURS: &str = "amp-load";
const RENEW: &str =
    "renew the credentials, with `aws sso login` where they come from IAM Identity Center, and run again";

/// The credentials of a run and where the SDK gets newer ones when they expire.
pub(super) struct Found {
    pub(super) credentials: Credentials,
    /// Who gave them, in words.
    pub(super) source: String,
    pub(super) provider: SharedCredentialsProvider,
}

pub(super) fn of_settings(keys: &StaticCredentials) -> Credentials {
    let token = keys.session_token.as_ref().map(|token| token.expose().to_owned());
    Credentials::new(keys.access_key.expose(), keys.secret_key.expose(), token, None, OURS)
}

/// Asks the chain in `shared`, for `limit` at most: a service that never answers must not hold the run and its lock.
pub(super) async fn find(shared: &SdkConfig, limit: Duration) -> Result<Found, StoreErrorKind> {
    let Some(provider) = shared.credentials_provider() else {
        return Err(refused("no AWS credentials are configured".to_owned(), NO_KEYS));
    };
    let credentials = match tokio::time::timeout(limit, provider.provide_credentials()).await {
        Ok(found) => found.map_err(|error| explain(&error))?,
        Err(_) => {
            let waited = format!("nothing answered for {limit:?}; --read-timeout sets how long to wait");
            return Err(StoreErrorKind::CredentialsUnavailable(waited));
        }
    };
    for (what, value) in
        [("access key", Some(credentials.access_key_id())), ("session token", credentials.session_token())]
    {
        // The SDK would panic on it.
        if value.is_some_and(|value| value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(StoreErrorKind::Unusable {
                answer: format!("the AWS {what} holds a blank, a line end or another character that no {what} has"),
                hint: "set it again without".to_owned(),
            });
        }
    }
    let provider =
        SharedCredentialsProvider::new(AskedBefore { answer: Mutex::new(Some(credentials.clone())), provider });
    Ok(Found { source: source(&credentials), credentials, provider })
}

/// Who gave `credentials`. The SDK tells only to those who debug it; what its secrets are it does not tell even them.
fn source(credentials: &Credentials) -> String {
    let shown = format!("{credentials:?}");
    let name = shown.split("provider_name: \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let profile = || std::env::var("AWS_PROFILE").unwrap_or_else(|_| "default".to_owned());
    match name {
        OURS => "AWS_ACCESS_KEY and AWS_SECRET_KEY".to_owned(),
        "EnvironmentVariable" => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment".to_owned(),
        "ProfileFile" => format!("the profile `{}`", profile()),
        "SSO" | "CredentialProcess" | "Login" => format!("{name} of the profile `{}`", profile()),
        "" => "the AWS default chain".to_owned(),
        name => format!("the AWS default chain ({name})"),
    }
}

/// Gives the credentials that were found already to whoever asks first, so that a run asks once; then asks anew.
#[derive(Debug)]
struct AskedBefore {
    answer: Mutex<Option<Credentials>>,
    provider: SharedCredentialsProvider,
}

impl ProvideCredentials for AskedBefore {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        match self.answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(credentials) => future::ProvideCredentials::ready(Ok(credentials)),
            None => self.provider.provide_credentials(),
        }
    }
}

/// Why there are no credentials: none are set up, those there are were refused, or whoever gives them out is down.
pub(super) fn explain(error: &CredentialsError) -> StoreErrorKind {
    if let Some(TlsFailure { reason, hint }) = tls_failure(error) {
        let answer = format!("cannot get AWS credentials from the server that gives them out: {reason}");
        return StoreErrorKind::Unusable { answer, hint: hint.to_owned() };
    }
    match error {
        CredentialsError::CredentialsNotLoaded(_) => {
            let profile = std::env::var("AWS_PROFILE").ok().filter(|name| !name.is_empty());
            let of_profile = profile.map(|name| format!(" in the profile `{name}`")).unwrap_or_default();
            refused(format!("no AWS credentials were found{of_profile}"), NO_KEYS)
        }
        CredentialsError::ProviderTimedOut(_) => {
            StoreErrorKind::CredentialsUnavailable("whoever gives them out did not answer in time".to_owned())
        }
        _ => {
            // What a credential_process prints may hold a secret; what the SDK shows of a response is for its own debugging.
            let text = chain(error);
            let end = [" Stderr:", " Response {"].into_iter().filter_map(|debug| text.find(debug)).min();
            let text = text[..end.unwrap_or(text.len())].to_owned();
            // An instance without a role has nobody to ask, which no waiting mends.
            let nobody = text.to_ascii_lowercase().contains("imds");
            match is_temporary(error) && !nobody {
                true => StoreErrorKind::CredentialsUnavailable(text),
                false if nobody => refused(format!("no AWS credentials were found ({text})"), NO_KEYS),
                false => refused(format!("cannot get AWS credentials: {text}"), RENEW),
            }
        }
    }
}

fn refused(answer: String, hint: &str) -> StoreErrorKind {
    StoreErrorKind::Refused { is_denied: false, answer, hint: hint.to_owned() }
}

/// Whether the service could not be reached, or answered that it has a problem.
fn is_temporary(error: &CredentialsError) -> bool {
    let unreached = causes(error).any(|cause| match cause.downcast_ref::<io::Error>() {
        // Of a file of the AWS configuration.
        Some(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied),
        None => cause.downcast_ref::<ConnectorError>().is_some_and(|error| !error.is_user()),
    });
    // The types of the services' own errors are not to be had; their text has the status of the answer.
    unreached || format!("{error:?}").contains("StatusCode(5")
}
