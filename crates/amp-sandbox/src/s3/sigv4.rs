//! AWS Signature Version 4, in the `Authorization` header.

use chrono::{NaiveDateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::error::S3Error;
use crate::credentials::Credentials;
use crate::http::{Head, encode_component, encode_path, hex, percent_decode, query_pairs};

/// Who may sign, and for where.
#[derive(Debug, Clone)]
pub(super) struct Signer {
    pub(super) keys: Vec<Credentials>,
    pub(super) region: String,
}

impl Signer {
    /// The key of that id, if the request has its token and it is not expired.
    fn key(&self, access_key: &str, head: &Head) -> Result<&Credentials, S3Error> {
        let token = head.header("x-amz-security-token");
        // A temporary key without its token is not a key that S3 knows.
        let known =
            |key: &&Credentials| key.access_key == access_key && (key.session_token.is_none() || token.is_some());
        let key = self.keys.iter().find(known).ok_or_else(|| {
            let message = "The AWS Access Key Id you provided does not exist in our records.";
            S3Error::new(403, "InvalidAccessKeyId", message)
        })?;
        if key.session_token.as_deref() != token {
            let message = "The provided token is malformed or otherwise invalid.";
            return Err(S3Error::new(400, "InvalidToken", message));
        }
        if key.expires.is_some_and(|moment| moment <= Utc::now()) {
            return Err(S3Error::new(400, "ExpiredToken", "The provided token has expired."));
        }
        Ok(key)
    }
}

/// How the body is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Payload {
    /// By the hash of all of it.
    Hash(String),
    Unsigned,
    /// In chunks, each signed or not; perhaps with headers behind it.
    Chunks {
        signed: bool,
        trailer: bool,
    },
}

/// A request whose signature is right.
#[derive(Debug, Clone)]
pub(super) struct Signed {
    pub(super) payload: Payload,
    pub(super) signature: String,
    key: [u8; 32],
    date: String,
    scope: String,
}

pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.chain_update(message).finalize().into_bytes().into()
}

/// The key that signs for one day, region and service.
fn signing_key(secret: &str, date: &str, region: &str) -> [u8; 32] {
    let day = hmac(format!("AWS4{secret}").as_bytes(), date.as_bytes());
    [region, "s3", "aws4_request"].iter().fold(day, |key, part| hmac(&key, part.as_bytes()))
}

impl Signed {
    /// Checks the signature of a request.
    pub(super) fn check(head: &Head, signer: &Signer) -> Result<Self, S3Error> {
        let denied = |message: &str| S3Error::new(403, "AccessDenied", message);
        let malformed = |message: &str| S3Error::new(400, "AuthorizationHeaderMalformed", message);
        let authorization = head.header("authorization").ok_or_else(|| denied("Access Denied"))?;
        let fields = authorization
            .strip_prefix("AWS4-HMAC-SHA256 ")
            .ok_or_else(|| S3Error::invalid("Please use AWS4-HMAC-SHA256."))?;
        let field = |name: &str| {
            let found = fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
            found.ok_or_else(|| malformed(&format!("missing {name}")))
        };
        let credential: Vec<&str> = field("Credential")?.split('/').collect();
        let [access_key, day, region, service, terminator] = credential[..] else {
            return Err(malformed("the credential is not KEY/date/region/s3/aws4_request"));
        };
        let signing = signer.key(access_key, head)?;
        if region != signer.region {
            let message = format!("The region '{region}' is wrong; expecting '{}'", signer.region);
            return Err(S3Error {
                headers: vec![("x-amz-bucket-region".into(), signer.region.clone())],
                ..malformed(&message)
            });
        }
        if (service, terminator) != ("s3", "aws4_request") {
            return Err(malformed("the credential is not for s3/aws4_request"));
        }
        let date = head
            .header("x-amz-date")
            .ok_or_else(|| denied("AWS authentication requires a valid Date or x-amz-date header"))?;
        let moment =
            NaiveDateTime::parse_from_str(date, "%Y%m%dT%H%M%SZ").map_err(|_| denied("x-amz-date is no date"))?;
        if !date.starts_with(day) {
            return Err(S3Error::new(
                403,
                "SignatureDoesNotMatch",
                "The credential's date is not that of the request.",
            ));
        }
        if (Utc::now().naive_utc() - moment).num_seconds().abs() > 15 * 60 {
            let message = "The difference between the request time and the current time is too large.";
            return Err(S3Error::new(403, "RequestTimeTooSkewed", message));
        }
        let signed_headers = field("SignedHeaders")?;
        let scope = format!("{day}/{region}/s3/aws4_request");
        let canonical = canonical_request(head, signed_headers)?;
        let key = signing_key(&signing.secret_key, day, region);
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
        let signature = hex(&hmac(&key, to_sign.as_bytes()));
        if signature != field("Signature")? {
            let message = "The request signature we calculated does not match the signature you provided. Check your key and signing method.";
            return Err(S3Error::new(403, "SignatureDoesNotMatch", message));
        }
        let payload = payload(head)?;
        Ok(Self { payload, signature, key, date: date.to_owned(), scope })
    }

    /// The signature that a chunk must have, given that of the one before.
    pub(super) fn of_chunk(&self, previous: &str, hash_hex: &str) -> String {
        let empty = sha256_hex(b"");
        let text = format!("AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{previous}\n{empty}\n{hash_hex}", self.date, self.scope);
        hex(&hmac(&self.key, text.as_bytes()))
    }

    /// The signature that the trailing headers must have.
    pub(super) fn of_trailer(&self, previous: &str, trailer: &str) -> String {
        let hash = sha256_hex(trailer.as_bytes());
        let text = format!("AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{previous}\n{hash}", self.date, self.scope);
        hex(&hmac(&self.key, text.as_bytes()))
    }
}

fn payload(head: &Head) -> Result<Payload, S3Error> {
    let value = head
        .header("x-amz-content-sha256")
        .ok_or_else(|| S3Error::invalid("Missing required header for this request: x-amz-content-sha256"))?;
    Ok(match value {
        "UNSIGNED-PAYLOAD" => Payload::Unsigned,
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Payload::Chunks { signed: true, trailer: false },
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Payload::Chunks { signed: true, trailer: true },
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Payload::Chunks { signed: false, trailer: true },
        hash if hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) => {
            Payload::Hash(hash.to_owned())
        }
        _ => {
            let message = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-… or a valid sha256 value.";
            return Err(S3Error::new(400, "InvalidArgument", message));
        }
    })
}

fn canonical_request(head: &Head, signed_headers: &str) -> Result<String, S3Error> {
    let bad = || S3Error::new(400, "InvalidURI", "Couldn't parse the specified URI.");
    let names: Vec<&str> = signed_headers.split(';').collect();
    let needed = |name: &str| name == "host" || (name.starts_with("x-amz-") && name != "x-amz-user-agent");
    let unsigned = head.headers.iter().map(|(name, _)| name.to_ascii_lowercase());
    if let Some(name) = unsigned.into_iter().find(|name| needed(name) && !names.contains(&name.as_str())) {
        let message = format!("There were headers present in the request which were not signed: {name}");
        return Err(S3Error::new(403, "AccessDenied", message));
    }
    if !names.contains(&"host") {
        return Err(S3Error::new(403, "AccessDenied", "host is not signed"));
    }
    let path = encode_path(&percent_decode(head.path()).ok_or_else(bad)?);
    let mut query: Vec<String> = query_pairs(head.query())
        .ok_or_else(bad)?
        .iter()
        .map(|(name, value)| format!("{}={}", encode_component(name), encode_component(value)))
        .collect();
    query.sort();
    let mut text = format!("{}\n{path}\n{}\n", head.method, query.join("&"));
    for name in &names {
        let values: Vec<String> = head
            .headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        text.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    let payload = head.header("x-amz-content-sha256").unwrap_or_default();
    Ok(format!("{text}\n{signed_headers}\n{payload}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of AWS's documentation on uploads in signed chunks.
    #[test]
    fn chunks_are_signed_as_in_the_published_example() {
        let signed = Signed {
            payload: Payload::Chunks { signed: true, trailer: false },
            signature: "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9".into(),
            key: signing_key("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524", "us-east-1"),
            date: "20130524T000000Z".into(),
            scope: "20130524/us-east-1/s3/aws4_request".into(),
        };
        let first = signed.of_chunk(&signed.signature, &sha256_hex(&[b'a'; 65536]));
        let second = signed.of_chunk(&first, &sha256_hex(&[b'a'; 1024]));
        let last = signed.of_chunk(&second, &sha256_hex(b""));
        assert_eq!(first, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648");
        assert_eq!(second, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497");
        assert_eq!(last, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9");
    }
}
