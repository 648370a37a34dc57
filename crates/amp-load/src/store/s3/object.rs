//! Objects in one request.

use amp_core::checksum::{Digest, Digester};
use amp_core::progress::Transfer;
use amp_core::receipt::{Algorithm, Checksum};
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{ChecksumMode, ServerSideEncryption};

use super::S3Store;
use super::options::RequestOptions;
use crate::store::{HeldEncryption, HeldObject, NewObject, StoreError, StoreErrorKind, UploadBody};

impl S3Store {
    /// Writes an object in one request.
    ///
    /// # Errors
    /// When S3 does not say that it did.
    pub async fn put(
        &self,
        object: &NewObject,
        checksum: &Checksum,
        source: &UploadBody,
    ) -> Result<HeldObject, StoreError> {
        let (body, monitor) = source.body();
        let options = RequestOptions::from(&self.object_options);
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .set_expected_bucket_owner(self.owner.clone())
            .key(&object.key)
            .content_type(object.content_type)
            .set_storage_class(options.class.filter(|_| !object.in_default_class))
            .set_server_side_encryption(options.encryption)
            .set_ssekms_key_id(options.kms_key)
            .set_tagging(options.tagging)
            .set_acl(options.acl)
            .content_length(source.digest.bytes.cast_signed())
            .set_if_none_match(object.only_if_new.then(|| "*".to_owned()))
            .body(ByteStream::new(SdkBody::from_body_1_x(body)));
        let request = match checksum.algorithm {
            Algorithm::Crc64nvme => request.checksum_crc64_nvme(&checksum.value),
            Algorithm::Crc32c => request.checksum_crc32_c(&checksum.value),
            Algorithm::Sha256 => request.checksum_sha256(&checksum.value),
        };
        let operation = self.operation("PutObject", &object.key);
        let reply = operation.run(request.send(), Some(monitor)).await?;
        Ok(HeldObject {
            bytes: None,
            checksum: match checksum.algorithm {
                Algorithm::Crc64nvme => reply.checksum_crc64_nvme.clone(),
                Algorithm::Crc32c => reply.checksum_crc32_c.clone(),
                Algorithm::Sha256 => reply.checksum_sha256.clone(),
            },
            etag: unquoted(reply.e_tag()),
            opaque_etag: hides_md5(reply.server_side_encryption(), reply.sse_customer_algorithm()),
            encryption: held_encryption(reply.server_side_encryption, reply.ssekms_key_id),
            version_id: reply.version_id,
            ..HeldObject::default()
        })
    }

    /// What S3 holds under a key; `None` when nothing.
    ///
    /// # Errors
    /// When it does not tell.
    pub async fn head(&self, key: &str, algorithm: Algorithm) -> Result<Option<HeldObject>, StoreError> {
        let operation = self.operation("HeadObject", key);
        let request = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .set_expected_bucket_owner(self.owner.clone())
            .key(key)
            .checksum_mode(ChecksumMode::Enabled);
        let reply = match operation.run(request.send(), None).await {
            Err(StoreError { kind: StoreErrorKind::NotFound(_), .. }) => return Ok(None),
            reply => reply?,
        };
        Ok(Some(HeldObject {
            bytes: reply.content_length().map(i64::cast_unsigned),
            checksum: match algorithm {
                Algorithm::Crc64nvme => reply.checksum_crc64_nvme.clone(),
                Algorithm::Crc32c => reply.checksum_crc32_c.clone(),
                Algorithm::Sha256 => reply.checksum_sha256.clone(),
            },
            etag: unquoted(reply.e_tag()),
            opaque_etag: hides_md5(reply.server_side_encryption(), reply.sse_customer_algorithm()),
            encryption: held_encryption(reply.server_side_encryption, reply.ssekms_key_id),
            class: reply.storage_class.map(|class| class.as_str().to_owned()),
            tags: reply.tag_count.map(i32::cast_unsigned),
            version_id: reply.version_id,
        }))
    }

    /// How many tags an object has.
    ///
    /// # Errors
    /// When S3 does not tell.
    pub async fn count_tags(&self, key: &str) -> Result<usize, StoreError> {
        let operation = self.operation("GetObjectTagging", key);
        let request = self.client.get_object_tagging().bucket(&self.bucket).key(key);
        let request = request.set_expected_bucket_owner(self.owner.clone());
        Ok(operation.run(request.send(), None).await?.tag_set.len())
    }

    /// Reads an object back and digests its bytes, of which no more are in memory than one answer's piece. `transfer` is told of them.
    ///
    /// # Errors
    /// When it does not come, or not whole.
    pub async fn read_back(&self, key: &str, transfer: &dyn Transfer) -> Result<Digest, StoreError> {
        let operation = self.operation("GetObject", key);
        let request =
            self.client.get_object().bucket(&self.bucket).set_expected_bucket_owner(self.owner.clone()).key(key);
        let reply = operation.run_raw(request.send(), None).await;
        let mut body = reply.map_err(|answer| operation.error(answer.into_read_kind()))?.body;
        let mut digester = Digester::default();
        loop {
            match tokio::time::timeout(self.idle, body.try_next()).await {
                Ok(Ok(Some(bytes))) => {
                    digester.update(&bytes);
                    transfer.advance(bytes.len() as u64);
                }
                Ok(Ok(None)) => return Ok(digester.digest()),
                Ok(Err(error)) => {
                    return Err(operation.error(StoreErrorKind::Network(format!("the object breaks off: {error}"))));
                }
                Err(_) => return Err(operation.error(StoreErrorKind::TimedOut(self.idle))),
            }
        }
    }
}

/// An ETag without its quotes.
pub(super) fn unquoted(etag: Option<&str>) -> Option<String> {
    etag.map(|etag| etag.trim_matches('"').to_owned())
}

pub(super) fn held_encryption(algorithm: Option<ServerSideEncryption>, key: Option<String>) -> Option<HeldEncryption> {
    algorithm.map(|algorithm| HeldEncryption { algorithm: algorithm.as_str().to_owned(), kms_key: key })
}

/// Whether the encryption makes the ETag something other than an MD5.
pub(super) fn hides_md5(sse: Option<&ServerSideEncryption>, customer: Option<&str>) -> bool {
    !matches!(sse, None | Some(ServerSideEncryption::Aes256)) || customer.is_some()
}
