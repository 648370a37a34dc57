//! What the two fault scripts have in common: `conditions:fault,options`, numbers counted from 1.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::time::ParseError;

/// `name=value` pairs; a lone word is a name with an empty value.
pub(crate) type Pairs<'a> = Vec<(&'a str, &'a str)>;

/// Splits a rule at its first colon into conditions and fault with its options.
pub(crate) fn split(rule: &str) -> Result<(Pairs<'_>, Pairs<'_>), ParseError> {
    let (conditions, fault) = rule
        .split_once(':')
        .ok_or_else(|| ParseError(format!("`{rule}` has no colon; expected e.g. `req=1:status=503`, `:status=503`")))?;
    let pairs = |text| -> Pairs<'_> {
        let words = str::split(text, ',').map(str::trim).filter(|word| !word.is_empty());
        words.map(|word| word.split_once('=').unwrap_or((word, ""))).collect()
    };
    Ok((pairs(conditions), pairs(fault)))
}

pub(crate) fn number<T: FromStr>(text: &str) -> Result<T, ParseError> {
    text.parse().map_err(|_| ParseError(format!("`{text}` is no number that fits here")))
}

/// `3`, `1-2` or `3-` (from the third on).
pub(crate) fn range(text: &str) -> Result<RangeInclusive<u32>, ParseError> {
    Ok(match text.split_once('-') {
        Some((from, "")) => number(from)?..=u32::MAX,
        Some((from, to)) => number(from)?..=number(to)?,
        None => number(text)?..=number(text)?,
    })
}

/// `2s`, `500ms`, `1m`.
///
/// # Errors
/// When it is not a length of time.
pub fn duration(text: &str) -> Result<Duration, ParseError> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count: u64 = number(digits)?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(count)),
        "s" | "" => Ok(Duration::from_secs(count)),
        "m" => Ok(Duration::from_secs(count * 60)),
        unit => Err(ParseError(format!("`{unit}` is no unit of time; expected ms, s or m"))),
    }
}

/// `-90`, `+2h`, `-1d`: seconds, or with a unit.
pub(crate) fn seconds(text: &str) -> Result<i64, ParseError> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count: i64 = number(digits)?;
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        unit => return Err(ParseError(format!("`{unit}` is not a unit of time; expected s, m, h or d"))),
    };
    count.checked_mul(unit).ok_or_else(|| ParseError(format!("`{text}` is too large")))
}

/// `1000`, `64K`, `3M`, `1G`: bytes, in steps of 1024. Zero is refused.
///
/// # Errors
/// When it is not one.
pub fn size(text: &str) -> Result<u64, ParseError> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count: u64 = number(digits)?;
    let unit = match text[digits.len()..].to_ascii_uppercase().trim_end_matches('B').trim_end_matches('I') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        unit => return Err(ParseError(format!("`{unit}` is not a unit of size; expected K, M or G"))),
    };
    count.checked_mul(1 << unit).filter(|bytes| *bytes > 0).ok_or_else(|| ParseError(format!("`{text}` is not a size")))
}

/// The options of a fault, each of which must be taken.
pub(crate) struct Options<'a> {
    /// The fault's name.
    pub(crate) of: &'a str,
    pub(crate) left: Pairs<'a>,
}

impl<'a> Options<'a> {
    /// The option's value, if it is given.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a str> {
        let at = self.left.iter().position(|(option, _)| *option == name)?;
        Some(self.left.remove(at).1)
    }

    /// Refuses options that were not taken.
    pub(crate) fn end(self) -> Result<(), ParseError> {
        match self.left.first() {
            Some((option, _)) => Err(ParseError(format!("`{}` has no option `{option}`", self.of))),
            None => Ok(()),
        }
    }
}

pub(crate) fn unknown(what: &str, word: &str, expected: &str) -> ParseError {
    ParseError(format!("`{word}` is no {what}; expected one of {expected}"))
}
