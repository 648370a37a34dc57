//! Where a setting comes from: a flag wins over the environment, the environment over `.env`, `.env` over the default.

use std::collections::HashMap;
use std::fmt;

use amp_core::secret::Secret;

use super::dotenv::DotEnv;

/// A setting's names.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The flag, if there is one.
    pub flag: Option<&'static str>,
    /// Names in the environment and `.env`, the first wins.
    pub env: &'static [&'static str],
    /// What it is, for the message that it is missing.
    pub what: &'static str,
}

/// All that is wrong with a run's settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct SettingsError(pub Vec<String>);

/// Reads settings and collects what is wrong with them, so that one run tells all.
pub struct Resolver {
    environment: HashMap<String, String>,
    dotenv: DotEnv,
    problems: Vec<String>,
}

impl Resolver {
    /// Settings from an environment and a `.env`.
    pub fn new(environment: impl IntoIterator<Item = (String, String)>, dotenv: Option<DotEnv>) -> Self {
        Self {
            environment: environment.into_iter().collect(),
            dotenv: dotenv.unwrap_or_default(),
            problems: Vec::new(),
        }
    }

    /// The value of a setting and where it came from; empty counts as unset.
    fn find(&self, setting: &Setting, flag: Option<&str>) -> Option<(String, String)> {
        if let (Some(name), Some(value)) = (setting.flag, flag.filter(|value| !value.is_empty())) {
            return Some((value.to_owned(), name.to_owned()));
        }
        let set = |values: &HashMap<String, String>, name| values.get(name).filter(|value| !value.is_empty()).cloned();
        let from_environment =
            || setting.env.iter().find_map(|name| Some((set(&self.environment, *name)?, (*name).to_owned())));
        let from_dotenv = || {
            let origin = |name| format!("{name} in {}", self.dotenv.path.display());
            setting.env.iter().find_map(|name| Some((set(&self.dotenv.values, *name)?, origin(name))))
        };
        from_environment().or_else(from_dotenv)
    }

    /// Notes that something is wrong.
    pub fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// A setting that may be absent.
    pub fn optional<T, E: fmt::Display>(
        &mut self,
        setting: &Setting,
        flag: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let (value, origin) = self.find(setting, flag)?;
        parse(&value).map_err(|error| self.problem(format!("{origin}: {error}"))).ok()
    }

    /// A setting that may be absent, as it is written.
    pub fn text(&mut self, setting: &Setting, flag: Option<&str>) -> Option<String> {
        self.find(setting, flag).map(|(value, _)| value)
    }

    /// A secret that may be absent.
    pub fn secret(&mut self, setting: &Setting) -> Option<Secret> {
        self.text(setting, None).map(Secret::new)
    }

    /// Notes that a required setting is missing.
    pub fn missing(&mut self, setting: &Setting) {
        let flag = setting.flag.map(|flag| format!("give {flag} or ")).unwrap_or_default();
        let name = setting.env.first().copied().unwrap_or_default();
        self.problem(format!("{} is missing: {flag}set {name} in the environment or in .env", setting.what));
    }

    /// All that was wrong so far, as an error.
    ///
    /// # Errors
    /// When anything was.
    pub fn finish(self) -> Result<(), SettingsError> {
        if self.problems.is_empty() { Ok(()) } else { Err(SettingsError(self.problems)) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse_bool;
    use super::*;

    const REGION: Setting = Setting { flag: Some("--region"), env: &["AMP_REGION", "OTHER"], what: "the region" };

    fn resolver(environment: &[(&str, &str)], text: &str) -> Resolver {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        std::fs::write(&path, text).unwrap();
        let pairs = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Resolver::new(pairs, Some(DotEnv::read(&path).unwrap()))
    }

    #[test]
    fn flag_beats_environment_beats_dotenv_and_empty_is_unset() {
        let all = [("AMP_REGION", "env")];
        assert_eq!(resolver(&all, "AMP_REGION=file").text(&REGION, Some("flag")).unwrap(), "flag");
        assert_eq!(resolver(&all, "AMP_REGION=file").text(&REGION, Some("")).unwrap(), "env");
        assert_eq!(resolver(&[("AMP_REGION", "")], "AMP_REGION=file").text(&REGION, None).unwrap(), "file");
        assert_eq!(resolver(&[("OTHER", "env")], "AMP_REGION=file").text(&REGION, None).unwrap(), "env");
        assert_eq!(resolver(&[], "AMP_REGION=\n").text(&REGION, None), None);
    }

    #[test]
    fn all_problems_are_told_together_with_where_they_are() {
        let mut resolver = resolver(&[("AMP_REGION", "moon")], "");
        resolver.optional(&REGION, None, parse_bool);
        resolver.missing(&REGION);
        let SettingsError(problems) = resolver.finish().unwrap_err();
        assert_eq!(problems.len(), 2);
        assert!(problems[0].starts_with("AMP_REGION: "), "{problems:?}");
        assert!(problems[1].contains("--region") && problems[1].contains("AMP_REGION"), "{problems:?}");
    }
}
