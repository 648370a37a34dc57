//! Objects in one request.

use amp_core::receipt::{Algorithm, Checksum, Stored};
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{ChecksumMode, ServerSideEncryption};

use super::S3Store;
use super::options::RequestOptions;
use crate::store::{NewObject, StoreError, StoreErrorKind, UploadBody};

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
    ) -> Result<Stored, StoreError> {
        let (body, monitor) = source.body();
        let options = RequestOptions::from(&self.object_options);
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .set_expected_bucket_owner(self.owner.clone())
            .key(&object.key)
            .content_type(object.content_type)
            .set_storage_class(options.class)
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
        Ok(Stored {
            bytes: None,
            checksum: match checksum.algorithm {
                Algorithm::Crc64nvme => reply.checksum_crc64_nvme.clone(),
                Algorithm::Crc32c => reply.checksum_crc32_c.clone(),
                Algorithm::Sha256 => reply.checksum_sha256.clone(),
            },
            etag: md5_etag(reply.e_tag(), reply.server_side_encryption(), reply.sse_customer_algorithm()),
        })
    }

    /// What S3 holds under a key; `None` when nothing.
    ///
    /// # Errors
    /// When it does not tell.
    pub async fn head(&self, key: &str, algorithm: Algorithm) -> Result<Option<Stored>, StoreError> {
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
        Ok(Some(Stored {
            bytes: reply.content_length().map(i64::cast_unsigned),
            checksum: match algorithm {
                Algorithm::Crc64nvme => reply.checksum_crc64_nvme.clone(),
                Algorithm::Crc32c => reply.checksum_crc32_c.clone(),
                Algorithm::Sha256 => reply.checksum_sha256.clone(),
            },
            etag: md5_etag(reply.e_tag(), reply.server_side_encryption(), reply.sse_customer_algorithm()),
        }))
    }
}

/// The ETag where it is the MD5 of the bytes: 32 hexadecimal digits, and not of an object whose encryption makes it something else.
fn md5_etag(etag: Option<&str>, sse: Option<&ServerSideEncryption>, customer: Option<&str>) -> Option<String> {
    let plain = matches!(sse, None | Some(ServerSideEncryption::Aes256)) && customer.is_none();
    let etag = etag?.trim_matches('"');
    let is_md5 = etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit());
    (plain && is_md5).then(|| etag.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_counts_only_where_it_is_an_md5_of_the_bytes() {
        let md5 = "25F9E794323B453885F5181F1B624D0B";
        let of = |etag: &str, sse: Option<ServerSideEncryption>, customer| md5_etag(Some(etag), sse.as_ref(), customer);
        assert_eq!(of(&format!("\"{md5}\""), None, None), Some(md5.to_ascii_lowercase()));
        assert!(of(md5, Some(ServerSideEncryption::Aes256), None).is_some());
        assert_eq!(of(md5, Some(ServerSideEncryption::AwsKms), None), None);
        assert_eq!(of(md5, None, Some("AES256")), None);
        assert_eq!(of(&format!("{md5}-2"), None, None), None);
        assert_eq!(of("xyz", None, None), None);
    }
}
