//! https: whom it trusts, and what it says of a server that it cannot.

use std::fs;

use amp_sandbox::tls::{Authority, Certificate, TlsOptions};

use crate::support::{HOUR, Lab};

const ALONE: [&str; 4] = ["--start", HOUR, "--end", HOUR];

/// A laboratory whose API speaks https; what a client must trust for it lies in `ca.pem`.
fn secure(options: &TlsOptions) -> Lab {
    let tls = Authority::new().unwrap().serve(options).unwrap();
    let trusted = tls.trusted_pem().to_owned();
    let lab = Lab::with(|config| config.tls = Some(tls));
    lab.write("ca.pem", &trusted);
    lab
}

#[test]
fn an_authority_named_in_the_environment_or_in_dotenv_is_trusted() {
    for name in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
        let lab = secure(&TlsOptions::default());
        let bundle = lab.path("ca.pem").display().to_string();
        lab.command(&ALONE).env(name, &bundle).run().exits(0);
        lab.assert_staged(&[HOUR]);
        fs::write(lab.path(".env"), format!("{name}={bundle}\n")).unwrap();
        lab.run(&[&ALONE[..], &["--force"]].concat()).exits(0);
    }
}

#[test]
fn a_server_that_is_not_to_be_trusted_is_asked_once_and_the_reason_is_in_plain_words() {
    for (certificate, trusted, words) in [
        (Certificate::Right, false, "AWS_CA_BUNDLE"),
        (Certificate::Expired, true, "has expired"),
        (Certificate::NotYetValid, true, "not valid yet"),
        (Certificate::WrongName, true, "names another host"),
        (Certificate::SelfSigned, true, "CA:TRUE"),
    ] {
        let lab = secure(&TlsOptions { certificate, ..TlsOptions::default() });
        let mut run = lab.command(&ALONE);
        if trusted {
            run = run.env("AWS_CA_BUNDLE", lab.path("ca.pem").display().to_string());
        }
        let ran = run.run();
        let document = ran.exits(2);
        assert_eq!(
            (&document["requests"], &document["retries"]),
            (&1.into(), &0.into()),
            "{certificate:?}: {document}"
        );
        ran.says(&[words, "127.0.0.1"]);
        assert!(lab.staged_names().is_empty());
    }
}
