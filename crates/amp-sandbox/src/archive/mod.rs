//! Zips and gzips written by hand, so that they can also be written wrong.
//!
//! ```
//! use amp_sandbox::archive::{ArchiveBuilder, MemberSpec, gzip};
//!
//! let bytes = ArchiveBuilder::new()
//!     .member(MemberSpec::new("1/1_2025-11-06_0#0.json.gz", gzip(b"{}\n")))
//!     .member(MemberSpec::new("../../escape.json.gz", gzip(b"{}\n")).stored().wrong_crc())
//!     .build();
//! assert!(bytes.starts_with(b"PK"));
//! ```

mod gzip;
mod member;
mod zip;

pub use gzip::{gzip, gzip_with_wrong_crc, gzip_with_wrong_len, multi_member_gzip, zeros_bomb, zeros_gzip};
pub use member::{MemberSpec, Method};
pub(crate) use zip::ZipWriter;

/// Puts members together, in order; the same name may come twice.
#[derive(Debug, Clone, Default)]
pub struct ArchiveBuilder {
    members: Vec<MemberSpec>,
    prefix: Vec<u8>,
    suffix: Vec<u8>,
    comment: Vec<u8>,
}

impl ArchiveBuilder {
    /// An archive without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member.
    pub fn member(mut self, member: MemberSpec) -> Self {
        self.members.push(member);
        self
    }

    /// Adds a member that holds the bytes, deflated.
    pub fn file(self, name: impl Into<Vec<u8>>, data: impl Into<Vec<u8>>) -> Self {
        self.member(MemberSpec::new(name, data))
    }

    /// Bytes before the first member, which the offsets don't count.
    pub fn prefix_junk(mut self, junk: impl Into<Vec<u8>>) -> Self {
        self.prefix = junk.into();
        self
    }

    /// Bytes after the end record.
    pub fn suffix_junk(mut self, junk: impl Into<Vec<u8>>) -> Self {
        self.suffix = junk.into();
        self
    }

    /// The archive's comment.
    pub fn comment(mut self, comment: impl Into<Vec<u8>>) -> Self {
        self.comment = comment.into();
        self
    }

    /// The archive.
    pub fn build(self) -> Vec<u8> {
        let mut zip = ZipWriter::new(Vec::new());
        // A Vec takes everything.
        for member in &self.members {
            let _ = zip.add(member);
        }
        let body = zip.finish(&self.comment).unwrap_or_default();
        [self.prefix, body, self.suffix].concat()
    }
}
