//! Names in the environment and `.env` that mean nothing to either program, most likely misspelt.

use super::Resolver;

/// Every name of both programs that begins with `AMP_`: they share one `.env`.
const KNOWN: [&str; 29] = [
    "AMP_ACL",
    "AMP_ADDRESSING",
    "AMP_ALLOW_HTTP",
    "AMP_API_KEY",
    "AMP_API_KEY_FILE",
    "AMP_BASE_URL",
    "AMP_CONCURRENCY",
    "AMP_DOWNLOAD_DIR",
    "AMP_EXPECTED_BUCKET_OWNER",
    "AMP_EXTRACTED_DIR",
    "AMP_FORMAT",
    "AMP_KEY_TEMPLATE",
    "AMP_LABELS",
    "AMP_LOG_DIR",
    "AMP_LOG_KEEP",
    "AMP_MANIFEST_PREFIX",
    "AMP_MAX_RETRIES",
    "AMP_METRICS_FILE",
    "AMP_PARALLEL",
    "AMP_READ_TIMEOUT",
    "AMP_REGION",
    "AMP_RETRY_BASE",
    "AMP_RETRY_FOR",
    "AMP_S3_PREFIX",
    "AMP_SECRET_KEY",
    "AMP_SECRET_KEY_FILE",
    "AMP_STATE_PREFIX",
    "AMP_TAGS",
    "AMP_THREADS",
];

/// Sourcegraph's Amp has these.
const ANOTHER_TOOLS: [&str; 2] = ["AMP_TOKEN", "AMP_PROFILE"];

/// Closer than that, as Jaro has it, one name is most likely another misspelt.
const NEAR: f64 = 0.8;

impl Resolver {
    /// Warns of names that begin with `AMP_` and mean nothing: what they were to say is without effect.
    pub(super) fn warn_of_unknown_names(&mut self) {
        let mut warnings = Vec::new();
        for level in self.levels() {
            let is_unknown =
                |name: &&str| name.starts_with("AMP_") && !KNOWN.contains(name) && !ANOTHER_TOOLS.contains(name);
            let mut names: Vec<_> = self.names(level).filter(is_unknown).collect();
            names.sort_unstable();
            warnings.extend(names.into_iter().map(|name| {
                let origin = self.origin(level, name);
                match nearest(name) {
                    Some(near) => format!("{origin} is not a setting and has no effect; did you mean {near}?"),
                    None => format!("{origin} is not a setting and has no effect"),
                }
            }));
        }
        warnings.into_iter().for_each(|warning| self.warn(warning));
    }
}

fn nearest(name: &str) -> Option<&'static str> {
    let near = KNOWN.map(|known| (strsim::jaro(name, known), known)).into_iter().filter(|(near, _)| *near > NEAR);
    near.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_example_is_known() {
        let example = include_str!("../../../../.env.example");
        let names =
            example.lines().filter_map(|line| line.trim_start_matches('#').split_once('=')).map(|(name, _)| name);
        let names: Vec<_> = names.filter(|name| name.starts_with("AMP_")).collect();
        assert!(names.len() > 20);
        names.into_iter().for_each(|name| assert!(KNOWN.contains(&name), "{name}"));
        assert!(KNOWN.is_sorted());
    }
}
