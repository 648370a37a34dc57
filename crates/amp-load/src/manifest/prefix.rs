//! The keys of manifests, and where they would be in the way.

use amp_core::hour::parse_date;
use chrono::NaiveDate;

use crate::key::{KeyTemplate, MAX_KEY_BYTES};

/// `/2025-11-06.json`
const NAME_LENGTH: usize = 16;

/// What stands before the day in a manifest's key; it ends in a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestPrefix(String);

/// Why a prefix is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// S3 would refuse the keys.
    #[error("the keys of manifests would have {0} bytes, S3 takes {MAX_KEY_BYTES}; shorten the prefix")]
    TooLong(usize),
}

impl ManifestPrefix {
    /// Reads a prefix; a slash is added where it ends in none.
    ///
    /// # Errors
    /// When it is too long.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        let prefix = text.strip_suffix('/').unwrap_or(text);
        let bytes = prefix.len() + NAME_LENGTH;
        if bytes > MAX_KEY_BYTES { Err(PrefixError::TooLong(bytes)) } else { Ok(Self(format!("{prefix}/"))) }
    }

    /// The key of a day's manifest.
    pub fn key(&self, day: NaiveDate) -> String {
        format!("{}{}", self.0, name(day))
    }

    /// Whether a manifest could have that key.
    pub fn is_manifest_key(&self, key: &str) -> bool {
        let day = key.strip_prefix(&self.0).and_then(|name| name.strip_suffix(".json"));
        day.is_some_and(|day| parse_date(day).is_ok())
    }

    /// What about it is likely to be a mistake: query engines that read all below the data's folder would take manifests for events.
    pub fn warning(&self, keys: &KeyTemplate) -> Option<String> {
        let folder = keys.folder();
        let within = self.0.strip_prefix(&folder)?;
        if within.split('/').any(is_hidden) {
            return None;
        }
        let of = if folder.is_empty() { "the bucket itself".to_owned() } else { format!("`{folder}`") };
        Some(format!(
            "manifests below `{}` lie in the folder of the data, {of}: Athena, Spark and others would read them as events; \
             use a folder beside it, or one whose name they pass over, such as `{folder}_manifests/`",
            self.0
        ))
    }
}

/// The name of a day's manifest.
pub(super) fn name(day: NaiveDate) -> String {
    format!("{day}.json")
}

/// Whether Athena and Spark pass over what lies below a folder of that name. Spark makes exceptions of names that begin like those of
/// Parquet's summary files, and takes `_name=value` for a partition (its `HadoopFSUtils.shouldFilterOutPathName`).
fn is_hidden(folder: &str) -> bool {
    let parquets = folder.starts_with("_metadata") || folder.starts_with("_common_metadata");
    folder.starts_with('.') || folder.starts_with('_') && !folder.contains('=') && !parquets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> ManifestPrefix {
        ManifestPrefix::parse(text).unwrap()
    }

    #[test]
    fn a_slash_is_added_once() {
        let day = NaiveDate::from_ymd_opt(2025, 11, 6).unwrap();
        for (text, key) in [("m", "m/2025-11-06.json"), ("m/", "m/2025-11-06.json"), ("a/_m", "a/_m/2025-11-06.json")] {
            assert_eq!(prefix(text).key(day), key);
        }
        assert!(ManifestPrefix::parse(&"x".repeat(1008)).is_ok());
        assert_eq!(ManifestPrefix::parse(&"x".repeat(1009)), Err(PrefixError::TooLong(1025)));
    }

    #[test]
    fn keys_of_manifests_are_known() {
        assert!(prefix("m").is_manifest_key("m/2025-11-06.json"));
        for key in
            ["2025-11-06.json", "m/2025-11-06.json.gz", "m/2025-11-6.json", "m/x/2025-11-06.json", "n/2025-11-06.json"]
        {
            assert!(!prefix("m").is_manifest_key(key), "{key}");
        }
    }

    #[test]
    fn a_prefix_among_the_data_is_doubted_unless_engines_pass_over_it() {
        let warning =
            |text, data, template| prefix(text).warning(&KeyTemplate::parse(data, template).unwrap()).is_some();
        let lake = "events/date={date}/{file}";
        for (text, data, template, doubted) in [
            ("manifests", "", "{file}", true),
            ("_manifests", "", "{file}", false),
            (".manifests", "", "{file}", false),
            ("done/_manifests/x", "", "{file}", false),
            ("_metadata", "", "{file}", true),
            ("_kind=manifest", "", "{file}", true),
            ("raw", "raw/", "{file}", true),
            ("raw/manifests", "raw/", "{file}", true),
            ("raw/_manifests", "raw/", "{file}", false),
            ("raw-manifests", "raw/", "{file}", false),
            ("manifests", "raw/", "{file}", false),
            // A prefix that is no folder leaves the data in the folder above.
            ("manifests", "raw-", "{file}", true),
            ("manifests", "", lake, false),
            ("events/manifests", "", lake, true),
            ("lake/manifests", "lake/", lake, false),
            ("lake/events", "lake/", lake, true),
            // Hidden is what lies below the table's folder, not the folder itself.
            ("_raw/manifests", "_raw/", "{file}", true),
        ] {
            assert_eq!(warning(text, data, template), doubted, "{text} {data} {template}");
        }
        let said = prefix("raw/m").warning(&KeyTemplate::parse("raw/", "{file}").unwrap()).unwrap();
        assert!(said.contains("`raw/_manifests/`"), "{said}");
    }
}
