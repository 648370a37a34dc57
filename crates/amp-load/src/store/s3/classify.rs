//! What S3's errors mean.

use std::error::Error as StdError;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use amp_cli::{TlsFailure, tls_failure};
use amp_core::secret::{Secret, scrub};

use super::capped::too_large;
use super::causes::{causes, chain};
use super::credentials;
use crate::store::StoreErrorKind;

/// An answer that is an error, or none at all.
#[derive(Debug, Default)]
pub(super) struct ErrorResponse {
    pub(super) status: u16,
    pub(super) code: Option<String>,
    message: Option<String>,
    region: Option<String>,
    retry_after: Option<Duration>,
    /// The body of a success that is not what the SDK knows.
    unknown: Option<String>,
    /// What it is when it is no answer of the server.
    pub(super) kind: Option<StoreErrorKind>,
}

/// The code that says that a permission is missing.
pub(super) const ACCESS_DENIED: &str = "AccessDenied";

/// Codes under which no other request would go either.
const REFUSED_CODES: [(&str, &str); 16] = [
    (
        ACCESS_DENIED,
        "the credentials need s3:PutObject on this bucket, and kms:GenerateDataKey where it is encrypted with KMS, s3:PutObjectTagging for \
         --tags, s3:PutObjectAcl for --acl; with --expected-bucket-owner the bucket must be of that account",
    ),
    ("AccessControlListNotSupported", "the bucket takes no ACLs: leave --acl away"),
    ("InvalidTag", "check --tags"),
    ("InvalidBucketOwnerAWSAccountID", "check --expected-bucket-owner"),
    ("AllAccessDisabled", "ask the bucket's owner"),
    ("AccountProblem", "ask AWS about the account"),
    ("InvalidAccessKeyId", "check AWS_ACCESS_KEY"),
    ("SignatureDoesNotMatch", "check AWS_SECRET_KEY"),
    ("ExpiredToken", "the credentials have expired: renew them and run again"),
    ("ExpiredTokenException", "the credentials have expired: renew them and run again"),
    ("TokenRefreshRequired", "the credentials have expired: renew them and run again"),
    ("InvalidToken", "the session token is not valid: renew the credentials and run again"),
    ("InvalidSecurity", "check the credentials"),
    ("NotSignedUp", "the account is not signed up for S3"),
    ("RequestTimeTooSkewed", "check this machine's clock"),
    ("NoSuchBucket", "check AWS_BUCKET_NAME and the endpoint"),
];

/// Codes that may pass, whatever status they come with.
const TRANSIENT_CODES: [&str; 8] = [
    "InternalError",
    "RequestTimeout",
    "BadDigest",
    "InvalidDigest",
    "XAmzContentChecksumMismatch",
    "IncompleteBody",
    "OperationAborted",
    "ConditionalRequestConflict",
];

/// Codes that ask for fewer requests, whatever status they come with.
const THROTTLED_CODES: [&str; 2] = ["SlowDown", "ServiceUnavailable"];

/// Codes that say the bucket is elsewhere.
const REGION_CODES: [&str; 4] =
    ["PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"];

impl ErrorResponse {
    /// No answer of the server: what it is instead.
    pub(super) fn none(kind: StoreErrorKind) -> Self {
        Self { kind: Some(kind), ..Self::default() }
    }

    /// The answer without what was sent: a server may echo our headers.
    pub(super) fn scrubbed(mut self, secrets: &[Secret]) -> Self {
        for text in [&mut self.code, &mut self.message].into_iter().flatten() {
            *text = sanitize(text, secrets);
        }
        self.unknown = self.unknown.map(|text| scrub(&text, &secrets.iter().collect::<Vec<_>>()));
        self
    }

    /// Its status, or that it is none of the server's.
    pub(super) fn status(&self) -> String {
        if self.kind.is_some() { "no answer".to_owned() } else { format!("HTTP {}", self.status) }
    }

    /// Whether it is a success that the SDK does not know.
    pub(super) fn is_unknown(&self) -> bool {
        self.unknown.is_some()
    }

    /// The content of an element of a success that the SDK does not know.
    pub(super) fn unknown_element(&self, name: &str) -> Option<String> {
        let (_, rest) = self.unknown.as_ref()?.split_once(&format!("<{name}>"))?;
        rest.split_once("</").map(|(content, _)| content.to_owned())
    }

    /// The root of a success that the SDK does not know.
    fn unknown_root(&self) -> Option<&str> {
        let mut tags = self.unknown.as_ref()?.split('<').skip(1);
        let root = tags.find(|tag| !tag.starts_with(['?', '!']))?;
        root.split([' ', '>', '/']).next().filter(|root| !root.is_empty())
    }

    fn text(&self) -> String {
        let mut text = self.status.to_string();
        if self.unknown.is_some() {
            let root = self.unknown_root().map_or("no XML".to_owned(), |root| format!("`{root}`"));
            text.push_str(&format!(": the answer is {root}, not what S3 answers"));
        }
        for part in [&self.code, &self.message].into_iter().flatten() {
            text.push_str(if text.contains(' ') { ": " } else { " " });
            text.push_str(part);
        }
        text
    }

    fn refused(&self, hint: impl Into<String>) -> StoreErrorKind {
        let is_denied = self.code.as_deref() == Some(ACCESS_DENIED);
        StoreErrorKind::Refused { is_denied, answer: self.text(), hint: hint.into() }
    }

    fn wrong_region(&self) -> StoreErrorKind {
        self.refused(match &self.region {
            Some(region) => format!("the bucket is in {region}: set AWS_REGION={region}"),
            None => "the bucket is in another region: set AWS_REGION to it".to_owned(),
        })
    }

    /// What it means for one request that needs a permission which loading does not.
    pub(super) fn into_kind_with(self, advice: impl Into<String>) -> StoreErrorKind {
        match self.code.as_deref() {
            Some(ACCESS_DENIED) => self.refused(advice),
            _ => self.into_kind(false),
        }
    }

    /// What it means for one request. The answer to a HEAD has no body and so no code.
    pub(super) fn into_kind(mut self, head: bool) -> StoreErrorKind {
        if let Some(kind) = self.kind.take() {
            return kind;
        }
        let code = self.code.as_deref().unwrap_or_default();
        let busy = |answer: &Self| StoreErrorKind::Busy { answer: answer.text(), retry_after: answer.retry_after };
        let throttled =
            |answer: &Self| StoreErrorKind::Throttled { answer: answer.text(), retry_after: answer.retry_after };
        let refusal = REFUSED_CODES.iter().find(|(known, _)| *known == code);
        match (self.status, refusal) {
            _ if TRANSIENT_CODES.contains(&code) => busy(&self),
            _ if THROTTLED_CODES.contains(&code) => throttled(&self),
            _ if REGION_CODES.contains(&code) => self.wrong_region(),
            (403 | 405 | 501, _) if head => StoreErrorKind::Denied(self.text()),
            (_, Some((_, hint))) => self.refused(*hint),
            (301 | 307 | 308, _) => self.wrong_region(),
            (401 | 403, None) => self.refused("check the credentials and what they may do"),
            (404, _) => StoreErrorKind::NotFound(self.text()),
            (412, _) => StoreErrorKind::Exists,
            (501, _) => StoreErrorKind::Rejected(self.text()),
            (429 | 503, _) => throttled(&self),
            (408 | 500.., _) => busy(&self),
            _ => StoreErrorKind::Rejected(self.text()),
        }
    }

    /// What it means for reading one object: others may be allowed, and need not be archived.
    pub(super) fn into_read_kind(self) -> StoreErrorKind {
        match self.code.as_deref() {
            Some("AccessDenied") => StoreErrorKind::Denied(self.text()),
            Some("InvalidObjectState") => StoreErrorKind::Rejected(self.text()),
            _ => self.into_kind(false),
        }
    }

    /// What it means for the bucket as a whole.
    pub(super) fn into_bucket_error(self, bucket: &str) -> StoreErrorKind {
        let text = self.text();
        match self.into_kind(false) {
            StoreErrorKind::NotFound(_)
            | StoreErrorKind::Rejected(_)
            | StoreErrorKind::Denied(_)
            | StoreErrorKind::Exists => StoreErrorKind::Refused {
                is_denied: false,
                answer: text,
                hint: format!("check that bucket {bucket} exists and the endpoint is one of S3"),
            },
            kind => kind,
        }
    }
}

/// A server's words on one line, shortened, without secrets and without the authorization it may have echoed.
fn sanitize(text: &str, secrets: &[Secret]) -> String {
    const MAX_KEY_BYTES: usize = 300;
    const AUTHORIZATION: &str = "AWS4-HMAC-SHA256";
    let shown: Vec<&Secret> = secrets.iter().collect();
    // Cut after scrubbing, lest the cut leave a part of a secret.
    let text = scrub(text, &shown);
    let text = text.find(AUTHORIZATION).map_or(text.as_str(), |at| &text[..at + AUTHORIZATION.len()]);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_KEY_BYTES).collect()
}

/// Reads what the SDK makes of an answer.
pub(super) fn classify<E>(error: &SdkError<E>) -> ErrorResponse
where
    E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
{
    if let Some(missing) = causes(error).find_map(|cause| cause.downcast_ref::<CredentialsError>()) {
        return ErrorResponse::none(credentials::explain(missing));
    }
    let Some(raw) = error.raw_response() else {
        if let Some(TlsFailure { reason, hint }) = tls_failure(error) {
            return ErrorResponse::none(StoreErrorKind::Unusable { answer: reason, hint: hint.to_owned() });
        }
        return ErrorResponse::none(match error {
            SdkError::ConstructionFailure(_) => StoreErrorKind::Rejected(chain(error)),
            // The two outermost say only that it is one of the network.
            _ => StoreErrorKind::Network(chain(causes(error).nth(2).unwrap_or(error))),
        });
    };
    let header = |name: &str| raw.headers().get(name).map(str::to_owned);
    let status = raw.status().as_u16();
    if let Some(answer) = too_large(error) {
        return ErrorResponse::none(StoreErrorKind::Network(format!("HTTP {status}: {answer}")));
    }
    if matches!(error, SdkError::ResponseError(_)) && (200..300).contains(&status) {
        return ErrorResponse::none(StoreErrorKind::Network(format!("the answer breaks off: {}", chain(error))));
    }
    let metadata = error.as_service_error().map(ProvideErrorMetadata::meta);
    let is_unknown = (200..300).contains(&status) && metadata.and_then(|meta| meta.code()).is_none();
    let body = raw.body().bytes().filter(|_| is_unknown);
    ErrorResponse {
        status,
        unknown: body.map(|body| String::from_utf8_lossy(body).into_owned()),
        code: metadata.and_then(|meta| meta.code()).map(str::to_owned),
        message: metadata.and_then(|meta| meta.message()).map(str::to_owned),
        region: header("x-amz-bucket-region"),
        retry_after: header("retry-after").and_then(|value| value.trim().parse().ok()).map(Duration::from_secs),
        kind: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_that_the_sdk_does_not_know_is_named_by_its_root() {
        let answer =
            |body: &str| ErrorResponse { status: 200, unknown: Some(body.to_owned()), ..ErrorResponse::default() };
        let rclones = answer(
            "<?xml version=\"1.0\"?>\n<InitiateMultipartUpload xmlns=\"x\"><UploadId>7-a</UploadId></InitiateMultipartUpload>",
        );
        assert_eq!(rclones.unknown_element("UploadId").as_deref(), Some("7-a"));
        assert!(rclones.into_kind(false).to_string().contains("`InitiateMultipartUpload`"));
        for body in ["", "hello", "<", "<UploadId>", "<?xml?><>"] {
            assert_eq!(answer(body).unknown_element("UploadId"), None, "{body}");
            assert!(answer(body).into_kind(false).to_string().contains("no XML") || body == "<UploadId>", "{body}");
        }
    }
    use crate::store::StoreError;
    use amp_cli::Retryable;
    use amp_core::retry::{Effort, Verdict};

    fn error(status: u16, code: &str, head: bool) -> StoreError {
        let code = Some(code.to_owned()).filter(|code| !code.is_empty());
        let kind = ErrorResponse { status, code, ..ErrorResponse::default() }.into_kind(head);
        StoreError { operation: "PutObject", target: String::new(), kind, effort: Effort::default() }
    }

    fn verdict(status: u16, code: &str, head: bool) -> Verdict {
        error(status, code, head).verdict()
    }

    #[test]
    fn every_status_has_a_verdict() {
        for status in 100..=599u16 {
            let expected = match status {
                301 | 307 | 308 | 401 | 403 => Verdict::Refused,
                501 => Verdict::Permanent,
                408 | 429 | 500.. => Verdict::TRANSIENT,
                _ => Verdict::Permanent,
            };
            assert_eq!(verdict(status, "", false), expected, "{status}");
            assert_eq!(error(status, "", true).is_throttled(), matches!(status, 429 | 503), "{status}");
        }
    }

    #[test]
    fn a_code_says_more_than_the_status() {
        for code in ["SlowDown", "BadDigest", "RequestTimeout", "InternalError"] {
            assert_eq!(verdict(400, code, false), Verdict::TRANSIENT, "{code}");
        }
        assert!(error(400, "SlowDown", false).is_throttled() && !error(503, "InternalError", false).is_throttled());
        for code in ["ExpiredToken", "NoSuchBucket", "RequestTimeTooSkewed", "AuthorizationHeaderMalformed"] {
            assert_eq!(verdict(400, code, false), Verdict::Refused, "{code}");
        }
        assert_eq!(verdict(404, "NoSuchUpload", false), Verdict::Permanent);
        assert_eq!(verdict(403, "", true), Verdict::Permanent);
    }

    #[test]
    fn a_bucket_elsewhere_is_named() {
        let answer = ErrorResponse { status: 301, region: Some("eu-west-1".into()), ..ErrorResponse::default() };
        let kind = answer.into_bucket_error("b");
        assert!(matches!(kind, StoreErrorKind::Refused { hint, .. } if hint.contains("AWS_REGION=eu-west-1")));
    }
}
