//! Credentials from AWS's own chain: given, refused, not to be had, and waited for no longer than is good.

use std::process::Command;
use std::time::Duration;

use amp_sandbox::credentials::{CredentialAnswer, CredentialServer, Credentials, ProcessAnswer, ProcessScript};
use amp_sandbox::proxy::Proxy;
use amp_sandbox::tls::{Authority, TlsOptions};

use crate::support::{Lab, MEMORY, end};

/// A run without keys of its own.
fn keyless(lab: &Lab, environment: Vec<(&'static str, String)>) -> Command {
    let mut command = lab.command(&["--read-timeout", "2s"]);
    command.env_remove("AWS_ACCESS_KEY").env_remove("AWS_SECRET_KEY").envs(environment);
    command
}

/// The environments that lead to each service.
fn services(services: &CredentialServer, lab: &Lab) -> [(&'static str, Vec<(&'static str, String)>); 4] {
    let logged_in_until = chrono::Utc::now() + Duration::from_secs(3600);
    [
        ("sts", services.sts_env(&lab.path("")).unwrap()),
        ("imds", services.imds_env()),
        ("container", services.container_env()),
        ("sso", services.sso_env(&lab.path("sso"), logged_in_until).unwrap()),
    ]
}

#[test]
fn a_service_that_hangs_or_is_down_is_temporary_and_one_that_refuses_is_not() {
    use CredentialAnswer::{Garbage, Hang, Refuse, Reset, Unavailable};
    for (answer, wait, code) in
        [(Hang, "3s", 75), (Reset, "60s", 75), (Unavailable, "60s", 75), (Refuse, "60s", 3), (Garbage, "60s", 3)]
    {
        let lab = Lab::staged();
        let server = CredentialServer::start(&lab.server).unwrap();
        server.answer([answer.clone()]);
        for (name, environment) in services(&server, &lab) {
            let mut command = keyless(&lab, environment);
            command.args(["--read-timeout", wait]);
            let ended = end(command);
            // To the SDK, metadata that do not answer are an instance without any.
            let code = if name == "imds" { 3 } else { code };
            assert_eq!(ended.code, Some(code), "{name} {answer:?}: {ended:?}");
            assert!(ended.error(0).contains("AWS credentials"), "{name} {answer:?}: {ended:?}");
            assert!(!ended.error(0).contains("SdkBody"), "{name} {answer:?}: {ended:?}");
            assert_eq!(lab.left().len(), 3);
        }
    }
}

#[test]
fn whoever_never_logged_in_is_told_to() {
    let lab = Lab::staged();
    let server = CredentialServer::start(&lab.server).unwrap();
    let environment = server.sso_env(&lab.path("sso"), chrono::Utc::now()).unwrap();
    std::fs::remove_dir_all(lab.path("sso/.aws/sso")).unwrap();
    let ended = end(keyless(&lab, environment));
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.error(0).contains("aws sso login"), "{ended:?}");
}

#[test]
fn a_service_that_is_not_to_be_trusted_is_not_asked_again() {
    let lab = Lab::staged();
    let server = CredentialServer::start(&lab.server).unwrap();
    let secure =
        Lab::with(|config| config.tls = Some(Authority::new().unwrap().serve(&TlsOptions::default()).unwrap()));
    let mut command = keyless(&lab, server.sts_env(&lab.path("")).unwrap());
    command.env("AWS_ENDPOINT_URL_STS", secure.server.endpoint_url());
    let ended = end(command);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.error(0).contains("AWS credentials") && ended.error(0).contains("AWS_CA_BUNDLE"), "{ended:?}");
}

#[test]
fn a_service_that_answers_without_an_end_is_not_listened_to() {
    let lab = Lab::staged();
    let services = CredentialServer::start(&lab.server).unwrap();
    services.answer([CredentialAnswer::Endless]);
    for environment in [services.sts_env(&lab.path("")).unwrap(), services.container_env()] {
        let ended = end(keyless(&lab, environment));
        assert!(matches!(ended.code, Some(3 | 75)), "{ended:?}");
        assert!(ended.error(0).contains("AWS credentials"), "{ended:?}");
        assert!(ended.peak_bytes < MEMORY, "{} bytes", ended.peak_bytes);
    }
}

#[test]
fn credentials_that_expire_in_mid_run_are_renewed_or_the_rest_waits_for_the_next_run() {
    use CredentialAnswer::{Give, Hang, Refuse, Unavailable};
    let (short, hour) = (Give(Duration::from_secs(1)), Give(Duration::from_secs(3600)));
    for (then, code) in [(hour, 0), (Hang, 75), (Unavailable, 75), (Refuse, 3)] {
        let lab = Lab::staged();
        let server = CredentialServer::start(&lab.server).unwrap();
        server.answer([short.clone(), then.clone()]);
        let mut command = keyless(&lab, server.sts_env(&lab.path("")).unwrap());
        command.args(["--max-retries", "0"]);
        let ended = end(command);
        assert_eq!(ended.code, Some(code), "{then:?}: {ended:?}");
        assert_eq!(lab.left().len(), if code == 0 { 0 } else { 3 });
    }
}

#[test]
fn each_service_is_asked_once_a_run() {
    let lab = Lab::staged();
    let server = CredentialServer::start(&lab.server).unwrap();
    for (index, (name, environment)) in services(&server, &lab).into_iter().enumerate() {
        lab.stage_all();
        let ended = end(keyless(&lab, environment));
        assert_eq!(ended.counts(), (0, [3, 3, 0, 0, 3]), "{name}: {ended:?}");
        assert_eq!(server.issued().len(), index + 1, "{name}");
    }
    lab.stage_all();
    let credentials = Credentials::lasting(&lab.server.config().access_key, &lab.server.config().secret_key);
    let script = ProcessScript::write(&lab.path(""), &ProcessAnswer::Give(credentials)).unwrap();
    assert_eq!(end(keyless(&lab, script.env())).counts(), (0, [3, 3, 0, 0, 3]));
    assert_eq!(script.runs(), 1);
}

#[test]
fn what_a_credential_process_prints_to_stderr_is_not_repeated() {
    let lab = Lab::staged();
    let script = ProcessScript::write(&lab.path(""), &ProcessAnswer::Fail("vault says hunter2".into())).unwrap();
    let mut command = keyless(&lab, script.env());
    command.arg("-vv");
    let ended = end(command);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(!format!("{}{}{}", ended.stdout, ended.stderr, lab.logs()).contains("hunter2"), "{ended:?}");

    script.answer(&ProcessAnswer::Hang).unwrap();
    assert_eq!(end(keyless(&lab, script.env())).code, Some(75));
}

#[test]
fn a_line_end_behind_a_key_is_told_and_never_a_panic() {
    let lab = Lab::staged();
    let keys = [("AWS_ACCESS_KEY_ID", "hunter2\n"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    let ended = end(keyless(&lab, keys.map(|(name, value)| (name, value.to_owned())).to_vec()));
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(!ended.stderr.contains("hunter2") && !ended.stderr.contains("panicked"), "{ended:?}");

    let printed = r#"{"Version": 1, "AccessKeyId": "hunter2\n", "SecretAccessKey": "secret"}"#;
    let script = ProcessScript::write(&lab.path(""), &ProcessAnswer::Print(printed.to_owned())).unwrap();
    let ended = end(keyless(&lab, script.env()));
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(!ended.stderr.contains("hunter2") && !ended.stderr.contains("panicked"), "{ended:?}");
}

#[test]
fn a_session_token_goes_with_the_keys_that_were_set() {
    let lab = Lab::staged();
    let temporary = Credentials::temporary(7, chrono::Utc::now() + Duration::from_secs(3600));
    lab.server.add_credentials(temporary.clone());
    let mut command = lab.command(&[]);
    command.env("AWS_ACCESS_KEY", &temporary.access_key).env("AWS_SECRET_KEY", &temporary.secret_key);
    command.env("AWS_SESSION_TOKEN", temporary.session_token.as_deref().unwrap());
    assert_eq!(end(command).counts(), (0, [3, 3, 0, 0, 3]));
}

#[test]
fn a_profile_without_credentials_is_named() {
    let lab = Lab::staged();
    let ended = end(keyless(&lab, vec![("AWS_PROFILE", "nowhere".to_owned())]));
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.error(0).contains("nowhere"), "{ended:?}");
}

#[test]
fn metadata_and_agents_are_never_asked_for_through_a_proxy() {
    let lab = Lab::staged();
    let proxy = Proxy::start(&lab.server.endpoint_url()).unwrap();
    // The addresses themselves are not there in a test; what counts is who is asked for them.
    for (name, value) in [
        ("AWS_EC2_METADATA_DISABLED", "false"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/x"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
    ] {
        let mut command = keyless(&lab, vec![(name, value.to_owned()), ("HTTP_PROXY", proxy.url())]);
        // A server that is asked through the proxy: for loopback there is none.
        command.env("AWS_ENDPOINT_URL_S3", "http://s3.localtest").arg("--allow-http");
        let ended = end(command);
        assert!(matches!(ended.code, Some(3 | 75)), "{name}: {ended:?}");
        assert!(proxy.asked().iter().all(|line| !line.contains("169.254.")), "{name}: {:?}", proxy.asked());
    }
}
