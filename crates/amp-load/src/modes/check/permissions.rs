//! What the credentials may do: each request of a run is tried where it would be made, but for those that write an object.

use std::sync::Arc;

use amp_cli::{Exit, Finding, RunError};
use amp_core::lock::LockError;
use amp_core::stage::Staging;
use chrono::NaiveDate;

use super::{Run, failed};
use crate::error::LoadError;
use crate::manifest::ManifestId;
use crate::settings::{IfExists, Settings};
use crate::store::{Encryption, NewObject, ObjectOptions, S3Store, StoreError, StoreErrorKind};
use crate::upload::{UploadJournal, UploadOptions, Uploader};

/// A file of a day before there was any Amplitude: no object has its key.
const SAMPLE: &str = "0_2000-01-01_0#0.json";
const SAMPLE_PROJECT: &str = "0";
/// The day of that file.
const SAMPLE_DAY: Option<NaiveDate> = NaiveDate::from_ymd_opt(2000, 1, 1);

const PUT: &str = "s3:PutObject";
const TAG: &str = "s3:PutObjectTagging";
const ACL: &str = "s3:PutObjectAcl";
const ENCRYPT: &str = "kms:GenerateDataKey";
const ABORT: &str = "s3:AbortMultipartUpload";
const GET: &str = "s3:GetObject";
const LIST: &str = "s3:ListBucket";
const LIST_UPLOADS: &str = "s3:ListBucketMultipartUploads";

/// Tries them all under the real prefixes. `may_list`: whether the bucket may be listed.
///
/// # Errors
/// When another amp-load is at work, or the journal of uploads cannot be used.
pub(super) async fn check(run: &Run<'_>, store: S3Store, may_list: bool) -> Result<Vec<Finding>, RunError> {
    let Settings { bucket, checksum, multipart_threshold, concurrency, .. } = run.settings;
    let staging = Staging::open(&run.session.common.extracted_dir).map_err(RunError::unusable)?;
    let _lock = staging.lock("load").map_err(|error| match error {
        LockError::Held(_) => RunError::temporary(format!("{error}; permissions are tried when it has ended")),
        LockError::Io(..) => RunError::unusable(error),
    })?;
    let reads_objects = run.settings.if_exists != IfExists::Overwrite || store.custom_endpoint().is_some();
    let journal = UploadJournal::open(&staging, &bucket.name, store.custom_endpoint()).map_err(RunError::unusable)?;
    let options = UploadOptions {
        checksum: *checksum,
        multipart_threshold: *multipart_threshold,
        concurrency: *concurrency,
        max_requests: 1,
    };
    // A refusal is what is looked for: it must not stop the run.
    let uploader = Uploader::new(Arc::new(store), Arc::clone(&run.retrier), journal, options, run.stop.child());
    let mut findings = vec![allowed_or_spared(
        LIST,
        may_list,
        &bucket.name,
        "a missing bucket shows late, and a missing object looks forbidden",
    )];
    for (index, target) in targets(run.settings).iter().enumerate() {
        findings.extend(check_writing(&uploader, target).await);
        if index == 0 {
            findings.extend(check_listing_uploads(run, &uploader, target).await);
        }
        if index == 0 && reads_objects {
            findings.extend(check_reading(run, &uploader, target, may_list).await);
        }
    }
    uploader.journal().tidy().map_err(RunError::unusable)?;
    Ok(findings)
}

/// An object that a run would write.
struct Target {
    object: NewObject,
    /// The objects that a policy must name.
    pattern: String,
}

/// One of the files, and one of the manifests and of the state objects if there are to be any.
fn targets(settings: &Settings) -> Vec<Target> {
    let Settings { keys, manifest_prefix, state_prefix, bucket, .. } = settings;
    let file = keys.key(SAMPLE).ok().map(|key| (keys.folder(), key));
    let id = SAMPLE_DAY.map(|day| ManifestId { day, project: Some(SAMPLE_PROJECT.to_owned()) });
    let manifest = manifest_prefix.as_ref().zip(id).map(|(prefix, id)| prefix.key(&id));
    let manifest = manifest.map(|key| (key[..key.rfind('/').map_or(0, |slash| slash + 1)].to_owned(), key));
    let state = state_prefix.as_ref().map(|prefix| (prefix.as_str().to_owned(), prefix.marker()));
    let new = |(folder, key), in_default_class| Target {
        object: NewObject { key, content_type: "application/json", only_if_new: false, in_default_class },
        pattern: format!("s3://{}/{folder}*", bucket.name),
    };
    let in_class_of_data = file.into_iter().chain(manifest).map(|object| new(object, false));
    in_class_of_data.chain(state.map(|object| new(object, true))).collect()
}

fn is_denied(error: &StoreError) -> bool {
    matches!(error.kind, StoreErrorKind::Refused { is_denied: true, .. } | StoreErrorKind::Denied(_))
}

fn denied(action: &'static str, on: &str, answer: &impl ToString) -> Finding {
    Finding::failed(action, Exit::Refused, format!("denied on {on} ({})", answer.to_string()))
        .with_hint(format!("allow {action} on {on}"))
}

/// A permission without which a run goes.
fn allowed_or_spared(action: &'static str, is_allowed: bool, bucket: &str, without: &str) -> Finding {
    if is_allowed {
        Finding::ok(action, format!("allowed on s3://{bucket}"))
    } else {
        Finding::warning(action, format!("denied on s3://{bucket}: {without}"))
            .with_hint(format!("allow {action} on s3://{bucket}"))
    }
}

/// Whether objects may be written there as the settings ask, and what is begun may be given up.
async fn check_writing(uploader: &Uploader, Target { object, pattern }: &Target) -> Vec<Finding> {
    // First: what could not be aborted must not be begun.
    match uploader.try_abort(&object.key).await {
        Err(error) if is_denied(&error) => {
            return vec![denied(ABORT, pattern, &error.kind).with_hint(format!(
                "allow {ABORT} on {pattern}, or the parts of large files that are given up stay and cost money; {PUT} is tried once it is allowed"
            ))];
        }
        Err(StoreError { kind: StoreErrorKind::Stopped, .. }) => return Vec::new(),
        // Whatever else it says of an upload that is not there, it does not forbid it.
        _ => {}
    }
    let mut findings = vec![Finding::ok(ABORT, format!("allowed on {pattern}"))];
    let options = uploader.store().object_options();
    match uploader.try_upload(object, options).await {
        Ok(()) => {
            let actions = [PUT].into_iter().chain(actions_for(options).into_iter().map(|(action, _)| action));
            findings.extend(actions.map(|action| Finding::ok(action, format!("allowed on {pattern}"))));
        }
        Err(LoadError::Store(error)) if is_denied(&error) => {
            let missing = missing_actions(uploader, object, &error).await;
            findings.extend(missing.into_iter().map(|action| denied(action, pattern, &error.kind)));
        }
        Err(LoadError::Store(error)) => findings.push(failed(PUT, error.into())),
        Err(error) => findings.push(Finding::failed(PUT, Exit::Temporary, error)),
    }
    findings
}

/// The actions besides `s3:PutObject` that a policy must allow for `options`, each with the one option that needs it.
fn actions_for(options: &ObjectOptions) -> Vec<(&'static str, ObjectOptions)> {
    let ObjectOptions { class, encryption, tags, acl } = options.clone();
    let plain = ObjectOptions { class, ..ObjectOptions::default() };
    let tagged = tags.map(|tags| (TAG, ObjectOptions { tags: Some(tags), ..plain.clone() }));
    let shared = acl.map(|acl| (ACL, ObjectOptions { acl: Some(acl), ..plain.clone() }));
    let by_kms = encryption.filter(|encryption| matches!(encryption, Encryption::Kms(_)));
    let encrypted = by_kms.map(|encryption| (ENCRYPT, ObjectOptions { encryption: Some(encryption), ..plain }));
    [tagged, shared, encrypted].into_iter().flatten().collect()
}

/// Which actions are missing where S3 answered `error`: the one it names, or else those whose options it denies one by one.
async fn missing_actions(uploader: &Uploader, object: &NewObject, error: &StoreError) -> Vec<&'static str> {
    let answer = error.kind.to_string();
    if let Some(named) =
        [TAG, ACL, ENCRYPT, PUT].into_iter().find(|action| answer.contains(&format!("perform: {action} ")))
    {
        return vec![named];
    }
    let options = actions_for(uploader.store().object_options());
    let plain = ObjectOptions { class: uploader.store().object_options().class.clone(), ..ObjectOptions::default() };
    if options.is_empty() || !may_write(uploader, object, &plain).await {
        return vec![PUT];
    }
    let mut missing = Vec::new();
    for (action, options) in options {
        if !may_write(uploader, object, &options).await {
            missing.push(action);
        }
    }
    if missing.is_empty() { vec![PUT] } else { missing }
}

async fn may_write(uploader: &Uploader, object: &NewObject, options: &ObjectOptions) -> bool {
    !matches!(uploader.try_upload(object, options).await, Err(LoadError::Store(error)) if is_denied(&error))
}

/// Whether uploads that a killed run left may be looked for.
async fn check_listing_uploads(run: &Run<'_>, uploader: &Uploader, target: &Target) -> Option<Finding> {
    let bucket = &run.settings.bucket.name;
    match run.retrier.run(|_| uploader.store().open_uploads(&target.object.key)).await {
        Err(StoreError { kind: StoreErrorKind::Stopped, .. }) => None,
        listed => Some(allowed_or_spared(
            LIST_UPLOADS,
            listed.is_ok(),
            bucket,
            "an upload that a killed run left open may not be found",
        )),
    }
}

/// Whether it may be asked what an object is.
async fn check_reading(run: &Run<'_>, uploader: &Uploader, target: &Target, may_list: bool) -> Option<Finding> {
    let Target { object, pattern } = target;
    let head = run.retrier.run(|_| uploader.store().head(&object.key, run.settings.checksum)).await;
    Some(match head {
        Ok(_) => Finding::ok(GET, format!("allowed on {pattern}")),
        Err(StoreError { kind: StoreErrorKind::Stopped, .. }) => return None,
        Err(error) if is_denied(&error) && may_list => denied(GET, pattern, &error.kind),
        Err(error) if is_denied(&error) => Finding::warning(GET, format!("it cannot be told without {LIST}"))
            .with_hint(format!("allow {LIST} on s3://{}", run.settings.bucket.name)),
        Err(error) => failed(GET, error.into()),
    })
}
