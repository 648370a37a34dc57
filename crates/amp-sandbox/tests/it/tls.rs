//! https of both servers, right and wrong.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use amp_sandbox::events::Dataset;
use amp_sandbox::export::{ExportConfig, ExportServer, Framing};
use amp_sandbox::s3::{S3Config, S3Server};
use amp_sandbox::tls::{Authority, Tls};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion, crypto, version};

use crate::client::{Response, authority, exchange, request};
use crate::signer::Caller;

/// What a client knows and can.
struct Client<'a> {
    trusted: &'a str,
    versions: &'a [&'static SupportedProtocolVersion],
}

impl Client<'_> {
    fn connect(&self, url: &str) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.trusted.as_bytes()).unwrap()).map_err(io::Error::other)?;
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(authority(url))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(StreamOwned::new(connection, stream))
    }

    /// HeadBucket, signed.
    fn head(&self, s3: &S3Server) -> io::Result<Response> {
        let (signed, _) = Caller::of(s3).sign("HEAD", "/lake", &[], &crate::signer::sha256(b""));
        let headers: Vec<(&str, &str)> = signed.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let url = s3.endpoint_url();
        exchange(&mut self.connect(&url)?, authority(&url), "HEAD", "/lake", &headers, b"")
    }
}

const BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

fn s3(tls: &Tls) -> S3Server {
    S3Server::start(S3Config { tls: Some(tls.clone()), ..S3Config::new("lake") }).unwrap()
}

fn tls(options: &str) -> Tls {
    Authority::new().unwrap().serve(&options.parse().unwrap()).unwrap()
}

/// What a client that trusts the authority is told when it comes.
fn refusal(options: &str) -> String {
    let tls = tls(options);
    let client = Client { trusted: tls.trusted_pem(), versions: &BOTH };
    client.head(&s3(&tls)).err().unwrap_or_else(|| panic!("{options} was accepted")).to_string()
}

#[test]
fn a_client_that_trusts_the_authority_is_served_and_another_is_not() {
    let right = tls("");
    let s3 = s3(&right);
    assert!(s3.endpoint_url().starts_with("https://127.0.0.1:"));
    assert_eq!(Client { trusted: right.trusted_pem(), versions: &BOTH }.head(&s3).unwrap().status, 200);
    let stranger = Client { trusted: tls("").trusted_pem(), versions: &BOTH }.head(&s3).err().unwrap();
    assert!(
        stranger.to_string().contains("UnknownIssuer") || stranger.to_string().contains("BadSignature"),
        "{stranger}"
    );
}

#[test]
fn a_whole_archive_and_a_cut_one_come_over_https() {
    let tls = tls("");
    let dataset = Dataset::new(3).events_per_part(200);
    // The end of the connection is the end of the body, so that a cut differs by the missing farewell alone.
    let config = ExportConfig { tls: Some(tls.clone()), framing: Framing::Close, ..ExportConfig::new(dataset) };
    let export = ExportServer::start(config).unwrap();
    let hour = "2025-11-06T05".parse().unwrap();
    let expected = export.archive_bytes(hour).unwrap().unwrap();
    let get = || {
        let url = export.base_url();
        let mut stream = Client { trusted: tls.trusted_pem(), versions: &BOTH }.connect(&url)?;
        let headers = [("authorization", "Basic c2FuZGJveC1hcGkta2V5OnNhbmRib3gtc2VjcmV0LWtleQ==")];
        exchange(&mut stream, authority(&url), "GET", "/api/2/export?start=20251106T05&end=20251106T05", &headers, b"")
    };
    assert_eq!(get().unwrap().body, expected);
    export.add_rule(":cut=1000".parse().unwrap());
    assert_eq!(get().err().unwrap().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(export.requests().last().unwrap().bytes_sent, 1000);
}

#[test]
fn what_is_wrong_with_a_certificate_is_what_was_asked_for() {
    for (options, reason) in [
        ("wrong-name", "not valid for name"),
        ("expired", "expired"),
        ("not-yet-valid", "not valid yet"),
        ("self-signed", "CaUsedAsEndEntity"),
    ] {
        let told = refusal(options);
        assert!(told.contains(reason), "{options}: {told}");
    }
}

#[test]
fn a_server_can_be_of_one_version_of_tls() {
    for (options, version, other) in
        [("tls12", &version::TLS12, &version::TLS13), ("tls13", &version::TLS13, &version::TLS12)]
    {
        let tls = tls(options);
        let s3 = s3(&tls);
        let head = |version| Client { trusted: tls.trusted_pem(), versions: &[version] }.head(&s3);
        assert_eq!(head(version).unwrap().status, 200, "{options}");
        assert!(head(other).is_err(), "{options}");
    }
}

#[test]
fn a_handshake_can_be_cut_refused_and_left_without_an_answer() {
    refusal("cut");
    assert!(refusal("alert=70").contains("ProtocolVersion"), "{}", refusal("alert=70"));
    let stalled = tls("stall");
    let s3 = s3(&stalled);
    let mut stream = Client { trusted: stalled.trusted_pem(), versions: &BOTH }.connect(&s3.endpoint_url()).unwrap();
    stream.sock.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let ended = exchange(&mut stream, "127.0.0.1", "HEAD", "/lake", &[], b"").err().unwrap();
    assert_eq!(ended.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn http_on_the_https_port_and_https_on_the_http_port_end_at_once() {
    let right = tls("");
    let https = s3(&right);
    let plain = https.endpoint_url().replace("https:", "http:");
    assert!(request(&plain, "GET", "/", &[], b"").is_err());
    let http = S3Server::start(S3Config::new("lake")).unwrap();
    let told = Client { trusted: right.trusted_pem(), versions: &BOTH }.head(&http).err().unwrap().to_string();
    assert!(told.contains("InvalidContentType"), "{told}");
}
