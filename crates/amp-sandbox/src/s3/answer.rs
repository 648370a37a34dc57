//! From a request to its answer, faults included.

use std::fs::File;
use std::io::{self, Read};

use super::call::{Call, S3Op};
use super::checksum::Checksum;
use super::error::{Failure, S3Error};
use super::rule::S3Fault;
use super::sigv4::Signed;
use super::state::{State, lock};
use super::{bucket, complete, multipart, object};
use crate::http::{After, Exchange};
use crate::xml::tag;

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: ReplyBody,
}

pub(super) enum ReplyBody {
    Bytes(Vec<u8>),
    File(io::Take<File>),
}

impl Reply {
    pub(super) fn ok(headers: Vec<(String, String)>, body: Vec<u8>) -> Self {
        Self { status: 200, headers, body: ReplyBody::Bytes(body) }
    }

    pub(super) fn xml(body: Vec<u8>) -> Self {
        Self::ok(vec![("Content-Type".into(), "application/xml".into())], body)
    }

    fn error(error: &S3Error) -> Self {
        let reply = Self::xml(error.body());
        Self { status: error.status, headers: [reply.headers, error.headers.clone()].concat(), ..reply }
    }
}

/// What an answer tells of an object or a part.
pub(super) struct Shown {
    etag: Option<String>,
    checksum: Option<Checksum>,
}

impl Shown {
    pub(super) fn new(etag: Option<String>, checksum: Option<Checksum>) -> Self {
        Self { etag, checksum }
    }

    /// As the call's fault wants it told.
    pub(super) fn distorted(self, call: &Call) -> Self {
        match &call.fault {
            Some(S3Fault::WrongChecksumInReply) => Self { checksum: self.checksum.map(|c| c.falsified()), ..self },
            Some(S3Fault::NoChecksumInReply) => Self { checksum: None, ..self },
            Some(S3Fault::NoEtagInReply) => Self { etag: None, ..self },
            Some(S3Fault::WrongEtagInReply) => {
                let other = |etag: String| format!("{}{}", if etag.starts_with('0') { '1' } else { '0' }, &etag[1..]);
                Self { etag: self.etag.map(other), ..self }
            }
            _ => self,
        }
    }

    pub(super) fn headers(&self) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        headers.extend(self.etag.as_ref().map(|etag| ("ETag".to_owned(), format!("\"{etag}\""))));
        if let Some(checksum) = &self.checksum {
            headers.push((checksum.algorithm.header(), checksum.value.clone()));
            headers.push(("x-amz-checksum-type".into(), checksum.kind().into()));
        }
        headers
    }

    /// The same in a document about a part.
    pub(super) fn part_elements(&self) -> String {
        let etag = self.etag.as_ref().map(|etag| tag("ETag", &format!("\"{etag}\"")));
        let checksum = self.checksum.as_ref().map(|c| tag(&format!("Checksum{}", c.algorithm.name()), &c.value));
        [etag, checksum].into_iter().flatten().collect()
    }

    /// The same in a document about an object.
    pub(super) fn elements(&self) -> String {
        let kind = self.checksum.as_ref().map(|c| tag("ChecksumType", c.kind()));
        self.part_elements() + &kind.unwrap_or_default()
    }
}

pub(super) fn answer(state: &State, exchange: &mut Exchange<'_>) -> io::Result<After> {
    let counted = state.enter();
    let parsed = Call::of(&exchange.head, &state.addressing);
    let mut call = parsed.clone().unwrap_or_else(|_| Call {
        op: S3Op::Other,
        bucket: String::new(),
        key: String::new(),
        query: Vec::new(),
        fault: None,
    });
    let index = state.arrived(&exchange.head, &call);
    call.fault = state.fault_for(&call, &exchange.head);
    let answered = match parsed {
        Err(error) => Ok(Reply::error(&error)),
        Ok(_) if state.quirks.throttle_above.is_some_and(|most| counted.among > most) => {
            Ok(Reply::error(&S3Error::new(503, "SlowDown", "Please reduce your request rate.")))
        }
        Ok(_) => {
            exchange.sleep(state.latency);
            match before(exchange, &call) {
                Some(after) => {
                    state.finished(index, 0, exchange.body_bytes);
                    return Ok(after);
                }
                None => perform(state, exchange, &call),
            }
        }
    };
    let Ok(reply) = answered else {
        state.finished(index, 0, exchange.body_bytes);
        return Ok(After::Cut);
    };
    if matches!(call.fault, Some(S3Fault::ResetAfterCommit)) {
        // What is left of the body goes first, or the reset could come before the client has sent it.
        let _ = exchange.drain(u64::MAX);
        state.finished(index, 0, exchange.body_bytes);
        return Ok(After::Reset);
    }
    if matches!(call.fault, Some(S3Fault::Vanish)) && reply.status < 300 {
        object::forget(state, &call);
    }
    // Told before it is sent: a test may look as soon as its client has the answer.
    state.finished(index, reply.status, exchange.body_bytes);
    let headers = [vec![("x-amz-request-id".to_owned(), "SANDBOX".to_owned())], reply.headers].concat();
    let after = match reply.body {
        ReplyBody::Bytes(body) => exchange.respond(reply.status, &headers, &body),
        ReplyBody::File(file) => {
            exchange.begin(reply.status, &headers)?;
            send_file(exchange, file, call.fault.as_ref())
        }
    };
    state.finished(index, reply.status, exchange.body_bytes);
    after
}

fn send_file(exchange: &mut Exchange<'_>, file: io::Take<File>, fault: Option<&S3Fault>) -> io::Result<After> {
    let length = file.limit();
    let cut = match fault {
        Some(S3Fault::CutReply { after }) => *after,
        _ => length,
    };
    let mut flip = match fault {
        Some(S3Fault::FlipByte(flip)) => Some(flip.in_body_of(length)),
        _ => None,
    };
    let mut file = file.take(cut);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(if cut < length { After::Cut } else { exchange.after() }),
            got => {
                flip.iter_mut().for_each(|flip| flip.pass(&mut buffer[..got]));
                exchange.send(&buffer[..got])?;
            }
        }
    }
}

/// Faults that begin before the request's body is read. `Some`: no proper answer is due any more.
fn before(exchange: &mut Exchange<'_>, call: &Call) -> Option<After> {
    match call.fault.as_ref()? {
        S3Fault::Delay(time) => {
            exchange.sleep(*time);
            None
        }
        S3Fault::ResetBefore => Some(After::Reset),
        S3Fault::ResetWithinBody { after } => {
            let _ = exchange.drain(*after);
            Some(After::Reset)
        }
        S3Fault::Stall => {
            let _ = exchange.drain(u64::MAX);
            Some(exchange.stall())
        }
        S3Fault::EndlessReply { status } => {
            let _ = exchange.drain(u64::MAX);
            // It ends when the client, or the server itself, closes the connection.
            let _ = exchange.respond_endlessly(*status);
            Some(After::Cut)
        }
        S3Fault::FlipByte(flip) if call.op != S3Op::GetObject => {
            exchange.flip(*flip);
            None
        }
        _ => None,
    }
}

fn perform(state: &State, exchange: &mut Exchange<'_>, call: &Call) -> Result<Reply, Failure> {
    match try_perform(state, exchange, call) {
        Err(Failure::Refused(mut error)) => {
            if state.quirks.invalid_digest && error.code == "BadDigest" {
                "InvalidDigest".clone_into(&mut error.code);
            }
            Ok(Reply::error(&error))
        }
        other => other,
    }
}

fn try_perform(state: &State, exchange: &mut Exchange<'_>, call: &Call) -> Result<Reply, Failure> {
    match &call.fault {
        Some(S3Fault::Status { code, s3_code, retry_after }) => {
            let mut error = S3Error::new(*code, s3_code, "scripted");
            error.headers.extend(retry_after.clone().map(|value| ("Retry-After".to_owned(), value)));
            return Err(error.into());
        }
        Some(S3Fault::ErrorIn200 { s3_code }) => {
            let error = S3Error::new(200, s3_code, "scripted");
            return Err(error.into());
        }
        Some(S3Fault::DropBodyButAnswer200) => {
            // The ETag of nothing, as a server makes it that hashes after it lost the body.
            let etag = Some("d41d8cd98f00b204e9800998ecf8427e".to_owned());
            return Ok(Reply::ok(Shown::new(etag, None).headers(), Vec::new()));
        }
        _ => {}
    }
    let signer = lock(&state.signer).clone();
    let signed = Signed::check(&exchange.head, &signer)?;
    bucket::owned_as_expected(state, &exchange.head)?;
    let denied = || Failure::from(S3Error::new(403, "AccessDenied", "Access Denied"));
    match call.op {
        S3Op::HeadBucket | S3Op::ListObjectsV2 | S3Op::ListMultipartUploads if state.quirks.list_denied => {
            Err(denied())
        }
        S3Op::HeadObject if state.quirks.head_object_denied => Err(denied()),
        S3Op::HeadBucket => bucket::head(state, exchange, call, &signed),
        S3Op::ListObjectsV2 => bucket::list(state, exchange, call, &signed),
        S3Op::PutObject => object::put(state, exchange, call, &signed),
        S3Op::HeadObject => object::head(state, exchange, call, &signed),
        S3Op::GetObject => object::get(state, exchange, call, &signed),
        S3Op::GetObjectTagging => object::tagging(state, exchange, call, &signed),
        S3Op::DeleteObject => object::delete(state, exchange, call, &signed),
        S3Op::CreateMultipartUpload => multipart::create(state, exchange, call, &signed),
        S3Op::UploadPart => multipart::put_part(state, exchange, call, &signed),
        S3Op::CompleteMultipartUpload => complete::complete(state, exchange, call, &signed),
        S3Op::AbortMultipartUpload => multipart::abort(state, exchange, call, &signed),
        S3Op::ListMultipartUploads => multipart::list_uploads(state, exchange, call, &signed),
        S3Op::ListParts => multipart::list_parts(state, exchange, call, &signed),
        S3Op::Other => {
            let message = "A header or query you provided implies functionality that is not implemented";
            Err(S3Error::new(501, "NotImplemented", message).into())
        }
    }
}
