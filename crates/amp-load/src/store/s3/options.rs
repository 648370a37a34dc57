//! How objects are stored, in the SDK's types.

use aws_sdk_s3::types::{ObjectCannedAcl, ServerSideEncryption, StorageClass};

use crate::store::{Encryption, ObjectOptions};

/// What both requests that make an object, PutObject and CreateMultipartUpload, say of it.
pub(super) struct RequestOptions {
    pub(super) class: Option<StorageClass>,
    pub(super) encryption: Option<ServerSideEncryption>,
    pub(super) kms_key: Option<String>,
    pub(super) tagging: Option<String>,
    pub(super) acl: Option<ObjectCannedAcl>,
}

impl From<&ObjectOptions> for RequestOptions {
    fn from(options: &ObjectOptions) -> Self {
        let (encryption, kms_key) = match &options.encryption {
            None => (None, None),
            Some(Encryption::Aes256) => (Some(ServerSideEncryption::Aes256), None),
            Some(Encryption::Kms(key)) => (Some(ServerSideEncryption::AwsKms), key.clone()),
        };
        Self {
            class: options.class.as_deref().map(StorageClass::from),
            encryption,
            kms_key,
            tagging: options.tags.as_ref().map(|tags| tags.header().to_owned()),
            acl: options.acl.as_deref().map(ObjectCannedAcl::from),
        }
    }
}
