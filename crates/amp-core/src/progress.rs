//! How the library tells how far it is, without knowing who listens.

/// Something that shows how far transfers are.
pub trait Progress: Send + Sync {
    /// A transfer begins: `label` names it, `total` is its size in bytes where that is known.
    fn begin(&self, label: &str, total: Option<u64>) -> Box<dyn Transfer>;
}

/// One transfer under way, or one item of it; dropping it ends it.
pub trait Transfer: Send + Sync {
    /// `bytes` more are done.
    fn advance(&self, bytes: u64);

    /// The transfer has so many items: files or entries.
    fn expect_items(&self, _items: u64) {}

    /// One of them begins, of so many bytes of the transfer's. What is told of it counts for the transfer too.
    fn item(&self, _name: &str, _bytes: u64) -> Box<dyn Transfer> {
        Box::new(NoProgress)
    }
}

/// Shows nothing.
pub struct NoProgress;

impl Progress for NoProgress {
    fn begin(&self, _label: &str, _total: Option<u64>) -> Box<dyn Transfer> {
        Box::new(Self)
    }
}

impl Transfer for NoProgress {
    fn advance(&self, _bytes: u64) {}
}
