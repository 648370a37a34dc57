//! What the Export API can be made to do wrong, and how that is written.

use std::num::NonZero;
use std::time::Duration;

use crate::script::{self, Options, Pairs};
use crate::time::{Hour, ParseError, Window};

/// Their names.
pub(super) const FAULTS: &str = "status, no-data, foreign-404, invalid-key, text, html, empty, redirect, date, delay, archive-of, foreign-hour, \
                      undated, ending, recut, rows, cut, short, flip, drip, endless, stall, reset";

/// What goes wrong. Those about archive and body leave 404, 401 and the like as they are.
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
    /// This status, with a body that comes at so many bytes a second and has no end.
    DrippingStatus {
        /// Status code.
        code: u16,
        /// Bytes a second.
        per_second: u64,
    },
    /// 404 in Amplitude's own words, though there may be data.
    NoData,
    /// 404 with a page of HTML, as a proxy sends where it knows no such path.
    ForeignNotFound,
    /// 403 in Amplitude's own words, as for a key that was revoked.
    InvalidKey,
    /// 200 with a line of text, as when a limit of requests is reached.
    Text {
        /// The line.
        message: String,
        /// The `Retry-After`, in seconds.
        retry_after: Option<u32>,
    },
    /// The right answer, with a `Date` that is off by so many seconds.
    Date {
        /// Seconds; negative if it is behind.
        seconds: i64,
    },
    /// The archive of another window, as from a cache that ignores the query.
    ArchiveOf(Window),
    /// The right archive, and in it a member of that hour, too.
    ForeignHour(Hour),
    /// All events of the window in one member whose name is `events.json.gz`.
    Undated,
    /// Members whose names end in something else than `.json.gz`.
    Ending {
        /// Such as `.avro`.
        ending: String,
        /// Only the members of this part of an hour.
        part: Option<u32>,
    },
    /// Each hour's rows dealt out to so many parts.
    Recut(u32),
    /// So many rows more in each hour, or fewer.
    Rows(i64),
    /// The body at so many bytes a second.
    Drip {
        /// Bytes a second.
        per_second: u64,
    },
    /// The archive, and without an end the same bytes again.
    Endless,
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

    /// The fault and its options, without the conditions.
    pub(super) fn parse(words: &Pairs<'_>) -> Result<Self, ParseError> {
        let Some(((name, value), options)) = words.split_first() else {
            return Err(ParseError("there is no fault after the colon".to_owned()));
        };
        let mut options = Options { of: name, left: options.to_vec() };
        let fault = match (*name, *value) {
            ("status", code) => {
                let code = script::number(code)?;
                match options.take("drip") {
                    Some(rate) => Self::DrippingStatus { code, per_second: script::size(rate)? },
                    None => Self::Status {
                        code,
                        headers: options
                            .take("retry-after")
                            .map(|v| ("Retry-After".to_owned(), v.to_owned()))
                            .into_iter()
                            .collect(),
                        body: options.take("body").map(str::to_owned),
                    },
                }
            }
            ("no-data", "") => Self::NoData,
            ("foreign-404", "") => Self::ForeignNotFound,
            ("invalid-key", "") => Self::InvalidKey,
            ("text", message) => Self::Text {
                message: if message.is_empty() {
                    "Exceeded rate limit. Please try again later.".into()
                } else {
                    message.into()
                },
                retry_after: options.take("retry-after").map(script::number).transpose()?,
            },
            ("html", "") => Self::Html,
            ("empty", "") => Self::EmptyBody,
            ("redirect", to) => {
                Self::Redirect { to: to.to_owned(), code: options.take("code").map_or(Ok(307), script::number)? }
            }
            ("date", offset) => Self::Date { seconds: script::seconds(offset)? },
            ("delay", time) => Self::Delay(script::duration(time)?),
            ("archive-of", window) => Self::ArchiveOf(window.parse()?),
            ("foreign-hour", hour) => Self::ForeignHour(hour.parse()?),
            ("undated", "") => Self::Undated,
            ("ending", ending) => {
                Self::Ending { ending: ending.to_owned(), part: options.take("part").map(script::number).transpose()? }
            }
            ("recut", parts) => Self::Recut(script::number::<NonZero<u32>>(parts)?.get()),
            ("rows", count) => Self::Rows(script::number(count)?),
            ("cut", after) => Self::CutBody { after: script::number(after)? },
            ("short", after) => Self::ShortBody { after: script::number(after)? },
            ("flip", at) => {
                let mask = options.take("mask").map_or(Ok(0xFF), script::number)?;
                Self::FlipByte { at: script::number(at)?, mask }
            }
            ("drip", rate) => Self::Drip { per_second: script::size(rate)? },
            ("endless", "") => Self::Endless,
            ("stall", "") => Self::StallBeforeHeaders,
            ("stall", after) => Self::Stall { after: script::number(after)? },
            ("reset", "") => Self::Reset { after: 0 },
            ("reset", after) => Self::Reset { after: script::number(after)? },
            (other, _) => return Err(script::unknown("fault", other, FAULTS)),
        };
        options.end()?;
        Ok(fault)
    }
}
