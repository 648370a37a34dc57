//! The services that give out credentials, and that S3 takes no others.

use std::process::Command;
use std::time::Duration;

use amp_sandbox::credentials::{
    CredentialAnswer, CredentialServer, CredentialService, Credentials, ProcessAnswer, ProcessScript,
};
use amp_sandbox::s3::S3Server;
use chrono::Utc;

use crate::client::{Response, request, request_within};
use crate::s3_strict::{refused, server};
use crate::signer::Caller;

const HOUR: Duration = Duration::from_secs(3600);

/// A put signed with those.
fn put(s3: &S3Server, credentials: &Credentials, token: Option<&str>) -> Response {
    let caller = Caller {
        access_key: credentials.access_key.clone(),
        secret_key: credentials.secret_key.clone(),
        ..Caller::of(s3)
    };
    let headers: Vec<(&str, &str)> = token.map(|token| ("x-amz-security-token", token)).into_iter().collect();
    caller.call("PUT", "/lake/k", &headers, b"x").unwrap()
}

fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let after =
        text.split_once(&format!("\"{name}\": \"")).or_else(|| text.split_once(&format!("<{name}>"))).unwrap().1;
    after.split(['"', '<']).next().unwrap()
}

#[test]
fn a_temporary_key_is_good_with_its_own_token_and_until_it_expires() {
    let s3 = server();
    let key = Credentials::temporary(1, Utc::now() + HOUR);
    s3.add_credentials(key.clone());
    let token = key.session_token.as_deref();
    assert_eq!(put(&s3, &key, token).status, 200);
    refused(&put(&s3, &key, None), 403, "InvalidAccessKeyId");
    refused(&put(&s3, &key, Some("another")), 400, "InvalidToken");
    let lasting = Credentials::lasting(&s3.config().access_key, &s3.config().secret_key);
    assert_eq!(put(&s3, &lasting, None).status, 200);
    refused(&put(&s3, &lasting, token), 400, "InvalidToken");
    s3.expire_temporary_credentials();
    refused(&put(&s3, &key, token), 400, "ExpiredToken");
    assert_eq!(put(&s3, &lasting, None).status, 200);
    let late = Credentials::temporary(2, Utc::now() - HOUR);
    s3.add_credentials(late.clone());
    refused(&put(&s3, &late, late.session_token.as_deref()), 400, "ExpiredToken");
}

#[test]
fn every_service_gives_what_s3_accepts_to_who_may_ask() {
    let s3 = server();
    let services = CredentialServer::start(&s3).unwrap();
    let ask = |method: &str, target: &str, headers: &[(&str, &str)]| {
        request(&services.url(), method, target, headers, b"").unwrap()
    };
    let sts = ask("POST", "/", &[]).text();
    assert_eq!(ask("GET", "/latest/meta-data/iam/security-credentials/", &[]).status, 401);
    let session = ask("PUT", "/latest/api/token", &[("x-aws-ec2-metadata-token-ttl-seconds", "60")]).text();
    let imds = [("x-aws-ec2-metadata-token", session.as_str())];
    let role = ask("GET", "/latest/meta-data/iam/security-credentials/", &imds).text();
    let imds = ask("GET", &format!("/latest/meta-data/iam/security-credentials/{role}"), &imds).text();
    let environment = services.container_env();
    assert_eq!(ask("GET", "/v2/credentials", &[]).status, 400);
    let container = ask("GET", "/v2/credentials", &[("authorization", &environment[1].1)]).text();
    let names = [("AccessKeyId", "SecretAccessKey", "Token"), ("AccessKeyId", "SecretAccessKey", "SessionToken")];
    for (text, (key, secret, token)) in [(&sts, names[1]), (&imds, names[0]), (&container, names[0])] {
        let given = Credentials { expires: None, ..Credentials::lasting(field(text, key), field(text, secret)) };
        assert_eq!(put(&s3, &given, Some(field(text, token))).status, 200, "{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    services.sso_env(folder.path(), Utc::now() + HOUR).unwrap();
    let cached = std::fs::read_dir(folder.path().join(".aws/sso/cache")).unwrap().next().unwrap().unwrap();
    let cached = std::fs::read_to_string(cached.path()).unwrap();
    let portal = "/federation/credentials?role_name=sandbox-role&account_id=111122223333";
    assert_eq!(ask("GET", portal, &[("x-amz-sso_bearer_token", "stale")]).status, 403);
    let sso = ask("GET", portal, &[("x-amz-sso_bearer_token", field(&cached, "accessToken"))]).text();
    let given = Credentials::lasting(field(&sso, "accessKeyId"), field(&sso, "secretAccessKey"));
    assert_eq!(put(&s3, &given, Some(field(&sso, "sessionToken"))).status, 200);
    assert_eq!(services.issued().len(), 4);
    let asked: Vec<CredentialService> = services.requests().iter().map(|request| request.service).collect();
    assert_eq!(asked.iter().filter(|service| **service == CredentialService::Imds).count(), 4);
}

#[test]
fn a_service_answers_what_it_is_told_to_and_the_last_answer_stays() {
    let s3 = server();
    let services = CredentialServer::start(&s3).unwrap();
    let ask = || request(&services.url(), "POST", "/", &[], b"");
    let give = CredentialAnswer::Give(HOUR);
    services.answer([CredentialAnswer::Unavailable, CredentialAnswer::Garbage, give, CredentialAnswer::Refuse]);
    let statuses: Vec<u16> = (0..5).map(|_| ask().unwrap().status).collect();
    assert_eq!(statuses, [503, 200, 200, 403, 403]);
    assert_eq!(services.issued().len(), 1);
    services.answer([CredentialAnswer::Reset]);
    assert!(ask().is_err());
    services.answer([CredentialAnswer::Hang]);
    let patience = Duration::from_millis(300);
    for (method, target) in [("POST", "/"), ("PUT", "/latest/api/token"), ("GET", "/v2/credentials")] {
        let environment = services.container_env();
        let headers = [("authorization", environment[1].1.as_str())];
        let silence = request_within(patience, &services.url(), method, target, &headers, b"").err().unwrap();
        assert_eq!(silence.kind(), std::io::ErrorKind::WouldBlock, "{target}");
    }
}

#[test]
fn a_program_prints_credentials_fails_and_counts_its_runs() {
    let folder = tempfile::tempdir().unwrap();
    let key = Credentials::temporary(1, Utc::now() + HOUR);
    let script = ProcessScript::write(folder.path(), &ProcessAnswer::Give(key.clone())).unwrap();
    let config = std::fs::read_to_string(&script.env()[0].1).unwrap();
    let words = config.lines().nth(1).unwrap().strip_prefix("credential_process = ").unwrap().to_owned();
    let run = || {
        let mut words = words.split(' ');
        Command::new(words.next().unwrap()).args(words).output().unwrap()
    };
    let printed = String::from_utf8(run().stdout).unwrap();
    assert_eq!(field(&printed, "SecretAccessKey"), key.secret_key);
    script.answer(&ProcessAnswer::Fail("no such user".into())).unwrap();
    let failed = run();
    assert_eq!(
        (failed.status.code(), failed.stdout.as_slice(), failed.stderr.as_slice()),
        (Some(1), &b""[..], &b"no such user"[..])
    );
    assert_eq!(script.runs(), 2);
}
