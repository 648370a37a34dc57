//! What one member of a zip shall look like.

/// How a member's bytes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As they are.
    Stored,
    /// Deflated.
    Deflated,
    /// Any other method number; the bytes are written as they are.
    Other(u16),
}

/// A member, right or wrong in any way wanted.
#[derive(Debug, Clone)]
pub struct MemberSpec {
    pub(super) name: Vec<u8>,
    pub(super) local_name: Option<Vec<u8>>,
    pub(super) data: Vec<u8>,
    pub(super) method: Method,
    pub(super) data_descriptor: bool,
    pub(super) zip64: bool,
    pub(super) unix_mode: Option<u32>,
    pub(super) encrypted: bool,
    pub(super) utf8: bool,
    pub(super) crc_mask: u32,
    pub(super) claimed_size: Option<u64>,
    pub(super) level: u32,
}

impl MemberSpec {
    /// A deflated regular file without data descriptor. The name is taken as it is, whatever its bytes.
    pub fn new(name: impl Into<Vec<u8>>, data: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            local_name: None,
            data: data.into(),
            method: Method::Deflated,
            data_descriptor: false,
            zip64: false,
            unix_mode: None,
            encrypted: false,
            utf8: true,
            crc_mask: 0,
            claimed_size: None,
            level: 6,
        }
    }

    /// Stored, not deflated.
    pub fn stored(self) -> Self {
        self.method(Method::Stored)
    }

    /// Another method.
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Sizes and CRC follow the data instead of preceding it, as writers of streams do.
    pub fn data_descriptor(mut self, present: bool) -> Self {
        self.data_descriptor = present;
        self
    }

    /// 64-bit sizes and offset, needed or not.
    pub fn zip64(mut self, forced: bool) -> Self {
        self.zip64 = forced;
        self
    }

    /// The Unix mode, file type included: 0o120777 is a symlink whose target is the data, 0o060600 a block device.
    pub fn unix_mode(mut self, mode: u32) -> Self {
        self.unix_mode = Some(mode);
        self
    }

    /// Flagged as encrypted (the data isn't).
    pub fn encrypted(mut self) -> Self {
        self.encrypted = true;
        self
    }

    /// The name is not flagged as UTF-8.
    pub fn legacy_name(mut self) -> Self {
        self.utf8 = false;
        self
    }

    /// Another name before the data than in the central directory.
    pub fn local_name(mut self, name: impl Into<Vec<u8>>) -> Self {
        self.local_name = Some(name.into());
        self
    }

    /// A CRC that is not that of the data.
    pub fn wrong_crc(mut self) -> Self {
        self.crc_mask = 0x0000_0100;
        self
    }

    /// An unpacked size that is not that of the data.
    pub fn claimed_size(mut self, bytes: u64) -> Self {
        self.claimed_size = Some(bytes);
        self
    }

    /// Effort of deflate, 0–9.
    pub fn level(mut self, level: u32) -> Self {
        self.level = level;
        self
    }
}
