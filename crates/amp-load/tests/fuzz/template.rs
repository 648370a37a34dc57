//! Key templates: what is accepted shows as it was written, and no key is longer than S3 takes.

use super::key::{KeyError, KeyTemplate};

/// A template, a prefix and a file's name, a line each.
pub(crate) fn any_template(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.splitn(3, '\n');
    let mut part = || parts.next().unwrap_or_default();
    let (template, prefix, file) = (part(), part(), part());
    let Ok(read) = KeyTemplate::parse(prefix, template) else { return };
    assert_eq!(read.to_string(), format!("{prefix}{template}"));
    assert_eq!(KeyTemplate::parse(prefix, template).as_ref(), Ok(&read));
    match read.key(file) {
        Ok(key) => assert!(key.len() <= 1024 && key.starts_with(prefix)),
        Err(KeyError::TooLong(bytes)) => assert!(bytes > 1024),
        Err(KeyError::Lacks(field)) => assert!(template.contains(&format!("{{{field}}}"))),
    }
    let _ = read.warnings();
}
