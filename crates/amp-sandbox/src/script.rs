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
pub(crate) fn duration(text: &str) -> Result<Duration, ParseError> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count: u64 = number(digits)?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(count)),
        "s" | "" => Ok(Duration::from_secs(count)),
        "m" => Ok(Duration::from_secs(count * 60)),
        unit => Err(ParseError(format!("`{unit}` is no unit of time; expected ms, s or m"))),
    }
}

pub(crate) fn unknown(what: &str, word: &str, expected: &str) -> ParseError {
    ParseError(format!("`{word}` is no {what}; expected one of {expected}"))
}
