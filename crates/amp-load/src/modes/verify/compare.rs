//! One object beside its load record.

use amp_core::ledger::LoadRecord;
use amp_core::progress::Transfer;
use amp_core::receipt::{Expected, Mismatch, Receipt, Stored};

use crate::store::{S3Store, StoreError, StoreErrorKind};
use crate::upload::Requests;

/// What became of one object.
pub(super) enum Finding {
    Same,
    Missing,
    Different(Mismatch),
    /// It is there and of the same size, and the server tells nothing else that could be compared.
    NotVerified,
    Unknown(StoreError),
}

/// Compares an object by what the server says of it or, with `reading` to tell how far that is, by its bytes.
pub(super) async fn compare_object(
    store: &S3Store,
    requests: &Requests,
    record: &LoadRecord,
    reading: Option<&dyn Transfer>,
) -> Finding {
    let mut expected = Expected { digest: record.digest, checksum: record.checksum.clone(), etag: record.etag.clone() };
    let stored = match reading {
        // The same bytes are the same object, whatever ETag it has by now.
        Some(item) => {
            expected.etag = None;
            let read = requests.run(record.digest.bytes, |_| store.read_back(&record.key, item)).await;
            read.map(|digest| Stored { read_back: Some(digest), ..Stored::default() })
        }
        None => match requests.run(0, |_| store.head(&record.key, record.checksum.algorithm)).await {
            Ok(None) => return Finding::Missing,
            Ok(Some(held)) => Ok(held.into()),
            Err(error) => Err(error),
        },
    };
    match stored.map(|stored| Receipt::compare(&expected, &stored)) {
        Ok(Ok(_)) => Finding::Same,
        Ok(Err(Mismatch::Nothing)) => Finding::NotVerified,
        Ok(Err(mismatch)) => Finding::Different(mismatch),
        Err(StoreError { kind: StoreErrorKind::NotFound(_), .. }) => Finding::Missing,
        Err(error) => Finding::Unknown(error),
    }
}
