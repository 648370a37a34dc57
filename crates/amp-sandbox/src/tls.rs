//! https for the servers: an authority of their own, its certificates, and what can be wrong with them.

use std::fs;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion, crypto, version};

use crate::script;
use crate::time::ParseError;

/// The hosts that a right certificate is for: loopback, and any bucket of the domain `s3.localtest`.
const HOSTS: [&str; 4] = ["127.0.0.1", "localhost", "s3.localtest", "*.s3.localtest"];

/// A certificate authority that nobody knows yet.
///
/// ```
/// use amp_sandbox::s3::{S3Config, S3Server};
/// use amp_sandbox::tls::Authority;
///
/// let authority = Authority::new()?;
/// let tls = authority.serve(&"tls13".parse()?)?; // or "expired", "wrong-name,tls12", …
/// let s3 = S3Server::start(S3Config { tls: Some(tls), ..S3Config::new("lake") })?;
/// assert!(s3.endpoint_url().starts_with("https://"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// Whose certificate a server shows, and what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Certificate {
    /// The authority's, for loopback and `*.s3.localtest`.
    #[default]
    Right,
    /// The authority's, for another host.
    WrongName,
    /// The authority's, which expired in 2001.
    Expired,
    /// The authority's, which is valid from the year 4000 on.
    NotYetValid,
    /// Its own, and marked as an authority's: what `openssl req -x509` makes.
    SelfSigned,
}

/// What becomes of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Handshake {
    /// It is made.
    #[default]
    Made,
    /// The connection is closed once the client has said hello.
    Cut,
    /// The client's hello is answered with this alert (70: protocol version, 40: handshake failure).
    Alert(u8),
    /// The client's hello is never answered.
    Stall,
}

/// What a server's https is like. As text: `wrong-name`, `expired`, `not-yet-valid`, `self-signed`, `tls12`, `tls13`, `cut`, `stall`,
/// `alert=70`, between commas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TlsOptions {
    /// The certificate.
    pub certificate: Certificate,
    /// TLS 1.2 only.
    pub only_12: bool,
    /// TLS 1.3 only.
    pub only_13: bool,
    /// The handshake.
    pub handshake: Handshake,
}

/// A server with which no client should go on, however often it asks.
#[derive(Debug, Clone, Copy)]
pub struct Unusable {
    /// Its https.
    pub options: TlsOptions,
    /// Whether the client knows its authority.
    pub is_known: bool,
    /// What the client must say of it.
    pub says: &'static str,
}

impl Unusable {
    /// All kinds, for the tests of both programs.
    pub fn all() -> impl Iterator<Item = Self> {
        let shown = |certificate| TlsOptions { certificate, ..TlsOptions::default() };
        let refused = |alert| TlsOptions { handshake: Handshake::Alert(alert), ..TlsOptions::default() };
        [
            (shown(Certificate::Right), false, "AWS_CA_BUNDLE or SSL_CERT_FILE"),
            (shown(Certificate::Expired), true, "has expired"),
            (shown(Certificate::NotYetValid), true, "not valid yet"),
            (shown(Certificate::WrongName), true, "names another host"),
            (shown(Certificate::SelfSigned), true, "basicConstraints=critical,CA:FALSE"),
            (refused(40), true, "refused the TLS handshake"),
            (refused(70), true, "neither TLS 1.2 nor TLS 1.3"),
            (refused(116), true, "client certificate"),
        ]
        .into_iter()
        .map(|(options, is_known, says)| Self { options, is_known, says })
    }
}

/// The https of a server.
#[derive(Debug, Clone)]
pub struct Tls {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) handshake: Handshake,
    trusted: String,
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}

fn params(hosts: &[&str], name: &str) -> io::Result<CertificateParams> {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).map_err(failed)?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

impl Authority {
    /// A new key and a new certificate.
    pub fn new() -> io::Result<Self> {
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = params(&[], "amp-sandbox authority")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).map_err(failed)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// Its certificate, for a client's list of authorities.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Writes the certificate where `SSL_CERT_FILE` is to point.
    pub fn write_pem(&self, path: &Path) -> io::Result<()> {
        fs::write(path, &self.pem)
    }

    /// The https of a server that this authority vouches for, as far as the options let it.
    pub fn serve(&self, options: &TlsOptions) -> io::Result<Tls> {
        let key = KeyPair::generate().map_err(failed)?;
        let hosts: &[&str] =
            if options.certificate == Certificate::WrongName { &["elsewhere.localtest"] } else { &HOSTS };
        let mut params = params(hosts, "amp-sandbox")?;
        match options.certificate {
            Certificate::Right | Certificate::WrongName => {}
            Certificate::Expired => params.not_after = date_time_ymd(2001, 1, 1),
            Certificate::NotYetValid => params.not_before = date_time_ymd(4000, 1, 1),
            Certificate::SelfSigned => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
        }
        let certificate = match options.certificate {
            Certificate::SelfSigned => params.self_signed(&key),
            _ => params.signed_by(&key, &self.issuer),
        }
        .map_err(failed)?;
        let trusted = if options.certificate == Certificate::SelfSigned { certificate.pem() } else { self.pem.clone() };
        let versions: &[&SupportedProtocolVersion] = match (options.only_12, options.only_13) {
            (true, false) => &[&version::TLS12],
            (false, true) => &[&version::TLS13],
            _ => &[&version::TLS12, &version::TLS13],
        };
        let chain = vec![CertificateDer::from(certificate)];
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(io::Error::other)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(failed)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls { config: Arc::new(config), handshake: options.handshake, trusted })
    }
}

impl Tls {
    /// What a client must trust to come here: the authority, or a self-signed certificate itself.
    pub fn trusted_pem(&self) -> &str {
        &self.trusted
    }
}

impl FromStr for TlsOptions {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut options = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word.split_once('=').unwrap_or((word, "")) {
                ("wrong-name", "") => options.certificate = Certificate::WrongName,
                ("expired", "") => options.certificate = Certificate::Expired,
                ("not-yet-valid", "") => options.certificate = Certificate::NotYetValid,
                ("self-signed", "") => options.certificate = Certificate::SelfSigned,
                ("tls12", "") => options.only_12 = true,
                ("tls13", "") => options.only_13 = true,
                ("cut", "") => options.handshake = Handshake::Cut,
                ("stall", "") => options.handshake = Handshake::Stall,
                ("alert", code) => options.handshake = Handshake::Alert(script::number(code)?),
                (other, _) => {
                    let expected =
                        "wrong-name, expired, not-yet-valid, self-signed, tls12, tls13, cut, stall, alert=CODE";
                    return Err(script::unknown("option of https", other, expected));
                }
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_by_name() {
        let parsed: TlsOptions = "expired, tls12,alert=70".parse().unwrap();
        let handshake = Handshake::Alert(70);
        assert_eq!(parsed, TlsOptions { certificate: Certificate::Expired, only_12: true, only_13: false, handshake });
        for bad in ["late", "alert", "cut=1"] {
            assert!(bad.parse::<TlsOptions>().is_err(), "{bad}");
        }
    }
}
