//! From a bucket's settings to a client: region, credentials, endpoint, TLS.

use std::time::Duration;

use amp_cli::CaBundle;
use amp_cli::settings::{is_loopback, parse_endpoint};
use amp_core::retry::Effort;
use amp_core::secret::Secret;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{AppName, Region, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use aws_smithy_http_client::{Builder as HttpClientBuilder, Connector, tls};
use aws_types::os_shim_internal::{Env, Fs};
use aws_types::service_config::ServiceConfigKey;
use url::{Host, Url};

use super::S3Store;
use super::capped::capped;
use super::credentials::{self, Found};
use super::hosts::Hosts;
use crate::store::{Addressing, BucketConfig, ObjectOptions, StoreError, StoreErrorKind};

/// No connection should take longer to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

impl S3Store {
    /// Finds region and credentials and sets up the client; nothing is asked of S3 yet. `idle`: nothing moves for so long is a timeout, also
    /// while credentials are asked for. `authorities`: those to trust instead of the system's.
    ///
    /// # Errors
    /// When no credentials are found, or the AWS configuration names an endpoint or region that is none.
    pub async fn connect(
        bucket: &BucketConfig,
        object_options: ObjectOptions,
        authorities: Option<&CaBundle>,
        idle: Duration,
    ) -> Result<Self, StoreError> {
        let http = http_client(bucket.endpoint.as_ref().is_some_and(is_loopback), authorities);
        let region = match &bucket.region {
            Some(region) => Region::new(region.clone()),
            None => {
                let profile = ProfileFileRegionProvider::new();
                let chain = RegionProviderChain::first_try(profile).or_else("us-east-1");
                chain.region().await.unwrap_or(Region::from_static("us-east-1"))
            }
        };
        let is_name = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if !region.as_ref().bytes().all(is_name) {
            let answer = format!("`{}` is not an AWS region", region.as_ref().escape_debug());
            return Err(unusable(bucket, answer, "set AWS_REGION or --aws-region to one such as eu-central-1"));
        }
        let mut loader = loader(http.clone()).region(region);
        if let Some(keys) = &bucket.credentials {
            loader = loader.credentials_provider(credentials::of_settings(keys));
        }
        let shared = loader.load().await;
        let found = credentials::find(&shared, idle).await.map_err(|kind| setting_error(bucket, kind))?;
        let Found { credentials, source, provider } = found;
        let secrets =
            [Some(credentials.secret_access_key()), credentials.session_token(), Some(credentials.access_key_id())];
        let secrets = secrets.into_iter().flatten().map(|secret| Secret::new(secret.to_owned())).collect();
        let endpoint = endpoint_of(bucket, &shared)?;
        let path_style = match bucket.addressing {
            Addressing::Path => true,
            Addressing::Virtual => false,
            Addressing::Auto => match profile_addressing().await {
                Some(path_style) => path_style,
                None => endpoint.as_ref().is_some_and(needs_path_style),
            },
        };
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .credentials_provider(provider)
            .region(shared.region().cloned())
            .force_path_style(path_style)
            // One owner of retries and timeouts: ours.
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(idle.min(CONNECT_TIMEOUT)).build())
            // Checksums are given beforehand, which keeps the body plain and unchunked.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        config.set_endpoint_url(endpoint.as_ref().map(as_folder));
        config.set_use_fips(shared.use_fips());
        config.set_use_dual_stack(shared.use_dual_stack());
        config.set_app_name(AppName::new(concat!("amp-load-", env!("CARGO_PKG_VERSION"))).ok());
        let hosts = Hosts {
            region: shared.region().map_or("us-east-1", Region::as_ref).to_owned(),
            endpoint: endpoint.as_ref().map(as_folder),
            path_style,
            use_fips: shared.use_fips(),
            use_dual_stack: shared.use_dual_stack(),
        };
        let host = hosts.of(&bucket.name).await.map_err(|kind| setting_error(bucket, kind))?;
        Ok(Self {
            client: Client::from_conf(config.build()),
            bucket: bucket.name.clone(),
            owner: bucket.owner.clone(),
            endpoint,
            host,
            hosts,
            credentials_source: source,
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
    /// When the AWS configuration's endpoint is none.
    pub async fn custom_endpoint_of(bucket: &BucketConfig) -> Result<Option<String>, StoreError> {
        if bucket.endpoint.is_some() {
            return Ok(as_recorded(bucket.endpoint.as_ref()));
        }
        let loader = loader(http_client(false, None));
        let shared = loader.region(Region::from_static("us-east-1")).no_credentials().load().await;
        Ok(as_recorded(endpoint_of(bucket, &shared)?.as_ref()))
    }
}

/// Reads the AWS configuration, but for its retries, which are those of credentials here: the SDK would panic at modes that other tools know.
fn loader(http: SharedHttpClient) -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http).retry_config(RetryConfig::standard())
}

fn setting_error(bucket: &BucketConfig, kind: StoreErrorKind) -> StoreError {
    StoreError { operation: "settings", target: format!("for bucket {}", bucket.name), kind, effort: Effort::default() }
}

fn unusable(bucket: &BucketConfig, answer: String, hint: &str) -> StoreError {
    setting_error(bucket, StoreErrorKind::Unusable { answer, hint: hint.to_owned() })
}

/// The endpoint of `bucket`; where it names none, that of the AWS configuration: for S3 in `[services]`, else the profile's for all services.
fn endpoint_of(bucket: &BucketConfig, shared: &SdkConfig) -> Result<Option<Url>, StoreError> {
    if bucket.endpoint.is_some() {
        return Ok(bucket.endpoint.clone());
    }
    let of_s3 =
        ServiceConfigKey::builder().service_id("S3").env("AWS_ENDPOINT_URL").profile("endpoint_url").build().ok();
    let of_s3 = of_s3.and_then(|key| shared.service_config()?.load_config(key));
    let configured = of_s3.or_else(|| shared.endpoint_url().map(str::to_owned)).filter(|url| !url.is_empty());
    configured.map(|url| parse_endpoint(&url, bucket.allow_http)).transpose().map_err(|error| {
        let answer = format!("the endpoint_url of the AWS configuration: {error}");
        unusable(bucket, answer, "change it, or give --endpoint-url")
    })
}

/// What `s3 = addressing_style` of the profile says: whether the bucket stands in the path.
async fn profile_addressing() -> Option<bool> {
    let profiles = aws_config::profile::load(&Fs::real(), &Env::real(), &Default::default(), None).await.ok()?;
    let of_s3 = profiles.get("s3")?;
    let style =
        of_s3.lines().find_map(|line| line.trim().strip_prefix("addressing_style")?.trim().strip_prefix('='))?;
    match style.trim() {
        "path" => Some(true),
        "virtual" => Some(false),
        _ => None,
    }
}

/// The endpoint with its path closed, so that the bucket's name stands behind it and not in its last part.
fn as_folder(endpoint: &Url) -> String {
    format!("{}/", endpoint.as_str().trim_end_matches('/'))
}

fn as_recorded(endpoint: Option<&Url>) -> Option<String> {
    endpoint.filter(|url| !is_aws(url)).map(|url| url.as_str().trim_end_matches('/').to_owned())
}

fn http_client(loopback: bool, authorities: Option<&CaBundle>) -> SharedHttpClient {
    let tls_context = authorities.and_then(|bundle| {
        let trusted = TrustStore::empty().with_pem_certificate(bundle.pem.clone());
        TlsContext::builder().with_trust_store(trusted).build().ok()
    });
    capped(HttpClientBuilder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .proxy_config(if loopback { ProxyConfig::disabled() } else { ProxyConfig::from_env() });
        if let Some(tls_context) = &tls_context {
            connector = connector.tls_context(tls_context.clone());
        }
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.build()
    }))
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
