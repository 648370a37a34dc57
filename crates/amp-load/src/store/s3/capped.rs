//! Limits how much of an answer is read: a server that never stops talking must not fill the memory.

use std::error::Error as StdError;

use aws_sdk_s3::config::http::{HttpRequest, HttpResponse};
use aws_sdk_s3::config::{ConfigBag, HttpClient, RuntimeComponents, RuntimeComponentsBuilder, SharedHttpClient};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use http_body_util::{LengthLimitError, Limited};

use super::causes::causes;

/// More than any document of S3 or of a credentials service that is asked for.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// `client`, with answers of at most 1 MiB. An object that is read back is no answer in this sense: it is digested as it comes.
pub(super) fn capped(client: SharedHttpClient) -> SharedHttpClient {
    SharedHttpClient::new(CappedClient(client))
}

/// Whether the failure is an answer larger than that, in words.
pub(super) fn too_large(error: &(dyn StdError + 'static)) -> Option<String> {
    let is_limit = causes(error).any(|cause| cause.is::<LengthLimitError>());
    is_limit.then(|| "the answer is larger than 1 MiB, which no answer of S3 is; the rest was not read".to_owned())
}

#[derive(Debug)]
struct CappedClient(SharedHttpClient);

impl HttpClient for CappedClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(CappedConnector(self.0.http_connector(settings, components)))
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.validate_base_client_config(components, config)
    }

    fn validate_final_config(&self, components: &RuntimeComponents, config: &ConfigBag) -> Result<(), BoxError> {
        self.0.validate_final_config(components, config)
    }
}

#[derive(Debug)]
struct CappedConnector(SharedHttpConnector);

impl HttpConnector for CappedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let reads_object = request.uri().contains("x-id=GetObject");
        let response = self.0.call(request);
        HttpConnectorFuture::new(async move {
            let response: HttpResponse = response.await?;
            if reads_object && response.status().is_success() {
                return Ok(response);
            }
            Ok(response.map(|body| SdkBody::from_body_1_x(Limited::new(body, MAX_ANSWER_BYTES))))
        })
    }
}
