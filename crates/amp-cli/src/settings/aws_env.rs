//! Hands the AWS settings of `.env` on to the AWS SDK, whose own chain looks for them in the environment.

use std::collections::HashMap;

use super::dotenv::DotEnv;

/// Puts the AWS names of `.env` that the environment lacks into it, where the AWS SDK's own chain looks for them. Before any thread is started.
pub(crate) fn export_aws(dotenv: &DotEnv, environment: &HashMap<String, String>) {
    let unset = |name: &str| environment.get(name).is_none_or(String::is_empty);
    let mut lines = String::new();
    for (name, value) in dotenv.matching(|name| name.starts_with("AWS_") && unset(name)) {
        lines.push_str(&format!("{name}=\"{}\"\n", escaped(value)));
    }
    // Setting a variable is unsafe code, which this project forbids itself. dotenvy does it, of what it reads as a `.env`.
    dotenvy::from_read_override(lines.as_bytes()).ok();
}

/// A value as it stands between double quotes in a `.env`.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '"' | '\\' | '$' => escaped.extend(['\\', c]),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_survives_the_way_into_the_environment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        let value = "a $b \"c\" \\ 'd' #e";
        std::fs::write(&path, format!("AWS_TEST_VALUE=\"{}\"\nAWS_TEST_EMPTY=''\n", escaped(value))).unwrap();
        export_aws(&DotEnv::read(&path).unwrap(), &HashMap::new());
        assert_eq!(std::env::var("AWS_TEST_VALUE").as_deref(), Ok(value));
        assert!(std::env::var("AWS_TEST_EMPTY").is_err());
    }
}
