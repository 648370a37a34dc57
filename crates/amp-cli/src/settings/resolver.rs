//! Where a setting comes from: a flag wins over the environment, the environment over `.env`, `.env` over the default.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::dotenv::DotEnv;

/// A setting, declared once: `--help` and the log are made of it, and docs/configuration.md and `.env.example` are checked against it.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    flag: Option<&'static str>,
    env: &'static [&'static str],
    help: &'static str,
    default: Option<&'static str>,
}

impl Setting {
    /// A setting with a flag, and its line in `--help`.
    pub const fn flag(flag: &'static str, help: &'static str) -> Self {
        Self { flag: Some(flag), env: &[], help, default: None }
    }

    /// A setting that has no flag: its names in the environment and `.env`, the first wins.
    pub const fn variable(env: &'static [&'static str], help: &'static str) -> Self {
        Self { flag: None, env, help, default: None }
    }

    /// The same with names in the environment and `.env`, the first wins.
    pub const fn env(self, env: &'static [&'static str]) -> Self {
        Self { env, ..self }
    }

    /// The same with what holds where nothing is said, in the form in which it would be written.
    pub const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    /// Its line in `--help`.
    pub fn help(&self) -> String {
        let mut help = self.help.to_owned();
        if !self.env.is_empty() {
            help.push_str(&format!(" [env: {}]", self.env.join(", ")));
        }
        if let Some(default) = self.default {
            help.push_str(&format!(" [default: {default}]"));
        }
        help
    }

    /// Its names in the environment and `.env`.
    pub fn names(&self) -> &'static [&'static str] {
        self.env
    }

    /// How the log names it.
    fn name(&self) -> &'static str {
        let flag = self.flag.map(|flag| flag.trim_start_matches('-'));
        flag.or(self.env.first().copied()).unwrap_or(self.help)
    }
}

/// All that is wrong with a run's settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct SettingsError(pub Vec<String>);

/// Where a setting that is no flag may stand; the first wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Environment,
    DotEnv,
}

/// Reads settings and collects what is wrong with them, so that one run tells all; what is doubtful, and what was used, too.
pub struct Resolver {
    environment: HashMap<String, String>,
    dotenv: Option<DotEnv>,
    problems: Vec<String>,
    warnings: Vec<String>,
    used: Vec<(&'static str, String)>,
}

impl Resolver {
    /// Settings from an environment and a `.env`.
    pub fn new(environment: impl IntoIterator<Item = (String, String)>, dotenv: Option<DotEnv>) -> Self {
        Self {
            environment: environment.into_iter().collect(),
            dotenv,
            problems: Vec::new(),
            warnings: Vec::new(),
            used: Vec::new(),
        }
    }

    pub(super) fn levels(&self) -> [Level; 2] {
        [Level::Environment, Level::DotEnv]
    }

    /// What `level` has under `name`; empty counts as unset.
    pub(super) fn at(&self, level: Level, name: &str) -> Option<&str> {
        let value = match level {
            Level::Environment => self.environment.get(name),
            Level::DotEnv => self.dotenv.as_ref()?.values.get(name),
        };
        value.map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The names that `level` has values of.
    pub(super) fn names(&self, level: Level) -> impl Iterator<Item = &str> {
        let values = match level {
            Level::Environment => Some(&self.environment),
            Level::DotEnv => self.dotenv.as_ref().map(|dotenv| &dotenv.values),
        };
        let set = values.into_iter().flatten().filter(|(_, value)| !value.is_empty());
        set.map(|(name, _)| name.as_str())
    }

    /// How messages name what `level` has under `name`.
    pub(super) fn origin(&self, level: Level, name: &str) -> String {
        match (level, &self.dotenv) {
            (Level::DotEnv, Some(dotenv)) => format!("{name} in {}", dotenv.path.display()),
            _ => name.to_owned(),
        }
    }

    /// The value of a setting and where it came from.
    fn find(&mut self, setting: &Setting, flag: Option<&str>) -> Option<(String, String)> {
        let from_flag = || Some((flag.filter(|value| !value.is_empty())?.to_owned(), setting.flag?.to_owned()));
        let from_level = |level| {
            setting.env.iter().find_map(|name| Some((self.at(level, name)?.to_owned(), self.origin(level, name))))
        };
        let (value, origin) = from_flag().or_else(|| self.levels().into_iter().find_map(from_level))?;
        self.used(setting, &value, &origin);
        Some((value, origin))
    }

    fn find_default(&mut self, setting: &Setting) -> Option<(String, String)> {
        let value = setting.default?;
        self.used(setting, value, "default");
        Some((value.to_owned(), setting.name().to_owned()))
    }

    /// Notes the value of a setting for the log; the last one counts.
    pub(super) fn used(&mut self, setting: &Setting, value: &str, origin: &str) {
        let name = setting.name();
        let value = if value.contains(|c: char| c.is_control() || c.is_whitespace()) {
            format!("{value:?}")
        } else {
            value.to_owned()
        };
        self.used.retain(|(known, _)| *known != name);
        self.used.push((name, format!("{name}={value} ({origin})")));
    }

    /// Notes, for the log, what holds where nothing else was said.
    pub fn default(&mut self, setting: &Setting, value: impl fmt::Display) {
        if !self.used.iter().any(|(known, _)| *known == setting.name()) {
            self.used(setting, &value.to_string(), "default");
        }
    }

    /// Notes that something is wrong, once; control characters of a value are spelt out, so that it stays one line.
    pub fn problem(&mut self, problem: impl Into<String>) {
        let visible = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
        let problem: String = problem.into().chars().map(visible).collect();
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Notes that something is likely to be a mistake.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// A setting that has its default: what is given, else what is declared.
    pub fn value<T, E: fmt::Display>(
        &mut self,
        setting: &Setting,
        flag: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let (value, origin) = self.find(setting, flag).or_else(|| self.find_default(setting))?;
        parse(&value).map_err(|error| self.problem(format!("{origin}: {error}"))).ok()
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

    /// Where a setting came from, if it was set.
    pub fn origin_of(&self, setting: &Setting, flag: Option<&str>) -> Option<String> {
        if flag.is_some_and(|flag| !flag.is_empty()) {
            return setting.flag.map(str::to_owned);
        }
        let has = |level, name: &str| self.at(level, name).map(|_| self.origin(level, name));
        self.levels().into_iter().find_map(|level| setting.env.iter().find_map(|name| has(level, name)))
    }

    /// A path: what is given, else the default if it has one. `~` at its beginning is the home directory, also where no shell has expanded it.
    pub fn path(&mut self, setting: &Setting, flag: Option<&str>) -> Option<PathBuf> {
        let (value, origin) = self.find(setting, flag).or_else(|| self.find_default(setting))?;
        self.expand_home(&value).map_err(|error| self.problem(format!("{origin}: {error}"))).ok()
    }

    pub(super) fn expand_home(&self, text: &str) -> Result<PathBuf, String> {
        let Some(rest) = text.strip_prefix('~') else { return Ok(text.into()) };
        match (rest.strip_prefix('/').or(rest.is_empty().then_some("")), self.at(Level::Environment, "HOME")) {
            (Some(rest), Some(home)) => Ok(Path::new(home).join(rest)),
            (Some(_), None) => Err(format!("`{text}` means HOME, which is not set; write the path out")),
            (None, _) => {
                Err(format!("`{text}` begins with ~, which is expanded only as ~/; write the path out, or ./{text}"))
            }
        }
    }

    /// Where missing settings may be put.
    fn places(&self) -> String {
        match &self.dotenv {
            Some(dotenv) => format!("in the environment or in {}", dotenv.path.display()),
            None => "in the environment or in .env (there is none here or above)".to_owned(),
        }
    }

    /// What to do about a required setting, `what`, that is missing.
    pub fn missing_message(&self, setting: &Setting, what: &str) -> String {
        let flag = setting.flag.map(|flag| format!("give {flag} or ")).unwrap_or_default();
        let name = setting.env.first().copied().unwrap_or_default();
        format!("{what} is missing: {flag}set {name} {}", self.places())
    }

    /// Notes that a required setting, `what`, is missing.
    pub fn missing(&mut self, setting: &Setting, what: &str) {
        self.problem(self.missing_message(setting, what));
    }

    /// Warns of a `.env` with secrets that every user of the machine can read.
    fn warn_of_readers(&mut self) {
        let Some(dotenv) = &self.dotenv else { return };
        let is_secret = |name: &str| ["_KEY", "_KEY_ID", "_TOKEN"].iter().any(|end| name.ends_with(end));
        if dotenv.is_world_readable && dotenv.matching(is_secret).next().is_some() {
            let path = dotenv.path.display();
            self.warn(format!("{path} has secrets and everyone on this machine can read it: chmod 600 {path}"));
        }
    }

    /// What was doubtful, and the settings with where each came from: `region=eu (default)`. A secret stands there as `set`.
    pub fn notes(&mut self) -> (Vec<String>, Vec<String>) {
        self.warn_of_readers();
        self.warn_of_unknown_names();
        let used = self.used.iter().map(|(_, line)| line.clone()).collect();
        (std::mem::take(&mut self.warnings), used)
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

    const REGION: Setting = Setting::flag("--region", "Where it is").env(&["AMP_REGION", "OTHER"]).default("eu");

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
    fn a_default_is_read_as_it_is_declared_and_shown() {
        let mut resolver = resolver(&[], "");
        assert_eq!(resolver.value(&REGION, None, |text| Ok::<_, String>(text.len())), Some(2));
        assert_eq!(resolver.value(&REGION, Some("far"), |text| Ok::<_, String>(text.len())), Some(3));
        assert_eq!(resolver.notes().1, ["region=far (--region)"]);
        assert_eq!(REGION.help(), "Where it is [env: AMP_REGION, OTHER] [default: eu]");
    }

    #[test]
    fn all_problems_are_told_together_with_where_they_are() {
        let mut resolver = resolver(&[("AMP_REGION", "moon")], "");
        resolver.optional(&REGION, None, parse_bool);
        resolver.missing(&REGION, "the region");
        let SettingsError(problems) = resolver.finish().unwrap_err();
        assert_eq!(problems.len(), 2);
        assert!(problems[0].starts_with("AMP_REGION: "), "{problems:?}");
        assert!(problems[1].contains("--region") && problems[1].contains("AMP_REGION"), "{problems:?}");
    }
}
