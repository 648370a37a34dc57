//! From a file's name to its object's key.

use std::fmt;

use amp_core::name::EventFileName;

/// The longest key that S3 takes, in bytes of UTF-8.
pub(crate) const MAX_KEY_BYTES: usize = 1024;

/// A prefix and a template with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTemplate {
    prefix: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    File,
    Project,
    Date,
    Year,
    Month,
    Day,
    Hour,
    Part,
    Ext,
}

const FIELDS: [(&str, Field); 9] = [
    ("file", Field::File),
    ("project", Field::Project),
    ("date", Field::Date),
    ("year", Field::Year),
    ("month", Field::Month),
    ("day", Field::Day),
    ("hour", Field::Hour),
    ("part", Field::Part),
    ("ext", Field::Ext),
];

/// Why a template is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// There is nothing in it.
    #[error("the key template is empty; write {{file}} for the file's name")]
    Empty,
    /// An unmatched brace.
    #[error("`{0}` has an unmatched brace; placeholders are written {{file}}")]
    Unbalanced(String),
    /// A placeholder that means nothing.
    #[error(
        "unknown placeholder `{{{0}}}`; expected one of {{file}} {{project}} {{date}} {{year}} {{month}} {{day}} {{hour}} {{part}} {{ext}}"
    )]
    Unknown(String),
}

/// Why a file has no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Its name is not `PROJECT_YYYY-MM-DD_H#N.json`.
    #[error("its name has no {{{0}}}, which the key template asks for; rename it or use a template of {{file}}")]
    Lacks(&'static str),
    /// S3 would refuse it.
    #[error("its key would have {0} bytes, S3 takes {MAX_KEY_BYTES}; shorten the prefix, the template or the name")]
    TooLong(usize),
}

impl KeyTemplate {
    /// Reads a template; `prefix` stands before every key as it is.
    ///
    /// # Errors
    /// When it is empty, a brace stands alone, or a placeholder is unknown.
    pub fn parse(prefix: &str, template: &str) -> Result<Self, TemplateError> {
        let unbalanced = || TemplateError::Unbalanced(template.to_owned());
        let mut pieces = Vec::new();
        let mut rest = template;
        while let Some(brace) = rest.find(['{', '}']) {
            let (text, from_brace) = rest.split_at(brace);
            let (name, after) =
                from_brace.strip_prefix('{').and_then(|inner| inner.split_once('}')).ok_or_else(unbalanced)?;
            if name.contains('{') {
                return Err(unbalanced());
            }
            let known = FIELDS.iter().find(|(known, _)| *known == name);
            let (_, field) = known.ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
            if !text.is_empty() {
                pieces.push(Piece::Text(text.to_owned()));
            }
            pieces.push(Piece::Field(*field));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        if pieces.is_empty() {
            return Err(TemplateError::Empty);
        }
        Ok(Self { prefix: prefix.to_owned(), pieces })
    }

    /// What stands before every key.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The key of the file of that name.
    ///
    /// # Errors
    /// When the name lacks a part that the template asks for, or the key is too long.
    pub fn key(&self, file: &str) -> Result<String, KeyError> {
        let name = EventFileName::parse(file);
        let mut key = self.prefix.clone();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => key.push_str(text),
                Piece::Field(Field::File) => key.push_str(file),
                // Of any file: what is loaded ends in one or the other.
                Piece::Field(Field::Ext) => key.push_str(if file.ends_with(".gz") { "json.gz" } else { "json" }),
                Piece::Field(field) => {
                    let name = name.as_ref().ok_or(KeyError::Lacks(field.name()))?;
                    key.push_str(&field.of(name));
                }
            }
        }
        if key.len() > MAX_KEY_BYTES { Err(KeyError::TooLong(key.len())) } else { Ok(key) }
    }

    fn has(&self, wanted: &[Field]) -> bool {
        wanted.iter().all(|field| self.pieces.contains(&Piece::Field(*field)))
    }

    fn is_dated(&self) -> bool {
        self.has(&[Field::Date]) || self.has(&[Field::Year, Field::Month, Field::Day])
    }

    /// Whether files of different days have different keys.
    pub fn separates_days(&self) -> bool {
        self.has(&[Field::File]) || self.is_dated()
    }

    /// The folder in which all keys lie: what stands before the first placeholder, up to its last slash. Empty: the whole bucket.
    pub fn folder(&self) -> String {
        let text = match self.pieces.first() {
            Some(Piece::Text(text)) => text.as_str(),
            _ => "",
        };
        let mut fixed = format!("{}{text}", self.prefix);
        fixed.truncate(fixed.rfind('/').map_or(0, |slash| slash + 1));
        fixed
    }

    /// What about the template is likely to be a mistake.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.prefix.is_empty() && !self.prefix.ends_with('/') {
            let example = self.key("FILE.json").unwrap_or_else(|_| format!("{}…", self.prefix));
            warnings.push(format!("the prefix `{}` does not end in /: keys will look like `{example}`", self.prefix));
        }
        let text = match self.pieces.first() {
            Some(Piece::Text(text)) => text.as_str(),
            _ => "",
        };
        let beginning = format!("{}{text}", self.prefix);
        if beginning.starts_with('/') {
            warnings.push(format!(
                "keys will begin with /, which makes a folder without a name: `{beginning}`; leave the / out"
            ));
        } else if beginning.starts_with("s3://") {
            warnings.push(format!(
                "keys will begin with `s3://`, as part of their name: `{beginning}`; give only what follows the bucket"
            ));
        }
        let unique = self.has(&[Field::File]) || self.is_dated() && self.has(&[Field::Hour, Field::Part]);
        if !unique {
            warnings.push(format!(
                "the key template `{self}` has neither {{file}} nor all of {{date}}, {{hour}} and {{part}}: files of other days or \
                 parts may get the same key, under which only the first is loaded"
            ));
        }
        warnings
    }
}

impl Field {
    fn name(self) -> &'static str {
        FIELDS.iter().find(|(_, field)| *field == self).map_or("", |(name, _)| name)
    }

    fn of(self, name: &EventFileName<'_>) -> String {
        let date = name.date();
        match self {
            Self::Project => name.project.to_owned(),
            Self::Date => date.to_string(),
            Self::Year => date.format("%Y").to_string(),
            Self::Month => date.format("%m").to_string(),
            Self::Day => date.format("%d").to_string(),
            Self::Hour => format!("{:02}", name.hour.of_day()),
            Self::Part => name.part.to_owned(),
            Self::File | Self::Ext => String::new(),
        }
    }
}

impl fmt::Display for KeyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix)?;
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Field(field) => write!(f, "{{{}}}", field.name()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "100011471_2025-11-06_9#12.json.gz";

    fn key(prefix: &str, template: &str, file: &str) -> Result<String, KeyError> {
        KeyTemplate::parse(prefix, template).unwrap().key(file)
    }

    #[test]
    fn every_placeholder_is_filled_and_padded() {
        assert_eq!(key("raw/", "{file}", FILE).unwrap(), format!("raw/{FILE}"));
        let all = "{project}|{date}|{year}|{month}|{day}|{hour}|{part}|{ext}";
        assert_eq!(key("", all, FILE).unwrap(), "100011471|2025-11-06|2025|11|06|09|12|json.gz");
        let lake = "events/project={project}/date={date}/hour={hour}/{file}";
        assert_eq!(
            key("", lake, "1_2025-11-06_0#0.json").unwrap(),
            "events/project=1/date=2025-11-06/hour=00/1_2025-11-06_0#0.json"
        );
    }

    #[test]
    fn a_name_without_the_parts_fails_only_where_they_are_asked_for() {
        assert_eq!(key("", "{ext}/{file}", "by hand.json").unwrap(), "json/by hand.json");
        assert_eq!(key("", "{hour}/{file}", "by hand.json"), Err(KeyError::Lacks("hour")));
    }

    #[test]
    fn templates_that_mean_nothing_are_refused() {
        for text in ["{", "}", "a{file", "a}b", "{fi{file}le}", "{{file}}", "{file}}"] {
            assert_eq!(KeyTemplate::parse("", text), Err(TemplateError::Unbalanced(text.into())), "{text}");
        }
        assert_eq!(KeyTemplate::parse("", "{file}{nope}"), Err(TemplateError::Unknown("nope".into())));
        assert_eq!(KeyTemplate::parse("", "{}"), Err(TemplateError::Unknown(String::new())));
        assert_eq!(KeyTemplate::parse("p/", ""), Err(TemplateError::Empty));
    }

    #[test]
    fn a_key_may_have_1024_bytes() {
        assert!(key(&"x".repeat(1019), "{file}", "a.jso").is_ok());
        assert_eq!(key(&"é".repeat(510), "{file}", "a.json"), Err(KeyError::TooLong(1026)));
    }

    #[test]
    fn templates_under_which_days_collide_are_doubted() {
        let warnings = |prefix, template| KeyTemplate::parse(prefix, template).unwrap().warnings().len();
        assert_eq!(warnings("", "{file}"), 0);
        assert_eq!(warnings("raw/", "{date}/{hour}-{part}.{ext}"), 0);
        assert_eq!(warnings("raw", "{year}{month}{day}/{hour}-{part}.{ext}"), 1);
        assert_eq!(warnings("", "{hour}-{part}.{ext}"), 1);
        assert_eq!(warnings("raw", "{date}.{ext}"), 2);
    }

    proptest! {
        #[test]
        fn no_template_makes_the_parser_panic(prefix in ".*", template in ".*", file in ".*") {
            if let Ok(template) = KeyTemplate::parse(&prefix, &template) {
                let _ = template.key(&file);
                let _ = template.warnings();
            }
        }

        #[test]
        fn a_template_shows_as_it_was_written(template in "([a-z/=]|\\{(file|project|date|hour|part|ext)\\}){1,12}") {
            prop_assert_eq!(KeyTemplate::parse("p/", &template).unwrap().to_string(), format!("p/{template}"));
        }

        #[test]
        fn different_parts_have_different_keys(
            a in (0u32..3, 1u32..28, 0u32..24, 0u32..99), b in (0u32..3, 1u32..28, 0u32..24, 0u32..99),
        ) {
            let template = KeyTemplate::parse("", "{project}/{date}/{hour}/{part}.{ext}").unwrap();
            let key = |(project, day, hour, part)| template.key(&format!("{project}_2025-11-{day:02}_{hour}#{part}.json")).unwrap();
            prop_assert_eq!(key(a) == key(b), a == b);
        }
    }
}
