//! The part of an object that a GET asks for.

use super::error::S3Error;
use crate::http::Head;

/// Consecutive bytes of an object, at least one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ByteRange {
    pub(super) start: u64,
    pub(super) length: u64,
}

impl ByteRange {
    /// What the `Range` header means for an object of that size. None: all of it, which S3 also answers to a header that
    /// it does not understand or that names several ranges.
    pub(super) fn of(head: &Head, size: u64) -> Result<Option<Self>, S3Error> {
        head.header("range").map_or(Ok(None), |text| Self::parse(text, size))
    }

    fn parse(text: &str, size: u64) -> Result<Option<Self>, S3Error> {
        let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
            return Ok(None);
        };
        let (start, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first <= last => (first, last.saturating_add(1).min(size)),
            (Ok(first), Err(_)) if last.is_empty() => (first, size),
            (Err(_), Ok(suffix)) if first.is_empty() => (size - suffix.min(size), size),
            _ => return Ok(None),
        };
        match end.checked_sub(start) {
            Some(length @ 1..) => Ok(Some(Self { start, length })),
            _ => {
                let mut error = S3Error::new(416, "InvalidRange", "The requested range is not satisfiable");
                error.headers.push(("Content-Range".into(), format!("bytes */{size}")));
                Err(error)
            }
        }
    }

    /// The value of `Content-Range`.
    pub(super) fn of_size(&self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.start, self.start + self.length - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_at_the_objects_end_and_refused_beyond_it() {
        let parsed = |text| ByteRange::parse(text, 10).map(|range| range.map(|r| (r.start, r.length)));
        assert_eq!(parsed("bytes=0-3").unwrap(), Some((0, 4)));
        assert_eq!(parsed("bytes=8-99").unwrap(), Some((8, 2)));
        assert_eq!(parsed("bytes=4-").unwrap(), Some((4, 6)));
        assert_eq!(parsed("bytes=-3").unwrap(), Some((7, 3)));
        assert_eq!(parsed("bytes=-99").unwrap(), Some((0, 10)));
        for whole in ["bytes=3-2", "bytes=-", "bytes=0-1,4-5", "bytes=a-b", "lines=0-1"] {
            assert_eq!(parsed(whole).unwrap(), None, "{whole}");
        }
        for beyond in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(parsed(beyond).unwrap_err().status, 416, "{beyond}");
        }
    }
}
