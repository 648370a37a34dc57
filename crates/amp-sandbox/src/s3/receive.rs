//! A body on its way to the disk, checked before anyone can see it.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use md5::Md5;
use sha2::Digest;
use tempfile::NamedTempFile;

use super::call::Call;
use super::checksum::{Algorithm, Checksum, Claim, Hasher};
use super::error::{Failure, S3Error};
use super::payload;
use super::quirks::Quirks;
use super::rule::S3Fault;
use super::sigv4::{Payload, Signed};
use super::state::State;
use super::store::each_piece;
use crate::flip::Flip;
use crate::http::{Exchange, hex};

/// A body that is what the client said it would be.
pub(super) struct Received {
    pub(super) file: NamedTempFile,
    pub(super) bytes: u64,
    pub(super) md5: Vec<u8>,
    /// What is stored with it.
    pub(super) checksum: Option<Checksum>,
    /// What the answer shows.
    pub(super) shown: Option<Checksum>,
}

/// Reads the body of PutObject or UploadPart. `default` is the checksum computed where the client claims none.
pub(super) fn receive(
    state: &State,
    exchange: &mut Exchange<'_>,
    signed: &Signed,
    call: &Call,
    claim: Option<Claim>,
    default: Algorithm,
) -> Result<Received, Failure> {
    let algorithm = claim.as_ref().map_or(default, |claim| claim.algorithm);
    let content_md5 = exchange.head.header("content-md5").map(str::to_owned);
    let mut file = state.disk.temporary()?;
    let (mut md5, mut hasher, mut bytes) = (Md5::new(), Hasher::new(algorithm), 0);
    let mut signed = signed.clone();
    if state.quirks.keep_chunk_framing && matches!(signed.payload, Payload::Chunks { .. }) {
        signed.payload = Payload::Unsigned;
    }
    let trailers = payload::read(exchange, &signed, |piece| {
        md5.update(piece);
        hasher.update(piece);
        bytes += piece.len() as u64;
        file.write_all(piece)
    })?;
    let (mut md5, mut computed) = (md5.finalize().to_vec(), Checksum::whole(algorithm, &hasher.finish()));
    if let Some(claimed) = content_md5.filter(|_| !state.quirks.ignore_content_md5) {
        match BASE64.decode(&claimed) {
            Ok(right) if right == md5 => {}
            Ok(wrong) if wrong.len() == 16 => return Err(S3Error::bad_digest("Content-MD5").into()),
            _ => return Err(S3Error::new(400, "InvalidDigest", "The Content-MD5 you specified is not valid.").into()),
        }
    }
    let claimed = claim.as_ref().and_then(|claim| {
        let trailing = || trailers.iter().find(|(name, _)| *name == claim.algorithm.header()).map(|(_, v)| v.clone());
        claim.value.clone().or_else(trailing)
    });
    if let Some(claim) = claim.filter(|_| !state.quirks.unverified()) {
        match &claimed {
            None => {
                let message = format!("The trailing {} did not come.", claim.algorithm.header());
                return Err(S3Error::new(400, "MalformedTrailerError", message).into());
            }
            Some(value) if *value != computed.value => return Err(S3Error::bad_digest(algorithm.name()).into()),
            Some(_) => {}
        }
    }
    if matches!(call.fault, Some(S3Fault::TruncateStored)) {
        bytes /= 2;
        file.as_file().set_len(bytes)?;
        let (mut half_md5, mut half) = (Md5::new(), Hasher::new(algorithm));
        each_piece(&mut File::open(file.path())?, |piece| {
            half_md5.update(piece);
            half.update(piece);
        })?;
        (md5, computed) = (half_md5.finalize().to_vec(), Checksum::whole(algorithm, &half.finish()));
    }
    if let Some(S3Fault::DamageStored(flip)) = call.fault {
        damage(file.as_file(), bytes, flip)?;
    }
    let echo = || claimed.map(|value| Checksum { algorithm, value, composite: false });
    let (checksum, shown) = match state.quirks {
        Quirks { ignore_checksums: true, .. } => (None, None),
        Quirks { echo_checksums: true, .. } => (None, echo()),
        Quirks { keep_unchecked: true, .. } => (echo(), None),
        _ => (Some(computed.clone()), Some(computed)),
    };
    Ok(Received { file, bytes, md5, checksum, shown })
}

/// Another byte on the disk than the one that came.
fn damage(file: &File, length: u64, flip: Flip) -> io::Result<()> {
    let (at, mask) = (flip.at_of(length), flip.mask);
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    file.write_all_at(&[byte[0] ^ mask], at)
}

/// The ETag of a body, as this server makes them.
pub(super) fn etag(state: &State, md5: &[u8], suffix: &str, sse: Option<&str>) -> String {
    let other = || hex(&Md5::digest(format!("{}-{}", hex(md5), state.serial())));
    if state.quirks.no_md5_etag {
        return format!("0x8{}", other()[..15].to_ascii_uppercase());
    }
    // Under a KMS key S3's ETag is no MD5 either, though it looks like one.
    if state.quirks.random_etag || sse.is_some_and(|sse| sse.starts_with("aws:kms")) {
        return format!("{}{suffix}", other());
    }
    format!("{}{suffix}", hex(md5))
}
