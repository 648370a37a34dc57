//! Hands the AWS settings of `.env` on to the AWS SDK, whose own chain looks for them in the environment, and keeps metadata services off
//! the proxy.

use std::collections::HashMap;

use super::dotenv::DotEnv;

/// Where instances (IPv4 and IPv6), ECS tasks and EKS pods get their role's keys: addresses of this machine alone, which a proxy would not
/// reach, or would see the keys of in the clear.
const METADATA_HOSTS: &str = "169.254.169.254,[fd00:ec2::254],169.254.170.2,169.254.170.23,[fd00:ec2::23]";

/// Puts the AWS names of `.env` that the environment lacks into it, where the AWS SDK's own chain looks for them, and the metadata services
/// among the hosts that are asked without a proxy. Before any thread is started.
pub(crate) fn export_aws(dotenv: Option<&DotEnv>, environment: &HashMap<String, String>) {
    let unset = |name: &str| environment.get(name).is_none_or(String::is_empty);
    let mut lines = String::new();
    for (name, value) in
        dotenv.into_iter().flat_map(|dotenv| dotenv.matching(|name| name.starts_with("AWS_") && unset(name)))
    {
        lines.push_str(&format!("{name}=\"{}\"\n", escaped(value)));
    }
    // Whichever spelling a library looks at first.
    for name in ["NO_PROXY", "no_proxy"] {
        let other = environment.get("NO_PROXY").or_else(|| environment.get("no_proxy"));
        let given = environment.get(name).or(other).map(|hosts| format!("{hosts},")).unwrap_or_default();
        lines.push_str(&format!("{name}=\"{}{METADATA_HOSTS}\"\n", escaped(&given)));
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
        export_aws(Some(&DotEnv::read(&path).unwrap()), &HashMap::new());
        assert_eq!(std::env::var("AWS_TEST_VALUE").as_deref(), Ok(value));
        assert!(std::env::var("AWS_TEST_EMPTY").is_err());
        assert!(std::env::var("NO_PROXY").unwrap().contains("169.254.169.254"));
    }
}
