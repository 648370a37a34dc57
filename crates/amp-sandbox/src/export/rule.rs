//! The fault script of the Export API.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::script;
use crate::time::{ParseError, Window};

/// What goes wrong, and when. The first rule that applies to a request decides.
///
/// As text: conditions, a colon, the fault. Conditions are `req=1-2`, `hour=2025-11-06T04` (or a day, or a range
/// `A..B`: any window that overlaps it), `window=A..B` (exactly it), `times=2`. Faults are `status=503`
/// (with `,retry-after=2`, `,body=text`), `delay=2s`, `cut=1000`, `short=1000`, `flip=-10` (with `,mask=255`), `stall`,
/// `stall=1000`, `reset=1000`, `html`, `empty`, `redirect=URL` (with `,code=307`).
///
/// ```
/// use amp_sandbox::export::{Fault, Rule};
///
/// let rule: Rule = "req=1-2:status=503,retry-after=1".parse()?;
/// assert!(matches!(rule.fault, Fault::Status { code: 503, .. }));
/// # Ok::<(), amp_sandbox::time::ParseError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Rule {
    /// Which requests it applies to.
    pub on: When,
    /// What happens to them.
    pub fault: Fault,
}

/// All the conditions that are given must hold; without any it is every request.
#[derive(Debug, Clone, Default)]
pub struct When {
    /// Numbers of requests over the server's life, from 1.
    pub request: Option<RangeInclusive<u32>>,
    /// The window asked for.
    pub hours: Option<Hours>,
    /// Only so many times.
    pub times: Option<u32>,
}

/// A condition on the window asked for.
#[derive(Debug, Clone, Copy)]
pub enum Hours {
    /// It shares an hour with this one.
    Overlap(Window),
    /// It is this one.
    Exactly(Window),
}

/// What goes wrong. Those about the body leave 404, 401 and the like as they are.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This answer instead of the right one, before credentials are looked at.
    Status {
        /// Status code.
        code: u16,
        /// Further headers, such as `Retry-After`.
        headers: Vec<(String, String)>,
        /// The body; a line of JSON if not given.
        body: Option<String>,
    },
    /// The right answer, late.
    Delay(Duration),
    /// The body ends early, and its framing shows it (save where the end of the connection is the framing).
    CutBody {
        /// Bytes sent.
        after: u64,
    },
    /// The body ends early, and its framing says that this is all.
    ShortBody {
        /// Bytes sent.
        after: u64,
    },
    /// One byte of the body is another.
    FlipByte {
        /// Its position; from the end if negative (-1 is the last).
        at: i64,
        /// The bits that change.
        mask: u8,
    },
    /// No byte more, and no end.
    Stall {
        /// Bytes sent.
        after: u64,
    },
    /// No byte at all, and no end.
    StallBeforeHeaders,
    /// The connection is reset.
    Reset {
        /// Bytes sent; with 0 not even a header.
        after: u64,
    },
    /// 200 with a page of HTML, as proxies and login portals send.
    Html,
    /// 200 with nothing.
    EmptyBody,
    /// Go elsewhere.
    Redirect {
        /// The `Location`.
        to: String,
        /// 301, 302, 307 or 308.
        code: u16,
    },
}

impl Fault {
    /// A bare status.
    pub fn status(code: u16) -> Self {
        Self::Status { code, headers: Vec::new(), body: None }
    }
}

impl Rule {
    /// A rule from its halves.
    pub fn new(on: When, fault: Fault) -> Self {
        Self { on, fault }
    }

    /// Applies to every request.
    pub fn always(fault: Fault) -> Self {
        Self { on: When::default(), fault }
    }

    pub(super) fn applies(&self, request: u32, window: Option<Window>, used: u32) -> bool {
        let on = &self.on;
        on.request.as_ref().is_none_or(|numbers| numbers.contains(&request))
            && on.times.is_none_or(|times| used < times)
            && match (on.hours, window) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(Hours::Overlap(hours)), Some(window)) => hours.overlaps(window),
                (Some(Hours::Exactly(hours)), Some(window)) => hours == window,
            }
    }
}

impl FromStr for Rule {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (conditions, fault) = script::split(text)?;
        let mut on = When::default();
        for (name, value) in conditions {
            match name {
                "req" | "request" => on.request = Some(script::range(value)?),
                "hour" | "hours" | "date" => on.hours = Some(Hours::Overlap(value.parse()?)),
                "window" => on.hours = Some(Hours::Exactly(value.parse()?)),
                "times" => on.times = Some(script::number(value)?),
                other => return Err(script::unknown("condition", other, "req, hour, window, times")),
            }
        }
        let Some(((name, value), options)) = fault.split_first() else {
            return Err(ParseError(format!("`{text}` names no fault")));
        };
        let option = |wanted: &str| options.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
        let known = ["retry-after", "body", "mask", "code"];
        if let Some((other, _)) = options.iter().find(|(name, _)| !known.contains(name)) {
            return Err(script::unknown("option of a fault", other, "retry-after, body, mask, code"));
        }
        let fault = match (*name, *value) {
            ("status", code) => Fault::Status {
                code: script::number(code)?,
                headers: option("retry-after").map(|v| ("Retry-After".to_owned(), v.to_owned())).into_iter().collect(),
                body: option("body").map(str::to_owned),
            },
            ("delay", time) => Fault::Delay(script::duration(time)?),
            ("cut", after) => Fault::CutBody { after: script::number(after)? },
            ("short", after) => Fault::ShortBody { after: script::number(after)? },
            ("flip", at) => {
                let mask = option("mask").map_or(Ok(0xFF), script::number)?;
                Fault::FlipByte { at: script::number(at)?, mask }
            }
            ("stall", "") => Fault::StallBeforeHeaders,
            ("stall", after) => Fault::Stall { after: script::number(after)? },
            ("reset", "") => Fault::Reset { after: 0 },
            ("reset", after) => Fault::Reset { after: script::number(after)? },
            ("html", "") => Fault::Html,
            ("empty", "") => Fault::EmptyBody,
            ("redirect", to) => {
                Fault::Redirect { to: to.to_owned(), code: option("code").map_or(Ok(307), script::number)? }
            }
            (other, _) => {
                let expected = "status, delay, cut, short, flip, stall, reset, html, empty, redirect";
                return Err(script::unknown("fault", other, expected));
            }
        };
        Ok(Self { on, fault })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_from_its_short_form() {
        let rule: Rule = "req=1-2,times=1:status=503,retry-after=7".parse().unwrap();
        assert!(rule.applies(2, None, 0) && !rule.applies(3, None, 0) && !rule.applies(1, None, 1));
        assert!(matches!(&rule.fault, Fault::Status { code: 503, headers, .. } if headers[0].1 == "7"));
        let rule: Rule = "hour=2025-11-06T04:flip=-10,mask=1".parse().unwrap();
        let day = "2025-11-06".parse().ok();
        assert!(rule.applies(9, day, 5) && !rule.applies(9, "2025-11-07".parse().ok(), 0));
        assert!(matches!(rule.fault, Fault::FlipByte { at: -10, mask: 1 }));
        let rule: Rule = "window=2025-11-06:stall".parse().unwrap();
        assert!(rule.applies(1, day, 0) && !rule.applies(1, "2025-11-06T04".parse().ok(), 0));
        assert!(
            matches!(":redirect=http://127.0.0.1:1/x".parse::<Rule>().unwrap().fault, Fault::Redirect { to, .. } if to.ends_with("1/x"))
        );
    }

    #[test]
    fn a_rule_that_makes_no_sense_is_refused_with_what_is_expected() {
        for bad in ["status=503", ":", ":explode", "req=x:html", "when=now:html", ":status=503,retry=1", ":delay=5y"] {
            assert!(bad.parse::<Rule>().is_err(), "{bad}");
        }
    }
}
