//! The fault script of S3.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::call::S3Op;
use crate::flip::Flip;
use crate::http::Head;
use crate::script;
use crate::time::ParseError;

/// What goes wrong, and when. The first rule that applies to a request decides.
///
/// As text: conditions, a colon, the fault. Conditions are `op=PutObject`, `key=text` (the key contains it),
/// `header=x-amz-tagging` (it has that header), `nth=1-2` (of those that match), `times=2`. Faults are `status=503` (with `,code=SlowDown`, `,retry-after=2`), `delay=2s`,
/// `reset` (before the body is read), `reset=1000` (within it), `lost-reply`, `stall`, `wrong-checksum`, `wrong-etag`, `no-checksum`,
/// `no-etag`, `drop-body`, `truncate`, `error-in-200` (with `,code=InternalError`), `flip=100` (the byte at that place, from the
/// end if negative; with `,mask=1` only these bits), `damage=100` (likewise, on the disk), `vanish`, `cut=1000`, `endless` (with status 200),
/// `endless=503`.
///
/// ```
/// use amp_sandbox::s3::{S3Op, S3Rule};
///
/// let rule: S3Rule = "op=PutObject,nth=1-2:status=503,code=SlowDown".parse()?;
/// assert_eq!(rule.op, Some(S3Op::PutObject));
/// # Ok::<(), amp_sandbox::time::ParseError>(())
/// ```
#[derive(Debug, Clone)]
pub struct S3Rule {
    /// Only this operation.
    pub op: Option<S3Op>,
    /// Only keys that contain it.
    pub key_contains: Option<String>,
    /// Only those with that header, as a policy may deny what it asks for.
    pub header: Option<String>,
    /// Only these of the requests that match, counted from 1 and from when the rule was added.
    pub nth: Option<RangeInclusive<u32>>,
    /// Only so many times.
    pub times: Option<u32>,
    /// What happens to them.
    pub fault: S3Fault,
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum S3Fault {
    /// This error instead of the right answer.
    Status {
        /// Status code.
        code: u16,
        /// S3's name of the error, such as `SlowDown`.
        s3_code: String,
        /// Seconds, as a `Retry-After` header.
        retry_after: Option<String>,
    },
    /// The right answer, late.
    Delay(Duration),
    /// The connection is reset before the body is read.
    ResetBefore,
    /// The connection is reset within the request body.
    ResetWithinBody {
        /// Bytes read before.
        after: u64,
    },
    /// All is done as asked, but the connection is reset instead of an answer.
    ResetAfterCommit,
    /// The request is read, nothing is done, no answer comes.
    Stall,
    /// The answer's checksum is another than the stored one.
    WrongChecksumInReply,
    /// The answer's ETag is another than the stored one.
    WrongEtagInReply,
    /// The answer has no checksum.
    NoChecksumInReply,
    /// The answer has no ETag.
    NoEtagInReply,
    /// 200 with an ETag, as look-alikes do that lost the body; nothing is stored.
    DropBodyButAnswer200,
    /// One byte of the request's body is another when it comes, as a bad memory or network makes it; of GetObject, one of
    /// the answer's. What checks its requests refuses it then; what does not stores and confirms it.
    FlipByte(Flip),
    /// One byte is another on the disk. Answer, ETag and checksum are those of the right bytes.
    DamageStored(Flip),
    /// All is done and answered as asked, then the object is gone.
    Vanish,
    /// The answer to GetObject ends after so many bytes of the body.
    CutReply {
        /// Bytes sent.
        after: u64,
    },
    /// The request is read, nothing is done, and the answer never ends.
    EndlessReply {
        /// Its status.
        status: u16,
    },
    /// Half of the body is stored; answer, ETag and checksum are those of that half.
    TruncateStored,
    /// 200 whose document is an error, as S3 answers to CompleteMultipartUpload when it fails late. Nothing is done.
    ErrorIn200 {
        /// S3's name of the error.
        s3_code: String,
    },
}

impl S3Fault {
    /// An error of that status and name.
    pub fn status(code: u16, s3_code: &str) -> Self {
        Self::Status { code, s3_code: s3_code.to_owned(), retry_after: None }
    }
}

impl S3Rule {
    /// Applies to every request.
    pub fn always(fault: S3Fault) -> Self {
        Self { op: None, key_contains: None, header: None, nth: None, times: None, fault }
    }

    /// Applies to every request for this operation.
    pub fn on(op: S3Op, fault: S3Fault) -> Self {
        Self { op: Some(op), ..Self::always(fault) }
    }

    /// Only those whose key contains the text.
    pub fn key_contains(mut self, text: &str) -> Self {
        self.key_contains = Some(text.to_owned());
        self
    }

    /// Only these of the requests that match.
    pub fn nth(mut self, numbers: RangeInclusive<u32>) -> Self {
        self.nth = Some(numbers);
        self
    }

    /// Only so many times.
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }
}

/// A rule and its counts.
pub(super) struct Scripted {
    pub(super) rule: S3Rule,
    seen: u32,
    pub(super) used: u32,
}

impl Scripted {
    pub(super) fn new(rule: S3Rule) -> Self {
        Self { rule, seen: 0, used: 0 }
    }

    /// Counts the request if it matches, and says whether the fault is due.
    pub(super) fn sees(&mut self, op: S3Op, key: &str, head: &Head) -> bool {
        let rule = &self.rule;
        let matches = rule.op.is_none_or(|wanted| wanted == op)
            && rule.key_contains.as_ref().is_none_or(|text| key.contains(text.as_str()))
            && rule.header.as_ref().is_none_or(|name| head.header(name).is_some());
        self.seen += u32::from(matches);
        matches
            && rule.nth.as_ref().is_none_or(|numbers| numbers.contains(&self.seen))
            && rule.times.is_none_or(|times| self.used < times)
    }
}

impl FromStr for S3Rule {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (conditions, fault) = script::split(text)?;
        let Some(((name, value), options)) = fault.split_first() else {
            return Err(ParseError(format!("`{text}` names no fault")));
        };
        let option = |wanted: &str| options.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
        if let Some((other, _)) = options.iter().find(|(name, _)| !["code", "retry-after", "mask"].contains(name)) {
            return Err(script::unknown("option of a fault", other, "code, retry-after, mask"));
        }
        let flip = |at| -> Result<Flip, ParseError> {
            Ok(Flip { at: script::number(at)?, mask: option("mask").map_or(Ok(0xFF), script::number)? })
        };
        let s3_code = || option("code").unwrap_or("InternalError").to_owned();
        let fault = match (*name, *value) {
            ("status", code) => S3Fault::Status {
                code: script::number(code)?,
                s3_code: s3_code(),
                retry_after: option("retry-after").map(str::to_owned),
            },
            ("delay", time) => S3Fault::Delay(script::duration(time)?),
            ("reset", "") => S3Fault::ResetBefore,
            ("reset", after) => S3Fault::ResetWithinBody { after: script::number(after)? },
            ("lost-reply", "") => S3Fault::ResetAfterCommit,
            ("stall", "") => S3Fault::Stall,
            ("wrong-checksum", "") => S3Fault::WrongChecksumInReply,
            ("wrong-etag", "") => S3Fault::WrongEtagInReply,
            ("no-checksum", "") => S3Fault::NoChecksumInReply,
            ("no-etag", "") => S3Fault::NoEtagInReply,
            ("drop-body", "") => S3Fault::DropBodyButAnswer200,
            ("truncate", "") => S3Fault::TruncateStored,
            ("flip", at) => S3Fault::FlipByte(flip(at)?),
            ("damage", at) => S3Fault::DamageStored(flip(at)?),
            ("vanish", "") => S3Fault::Vanish,
            ("cut", after) => S3Fault::CutReply { after: script::number(after)? },
            ("endless", "") => S3Fault::EndlessReply { status: 200 },
            ("endless", status) => S3Fault::EndlessReply { status: script::number(status)? },
            ("error-in-200", "") => S3Fault::ErrorIn200 { s3_code: s3_code() },
            (other, _) => {
                let expected = "status, delay, reset, lost-reply, stall, wrong-checksum, wrong-etag, no-checksum, \
                                no-etag, drop-body, truncate, error-in-200, flip, damage, vanish, cut, endless";
                return Err(script::unknown("fault", other, expected));
            }
        };
        let mut rule = Self::always(fault);
        for (name, value) in conditions {
            match name {
                "op" => {
                    let op = S3Op::ALL.into_iter().find(|op| format!("{op:?}").eq_ignore_ascii_case(value));
                    rule.op = Some(op.ok_or_else(|| ParseError(format!("`{value}` is no operation served here")))?);
                }
                "key" => rule.key_contains = Some(value.to_owned()),
                "header" => rule.header = Some(value.to_owned()),
                "nth" => rule.nth = Some(script::range(value)?),
                "times" => rule.times = Some(script::number(value)?),
                other => return Err(script::unknown("condition", other, "op, key, header, nth, times")),
            }
        }
        Ok(rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_counts_only_what_it_matches() {
        let mut rule = Scripted::new("op=putobject,key=_9#,nth=2:status=503,code=SlowDown".parse().unwrap());
        let put = S3Op::PutObject;
        let plain = head(&[]);
        assert!(!rule.sees(put, "a_9#0", &plain));
        assert!(!rule.sees(put, "a_8#0", &plain));
        assert!(!rule.sees(S3Op::HeadObject, "a_9#0", &plain));
        assert!(rule.sees(put, "a_9#1", &plain));
        assert!(!rule.sees(put, "a_9#2", &plain));
    }

    #[test]
    fn a_rule_may_be_about_a_header() {
        let mut rule = Scripted::new("header=x-amz-tagging:status=403,code=AccessDenied".parse().unwrap());
        assert!(rule.sees(S3Op::PutObject, "a", &head(&["X-Amz-Tagging"])));
        assert!(!rule.sees(S3Op::PutObject, "a", &head(&["x-amz-acl"])));
    }

    fn head(headers: &[&str]) -> Head {
        let headers = headers.iter().map(|name| ((*name).to_owned(), String::new())).collect();
        Head { method: "PUT".to_owned(), target: "/".to_owned(), headers, http11: true }
    }

    #[test]
    fn a_rule_that_makes_no_sense_is_refused() {
        for bad in ["op=Fly:stall", ":", ":fly", "stall", ":status=503,body=x", "who=me:stall"] {
            assert!(bad.parse::<S3Rule>().is_err(), "{bad}");
        }
        assert!(":stall".parse::<S3Rule>().is_ok());
    }
}
