//! https: whom it trusts, and what it says of a server that it cannot.

use amp_sandbox::http2::Http2Front;
use amp_sandbox::tls::{Authority, Tls, TlsOptions, Unusable};

use crate::support::{Lab, end, noise};

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
    for unusable in Unusable::all() {
        let lab = secure(&unusable.options);
        let mut command = lab.command(&[]);
        if unusable.is_known {
            command.env("AWS_CA_BUNDLE", lab.path("ca.pem"));
        }
        let ended = end(command);
        assert_eq!(ended.code, Some(2), "{unusable:?}: {ended:?}");
        assert_eq!(ended.document()["retries"], 0, "{unusable:?}");
        let said = format!("{}{}", ended.error(0), ended.stderr);
        assert!(said.contains(unusable.says), "{unusable:?}: {ended:?}");
        assert!(lab.server.endpoint_url().contains(&host_in(&ended.error(0))), "{ended:?}");
        assert_eq!(lab.left().len(), 3);
    }
}

#[test]
fn a_handshake_that_is_cut_or_never_made_may_pass() {
    for options in ["cut", "stall"] {
        let lab = secure(&options.parse().unwrap());
        let mut command = lab.command(&["--max-retries", "1", "--read-timeout", "500ms"]);
        command.env("AWS_CA_BUNDLE", lab.path("ca.pem"));
        let ended = end(command);
        assert_eq!((ended.code, &ended.document()["retries"]), (Some(75), &1.into()), "{options}: {ended:?}");
        assert!(lab.server.endpoint_url().contains(&host_in(&ended.error(0))), "{ended:?}");
    }
}

#[test]
fn either_version_of_tls_will_do() {
    for options in ["tls12", "tls13"] {
        let lab = secure(&options.parse().unwrap());
        let mut command = lab.command(&[]);
        command.env("AWS_CA_BUNDLE", lab.path("ca.pem"));
        assert_eq!(end(command).counts(), (0, [3, 3, 0, 0, 3]), "{options}");
    }
}

#[test]
fn http_2_carries_small_files_parts_and_what_breaks_off() {
    let lab = Lab::staged();
    lab.stage("7_2025-11-06_9#2.json", &noise(9 << 20));
    lab.rule("op=PutObject,nth=1:reset");
    lab.rule("op=UploadPart,nth=1:status=503,code=SlowDown");
    let tls = Authority::new().unwrap().serve(&TlsOptions::default()).unwrap();
    std::fs::write(lab.path("ca.pem"), tls.trusted_pem()).unwrap();
    let front = Http2Front::start(&lab.server.endpoint_url(), &tls).unwrap();
    let mut command = lab.command(&["--multipart-threshold", "5MiB", "--endpoint-url", &front.url()]);
    command.env("AWS_CA_BUNDLE", lab.path("ca.pem"));
    let ended = end(command);
    assert_eq!(ended.counts(), (0, [4, 4, 0, 0, 4]), "{ended:?}");
    assert_eq!(ended.document()["retries"], 2);
    assert_eq!(front.requests(), lab.server.requests().len());
    assert!(lab.object("7_2025-11-06_9#2.json") == Some(noise(9 << 20)));
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
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(lab.path("damaged.pem"), damaged).unwrap();
    for (name, file) in [("AWS_CA_BUNDLE", "nowhere.pem"), ("SSL_CERT_FILE", "damaged.pem")] {
        let mut command = lab.command(&[]);
        command.env(name, lab.path(file));
        let ended = end(command);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.error(0).contains(name) && ended.error(0).contains(file), "{ended:?}");
    }
}
