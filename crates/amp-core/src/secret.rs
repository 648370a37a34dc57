//! Values that must not be seen.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};

/// A key or password. `Debug` and `Display` print `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the value in.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Replaces each of `secrets`, and their Basic authorization, by `***` in a text from outside: a server may echo what we sent. A text that
/// breaks off within one loses that beginning too.
#[must_use]
pub fn scrub(text: &str, secrets: &[&Secret]) -> String {
    let basic = match secrets {
        [user, password] => Some(BASE64_STANDARD.encode(format!("{}:{}", user.0, password.0))),
        _ => None,
    };
    let hidden = secrets.iter().map(|secret| secret.expose()).chain(basic.as_deref());
    hidden.filter(|value| !value.is_empty()).fold(text.to_owned(), |text, value| {
        let text = text.replace(value, "***");
        let beginnings = (4..value.len()).rev().filter_map(|length| value.get(..length));
        match beginnings.filter_map(|beginning| text.strip_suffix(beginning)).next() {
            Some(rest) => format!("{rest}***"),
            None => text,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::new("hunter2".into());
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
    }

    #[test]
    fn an_echo_of_credentials_is_blanked() {
        let (key, secret) = (Secret::new("KEY".into()), Secret::new("PASS".into()));
        let text = scrub("bad KEY, PASS, Basic S0VZOlBBU1M=", &[&key, &secret]);
        assert_eq!(text, "bad ***, ***, Basic ***");
        assert_eq!(scrub("Basic S0VZOlBBU", &[&key, &secret]), "Basic ***");
        assert_eq!(scrub("a PA system", &[&key, &secret]), "a PA system");
    }
}
