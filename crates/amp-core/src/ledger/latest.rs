//! The newest load of each object, and which of them were lost.

use std::collections::{BTreeMap, HashMap};

use super::record::{LoadRecord, LostRecord};

/// The newest load of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestLoad {
    /// Its record.
    pub record: LoadRecord,
    /// Whether the object was found lost since. A file that is loaded again, wherever to, leaves no lost object behind.
    pub is_lost: bool,
}

/// Takes the records of a partition in their order.
#[derive(Debug, Default)]
pub(super) struct LatestLoads {
    by_object: BTreeMap<(String, String), LatestLoad>,
    lost: HashMap<String, (String, String)>,
}

impl LatestLoads {
    pub(super) fn add(&mut self, record: LoadRecord) {
        if let Some(lost) = self.lost.remove(&record.file) {
            self.by_object.remove(&lost);
        }
        let object = (record.bucket.clone(), record.key.clone());
        self.by_object.insert(object, LatestLoad { record, is_lost: false });
    }

    pub(super) fn mark_lost(&mut self, lost: &LostRecord) {
        let object = (lost.bucket.clone(), lost.key.clone());
        if let Some(load) = self.by_object.get_mut(&object).filter(|load| load.record.file == lost.file) {
            load.is_lost = true;
            self.lost.insert(lost.file.clone(), object);
        }
    }

    pub(super) fn into_vec(self) -> Vec<LatestLoad> {
        self.by_object.into_values().collect()
    }
}
