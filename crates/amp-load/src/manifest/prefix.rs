//! The keys of manifests, and where they would be in the way.

use std::fmt;

use amp_core::hour::parse_date;
use chrono::NaiveDate;

use crate::key::{KeyTemplate, MAX_KEY_BYTES};

/// `/2025-11-06.json`
const NAME_LENGTH: usize = 16;

const PROJECT: &str = "{project}";
/// The digits of the largest 64-bit number: no project's id is longer.
const MAX_PROJECT_BYTES: usize = 20;

/// Which manifest: that of a day, or of a project's day.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ManifestId {
    /// The day, in UTC.
    pub day: NaiveDate,
    /// The project's numeric id, where each has manifests of its own.
    pub project: Option<String>,
}

impl ManifestId {
    /// The name that a message gives to it; it is the last part of its key.
    pub(super) fn file(&self) -> String {
        format!("{}.json", self.day)
    }
}

impl fmt::Display for ManifestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.project {
            Some(project) => write!(f, "{} of project {project}", self.day),
            None => self.day.fmt(f),
        }
    }
}

/// What stands before the day in a manifest's key; it ends in a slash and may have `{project}` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestPrefix(String);

/// Why a prefix is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// S3 would refuse the keys.
    #[error("the keys of manifests would have {0} bytes, S3 takes {MAX_KEY_BYTES}; shorten the prefix")]
    TooLong(usize),
    /// A brace that is not of `{project}`.
    #[error("`{0}` has a brace or a placeholder that means nothing here; the only placeholder is {{project}}")]
    Unknown(String),
}

impl ManifestPrefix {
    /// Reads a prefix; a slash is added where it ends in none.
    ///
    /// # Errors
    /// When it is too long, or has another placeholder than `{project}`.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        let prefix = text.strip_suffix('/').unwrap_or(text);
        if prefix.replace(PROJECT, "").contains(['{', '}']) {
            return Err(PrefixError::Unknown(text.to_owned()));
        }
        let bytes = prefix.replace(PROJECT, &"9".repeat(MAX_PROJECT_BYTES)).len() + NAME_LENGTH;
        if bytes > MAX_KEY_BYTES { Err(PrefixError::TooLong(bytes)) } else { Ok(Self(format!("{prefix}/"))) }
    }

    /// The folder in which all manifests lie. Empty: the whole bucket.
    pub fn folder(&self) -> &str {
        let fixed = self.0.split_once(PROJECT).map_or(self.0.as_str(), |(fixed, _)| fixed);
        &fixed[..fixed.rfind('/').map_or(0, |slash| slash + 1)]
    }

    /// Whether each project has manifests of its own.
    pub fn is_per_project(&self) -> bool {
        self.0.contains(PROJECT)
    }

    /// The key of a manifest.
    pub fn key(&self, id: &ManifestId) -> String {
        self.key_of(id.day, id.project.as_deref().unwrap_or_default())
    }

    fn key_of(&self, day: NaiveDate, project: &str) -> String {
        format!("{}{day}.json", self.0.replace(PROJECT, project))
    }

    /// Whether a manifest could have that key.
    pub fn is_manifest_key(&self, key: &str) -> bool {
        let name = key.rsplit('/').next().and_then(|name| name.strip_suffix(".json"));
        let Some(Ok(day)) = name.map(parse_date) else { return false };
        let Some((before, _)) = self.0.split_once(PROJECT) else { return self.key_of(day, "") == key };
        let Some(rest) = key.strip_prefix(before) else { return false };
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        // Digits of the prefix itself may follow those of the project.
        (1..=digits).any(|end| self.key_of(day, &rest[..end]) == key)
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

/// Whether Athena and Spark pass over what lies below a folder of that name. Spark makes exceptions of names that begin like those of
/// Parquet's summary files, and takes `_name=value` for a partition (its `HadoopFSUtils.shouldFilterOutPathName`).
pub(crate) fn is_hidden(folder: &str) -> bool {
    let parquets = folder.starts_with("_metadata") || folder.starts_with("_common_metadata");
    folder.starts_with('.') || folder.starts_with('_') && !folder.contains('=') && !parquets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> ManifestPrefix {
        ManifestPrefix::parse(text).unwrap()
    }

    fn id(project: Option<&str>) -> ManifestId {
        let day = NaiveDate::from_ymd_opt(2025, 11, 6).unwrap();
        ManifestId { day, project: project.map(str::to_owned) }
    }

    #[test]
    fn a_slash_is_added_once() {
        for (text, key) in [("m", "m/2025-11-06.json"), ("m/", "m/2025-11-06.json"), ("a/_m", "a/_m/2025-11-06.json")] {
            assert_eq!(prefix(text).key(&id(None)), key);
        }
        assert!(ManifestPrefix::parse(&"x".repeat(1008)).is_ok());
        assert_eq!(ManifestPrefix::parse(&"x".repeat(1009)), Err(PrefixError::TooLong(1025)));
        assert_eq!(
            ManifestPrefix::parse(&("{project}".to_owned() + &"x".repeat(989))),
            Err(PrefixError::TooLong(1025))
        );
    }

    #[test]
    fn the_project_is_the_only_placeholder() {
        assert_eq!(prefix("_m/project={project}").key(&id(Some("7"))), "_m/project=7/2025-11-06.json");
        assert!(prefix("{project}").is_per_project() && !prefix("project").is_per_project());
        for text in ["{date}", "{project", "m}", "{{project}}", "{project}/{", "{}"] {
            assert_eq!(ManifestPrefix::parse(text), Err(PrefixError::Unknown(text.into())));
        }
    }

    #[test]
    fn keys_of_manifests_are_known() {
        assert!(prefix("m").is_manifest_key("m/2025-11-06.json"));
        for key in
            ["2025-11-06.json", "m/2025-11-06.json.gz", "m/2025-11-6.json", "m/x/2025-11-06.json", "n/2025-11-06.json"]
        {
            assert!(!prefix("m").is_manifest_key(key), "{key}");
        }
        for (text, key, is) in [
            ("{project}", "7/2025-11-06.json", true),
            ("m/{project}/x", "m/7/x/2025-11-06.json", true),
            ("m/{project}/x", "m//x/2025-11-06.json", false),
            ("m/{project}/x", "m/a/x/2025-11-06.json", false),
            ("m/{project}", "m/7/2025-11-06.json/2025-11-06.json", false),
            ("m/{project}0", "m/700/2025-11-06.json", true),
            ("m/{project}0", "m/0/2025-11-06.json", false),
            ("{project}-{project}", "7-7/2025-11-06.json", true),
            ("{project}-{project}", "7-8/2025-11-06.json", false),
        ] {
            assert_eq!(prefix(text).is_manifest_key(key), is, "{text} {key}");
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
