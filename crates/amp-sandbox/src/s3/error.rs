//! Refusals, in S3's own words.

use std::io;

use crate::xml;

/// An error document.
#[derive(Debug, Clone)]
pub(super) struct S3Error {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) headers: Vec<(String, String)>,
}

/// Why a call has no proper answer.
#[derive(Debug)]
pub(super) enum Failure {
    Refused(S3Error),
    /// The client went away in the middle of its request.
    Gone,
}

impl S3Error {
    pub(super) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into(), headers: Vec::new() }
    }

    pub(super) fn bad_digest(what: &str) -> Self {
        Self::new(400, "BadDigest", format!("The {what} you specified did not match the calculated checksum."))
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidRequest", message)
    }

    pub(super) fn body(&self) -> Vec<u8> {
        let inner =
            [xml::tag("Code", &self.code), xml::tag("Message", &self.message), xml::tag("RequestId", "SANDBOX")];
        xml::document("Error", &inner.concat())
    }
}

impl From<S3Error> for Failure {
    fn from(error: S3Error) -> Self {
        Self::Refused(error)
    }
}

/// A failure of the disk; failures of the socket are told apart where they arise.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Refused(S3Error::new(500, "InternalError", error.to_string()))
    }
}
