//! How objects are to be stored.

use amp_cli::settings::{Resolver, Setting};

use super::flag;
use crate::args::Args;
use crate::store::{Encryption, ObjectOptions};
use crate::tags::Tags;

const TAGS: Setting = Setting { flag: Some("--tags"), env: &["AMP_TAGS"], what: "the tags of objects" };
const ACL: Setting = Setting { flag: Some("--acl"), env: &["AMP_ACL"], what: "the ACL of objects" };

/// The canned ACLs that S3 has for objects.
const CANNED_ACLS: [&str; 7] = [
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
];

/// What `args`, the environment and `.env` say of it; what is wrong is noted in `resolver`.
pub(super) fn resolve(args: &Args, resolver: &mut Resolver) -> ObjectOptions {
    ObjectOptions {
        class: args.storage_class.clone().filter(|class| !class.is_empty()),
        encryption: resolve_encryption(args, resolver),
        tags: resolver.optional(&TAGS, args.tags.as_deref(), Tags::parse),
        acl: resolver.optional(&ACL, args.acl.as_deref(), |text| match text {
            _ if CANNED_ACLS.contains(&text) => Ok(text.to_owned()),
            _ => Err(format!("`{text}` is no canned ACL of objects; there are {}", CANNED_ACLS.join(", "))),
        }),
    }
}

fn resolve_encryption(args: &Args, resolver: &mut Resolver) -> Option<Encryption> {
    let key = args.sse_kms_key_id.clone().filter(|key| !key.is_empty());
    let encryption = resolver.optional(&flag("--sse"), args.sse.as_deref(), |text| match text {
        "AES256" => Ok(Encryption::Aes256),
        "aws:kms" => Ok(Encryption::Kms(key.clone())),
        _ => Err(format!("`{text}` is neither AES256 nor aws:kms")),
    });
    if key.is_some() && !matches!(encryption, Some(Encryption::Kms(_))) {
        resolver.problem("--sse-kms-key-id names a KMS key, which needs --sse aws:kms");
    }
    encryption
}
