//! Settings from four places: a flag wins over the environment, the environment over `.env`, `.env` over the default.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use url::{Host, Url};

use crate::secret::Secret;

/// Why a `.env` could not be used. It names the line, never its content.
#[derive(Debug, thiserror::Error)]
pub enum DotEnvError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A line is not `NAME=value`.
    #[error("{}: line {line} is not NAME=value; quote values that have spaces, quotes, `$` or `#`", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
}

/// The settings of a `.env` file.
#[derive(Clone, Default)]
pub struct DotEnv {
    path: PathBuf,
    values: HashMap<String, String>,
}

impl fmt::Debug for DotEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DotEnv").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Hands a text on one line a read, so that its reader is never ahead of the line it parses.
struct Lines {
    text: Vec<u8>,
    at: usize,
    /// The line being read, counted from 1.
    line: Rc<Cell<usize>>,
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.text[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |newline| newline + 1);
        let read = end.min(buffer.len());
        if self.at == 0 || self.text[self.at - 1] == b'\n' {
            self.line.set(self.line.get() + usize::from(read > 0));
        }
        buffer[..read].copy_from_slice(&rest[..read]);
        self.at += read;
        Ok(read)
    }
}

impl DotEnv {
    /// Reads the file at `path`. Of a name that stands twice, the first counts.
    ///
    /// # Errors
    /// When it cannot be read or a line cannot be parsed.
    pub fn read(path: &Path) -> Result<Self, DotEnvError> {
        let mut text = fs::read(path).map_err(|source| DotEnvError::Unreadable { path: path.to_owned(), source })?;
        if text.starts_with(b"\xef\xbb\xbf") {
            text.drain(..3);
        }
        let line = Rc::new(Cell::new(0));
        let mut values = HashMap::new();
        let entries = dotenvy::from_read_iter(Lines { text: text.clone(), at: 0, line: Rc::clone(&line) });
        let mut parsed = 0;
        for entry in entries {
            // A value with NUL cannot stand in an environment.
            let Some((name, value)) = entry.ok().filter(|(name, value)| !name.contains('\0') && !value.contains('\0'))
            else {
                return Err(DotEnvError::Syntax { path: path.to_owned(), line: first_entry_after(&text, parsed) });
            };
            parsed = line.get();
            values.entry(name).or_insert(value);
        }
        Ok(Self { path: path.to_owned(), values })
    }

    /// Looks for `.env` in `dir` and its parents.
    ///
    /// # Errors
    /// As [`Self::read`], of the first one found.
    pub fn find(dir: &Path) -> Result<Option<Self>, DotEnvError> {
        let found = dir.ancestors().map(|dir| dir.join(".env")).find(|path| path.is_file());
        found.map(|path| Self::read(&path)).transpose()
    }

    /// The non-empty values whose names `wanted` takes.
    pub fn matching(&self, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = (&str, &str)> {
        let set = self.values.iter().filter(|(_, value)| !value.is_empty());
        set.map(|(name, value)| (name.as_str(), value.as_str())).filter(move |(name, _)| wanted(name))
    }
}

/// The first line after `line` that is neither blank nor a comment; an entry may span several lines, and its first is what a person looks for.
fn first_entry_after(text: &[u8], line: usize) -> usize {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    let entry = lines.skip(line).find(|(_, text)| !text.is_empty() && !text.starts_with(b"#"));
    entry.map_or(line, |(before, _)| before) + 1
}

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
    #[must_use]
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

/// Reads `1s`, `500ms`, `5m`, `1.5h` or a bare number of seconds.
///
/// # Errors
/// A message for anything else.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write 500ms, 30s, 5m or 1h");
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds_each = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * seconds_each)
        .ok()
        .filter(|span| span.as_secs() < 366 * 86_400)
        .ok_or_else(wrong)
}

/// Reads a number of bytes: `1048576`, `64M`, `64MiB`, `1.5G` (units of 1024).
///
/// # Errors
/// A message for anything else.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; write 1048576, 64MiB or 2G");
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let power = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 1,
        "M" | "MB" | "MIB" => 2,
        "G" | "GB" | "GIB" => 3,
        "T" | "TB" | "TIB" => 4,
        _ => return Err(wrong()),
    };
    let scale = 1u64 << (10 * power);
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(scale).ok_or_else(wrong);
    }
    let bytes = number.parse::<f64>().map_err(|_| wrong())? * scale as f64;
    if bytes.is_finite() && bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(wrong()) }
}

/// Reads a whole number of at least `least`.
///
/// # Errors
/// A message for anything else.
pub fn parse_number<T: std::str::FromStr + PartialOrd + fmt::Display>(text: &str, least: T) -> Result<T, String> {
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<T>().ok()).flatten();
    number
        .filter(|number| *number >= least)
        .ok_or_else(|| format!("`{text}` is not a whole number of at least {least}"))
}

/// Reads how many of something may be done at the same time: 1 to 1024.
///
/// # Errors
/// A message for anything else.
pub fn parse_parallelism(text: &str) -> Result<usize, String> {
    match parse_number(text, 1)? {
        number @ 1..=1024 => Ok(number),
        _ => Err(format!("`{text}` is too much; at most 1024")),
    }
}

/// Reads `true`, `1`, `yes`, `on` and their opposites.
///
/// # Errors
/// A message for anything else.
pub fn parse_bool(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

/// Reads an endpoint. Plain `http` is for loopback hosts, elsewhere only where `allow_http` says so: keys and events would travel in the clear.
///
/// # Errors
/// A message for what is no http(s) URL of a host, or has credentials, a query or a fragment.
pub fn parse_endpoint(text: &str, allow_http: bool) -> Result<Url, String> {
    // The URL may hold a password by mistake, so it is not repeated here.
    let url = Url::parse(text).map_err(|error| format!("it is not a URL ({error}); write https://host"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with credentials in it is refused; keys have settings of their own".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("`{url}` has a query or a fragment; write https://host"));
    }
    match url.scheme() {
        "https" if url.host().is_some() => Ok(url),
        "http" if allow_http || is_loopback(&url) => Ok(url),
        "http" => Err(format!("`{url}` is plain http, which is for loopback hosts only; write https://")),
        scheme => Err(format!("`{scheme}` URLs are not accepted; write https://host")),
    }
}

/// Whether the URL's host is this machine.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REGION: Setting = Setting { flag: Some("--region"), env: &["AMP_REGION", "OTHER"], what: "the region" };

    fn dotenv(text: &str) -> Result<DotEnv, DotEnvError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        fs::write(&path, text).unwrap();
        DotEnv::read(&path)
    }

    fn resolver(environment: &[(&str, &str)], text: &str) -> Resolver {
        let pairs = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Resolver::new(pairs, Some(dotenv(text).unwrap()))
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

    #[test]
    fn a_bad_dotenv_names_the_line_and_not_its_content() {
        for (text, line) in [
            ("A=1\n\n# c\nhunter2 is bad\nB=2\n", 4),
            ("hunter2", 1),
            ("A='two\nlines'\nhunter2 x\n", 3),
            ("A=1\nB=\"hunter2\nC=3\n", 2),
            ("A=1\nB=hunter2 hunter3\n", 2),
            ("A=1\nB=\"hunter2\0\"\n", 2),
            ("\u{feff}A=1\nhunter2 x", 2),
        ] {
            let error = dotenv(text).unwrap_err();
            assert!(matches!(error, DotEnvError::Syntax { line: found, .. } if found == line), "{text:?}: {error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn the_nearest_dotenv_above_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        fs::write(dir.path().join(".env"), "AMP_REGION=far").unwrap();
        fs::create_dir(below.join(".env")).unwrap();
        let found = DotEnv::find(&below).unwrap().unwrap();
        assert_eq!(found.matching(|_| true).collect::<Vec<_>>(), [("AMP_REGION", "far")]);
    }

    #[test]
    fn plain_http_is_for_loopback_alone() {
        for url in ["http://127.0.0.1:9000", "http://localhost/x", "http://[::1]:1", "https://example.com"] {
            assert!(parse_endpoint(url, false).is_ok(), "{url}");
        }
        for url in [
            "http://example.com",
            "http://127.0.0.1.example.com",
            "http://10.0.0.1",
            "ftp://localhost",
            "localhost:9000",
            "https://u:p@h",
            "https://h?x=1",
            "",
            "http://",
        ] {
            assert!(parse_endpoint(url, false).is_err(), "{url}");
        }
        assert!(parse_endpoint("http://minio:9000", true).is_ok());
        assert!(!parse_endpoint("https://user:hunter2@h", false).unwrap_err().contains("hunter2"));
    }

    #[test]
    fn durations_and_sizes_read_as_people_write_them() {
        assert_eq!(parse_duration("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("7"), Ok(Duration::from_secs(7)));
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
        assert_eq!(parse_bytes("64MiB"), Ok(64 << 20));
        assert_eq!(parse_bytes("1.5k"), Ok(1536));
        assert_eq!(parse_number("3", 1), Ok(3u32));
        for text in ["", "s", "-1s", "1 s", "1d1", "1e9s", "99999999h", "."] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for text in ["", "M", "-1", "1X", "99999999999999T"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
        for text in ["", "0", "+3", "-1", "1.0", "99999999999999999999999"] {
            assert!(parse_number(text, 1u32).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_dotenv_makes_the_reader_panic(text in "[A-Z=' \"#$\\\\\n\u{feff}é]{0,40}") {
            let _ = dotenv(&text);
        }

        #[test]
        fn what_dotenv_holds_in_single_quotes_comes_back_as_written(value in "[ -&(-~]{0,30}") {
            prop_assume!(!value.contains('\\') && !value.is_empty());
            let env = dotenv(&format!("A='{value}'\n")).unwrap();
            prop_assert_eq!(env.matching(|_| true).collect::<Vec<_>>(), [("A", value.as_str())]);
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in ".*") {
            let _ = parse_duration(&text);
            let _ = parse_bytes(&text);
            let _ = parse_endpoint(&text, true);
        }
    }
}
