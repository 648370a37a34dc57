//! Objects in parts.

use amp_core::receipt::{Algorithm, Checksum};
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use chrono::DateTime;

use super::S3Store;
use super::object::{held_encryption, hides_md5, unquoted};
use super::options::RequestOptions;
use crate::store::{
    AssembledObject, HeldObject, NewObject, ObjectOptions, OpenUpload, StoreError, StoreErrorKind, StoredPart,
    UploadBody, covers_whole_objects,
};

/// How many uploads one answer lists at most: with keys of 1,024 bytes, 1,000 of them would be more than is read of an answer.
const PAGE: i32 = 100;

/// What helps where uploads in parts do not go.
const IN_ONE_REQUEST: &str = "`--multipart-threshold 5GiB` uploads files of up to that size in one request";

impl S3Store {
    /// Begins an upload in parts and returns its id. An upload whose answer the SDK cannot read is aborted by the id in it.
    ///
    /// # Errors
    /// When S3 gives none; [`StoreErrorKind::Unreadable`] if an upload may be open then.
    pub async fn create(
        &self,
        object: &NewObject,
        options: &ObjectOptions,
        algorithm: Algorithm,
    ) -> Result<String, StoreError> {
        let options = RequestOptions::from(options);
        let request = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .set_expected_bucket_owner(self.owner.clone())
            .key(&object.key)
            .content_type(object.content_type)
            .set_storage_class(options.class.filter(|_| !object.in_default_class))
            .set_server_side_encryption(options.encryption)
            .set_ssekms_key_id(options.kms_key)
            .set_tagging(options.tagging)
            .set_acl(options.acl)
            .checksum_algorithm(named(algorithm))
            .checksum_type(coverage(algorithm));
        let operation = self.operation("CreateMultipartUpload", &object.key);
        let reply = match operation.run_raw(request.send(), None).await {
            Ok(reply) => reply,
            Err(answer) => {
                let id = answer.unknown_element("UploadId");
                let (is_unknown, kind) = (answer.is_unknown(), answer.into_kind(false));
                let aborted = match id {
                    Some(id) => self.abort(&object.key, &id).await.is_ok(),
                    None => false,
                };
                return Err(operation.error(match kind {
                    kind if !is_unknown => kind,
                    kind if aborted => StoreErrorKind::Rejected(format!("{kind}; {IN_ONE_REQUEST}")),
                    kind => {
                        StoreErrorKind::Unreadable(format!("{kind}, and an upload may be open there; {IN_ONE_REQUEST}"))
                    }
                }));
            }
        };
        reply.upload_id.ok_or_else(|| operation.error(StoreErrorKind::Rejected("the answer has no upload id".into())))
    }

    /// Uploads a part.
    ///
    /// # Errors
    /// When S3 does not say that it holds exactly the part.
    pub async fn upload_part(
        &self,
        key: &str,
        upload: &str,
        number: i32,
        checksum: Checksum,
        source: &UploadBody,
    ) -> Result<StoredPart, StoreError> {
        let (body, monitor) = source.body();
        let request = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .set_expected_bucket_owner(self.owner.clone())
            .key(key)
            .upload_id(upload)
            .part_number(number)
            .content_length(source.digest.bytes.cast_signed())
            .body(ByteStream::new(SdkBody::from_body_1_x(body)));
        let request = match checksum.algorithm {
            Algorithm::Crc64nvme => request.checksum_crc64_nvme(&checksum.value),
            Algorithm::Crc32c => request.checksum_crc32_c(&checksum.value),
            Algorithm::Sha256 => request.checksum_sha256(&checksum.value),
        };
        let operation = self.operation("UploadPart", key);
        let reply = operation.run(request.send(), Some(monitor)).await?;
        let stored = match checksum.algorithm {
            Algorithm::Crc64nvme => reply.checksum_crc64_nvme(),
            Algorithm::Crc32c => reply.checksum_crc32_c(),
            Algorithm::Sha256 => reply.checksum_sha256(),
        };
        if let Some(stored) = stored.filter(|stored| *stored != checksum.value) {
            let (algorithm, ours) = (checksum.algorithm, &checksum.value);
            let answer = format!("part {number}: the server stored {algorithm} {stored}, the part has {ours}");
            return Err(operation.error(StoreErrorKind::Busy { answer, retry_after: None }));
        }
        let etag = reply
            .e_tag
            .ok_or_else(|| operation.error(StoreErrorKind::Rejected(format!("part {number} got no ETag"))))?;
        Ok(StoredPart { number, etag, checksum })
    }

    /// Makes the object of its parts.
    ///
    /// # Errors
    /// When S3 does not say that it did.
    pub async fn complete(
        &self,
        object: &NewObject,
        upload: &str,
        whole: &AssembledObject<'_>,
    ) -> Result<HeldObject, StoreError> {
        let parts = whole.parts.iter().map(|StoredPart { number, etag, checksum }| {
            let part = CompletedPart::builder().part_number(*number).e_tag(etag);
            match checksum.algorithm {
                Algorithm::Crc64nvme => part.checksum_crc64_nvme(&checksum.value),
                Algorithm::Crc32c => part.checksum_crc32_c(&checksum.value),
                Algorithm::Sha256 => part.checksum_sha256(&checksum.value),
            }
            .build()
        });
        let Checksum { algorithm, value } = whole.checksum;
        let request = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .set_expected_bucket_owner(self.owner.clone())
            .key(&object.key)
            .upload_id(upload)
            .mpu_object_size(whole.bytes.cast_signed())
            .set_if_none_match(object.only_if_new.then(|| "*".to_owned()))
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build());
        let request = match algorithm {
            Algorithm::Crc64nvme => request.checksum_crc64_nvme(value).checksum_type(coverage(*algorithm)),
            Algorithm::Crc32c => request.checksum_crc32_c(value).checksum_type(coverage(*algorithm)),
            // A composite is not of the object's bytes, so S3 takes none beforehand, and Garage no type without one. The beginning named it.
            Algorithm::Sha256 => request,
        };
        let operation = self.operation("CompleteMultipartUpload", &object.key);
        let reply = operation.run(request.send(), None).await?;
        let checksum = match algorithm {
            Algorithm::Crc64nvme => reply.checksum_crc64_nvme,
            Algorithm::Crc32c => reply.checksum_crc32_c,
            Algorithm::Sha256 => reply.checksum_sha256,
        };
        Ok(HeldObject {
            bytes: None,
            checksum,
            etag: unquoted(reply.e_tag.as_deref()),
            opaque_etag: hides_md5(reply.server_side_encryption.as_ref(), None),
            encryption: held_encryption(reply.server_side_encryption, reply.ssekms_key_id),
            version_id: reply.version_id,
            ..HeldObject::default()
        })
    }

    /// Gives an upload in parts up. One that is gone already is fine.
    ///
    /// # Errors
    /// When S3 does not say that it is gone.
    pub async fn abort(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        let operation = self.operation("AbortMultipartUpload", key);
        let request = self.client.abort_multipart_upload().bucket(&self.bucket).key(key).upload_id(upload);
        let request = request.set_expected_bucket_owner(self.owner.clone());
        match operation.run(request.send(), None).await {
            Ok(_) | Err(StoreError { kind: StoreErrorKind::NotFound(_), .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The uploads in parts of exactly that key that are neither complete nor aborted.
    ///
    /// # Errors
    /// When S3 does not list them.
    pub async fn open_uploads(&self, key: &str) -> Result<Vec<OpenUpload>, StoreError> {
        let operation = self.operation("ListMultipartUploads", key);
        let (mut key_marker, mut id_marker) = (None, None);
        let mut open = Vec::new();
        loop {
            let request = self
                .client
                .list_multipart_uploads()
                .bucket(&self.bucket)
                .set_expected_bucket_owner(self.owner.clone())
                .prefix(key)
                .max_uploads(PAGE)
                .set_key_marker(key_marker)
                .set_upload_id_marker(id_marker);
            let page = operation.run(request.send(), None).await?;
            open.extend(page.uploads().iter().filter(|upload| upload.key() == Some(key)).filter_map(|upload| {
                let initiated = upload.initiated().and_then(|at| DateTime::from_timestamp(at.secs(), 0));
                Some(OpenUpload {
                    id: upload.upload_id()?.to_owned(),
                    initiated: initiated.unwrap_or(DateTime::UNIX_EPOCH),
                })
            }));
            if page.is_truncated() != Some(true) || page.next_key_marker().is_none() {
                return Ok(open);
            }
            (key_marker, id_marker) = (page.next_key_marker, page.next_upload_id_marker);
        }
    }
}

fn named(algorithm: Algorithm) -> ChecksumAlgorithm {
    match algorithm {
        Algorithm::Crc64nvme => ChecksumAlgorithm::Crc64Nvme,
        Algorithm::Crc32c => ChecksumAlgorithm::Crc32C,
        Algorithm::Sha256 => ChecksumAlgorithm::Sha256,
    }
}

fn coverage(algorithm: Algorithm) -> ChecksumType {
    if covers_whole_objects(algorithm) { ChecksumType::FullObject } else { ChecksumType::Composite }
}
