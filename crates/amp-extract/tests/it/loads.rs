//! What amp-load leaves behind, without running it.

use std::fs;

use amp_core::ledger::{Ledger, LoadRecord, Owners, Partition};
use amp_core::receipt::{Algorithm, Checksum, Proof};
use amp_core::stage::Staging;

use crate::support::Lab;

impl Lab {
    /// Notes as amp-load does that S3 confirmed the file as it was unpacked.
    pub(crate) fn note_load(&self, name: &str) {
        let ledger = Ledger::at(&Staging::existing(&self.path("extracted_data")).state_dir());
        let known = ledger.hours(Partition::of_file(name), &Owners::default()).unwrap();
        let [file] = known.digests(name) else { panic!("no digest of {name}") };
        let record = LoadRecord {
            time: chrono::Utc::now(),
            file: name.into(),
            digest: file.digest,
            bucket: "lake".into(),
            key: name.into(),
            endpoint: None,
            checksum: Checksum { algorithm: Algorithm::Crc64nvme, value: file.digest.crc64nvme.to_string() },
            proof: Proof::Checksum,
            etag: None,
            version_id: None,
            in_place_of: vec![],
        };
        ledger.append_loads(&[record]).unwrap();
    }

    /// The same, and deletes it.
    pub(crate) fn load(&self, name: &str) {
        self.note_load(name);
        self.remove(name);
    }

    /// Deletes a staged file.
    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path("extracted_data").join(name)).unwrap();
    }
}
