//! How objects are to be stored.

use amp_cli::settings::Resolver;

use crate::args::{ACL, Args, CANNED_ACLS, SSE, STORAGE_CLASS, STORAGE_CLASSES, TAGS};
use crate::store::{Encryption, ObjectOptions};
use crate::tags::Tags;

/// What `args`, the environment and `.env` say of it; what is wrong is noted in `resolver`.
pub(super) fn resolve(args: &Args, resolver: &mut Resolver) -> ObjectOptions {
    ObjectOptions {
        class: resolve_class(args, resolver),
        encryption: resolve_encryption(args, resolver),
        tags: resolver.optional(&TAGS, args.tags.as_deref(), Tags::parse),
        acl: resolver.optional(&ACL, args.acl.as_deref(), |text| match text {
            _ if CANNED_ACLS.contains(&text) => Ok(text.to_owned()),
            _ => Err(format!("`{text}` is not a canned ACL for objects; expected one of {}", CANNED_ACLS.join(", "))),
        }),
    }
}

/// Other servers have classes of their own, so another one is only doubtful.
fn resolve_class(args: &Args, resolver: &mut Resolver) -> Option<String> {
    let class = resolver.text(&STORAGE_CLASS, args.storage_class.as_deref())?;
    if !STORAGE_CLASSES.contains(&class.as_str()) {
        resolver.warn(format!("--storage-class: Amazon's S3 has no `{class}`; it has {}", STORAGE_CLASSES.join(", ")));
    }
    Some(class)
}

fn resolve_encryption(args: &Args, resolver: &mut Resolver) -> Option<Encryption> {
    let key = args.sse_kms_key_id.clone().filter(|key| !key.is_empty());
    let encryption = resolver.optional(&SSE, args.sse.as_deref(), |text| match text {
        "AES256" => Ok(Encryption::Aes256),
        "aws:kms" => Ok(Encryption::Kms(key.clone())),
        _ => Err(format!("`{text}` is neither AES256 nor aws:kms")),
    });
    if key.is_some() && !matches!(encryption, Some(Encryption::Kms(_))) {
        resolver.problem("--sse-kms-key-id names a KMS key, which needs --sse aws:kms");
    }
    encryption
}
