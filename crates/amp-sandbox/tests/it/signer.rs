//! Signature Version 4 as a client makes it, written from its description a second time.

use amp_sandbox::s3::S3Server;
use sha2::{Digest, Sha256};

use crate::client::{Response, authority, request};

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    assert!(key.len() <= 64);
    let pad = |with: u8| (0..64).map(|i| key.get(i).unwrap_or(&0) ^ with).collect::<Vec<u8>>();
    let inner = Sha256::digest([pad(0x36), text.as_bytes().to_vec()].concat());
    Sha256::digest([pad(0x5c), inner.to_vec()].concat()).to_vec()
}

/// What a client signs with, and how it wants its body signed.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) endpoint: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    pub(crate) region: String,
    pub(crate) now: chrono::DateTime<chrono::Utc>,
}

impl Caller {
    pub(crate) fn of(server: &S3Server) -> Self {
        let config = server.config();
        Self {
            endpoint: server.endpoint_url(),
            access_key: config.access_key.clone(),
            secret_key: config.secret_key.clone(),
            region: config.region.clone(),
            now: chrono::Utc::now(),
        }
    }

    fn scope(&self) -> String {
        format!("{}/{}/s3/aws4_request", self.now.format("%Y%m%d"), self.region)
    }

    fn key(&self) -> Vec<u8> {
        let first = format!("AWS4{}", self.secret_key).into_bytes();
        self.scope().split('/').fold(first, |key, part| hmac(&key, part))
    }

    fn stamp(&self) -> String {
        self.now.format("%Y%m%dT%H%M%SZ").to_string()
    }

    /// The signed headers, and the signature.
    pub(crate) fn sign(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        payload: &str,
    ) -> (Vec<(String, String)>, String) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut query: Vec<String> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
            .collect();
        query.sort();
        let mut all: Vec<(String, String)> =
            headers.iter().map(|(n, v)| (n.to_ascii_lowercase(), (*v).to_owned())).collect();
        all.push(("x-amz-date".into(), self.stamp()));
        all.push(("x-amz-content-sha256".into(), payload.to_owned()));
        let mut signed = all.clone();
        if !headers.iter().any(|(name, _)| *name == "host") {
            signed.push(("host".into(), authority(&self.endpoint).into()));
        }
        signed.sort();
        let names = signed.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>().join(";");
        let lines: String = signed.iter().map(|(n, v)| format!("{n}:{v}\n")).collect();
        let canonical = format!("{method}\n{path}\n{}\n{lines}\n{names}\n{payload}", query.join("&"));
        let text = format!("AWS4-HMAC-SHA256\n{}\n{}\n{}", self.stamp(), self.scope(), sha256(canonical.as_bytes()));
        let signature = hex(&hmac(&self.key(), &text));
        let credential = format!("{}/{}", self.access_key, self.scope());
        let value = format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}");
        all.push(("authorization".into(), value));
        (all, signature)
    }

    /// A request with the hash of its body in the signature.
    pub(crate) fn call(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Response> {
        let (signed, _) = self.sign(method, target, headers, &sha256(body));
        self.send(method, target, &signed, body)
    }

    /// A request whose body no signature covers, as programs send it over https.
    pub(crate) fn call_unsigned(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Response> {
        let (signed, _) = self.sign(method, target, headers, "UNSIGNED-PAYLOAD");
        self.send(method, target, &signed, body)
    }

    pub(crate) fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> std::io::Result<Response> {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        request(&self.endpoint, method, target, &headers, body)
    }

    /// The body in signed chunks, with a signed trailer if there is one.
    pub(crate) fn chunked(&self, seed: &str, pieces: &[&[u8]], trailer: Option<(&str, &str)>) -> Vec<u8> {
        let (mut body, mut previous) = (Vec::new(), seed.to_owned());
        for piece in pieces.iter().chain([&&b""[..]]) {
            let text = format!(
                "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{previous}\n{}\n{}",
                self.stamp(),
                self.scope(),
                sha256(b""),
                sha256(piece)
            );
            previous = hex(&hmac(&self.key(), &text));
            body.extend(format!("{:x};chunk-signature={previous}\r\n", piece.len()).bytes());
            body.extend_from_slice(piece);
            if !piece.is_empty() {
                body.extend(b"\r\n");
            }
        }
        if let Some((name, value)) = trailer {
            let hash = sha256(format!("{name}:{value}\n").as_bytes());
            let text = format!("AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{previous}\n{hash}", self.stamp(), self.scope());
            let signature = hex(&hmac(&self.key(), &text));
            body.extend(format!("{name}:{value}\r\nx-amz-trailer-signature:{signature}\r\n").bytes());
        }
        body.extend(b"\r\n");
        body
    }
}
