//! Which host is asked for a bucket, as the SDK works it out from region, endpoint and addressing.

use aws_sdk_s3::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use url::{Position, Url};

use crate::store::StoreErrorKind;

/// What decides the host, but for the bucket.
#[derive(Debug, Clone)]
pub(super) struct Hosts {
    pub(super) region: String,
    pub(super) endpoint: Option<String>,
    pub(super) path_style: bool,
    pub(super) use_fips: Option<bool>,
    pub(super) use_dual_stack: Option<bool>,
}

impl Hosts {
    /// The host that is asked for `bucket`, with its port where that is not the usual one.
    ///
    /// # Errors
    /// When no request could be made, as for an ARN that is none.
    pub(super) async fn of(&self, bucket: &str) -> Result<String, StoreErrorKind> {
        let unusable =
            |answer: String| StoreErrorKind::Unusable { answer, hint: "check --bucket and its region".into() };
        let params = Params::builder()
            .bucket(bucket)
            .region(&self.region)
            .force_path_style(self.path_style)
            .set_endpoint(self.endpoint.clone())
            .set_use_fips(self.use_fips)
            .set_use_dual_stack(self.use_dual_stack)
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        let resolver = DefaultResolver::new();
        let endpoint = resolver.resolve_endpoint(&params).await.map_err(|error| unusable(error.to_string()))?;
        let url = Url::parse(endpoint.url()).map_err(|error| unusable(format!("`{}`: {error}", endpoint.url())))?;
        Ok(url[Position::BeforeHost..Position::AfterPort].to_owned())
    }
}
