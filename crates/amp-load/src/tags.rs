//! Tags of objects, as S3's `x-amz-tagging` header has them.

use url::form_urlencoded;

/// S3's limits (its documentation, "Categorizing your objects using tags").
const MOST: usize = 10;
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 256;

/// Tags that S3 takes, encoded for its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags(String);

/// Why tags are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TagsError {
    /// A part is no pair.
    #[error("`{0}` is not a tag; write k=v&k2=v2")]
    NoPair(String),
    /// A percent sign without its two digits, or bytes that are no UTF-8.
    #[error("`{0}` is not percent-encoded UTF-8; write %25 for a percent sign")]
    Encoding(String),
    /// Too many.
    #[error("{0} tags are more than S3's {MOST}")]
    TooMany(usize),
    /// The same key twice.
    #[error("the tag `{0}` stands twice")]
    Twice(String),
    /// A key of no or too many characters.
    #[error("the tag `{0}` has a key of {1} characters; S3 takes 1 to {LONGEST_KEY}")]
    KeyLength(String, usize),
    /// A value of too many characters.
    #[error("the value of the tag `{0}` has {1} characters; S3 takes {LONGEST_VALUE}")]
    ValueLength(String, usize),
    /// Amazon's own.
    #[error("the tag `{0}` begins with aws:, which is Amazon's own")]
    Reserved(String),
    /// Characters that S3 does not take.
    #[error("the tag `{0}` has a character that S3 does not take; letters, digits, spaces and _.:/=+-@ are allowed")]
    Character(String),
}

impl Tags {
    /// Reads `k=v&k2=v2`, in which `%XX` stands for a byte and `+` for a space, as in a query. What needs no encoding in a shell may stand
    /// as it is.
    ///
    /// # Errors
    /// When S3 would not take them.
    pub fn parse(text: &str) -> Result<Self, TagsError> {
        let pairs = text.split('&').map(pair).collect::<Result<Vec<_>, _>>()?;
        if pairs.len() > MOST {
            return Err(TagsError::TooMany(pairs.len()));
        }
        let mut header = String::new();
        for (index, (key, value)) in pairs.iter().enumerate() {
            if pairs[..index].iter().any(|(earlier, _)| earlier == key) {
                return Err(TagsError::Twice(key.clone()));
            }
            let separator = if index == 0 { "" } else { "&" };
            header.push_str(&format!("{separator}{}={}", encoded(key), encoded(value)));
        }
        Ok(Self(header))
    }

    /// The header's value.
    pub fn header(&self) -> &str {
        &self.0
    }
}

fn pair(text: &str) -> Result<(String, String), TagsError> {
    let (key, value) = text.split_once('=').ok_or_else(|| TagsError::NoPair(text.to_owned()))?;
    let (key, value) = (decoded(key)?, decoded(value)?);
    let allowed = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
    match (key.chars().count(), value.chars().count()) {
        (length, _) if !(1..=LONGEST_KEY).contains(&length) => Err(TagsError::KeyLength(key, length)),
        (_, length) if length > LONGEST_VALUE => Err(TagsError::ValueLength(key, length)),
        _ if key.to_ascii_lowercase().starts_with("aws:") => Err(TagsError::Reserved(key)),
        _ if !key.chars().chain(value.chars()).all(allowed) => Err(TagsError::Character(key)),
        _ => Ok((key, value)),
    }
}

fn decoded(text: &str) -> Result<String, TagsError> {
    let wrong = || TagsError::Encoding(text.to_owned());
    let mut rest = text.bytes();
    let mut bytes = Vec::with_capacity(text.len());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or_else(wrong);
                (digit(rest.next())? * 16 + digit(rest.next())?) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// With `%20` for a space: not everyone who reads a header takes `+` for one.
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tags_are_encoded_for_the_header() {
        for (text, header) in [
            ("team=data", "team=data"),
            ("a=1&b=", "a=1&b="),
            ("a=b c+d%20e", "a=b%20c%20d%20e"),
            ("url=s3://x/y@z", "url=s3%3A%2F%2Fx%2Fy%40z"),
            ("plus=a%2Bb", "plus=a%2Bb"),
            ("formel=x=y", "formel=x%3Dy"),
            ("stra\u{df}e=%C3%9F", "stra%C3%9Fe=%C3%9F"),
        ] {
            assert_eq!(Tags::parse(text).unwrap().header(), header);
        }
    }

    #[test]
    fn what_s3_would_refuse_is_refused() {
        let many = (0..11).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join("&");
        assert_eq!(Tags::parse(&many), Err(TagsError::TooMany(11)));
        assert!(Tags::parse(&many[..many.len() - 6]).is_ok());
        assert_eq!(Tags::parse("a"), Err(TagsError::NoPair("a".into())));
        assert_eq!(Tags::parse("a=1&"), Err(TagsError::NoPair(String::new())));
        assert_eq!(Tags::parse("a=%2"), Err(TagsError::Encoding("%2".into())));
        assert_eq!(Tags::parse("a=%FF"), Err(TagsError::Encoding("%FF".into())));
        assert_eq!(Tags::parse("a=1&%61=2"), Err(TagsError::Twice("a".into())));
        assert_eq!(Tags::parse("=1"), Err(TagsError::KeyLength(String::new(), 0)));
        assert!(Tags::parse(&format!("{}=1", "\u{e9}".repeat(128))).is_ok());
        assert!(matches!(Tags::parse(&format!("{}=1", "x".repeat(129))), Err(TagsError::KeyLength(_, 129))));
        assert!(Tags::parse(&format!("a={}", "x".repeat(256))).is_ok());
        assert!(matches!(Tags::parse(&format!("a={}", "x".repeat(257))), Err(TagsError::ValueLength(_, 257))));
        assert_eq!(Tags::parse("AWS:x=1"), Err(TagsError::Reserved("AWS:x".into())));
        assert_eq!(Tags::parse("a=<b>"), Err(TagsError::Character("a".into())));
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_read_back_the_same(text in ".*") {
            if let Ok(tags) = Tags::parse(&text) {
                prop_assert!(tags.header().is_ascii());
                prop_assert_eq!(Tags::parse(tags.header()).unwrap(), tags);
            }
        }
    }
}
