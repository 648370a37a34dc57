//! TLS as both programs need it: which authorities are trusted, and what a failed handshake means in plain words.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{AlertDescription, CertificateError, InvalidMessage, RootCertStore};

/// Certificates of authorities that are trusted instead of the system's, as `AWS_CA_BUNDLE` and `SSL_CERT_FILE` name them.
#[derive(Debug, Clone)]
pub struct CaBundle {
    /// Where they came from.
    pub path: PathBuf,
    /// One or more certificates in PEM.
    pub pem: Vec<u8>,
}

impl CaBundle {
    /// Reads the bundle at `path`. Whoever is given it can use every certificate in it: the AWS SDK would panic on one that it cannot read.
    ///
    /// # Errors
    /// A message when it cannot be read, holds no certificate, or one that is damaged.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let pem = fs::read(path).map_err(|error| format!("cannot read `{shown}`: {error}"))?;
        let mut roots = RootCertStore::empty();
        for (index, certificate) in CertificateDer::pem_slice_iter(&pem).enumerate() {
            let damaged = |error: &dyn Error| format!("certificate {} in `{shown}` is damaged: {error}", index + 1);
            roots.add(certificate.map_err(|error| damaged(&error))?).map_err(|error| damaged(&error))?;
        }
        if roots.is_empty() {
            return Err(format!("`{shown}` holds no PEM certificate"));
        }
        Ok(Self { path: path.to_owned(), pem })
    }
}

/// A handshake that will fail the same way again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFailure {
    /// What is wrong with the server, or with what is known of it.
    pub reason: String,
    /// What to do.
    pub hint: &'static str,
}

const CA_HINT: &str = "name the PEM file of its authority in AWS_CA_BUNDLE or SSL_CERT_FILE";

/// The failed handshake in `error` or its causes, where trying again would not help; `None` for anything else, a cut connection included.
pub fn tls_failure(error: &(dyn Error + 'static)) -> Option<TlsFailure> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return explain(tls);
        }
        // An I/O error hides what it wraps from `source`.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}

fn explain(error: &rustls::Error) -> Option<TlsFailure> {
    let (reason, hint) = match error {
        rustls::Error::InvalidCertificate(certificate) => return Some(explain_certificate(certificate)),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => (
            "it does not speak TLS on that port, as a server of plain http".to_owned(),
            "check the port, or write http:// where plain http is accepted",
        ),
        rustls::Error::PeerIncompatible(_) | rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            ("it offers neither TLS 1.2 nor TLS 1.3".to_owned(), "have the server offer one of them")
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => (
            "it wants a client certificate".to_owned(),
            "use an endpoint that needs none: client certificates are not supported",
        ),
        rustls::Error::AlertReceived(AlertDescription::UnrecognisedName | AlertDescription::HandshakeFailure) => {
            (format!("it refused the TLS handshake ({error})"), "check the host's name and what its TLS accepts")
        }
        _ => return None,
    };
    Some(TlsFailure { reason, hint })
}

fn explain_certificate(error: &CertificateError) -> TlsFailure {
    let (reason, hint) = match error {
        CertificateError::UnknownIssuer => {
            ("its certificate is not signed by an authority that is trusted here", CA_HINT)
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            ("its certificate has expired", "have it renewed, or check this machine's clock")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ("its certificate is not valid yet", "check this machine's clock")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ("its certificate names another host", "use the name that stands in the certificate")
        }
        CertificateError::Revoked => ("its certificate has been revoked", "have it replaced"),
        // rustls passes on what it does not know itself only as text.
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => (
            "its certificate is an authority's own (CA:TRUE), which no server may use, as `openssl req -x509` makes it by default",
            "make it with `-addext basicConstraints=critical,CA:FALSE`, or have an authority sign one for the server",
        ),
        _ => return TlsFailure { reason: format!("its certificate is not accepted: {error}"), hint: CA_HINT },
    };
    TlsFailure { reason: reason.to_owned(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_handshake_is_found_wherever_it_is_wrapped_and_a_cut_one_is_none() {
        let expired = || rustls::Error::InvalidCertificate(CertificateError::Expired);
        let wrapped = io::Error::other(expired());
        assert_eq!(tls_failure(&expired()), tls_failure(&wrapped));
        assert!(tls_failure(&wrapped).unwrap().reason.contains("expired"));
        assert_eq!(tls_failure(&io::Error::from(io::ErrorKind::ConnectionReset)), None);
        assert_eq!(tls_failure(&rustls::Error::HandshakeNotComplete), None);
    }

    #[test]
    fn a_bundle_without_a_certificate_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        assert!(CaBundle::read(&path).unwrap_err().contains("ca.pem"));
        for (content, says) in [
            ("garbage", "no PEM certificate"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1 in"),
            ("-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n", "is damaged"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", "is damaged"),
        ] {
            fs::write(&path, content).unwrap();
            let error = CaBundle::read(&path).unwrap_err();
            assert!(error.contains(says) && error.contains("ca.pem"), "{error}");
        }
    }
}
