//! https: whom it trusts, and what it says of a server that it cannot.

use std::fs;

use amp_sandbox::http2::Http2Front;
use amp_sandbox::tls::{Authority, TlsOptions, Unusable};

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
    for unusable in Unusable::all() {
        let lab = secure(&unusable.options);
        let mut run = lab.command(&ALONE);
        if unusable.is_known {
            run = run.env("AWS_CA_BUNDLE", lab.path("ca.pem").display().to_string());
        }
        let ran = run.run();
        let document = ran.exits(2);
        let requests = (&document["requests"], &document["retries"]);
        assert_eq!(requests, (&1.into(), &0.into()), "{unusable:?}: {document}");
        ran.says(&[unusable.says, "127.0.0.1"]);
        assert!(lab.staged_names().is_empty());
    }
}

#[test]
fn a_handshake_that_is_cut_or_never_made_may_pass() {
    for options in ["cut", "stall"] {
        let lab = secure(&options.parse().unwrap());
        let limits = ["--max-retries", "1", "--read-timeout", "500ms"];
        let run = lab.command(&[&ALONE[..], &limits].concat());
        let ran = run.env("AWS_CA_BUNDLE", lab.path("ca.pem").display().to_string()).run();
        assert_eq!(ran.exits(75)["retries"], 1, "{options}");
        ran.says(&["127.0.0.1"]);
    }
}

#[test]
fn either_version_of_tls_will_do() {
    for options in ["tls12", "tls13"] {
        let lab = secure(&options.parse().unwrap());
        lab.command(&ALONE).env("AWS_CA_BUNDLE", lab.path("ca.pem").display().to_string()).run().exits(0);
        lab.assert_staged(&[HOUR]);
    }
}

#[test]
fn http_2_carries_archives_and_what_breaks_off() {
    let lab = Lab::faulty(&["req=1:reset", "req=2:cut=1000"]);
    let tls = Authority::new().unwrap().serve(&TlsOptions::default()).unwrap();
    lab.write("ca.pem", tls.trusted_pem());
    let front = Http2Front::start(&lab.server.base_url(), &tls).unwrap();
    let run = lab.command(&[&ALONE[..], &["--base-url", &front.url()]].concat());
    let ran = run.env("AWS_CA_BUNDLE", lab.path("ca.pem").display().to_string()).run();
    assert_eq!(ran.exits(0)["retries"], 2);
    lab.assert_staged(&[HOUR]);
    assert_eq!(front.requests(), 3);
}

#[test]
fn plain_http_behind_an_https_url_is_told() {
    let lab = Lab::new();
    let url = lab.server.base_url().replace("http://", "https://");
    let ran = lab.command(&ALONE).args(&["--base-url", &url]).run();
    assert_eq!(ran.exits(2)["retries"], 0);
    ran.says(&["plain http", "127.0.0.1"]);
}

#[test]
fn a_bundle_that_is_none_is_a_settings_error() {
    let lab = Lab::new();
    lab.write("damaged.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (name, file) in [("AWS_CA_BUNDLE", "nowhere.pem"), ("SSL_CERT_FILE", "damaged.pem")] {
        let ran = lab.command(&ALONE).env(name, lab.path(file).display().to_string()).run();
        ran.exits(2);
        ran.says(&[name, file]);
    }
}
