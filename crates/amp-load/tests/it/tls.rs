//! https: whom it trusts, and what it says of a server that it cannot.

use amp_sandbox::tls::{Authority, Certificate, Tls, TlsOptions};

use crate::support::{Lab, end};

/// A laboratory whose server speaks https; what a client must trust for it lies in `ca.pem`.
fn secure(options: &TlsOptions) -> Lab {
    let tls: Tls = Authority::new().unwrap().serve(options).unwrap();
    let trusted = tls.trusted_pem().to_owned();
    let lab = Lab::with(|config| config.tls = Some(tls));
    lab.stage_all();
    std::fs::write(lab.path("ca.pem"), trusted).unwrap();
    lab
}

/// The host that an error names.
fn host_in(error: &str) -> String {
    let (_, after) = error.split_once(" at ").unwrap_or_default();
    after.split(": ").next().unwrap_or_default().to_owned()
}

#[test]
fn an_authority_named_in_the_environment_or_in_dotenv_is_trusted() {
    for name in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
        let lab = secure(&TlsOptions::default());
        let mut command = lab.command(&[]);
        command.env(name, lab.path("ca.pem"));
        assert_eq!(end(command).counts(), (0, [3, 3, 0, 0, 3]), "{name}");
        lab.stage_all();
        std::fs::write(lab.path(".env"), format!("{name}={}\n", lab.path("ca.pem").display())).unwrap();
        assert_eq!(lab.run(&[]).counts(), (0, [3, 3, 0, 0, 3]), "{name} in .env");
    }
}

#[test]
fn a_server_that_is_not_to_be_trusted_is_not_asked_again_and_the_reason_is_in_plain_words() {
    for (certificate, trusted, words) in [
        (Certificate::Right, false, "AWS_CA_BUNDLE"),
        (Certificate::Expired, true, "has expired"),
        (Certificate::NotYetValid, true, "not valid yet"),
        (Certificate::WrongName, true, "names another host"),
        (Certificate::SelfSigned, true, "CA:TRUE"),
    ] {
        let lab = secure(&TlsOptions { certificate, ..TlsOptions::default() });
        let mut command = lab.command(&[]);
        if trusted {
            command.env("AWS_CA_BUNDLE", lab.path("ca.pem"));
        }
        let ended = end(command);
        assert_eq!(ended.code, Some(2), "{certificate:?}: {ended:?}");
        assert_eq!(ended.document()["retries"], 0);
        assert!(ended.error(0).contains(words), "{certificate:?}: {ended:?}");
        assert!(lab.server.endpoint_url().contains(&host_in(&ended.error(0))), "{ended:?}");
        assert_eq!(lab.left().len(), 3);
    }
}

#[test]
fn plain_http_behind_an_https_endpoint_is_told() {
    let lab = Lab::staged();
    let endpoint = lab.server.endpoint_url().replace("http://", "https://");
    let ended = lab.run(&["--endpoint-url", &endpoint]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.error(0).contains("plain http"), "{ended:?}");
}

#[test]
fn a_bundle_that_is_none_is_a_settings_error() {
    let lab = Lab::staged();
    let mut command = lab.command(&[]);
    command.env("AWS_CA_BUNDLE", lab.path("nowhere.pem"));
    let ended = end(command);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.error(0).contains("AWS_CA_BUNDLE") && ended.error(0).contains("nowhere.pem"), "{ended:?}");
}
