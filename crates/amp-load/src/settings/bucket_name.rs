//! What may be a bucket's name.

use amp_cli::settings::parse_plain;
use url::Url;

/// Reads a bucket's name or an access point's ARN. `endpoint`: the one that was named, if it was.
///
/// The rules are Amazon's ("Bucket naming rules" in the S3 user guide); on another endpoint only what cannot stand in a URL is refused.
///
/// # Errors
/// A message for what cannot be the name of a bucket.
pub(super) fn parse(text: &str, endpoint: Option<&Url>) -> Result<String, String> {
    let elsewhere = endpoint.is_some_and(|url| !url.host_str().unwrap_or_default().contains(".amazonaws.com"));
    if text.starts_with("arn:") {
        return parse_arn(text, elsewhere);
    }
    let name = parse_plain(text)?;
    if name.contains(['/', ':']) {
        return Err(format!("`{name}` is not a bucket name; write the bare name, and --prefix for a folder in it"));
    }
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_taken_elsewhere = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let flaw = if elsewhere {
        (!name.chars().all(is_taken_elsewhere))
            .then_some("only letters, digits, dots, dashes and underscores are allowed")
    } else if !(3..=63).contains(&name.len()) {
        Some("it must have 3 to 63 characters")
    } else if !name.chars().all(|c| is_alphanumeric(c) || ".-".contains(c)) {
        Some("only lower-case letters, digits, dots and dashes are allowed")
    } else if !name.starts_with(is_alphanumeric) || !name.ends_with(is_alphanumeric) || name.contains("..") {
        Some("it must begin and end with a letter or digit, without two dots together")
    } else if name.parse::<std::net::Ipv4Addr>().is_ok() {
        Some("it must not be an IP address")
    } else {
        None
    };
    match flaw {
        Some(flaw) => Err(format!("`{name}` cannot be the name of a bucket: {flaw}")),
        None => Ok(name),
    }
}

/// Reads `arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME`, of Outposts too.
fn parse_arn(text: &str, elsewhere: bool) -> Result<String, String> {
    let fields: Vec<_> = text.splitn(6, ':').collect();
    let (place, is_access_point) = match fields.as_slice() {
        ["arn", _, "s3", region, account, resource] => ((region, account), resource.starts_with("accesspoint")),
        ["arn", _, "s3-outposts", region, account, resource] => ((region, account), resource.contains("accesspoint")),
        _ => ((&"", &""), false),
    };
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    match (parse_plain(text)?, place) {
        _ if elsewhere => Err(format!("`{text}` is an ARN, which only Amazon's S3 has; write the bucket's bare name")),
        _ if !is_access_point => {
            Err(format!("`{text}` is not the ARN of an access point; write the bucket's bare name: what follows `:::`"))
        }
        (_, (&"", _)) => Err(format!(
            "`{text}` is a multi-region access point, whose signatures are not supported; write an access point of one region"
        )),
        (_, (_, account)) if !is_account(account) => {
            Err(format!("`{text}` names no AWS account; write its 12 digits behind the region"))
        }
        (arn, _) => Ok(arn),
    }
}
