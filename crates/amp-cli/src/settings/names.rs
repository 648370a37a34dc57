//! Names in the environment and `.env` that mean nothing to either program, most likely misspelt.

use super::Resolver;

/// It has every name of both programs, which share one `.env`; tests hold it against `--help`.
const EXAMPLE: &str = include_str!("../../../../.env.example");

/// Every name that begins with `AMP_` and means something to one of the programs.
fn known() -> impl Iterator<Item = &'static str> {
    let names = EXAMPLE.lines().filter_map(|line| line.trim_start_matches('#').split_once('='));
    names.map(|(name, _)| name).filter(|name| name.starts_with("AMP_") && !name.contains(' '))
}

/// Sourcegraph's Amp has these.
const ANOTHER_TOOLS: [&str; 2] = ["AMP_TOKEN", "AMP_PROFILE"];

/// Closer than that, as Jaro has it, one name is most likely another misspelt.
const NEAR: f64 = 0.8;

impl Resolver {
    /// Warns of names that begin with `AMP_` and mean nothing: what they were to say is without effect.
    pub(super) fn warn_of_unknown_names(&mut self) {
        let mut warnings = Vec::new();
        for level in self.levels() {
            let is_unknown = |name: &&str| {
                name.starts_with("AMP_") && known().all(|known| known != *name) && !ANOTHER_TOOLS.contains(name)
            };
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
    let near = known().map(|known| (strsim::jaro(name, known), known)).filter(|(near, _)| *near > NEAR);
    near.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_names_are_those_of_the_example() {
        let names: Vec<_> = known().collect();
        assert!(names.len() > 20, "{names:?}");
        assert!(names.contains(&"AMP_API_KEY_FILE") && names.contains(&"AMP_METRICS_FILE"), "{names:?}");
        let is_name =
            |name: &&str| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        assert!(names.iter().all(is_name), "{names:?}");
        assert_eq!(nearest("AMP_PARALEL"), Some("AMP_PARALLEL"));
    }
}
