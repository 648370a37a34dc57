//! One server that plays all services that give out credentials over HTTP.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sha1::{Digest, Sha1};

use super::Credentials;
use crate::http::{After, Exchange, Head, Listener, hex};
use crate::s3::S3Server;
use crate::xml::tag;

/// A service, as a request shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialService {
    /// AssumeRoleWithWebIdentity of STS.
    Sts,
    /// Instance metadata, version 2.
    Imds,
    /// The agent of ECS and EKS.
    Container,
    /// GetRoleCredentials of the portal.
    Sso,
}

/// What a service answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialAnswer {
    /// New credentials, valid for so long, which S3 knows from then on.
    Give(Duration),
    /// 503.
    Unavailable,
    /// No credentials for this one, in the service's own words.
    Refuse,
    /// 200 with something else.
    Garbage,
    /// The connection is reset.
    Reset,
    /// Nothing, for ever.
    Hang,
    /// 200, and bytes without an end.
    Endless,
}

/// A request for credentials, or on the way to them.
#[derive(Debug, Clone)]
pub struct CredentialRequest {
    /// Whose.
    pub service: CredentialService,
    /// Its method and its target.
    pub line: String,
    /// The status answered; 0 if none was.
    pub status: u16,
    /// Its `Host`, and whether it came as to a proxy is in the line.
    pub host: String,
}

struct State {
    answers: Mutex<VecDeque<CredentialAnswer>>,
    issued: Mutex<Vec<Credentials>>,
    requests: Mutex<Vec<CredentialRequest>>,
    serial: AtomicU64,
    register: Box<dyn Fn(Credentials) + Send + Sync>,
}

/// A running server; it stops when dropped.
///
/// ```no_run
/// # use std::time::Duration;
/// use amp_sandbox::credentials::{CredentialAnswer, CredentialServer};
/// # use amp_sandbox::s3::{S3Config, S3Server};
/// # let s3 = S3Server::start(S3Config::new("lake"))?;
/// let services = CredentialServer::start(&s3)?;
/// let hour = CredentialAnswer::Give(Duration::from_secs(3600));
/// services.answer([CredentialAnswer::Unavailable, hour]); // the last one stays
/// // … run amp-load with services.sts_env(folder), and without the AWS_ACCESS_KEY of s3.env() …
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct CredentialServer {
    listener: Listener,
    state: Arc<State>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const ROLE: &str = "sandbox-role";
const IMDS_TOKEN: &str = "sandbox-metadata-token";
const CONTAINER_TOKEN: &str = "sandbox-container-token";
const SSO_TOKEN: &str = "sandbox-portal-token";
const SSO_START: &str = "https://sandbox.awsapps.com/start";

impl CredentialServer {
    /// Listens on 127.0.0.1, and gives credentials for an hour until told otherwise.
    pub fn start(s3: &S3Server) -> io::Result<Self> {
        let state = Arc::new(State {
            answers: Mutex::new([CredentialAnswer::Give(Duration::from_secs(3600))].into()),
            issued: Mutex::default(),
            requests: Mutex::default(),
            serial: AtomicU64::new(1),
            register: Box::new(s3.registrar()),
        });
        let shared = Arc::clone(&state);
        let listener = Listener::start("credentials", 0, None, move |exchange| answer(&shared, exchange))?;
        Ok(Self { listener, state })
    }

    /// What is answered from now on, one after the other; the last one stays.
    pub fn answer(&self, answers: impl IntoIterator<Item = CredentialAnswer>) {
        *lock(&self.state.answers) = answers.into_iter().collect();
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<CredentialRequest> {
        lock(&self.state.requests).clone()
    }

    /// All credentials given out so far.
    pub fn issued(&self) -> Vec<Credentials> {
        lock(&self.state.issued).clone()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.listener.url()
    }

    /// A role assumed with a token in a file, as Kubernetes lays it.
    pub fn sts_env(&self, folder: &Path) -> io::Result<Vec<(&'static str, String)>> {
        let token = folder.join("web-identity-token");
        fs::write(&token, "eyJzYW5kYm94IjoidG9rZW4ifQ")?;
        Ok(vec![
            ("AWS_ROLE_ARN", format!("arn:aws:iam::111122223333:role/{ROLE}")),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", token.display().to_string()),
            ("AWS_ENDPOINT_URL_STS", self.url()),
        ])
    }

    /// The role of an instance.
    pub fn imds_env(&self) -> Vec<(&'static str, String)> {
        vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", self.url()), ("AWS_EC2_METADATA_DISABLED", "false".to_owned())]
    }

    /// The role of a task.
    pub fn container_env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/v2/credentials", self.url())),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", CONTAINER_TOKEN.to_owned()),
        ]
    }

    /// A role of IAM Identity Center, for one who is logged in until then. The folder becomes `HOME`.
    pub fn sso_env(&self, folder: &Path, logged_in_until: DateTime<Utc>) -> io::Result<Vec<(&'static str, String)>> {
        let cache = folder.join(".aws/sso/cache");
        fs::create_dir_all(&cache)?;
        let until = logged_in_until.format("%Y-%m-%dT%H:%M:%SZ");
        let token = format!(
            "{{\"startUrl\": \"{SSO_START}\", \"region\": \"us-east-1\", \"accessToken\": \"{SSO_TOKEN}\", \"expiresAt\": \"{until}\"}}"
        );
        fs::write(cache.join(format!("{}.json", hex(&Sha1::digest(SSO_START)))), token)?;
        let config = folder.join(".aws/config");
        let profile = format!(
            "[default]\nsso_start_url = {SSO_START}\nsso_region = us-east-1\nsso_account_id = 111122223333\nsso_role_name = {ROLE}\n"
        );
        fs::write(&config, profile)?;
        Ok(vec![
            ("HOME", folder.display().to_string()),
            ("AWS_CONFIG_FILE", config.display().to_string()),
            ("AWS_ENDPOINT_URL_SSO", self.url()),
        ])
    }
}

impl CredentialService {
    fn of(head: &Head) -> Self {
        match head.path() {
            path if path.starts_with("/latest/") => Self::Imds,
            path if path.starts_with("/federation/") => Self::Sso,
            path if path.starts_with("/v2/credentials") => Self::Container,
            _ => Self::Sts,
        }
    }

    /// Whether the caller showed what it must.
    fn admits(self, head: &Head) -> bool {
        let header = |name| head.header(name).unwrap_or_default();
        match self {
            Self::Sts => true,
            Self::Imds => head.method == "PUT" || header("x-aws-ec2-metadata-token") == IMDS_TOKEN,
            Self::Container => header("authorization") == CONTAINER_TOKEN,
            Self::Sso => header("x-amz-sso_bearer_token") == SSO_TOKEN,
        }
    }

    fn refusal(self) -> (u16, String) {
        let json = |code: &str, message: &str| {
            format!("{{\"__type\": \"{code}\", \"code\": \"{code}\", \"message\": \"{message}\"}}")
        };
        match self {
            Self::Sts => (403, sts_error("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")),
            Self::Imds => (403, String::new()),
            Self::Container => (400, json("AccessDenied", "the task has no role")),
            Self::Sso => (403, json("ForbiddenException", "No access")),
        }
    }

    fn document(self, given: &Credentials) -> String {
        let (key, secret) = (&given.access_key, &given.secret_key);
        let token = given.session_token.as_deref().unwrap_or_default();
        let expires = given.expires.unwrap_or(DateTime::<Utc>::MAX_UTC);
        let time = expires.format("%Y-%m-%dT%H:%M:%SZ");
        match self {
            Self::Sts => {
                let fields = [
                    tag("AccessKeyId", key),
                    tag("SecretAccessKey", secret),
                    tag("SessionToken", token),
                    tag("Expiration", &time.to_string()),
                ];
                format!(
                    "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult>\
                     <Credentials>{}</Credentials><AssumedRoleUser><Arn>arn:aws:sts::111122223333:assumed-role/{ROLE}/session</Arn>\
                     <AssumedRoleId>AROASANDBOX:session</AssumedRoleId></AssumedRoleUser></AssumeRoleWithWebIdentityResult>\
                     </AssumeRoleWithWebIdentityResponse>",
                    fields.concat()
                )
            }
            Self::Imds | Self::Container => format!(
                "{{\"Code\": \"Success\", \"Type\": \"AWS-HMAC\", \"AccessKeyId\": \"{key}\", \"SecretAccessKey\": \"{secret}\", \
                 \"Token\": \"{token}\", \"Expiration\": \"{time}\", \"LastUpdated\": \"{}\"}}",
                Utc::now().format("%Y-%m-%dT%H:%M:%SZ")
            ),
            Self::Sso => format!(
                "{{\"roleCredentials\": {{\"accessKeyId\": \"{key}\", \"secretAccessKey\": \"{secret}\", \"sessionToken\": \"{token}\", \
                 \"expiration\": {}}}}}",
                expires.timestamp_millis()
            ),
        }
    }
}

fn sts_error(code: &str, message: &str) -> String {
    let inner = [tag("Type", "Sender"), tag("Code", code), tag("Message", message)].concat();
    format!("<ErrorResponse><Error>{inner}</Error><RequestId>SANDBOX</RequestId></ErrorResponse>")
}

impl State {
    /// The answer that is due; it is used up, unless it is the last.
    fn next(&self) -> CredentialAnswer {
        let mut answers = lock(&self.answers);
        let due = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        due.unwrap_or(CredentialAnswer::Refuse)
    }

    fn gives(&self) -> bool {
        matches!(lock(&self.answers).front(), Some(CredentialAnswer::Give(_)))
    }

    fn give(&self, lifetime: Duration) -> Credentials {
        let given = Credentials::temporary(self.serial.fetch_add(1, Ordering::SeqCst), Utc::now() + lifetime);
        (self.register)(given.clone());
        lock(&self.issued).push(given.clone());
        given
    }
}

/// On the way to the credentials of an instance there are two requests for other things, which are answered as long as the next
/// answer is credentials.
fn answer(state: &State, exchange: &mut Exchange<'_>) -> io::Result<After> {
    let head = exchange.head.clone();
    let service = CredentialService::of(&head);
    let index = {
        let mut requests = lock(&state.requests);
        let line = format!("{} {}", head.method, head.target);
        let host = head.header("host").unwrap_or_default().to_owned();
        requests.push(CredentialRequest { service, line, status: 0, host });
        requests.len() - 1
    };
    const METADATA: &str = "/latest/meta-data/iam/security-credentials/";
    let waypoint = match (head.method.as_str(), head.path()) {
        ("PUT", "/latest/api/token") => Some(IMDS_TOKEN),
        ("GET", METADATA) => Some(ROLE),
        _ => None,
    };
    let (status, body) = match waypoint.filter(|_| state.gives()) {
        Some(text) if service.admits(&head) => (200, text.to_owned()),
        Some(_) => (401, String::new()),
        None if !service.admits(&head) => service.refusal(),
        None => match state.next() {
            CredentialAnswer::Give(lifetime) => (200, service.document(&state.give(lifetime))),
            CredentialAnswer::Unavailable if service == CredentialService::Sts => {
                (503, sts_error("ServiceUnavailable", "Service is unable to handle request."))
            }
            CredentialAnswer::Unavailable => (503, "{}".to_owned()),
            CredentialAnswer::Refuse => service.refusal(),
            CredentialAnswer::Garbage => (200, "<html>Please sign in.</html>".to_owned()),
            CredentialAnswer::Reset => return Ok(After::Reset),
            CredentialAnswer::Hang => {
                exchange.drain(u64::MAX)?;
                return Ok(exchange.stall());
            }
            CredentialAnswer::Endless => {
                exchange.drain(u64::MAX)?;
                return exchange.respond_endlessly(200).map(|()| After::Close);
            }
        },
    };
    lock(&state.requests)[index].status = status;
    let ttl = ("x-aws-ec2-metadata-token-ttl-seconds".to_owned(), "21600".to_owned());
    let kind = if service == CredentialService::Sts { "text/xml" } else { "application/json" };
    exchange.respond(status, &[("Content-Type".to_owned(), kind.to_owned()), ttl], body.as_bytes())
}
