//! Labels: what tells one set-up from another on a host, in metrics, logs and results.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::{Resolver, Setting};

pub(crate) const LABELS: Setting =
    Setting::flag("--label", "Label on every metric, in logs and results; may be repeated").env(&["AMP_LABELS"]);

/// Names that the metrics use themselves, or that Prometheus gives to what it scrapes.
const TAKEN: [&str; 6] = ["instance", "job", "le", "outcome", "state", "version"];
/// What remains of a file's name, 255 bytes, beside the metrics' own.
const MAX_FILE_PART_BYTES: usize = 200;

/// Labels by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// Reads those of `AMP_LABELS`, or those of the flags. A label of a flag wins over one of the same name in the environment.
    pub(crate) fn resolve(flags: &[String], resolver: &mut Resolver) -> Self {
        let mut labels = resolver.optional(&LABELS, None, |text| Self::parse(text.split(','))).unwrap_or_default();
        let flags = flags.iter().map(String::as_str).filter(|text| !text.is_empty());
        match Self::parse(flags) {
            Ok(flags) if flags.is_empty() => {}
            Ok(flags) => {
                let origin = if labels.is_empty() { "--label" } else { "--label, AMP_LABELS" };
                labels.0.extend(flags.0);
                resolver.used(&LABELS, &labels.to_string(), origin);
            }
            Err(error) => resolver.problem(format!("--label: {error}")),
        }
        let bytes = labels.file_part().len();
        if bytes > MAX_FILE_PART_BYTES {
            let most = "a file of metrics is named by them";
            resolver.problem(format!("--label: {bytes} bytes are too many (maximum {MAX_FILE_PART_BYTES}): {most}"));
        }
        labels
    }

    fn parse<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut labels = BTreeMap::new();
        for text in texts {
            let (name, value) =
                text.trim().split_once('=').ok_or_else(|| format!("`{text}` is not a label; write name=value"))?;
            if !is_label_name(name) {
                return Err(format!("`{name}` is not the name of a label; use letters, digits and _, no digit first"));
            }
            if name.starts_with("__") || TAKEN.contains(&name) {
                return Err(format!("`{name}` is taken: Prometheus or the metrics themselves use it; choose another"));
            }
            if value.is_empty() || value.chars().any(char::is_control) {
                return Err(format!("`{name}`: its value is empty or has a control character"));
            }
            if labels.insert(name.to_owned(), value.to_owned()).is_some() {
                return Err(format!("`{name}` is given twice; keep one"));
            }
        }
        Ok(Self(labels))
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values, in the order of names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// What a file's name has of them: empty without any, and different for different labels.
    pub(crate) fn file_part(&self) -> String {
        let mut part = String::new();
        for (name, value) in self.iter() {
            part.push_str(&format!(",{name}="));
            for byte in value.bytes() {
                match byte {
                    b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'.' | b'_' | b'-' => part.push(char::from(byte)),
                    _ => part.push_str(&format!("%{byte:02X}")),
                }
            }
        }
        part
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.iter().enumerate() {
            write!(f, "{}{name}={value}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Whether Prometheus takes it for the name of a label or of a metric without colons.
pub(crate) fn is_label_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::SettingsError;
    use super::*;
    use proptest::prelude::*;

    fn resolve(flags: &[&str], env: &str) -> Result<String, Vec<String>> {
        let mut resolver = Resolver::new([("AMP_LABELS".to_owned(), env.to_owned())], None);
        let flags: Vec<_> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let labels = Labels::resolve(&flags, &mut resolver);
        resolver.finish().map(|()| labels.to_string()).map_err(|SettingsError(problems)| problems)
    }

    #[test]
    fn flags_and_environment_add_up_and_a_flag_wins() {
        assert_eq!(resolve(&[], "").unwrap(), "");
        assert_eq!(resolve(&[], "team=a, env=b").unwrap(), "env=b,team=a");
        assert_eq!(
            resolve(&["team=x=y", "city=Köln, am Rhein"], "team=a,env=b").unwrap(),
            "city=Köln, am Rhein,env=b,team=x=y"
        );
    }

    #[test]
    fn what_prometheus_would_refuse_or_take_for_something_else_is_refused() {
        for text in
            ["team", "=a", "1a=b", "a-b=c", "a b=c", "ä=b", "__a=b", "state=a", "job=a", "version=1", "a=", "a=b\u{7}"]
        {
            assert_eq!(resolve(&[text], "").unwrap_err().len(), 1, "{text}");
            assert!(resolve(&[text], "").unwrap_err()[0].starts_with("--label: "), "{text}");
            assert!(resolve(&[], text).unwrap_err()[0].starts_with("AMP_LABELS: "), "{text}");
        }
        assert!(resolve(&["a=b", "a=c"], "").unwrap_err()[0].contains("twice"));
        assert!(resolve(&[&format!("a={}", "x".repeat(198))], "").unwrap_err()[0].contains("maximum 200"));
        assert!(resolve(&[&format!("a={}", "x".repeat(197))], "").is_ok());
    }

    fn parsed(labels: &BTreeMap<String, String>) -> Option<Labels> {
        let texts: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Labels::parse(texts.iter().map(String::as_str)).ok()
    }

    proptest! {
        #[test]
        fn different_labels_have_different_files_of_plain_names(
            all in prop::collection::vec(prop::collection::btree_map("[ab]{1,2}", "[ab,=%. é/]{1,3}", 0..3), 2..8)
        ) {
            let labels: Vec<_> = all.iter().filter_map(parsed).collect();
            let parts: HashSet<_> = labels.iter().map(Labels::file_part).collect();
            let texts: HashSet<_> = labels.iter().map(|labels| format!("{labels:?}")).collect();
            prop_assert_eq!(parts.len(), texts.len());
            prop_assert!(parts.iter().all(|part| part.is_ascii() && !part.contains(['/', ' ', '\\', '"'])));
        }
    }
}
