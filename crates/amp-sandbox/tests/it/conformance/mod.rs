//! What a client of S3 relies on, asked of the sandbox's S3 and of SeaweedFS by the same checks: so the double is itself tested.

mod checks;
mod multipart;

use std::panic::{AssertUnwindSafe, catch_unwind};

use amp_sandbox::s3::{S3Config, S3Server};
use amp_sandbox::seaweedfs::{ACCESS_KEY, SECRET_KEY, SeaweedFs};

use crate::client::Response;
use crate::s3_strict::refused;
use crate::signer::Caller;

/// A server with a bucket named `lake`, and how a client calls it.
#[derive(Clone)]
struct Server {
    caller: Caller,
}

impl Server {
    fn call(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.caller.call(method, &format!("/lake{target}"), headers, body).unwrap()
    }

    /// A call that succeeds.
    fn ok(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let answer = self.call(method, target, headers, body);
        assert!((200..300).contains(&answer.status), "{method} {target}: {} {}", answer.status, answer.text());
        answer
    }

    fn put(&self, key: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.call("PUT", key, headers, body)
    }

    /// A put that is refused, after which the key is as it was.
    fn refuses(&self, key: &str, headers: &[(&str, &str)], body: &[u8], status: u16, code: &str) {
        let before = self.bytes(key);
        refused(&self.put(key, headers, body), status, code);
        assert_eq!(self.bytes(key), before, "{key}");
    }

    fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        let got = self.call("GET", key, &[], b"");
        (got.status == 200).then_some(got.body)
    }
}

/// A value as it is written in a query.
fn encoded(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let encode = |byte| if unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}

type Check = fn(&Server);

/// Runs every check, and fails with the names of those that failed.
fn conforms(server: &Server, checks: &[(&str, Check)]) {
    let failed: Vec<&str> = checks
        .iter()
        .filter(|(name, check)| {
            eprintln!("checking: {name}");
            catch_unwind(AssertUnwindSafe(|| check(server))).is_err()
        })
        .map(|(name, _)| *name)
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

fn all() -> Vec<(&'static str, Check)> {
    [&checks::ALL[..], &multipart::ALL[..]].concat()
}

#[test]
fn the_sandbox_does_what_s3_does() {
    let s3 = S3Server::start(S3Config::new("lake")).unwrap();
    conforms(&Server { caller: Caller::of(&s3) }, &all());
}

#[test]
#[ignore = "needs SeaweedFS; .ci/run installs it and names its program in AMP_WEED"]
fn seaweedfs_does_what_s3_does() {
    let caller = |server: &SeaweedFs| Caller {
        endpoint: server.endpoint_url(),
        access_key: ACCESS_KEY.into(),
        secret_key: SECRET_KEY.into(),
        region: "us-east-1".into(),
        now: chrono::Utc::now(),
    };
    let has_bucket =
        |server: &SeaweedFs| caller(server).call("HEAD", "/lake", &[], b"").is_ok_and(|answer| answer.status == 200);
    let server = SeaweedFs::start(has_bucket).unwrap();
    let mut checks = all();
    // It signs what the client says that the body's hash is, and does not hash the body: seen with 4.48.
    checks.retain(|(name, _)| *name != checks::SIGNED_BODY);
    conforms(&Server { caller: caller(&server) }, &checks);
}
