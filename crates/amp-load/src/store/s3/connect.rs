//! From a bucket's settings to a client: region, credentials, endpoint, TLS.

use std::time::Duration;

use amp_cli::settings::{is_loopback, parse_endpoint};
use amp_core::retry::Effort;
use amp_core::secret::Secret;
use aws_config::BehaviorVersion;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    AppName, Credentials, ProvideCredentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    SharedHttpClient,
};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::{Builder as HttpClientBuilder, Connector, tls};
use url::{Host, Url};

use super::{S3Store, classify};
use crate::store::{BucketConfig, ObjectOptions, StoreError, StoreErrorKind};

/// No connection should take longer to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

impl S3Store {
    /// Finds region and credentials and sets up the client; nothing is asked of S3 yet. `idle`: nothing moves for so long is a timeout.
    ///
    /// # Errors
    /// When no credentials are found.
    pub async fn connect(
        bucket: &BucketConfig,
        object_options: ObjectOptions,
        idle: Duration,
    ) -> Result<Self, StoreError> {
        let http = http_client(bucket.endpoint.as_ref().is_some_and(is_loopback));
        let region = match &bucket.region {
            Some(region) => Region::new(region.clone()),
            None => {
                let profile = ProfileFileRegionProvider::new();
                let chain = RegionProviderChain::first_try(profile).or_else("us-east-1");
                chain.region().await.unwrap_or(Region::from_static("us-east-1"))
            }
        };
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http.clone()).region(region);
        if let Some((access, secret)) = &bucket.credentials {
            let credentials = Credentials::new(access.expose(), secret.expose(), None, None, "amp-load");
            loader = loader.credentials_provider(credentials);
        }
        let shared = loader.load().await;
        let refused = |answer, advice| refused(bucket, answer, advice);
        let keyless = "set AWS_ACCESS_KEY and AWS_SECRET_KEY, or AWS_PROFILE, or run where a role is attached";
        let Some(credentials) = shared.credentials_provider() else {
            return Err(refused("no AWS credentials are configured".into(), keyless));
        };
        let found = credentials.provide_credentials().await;
        let found = found.map_err(|error| refused(classify::no_credentials(&error), keyless))?;
        let secrets = [Some(found.secret_access_key()), found.session_token(), Some(found.access_key_id())];
        let secrets = secrets.into_iter().flatten().map(|secret| Secret::new(secret.to_owned())).collect();
        let endpoint = endpoint_of(bucket, shared.endpoint_url())?;
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .credentials_provider(credentials)
            .region(shared.region().cloned())
            .force_path_style(endpoint.as_ref().is_some_and(needs_path_style))
            // One owner of retries and timeouts: ours.
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(idle.min(CONNECT_TIMEOUT)).build())
            // Checksums are given beforehand, which keeps the body plain and unchunked.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        config.set_endpoint_url(endpoint.as_ref().map(Url::to_string));
        config.set_use_fips(shared.use_fips());
        config.set_use_dual_stack(shared.use_dual_stack());
        config.set_app_name(AppName::new(concat!("amp-load-", env!("CARGO_PKG_VERSION"))).ok());
        Ok(Self {
            client: Client::from_conf(config.build()),
            bucket: bucket.name.clone(),
            owner: bucket.owner.clone(),
            endpoint,
            object_options,
            idle,
            secrets,
        })
    }

    /// The endpoint as records name it: `None` for Amazon's own.
    pub fn custom_endpoint(&self) -> Option<String> {
        as_recorded(self.endpoint.as_ref())
    }

    /// The same, of a bucket that is not connected to; asks no network and needs no credentials.
    ///
    /// # Errors
    /// When the profile's endpoint is none.
    pub async fn custom_endpoint_of(bucket: &BucketConfig) -> Result<Option<String>, StoreError> {
        if bucket.endpoint.is_some() {
            return Ok(as_recorded(bucket.endpoint.as_ref()));
        }
        let loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http_client(false));
        let shared = loader.region(Region::from_static("us-east-1")).no_credentials().load().await;
        Ok(as_recorded(endpoint_of(bucket, shared.endpoint_url())?.as_ref()))
    }
}

fn refused(bucket: &BucketConfig, answer: String, advice: &str) -> StoreError {
    StoreError {
        operation: "settings",
        target: format!("for bucket {}", bucket.name),
        kind: StoreErrorKind::Refused { answer, advice: advice.into() },
        effort: Effort::default(),
    }
}

/// The endpoint of `bucket`; where it names none, the profile's.
fn endpoint_of(bucket: &BucketConfig, profile: Option<&str>) -> Result<Option<Url>, StoreError> {
    match (&bucket.endpoint, profile.filter(|url| !url.is_empty())) {
        (None, Some(profile)) => parse_endpoint(profile, bucket.allow_http).map(Some).map_err(|error| {
            let answer = format!("the AWS profile's endpoint_url: {error}");
            refused(bucket, answer, "change it, or give --endpoint-url")
        }),
        (given, _) => Ok(given.clone()),
    }
}

fn as_recorded(endpoint: Option<&Url>) -> Option<String> {
    endpoint.filter(|url| !is_aws(url)).map(|url| url.as_str().trim_end_matches('/').to_owned())
}

fn http_client(loopback: bool) -> SharedHttpClient {
    HttpClientBuilder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .proxy_config(if loopback { ProxyConfig::disabled() } else { ProxyConfig::from_env() });
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.build()
    })
}

/// Whether the bucket can't be a subdomain of the endpoint's host: an IP address, `localhost`, or a bare name in a local network.
fn needs_path_style(endpoint: &Url) -> bool {
    match endpoint.host() {
        Some(Host::Domain(name)) => !name.contains('.') || is_loopback(endpoint),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        None => false,
    }
}

/// Whether the endpoint is one of Amazon's own, whose answers need no second look.
fn is_aws(endpoint: &Url) -> bool {
    endpoint.host_str().is_some_and(|host| host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amazons_own_endpoints_are_known_and_others_keep_the_bucket_in_the_path_where_they_must() {
        let url = |text: &str| Url::parse(text).unwrap();
        for (text, amazon, path_style) in [
            ("https://s3.eu-west-1.amazonaws.com", true, false),
            ("https://amazonaws.com.example.org", false, false),
            ("https://minio.example.org:9000", false, false),
            ("http://minio:9000", false, true),
            ("http://localhost:9000", false, true),
            ("http://127.0.0.1", false, true),
            ("https://[::1]:1", false, true),
            ("https://10.0.0.1", false, true),
        ] {
            assert_eq!((is_aws(&url(text)), needs_path_style(&url(text))), (amazon, path_style), "{text}");
        }
    }
}
