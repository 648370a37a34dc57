//! The archives served: made from the dataset once a window, or given by a test.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::thread;

use flate2::{Compression, write::GzEncoder};

use crate::archive::{MemberSpec, Method, ZipWriter};
use crate::events::Dataset;
use crate::time::Hour;

/// How archives are written.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Stored, or deflated a second time.
    pub method: Method,
    /// Sizes after the data instead of before it.
    pub data_descriptors: bool,
    /// 64-bit fields though nothing needs them.
    pub zip64: bool,
    /// Members of the gzip format in each file, one after the other.
    pub gzip_members: u32,
    /// Effort of gzip, 0–9.
    pub gzip_level: u32,
}

impl Default for Layout {
    /// As a writer of streams does it: deflated, with data descriptors.
    fn default() -> Self {
        Self { method: Method::Deflated, data_descriptors: true, zip64: false, gzip_members: 1, gzip_level: 6 }
    }
}

/// Where an archive's bytes come from.
#[derive(Debug, Clone)]
pub enum ArchiveSource {
    /// These.
    Bytes(Arc<Vec<u8>>),
    /// A file, which may be large.
    File(Arc<File>),
}

impl From<Vec<u8>> for ArchiveSource {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Arc::new(bytes))
    }
}

impl ArchiveSource {
    pub(super) fn len(&self) -> io::Result<u64> {
        Ok(match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(file) => file.metadata()?.len(),
        })
    }

    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => {
                let at = usize::try_from(offset).unwrap_or(usize::MAX);
                let slice = bytes.get(at..).and_then(|rest| rest.get(..buffer.len()));
                buffer.copy_from_slice(slice.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
            Self::File(file) => file.read_exact_at(buffer, offset),
        }
    }

    /// Writes an archive of these members to a file that has no name.
    pub(super) fn build(dataset: &Dataset, members: &[Member], layout: &Layout) -> io::Result<Self> {
        let mut zip = ZipWriter::new(BufWriter::with_capacity(256 * 1024, tempfile::tempfile()?));
        let at_once = thread::available_parallelism().map_or(1, usize::from);
        // Only so many members are in memory as there are cores to make them.
        for some in members.chunks(at_once) {
            let made: Vec<io::Result<Vec<u8>>> = thread::scope(|scope| {
                let making: Vec<_> = some.iter().map(|member| scope.spawn(|| member.gzip(dataset, layout))).collect();
                let lost = |_| Err(io::Error::other("a member could not be made"));
                making.into_iter().map(|thread| thread.join().unwrap_or_else(lost)).collect()
            });
            for (member, gzip) in some.iter().zip(made) {
                let name = format!("{}/{}", dataset.project_id(), member.name);
                // Deflate's usual effort: less of it makes what gzip left longer instead of storing it as it is.
                let member = MemberSpec::new(name, gzip?).method(layout.method).level(6);
                zip.add(&member.data_descriptor(layout.data_descriptors).zip64(layout.zip64))?;
            }
        }
        let file = zip.finish(&[])?.into_inner().map_err(|e| e.into_error())?;
        Ok(Self::File(Arc::new(file)))
    }
}

/// A member of an archive to be built.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Without the project's folder.
    name: String,
    /// Hour and part of the files in it, one after the other.
    files: Vec<(Hour, u32)>,
}

impl Member {
    /// Those of an archive of these files.
    pub(super) fn all(dataset: &Dataset, files: &[(Hour, u32)]) -> Vec<Self> {
        let member =
            |(hour, part): &(Hour, u32)| Self { name: dataset.member_name(*hour, *part), files: vec![(*hour, *part)] };
        files.iter().map(member).collect()
    }

    /// One for all files, without a date in its name.
    pub(super) fn undated(files: Vec<(Hour, u32)>) -> Self {
        Self { name: "events.json.gz".into(), files }
    }

    /// With another ending, if it is of that part.
    pub(super) fn ending(self, ending: &str, of: Option<u32>) -> Self {
        let is_meant = of.is_none_or(|part| self.files.iter().all(|(_, of)| *of == part));
        match self.name.strip_suffix(".json.gz") {
            Some(stem) if is_meant => Self { name: format!("{stem}{ending}"), ..self },
            _ => self,
        }
    }

    fn gzip(&self, dataset: &Dataset, layout: &Layout) -> io::Result<Vec<u8>> {
        let mut packed = Vec::new();
        for (hour, part) in &self.files {
            gzip(dataset, *hour, *part, layout, &mut packed)?;
        }
        Ok(packed)
    }
}

/// Appends one file as gzip.
fn gzip(dataset: &Dataset, hour: Hour, part: u32, layout: &Layout, packed: &mut Vec<u8>) -> io::Result<()> {
    let level = Compression::new(layout.gzip_level);
    let members = layout.gzip_members.max(1) as usize;
    if members == 1 {
        let mut encoder = GzEncoder::new(packed, level);
        dataset.write_part(hour, part, &mut encoder)?;
        encoder.finish()?;
        return Ok(());
    }
    // Cut wherever it falls, in the middle of a line too.
    let bytes = dataset.bytes_of(hour, part);
    for index in 0..members {
        let mut encoder = GzEncoder::new(&mut *packed, level);
        encoder.write_all(&bytes[bytes.len() * index / members..bytes.len() * (index + 1) / members])?;
        encoder.finish()?;
    }
    Ok(())
}
