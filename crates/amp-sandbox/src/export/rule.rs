//! The fault script of the Export API.

use std::ops::RangeInclusive;
use std::str::FromStr;

use super::fault::Fault;
use crate::script;
use crate::time::{ParseError, Window};

/// How rules are written, for people.
pub const GRAMMAR: &str = "\
A fault of the Export API is CONDITIONS:FAULT; the first rule whose conditions all hold decides, without conditions every time.

Conditions, separated by commas:
  req=3, req=1-2, req=3-     by the request's number, from 1
  hour=2025-11-06T04         its window has hours of this one (an hour, a day, or A..B of either)
  window=2025-11-06          its window is this one
  key=KEY                    it came with this API key
  times=2                    only so many times

Answers instead of the right one:
  status=503                 with ,retry-after=2 or ,body=TEXT; with ,drip=1 a body of so many bytes a second, without an end
  no-data                    Amplitude's 404, though there may be data
  foreign-404                a proxy's 404, in HTML
  invalid-key                Amplitude's 403, as for a revoked key
  text, text=MESSAGE         200 with a line of text; with ,retry-after=2
  html, empty                200 with a page of HTML, 200 with nothing
  redirect=URL               with ,code=302; else 307
  stall, reset               no answer at all; the connection is reset

The right answer, but
  delay=2s                   late
  date=+2h, date=-90         with a Date that is off
  archive-of=2025-11-05      with another window's archive
  foreign-hour=2025-11-05T03 with a member of that hour, too
  undated                    with all events in one member named events.json.gz
  ending=.avro               with members that end so instead of in .json.gz; with ,part=1 those of this part alone
  recut=3                    with each hour's rows dealt out to so many parts
  rows=+5, rows=-5           with so many rows more or fewer an hour
  cut=1000, short=1000       cut after so many bytes; the same, announced as all there is
  flip=-10                   with one byte changed, here the tenth last; with ,mask=1 one bit
  drip=1                     at so many bytes a second
  endless                    without an end
  stall=1000, reset=1000     no more after so many bytes; the connection is reset then";

/// What goes wrong, and when. The first rule that applies to a request decides. As text it is written as [`GRAMMAR`] says.
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
    /// The API key it came with.
    pub key: Option<String>,
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

impl Rule {
    /// A rule from its halves.
    pub fn new(on: When, fault: Fault) -> Self {
        Self { on, fault }
    }

    /// Applies to every request.
    pub fn always(fault: Fault) -> Self {
        Self { on: When::default(), fault }
    }

    /// Whether it applies to the request of that number, key and window, after it was `used` so many times.
    pub(super) fn applies(&self, number: u32, key: Option<&str>, window: Option<Window>, used: u32) -> bool {
        let on = &self.on;
        on.request.as_ref().is_none_or(|numbers| numbers.contains(&number))
            && on.key.as_deref().is_none_or(|wanted| key == Some(wanted))
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
                "key" => on.key = Some(value.to_owned()),
                "times" => on.times = Some(script::number(value)?),
                other => return Err(script::unknown("condition", other, "req, hour, window, key, times")),
            }
        }
        Ok(Self { on, fault: Fault::parse(&fault)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_from_its_short_form() {
        let rule: Rule = "req=1-2,times=1:status=503,retry-after=7".parse().unwrap();
        let day = "2025-11-06".parse().ok();
        assert!(rule.applies(2, None, None, 0) && !rule.applies(3, None, None, 0) && !rule.applies(1, None, None, 1));
        assert!(matches!(&rule.fault, Fault::Status { code: 503, headers, .. } if headers[0].1 == "7"));
        let rule: Rule = "hour=2025-11-06T04:flip=-10,mask=1".parse().unwrap();
        assert!(rule.applies(9, None, day, 5) && !rule.applies(9, None, "2025-11-07".parse().ok(), 0));
        assert!(matches!(rule.fault, Fault::FlipByte { at: -10, mask: 1 }));
        let rule: Rule = "window=2025-11-06..2025-11-06:stall".parse().unwrap();
        assert!(rule.applies(1, None, day, 0) && !rule.applies(1, None, "2025-11-06T04".parse().ok(), 0));
        let rule: Rule = "key=old,req=3-:invalid-key".parse().unwrap();
        assert!(rule.applies(3, Some("old"), day, 0) && !rule.applies(3, Some("new"), day, 0));
        let fault = |text: &str| text.parse::<Rule>().unwrap().fault;
        assert!(matches!(fault(":redirect=http://127.0.0.1:1/x"), Fault::Redirect { to, .. } if to.ends_with("1/x")));
        assert!(matches!(fault(":date=-2h"), Fault::Date { seconds: -7200 }));
        assert!(matches!(fault(":drip=64K"), Fault::Drip { per_second: 65_536 }));
        assert!(matches!(fault(":rows=+5"), Fault::Rows(5)));
    }

    #[test]
    fn a_rule_that_makes_no_sense_is_refused_with_what_is_expected() {
        for bad in [
            "status=503",
            ":",
            ":explode",
            "req=x:html",
            "when=now:html",
            ":status=503,retry=1",
            ":html,part=1",
            ":delay=5y",
            ":drip=0",
            ":recut=0",
            ":archive-of=yesterday",
            ":no-data=1",
        ] {
            assert!(bad.parse::<Rule>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_fault_is_in_the_grammar() {
        for fault in super::super::fault::FAULTS.split(',').map(str::trim) {
            assert!(GRAMMAR.contains(&format!("  {fault}")) || GRAMMAR.contains(&format!(", {fault}")), "{fault}");
        }
    }
}
