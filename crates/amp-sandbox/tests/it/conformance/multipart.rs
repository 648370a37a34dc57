//! Uploads in parts.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use md5::{Digest, Md5};
use sha2::Sha256;

use super::{Check, Server, encoded};
use crate::client::Response;
use crate::s3_strict::{crc64, hex_md5, md5, refused};
use crate::signer::hex;

pub(super) const ALL: [(&str, Check); 7] = [
    ("parts become one object, whose ETag is the MD5 of their MD5s", parts_become_one),
    ("the checksum of the whole is kept and told", whole_checksum),
    ("a wrong checksum of the whole makes no object", wrong_whole_checksum),
    ("a checksum of checksums is kept and told", composite_checksum),
    ("a damaged part is refused", damaged_part),
    ("an upload is listed with its parts until it is aborted", listed_and_aborted),
    ("parts that are not what the client says make no object", wrong_parts),
];

const PART: usize = 5 * 1024 * 1024;
const SUM: &str = "x-amz-checksum-crc64nvme";

struct Upload<'a> {
    server: &'a Server,
    key: &'static str,
    id: String,
}

fn element(text: &str, name: &str) -> String {
    let inside = text.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {text}")).1;
    inside.split('<').next().unwrap().to_owned()
}

impl<'a> Upload<'a> {
    fn begin(server: &'a Server, key: &'static str, headers: &[(&str, &str)]) -> Self {
        let answer = server.ok("POST", &format!("{key}?uploads="), headers, b"").text();
        assert!(answer.contains("<InitiateMultipartUploadResult"), "{answer}");
        Self { server, key, id: element(&answer, "UploadId") }
    }

    fn target(&self) -> String {
        let id = encoded(&self.id);
        format!("{}?uploadId={id}", self.key)
    }

    fn put(&self, number: u32, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.server.call("PUT", &format!("{}&partNumber={number}", self.target()), headers, body)
    }

    fn etag(&self, number: u32, headers: &[(&str, &str)], body: &[u8]) -> String {
        let part = self.put(number, headers, body);
        assert_eq!(part.status, 200, "{}", part.text());
        part.header("etag").unwrap().to_owned()
    }

    fn complete(&self, headers: &[(&str, &str)], parts: &[(u32, &str, String)]) -> Response {
        let parts: String = parts
            .iter()
            .map(|(number, etag, more)| {
                format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{more}</Part>")
            })
            .collect();
        let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        self.server.call("POST", &self.target(), headers, body.as_bytes())
    }

    fn abort(&self) -> Response {
        self.server.call("DELETE", &self.target(), &[], b"")
    }
}

fn first() -> Vec<u8> {
    (0..PART).map(|n| (n % 251) as u8).collect()
}

fn parts_become_one(server: &Server) {
    let upload = Upload::begin(server, "/parts/one", &[]);
    let (one, two) = (first(), b"tail".to_vec());
    let etags = [upload.etag(1, &[], &one), upload.etag(2, &[("content-md5", &md5(&two))], &two)];
    assert_eq!(etags.clone().map(|etag| etag.trim_matches('"').to_owned()), [hex_md5(&one), hex_md5(&two)]);
    let done = upload.complete(&[], &[(1, &etags[0], String::new()), (2, &etags[1], String::new())]);
    assert_eq!(done.status, 200, "{}", done.text());
    assert!(done.text().contains("<CompleteMultipartUploadResult"), "{}", done.text());
    let of_parts = [Md5::digest(&one), Md5::digest(&two)].concat();
    let etag = format!("{}-2", hex(&Md5::digest(of_parts)));
    assert!(element(&done.text(), "ETag").contains(&etag), "{}", done.text());
    assert_eq!(server.ok("HEAD", "/parts/one", &[], b"").header("etag"), Some(format!("\"{etag}\"").as_str()));
    assert_eq!(server.bytes("/parts/one"), Some([one, two].concat()));
}

const WHOLE: [(&str, &str); 2] = [("x-amz-checksum-algorithm", "CRC64NVME"), ("x-amz-checksum-type", "FULL_OBJECT")];

/// An upload of two parts with the checksum of the whole.
fn completed(server: &Server, key: &'static str, claimed: &str) -> Response {
    let upload = Upload::begin(server, key, &WHOLE);
    let (one, two) = (first(), b"tail".to_vec());
    let etags = [upload.etag(1, &[(SUM, &crc64(&one))], &one), upload.etag(2, &[(SUM, &crc64(&two))], &two)];
    let parts = [(1, etags[0].as_str(), String::new()), (2, etags[1].as_str(), String::new())];
    upload.complete(&[(SUM, claimed), ("x-amz-checksum-type", "FULL_OBJECT")], &parts)
}

fn whole_checksum(server: &Server) {
    let whole = crc64(&[&first()[..], b"tail"].concat());
    let done = completed(server, "/parts/whole", &whole);
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(element(&done.text(), "ChecksumCRC64NVME"), whole);
    let head = server.ok("HEAD", "/parts/whole", &[("x-amz-checksum-mode", "ENABLED")], b"");
    assert_eq!((head.header(SUM), head.header("x-amz-checksum-type")), (Some(whole.as_str()), Some("FULL_OBJECT")));
}

fn wrong_whole_checksum(server: &Server) {
    refused(&completed(server, "/parts/wrong", &crc64(b"other")), 400, "BadDigest");
    assert_eq!(server.bytes("/parts/wrong"), None);
}

fn composite_checksum(server: &Server) {
    let upload = Upload::begin(server, "/parts/composite", &[("x-amz-checksum-algorithm", "SHA256")]);
    let one = first();
    let sums = [&one[..], b"tail"].map(Sha256::digest);
    let told = sums.map(|sum| BASE64.encode(sum));
    let part = |number: u32, body: &[u8]| {
        let sum = &told[number as usize - 1];
        let etag = upload.etag(number, &[("x-amz-checksum-sha256", sum)], body);
        (etag, format!("<ChecksumSHA256>{sum}</ChecksumSHA256>"))
    };
    let parts = [part(1, &one), part(2, b"tail")];
    let done = upload.complete(&[], &[(1, &parts[0].0, parts[0].1.clone()), (2, &parts[1].0, parts[1].1.clone())]);
    assert_eq!(done.status, 200, "{}", done.text());
    let composite = format!("{}-2", BASE64.encode(Sha256::digest(sums.concat())));
    assert_eq!(element(&done.text(), "ChecksumSHA256"), composite);
    let head = server.ok("HEAD", "/parts/composite", &[("x-amz-checksum-mode", "ENABLED")], b"");
    assert_eq!(head.header("x-amz-checksum-sha256"), Some(composite.as_str()));
}

fn damaged_part(server: &Server) {
    let upload = Upload::begin(server, "/parts/damaged", &WHOLE);
    refused(&upload.put(1, &[(SUM, &crc64(b"other"))], b"part"), 400, "BadDigest");
    refused(&upload.put(1, &[("content-md5", &md5(b"other"))], b"part"), 400, "BadDigest");
    let listed = server.ok("GET", &upload.target(), &[], b"").text();
    assert!(!listed.contains("<PartNumber>"), "{listed}");
    assert_eq!(upload.abort().status, 204);
}

fn listed_and_aborted(server: &Server) {
    let upload = Upload::begin(server, "/parts/aborted%230", &[]);
    let open = || server.ok("GET", "?uploads=&prefix=parts%2Faborted", &[], b"").text();
    assert!(open().contains(&format!("<UploadId>{}</UploadId>", upload.id)), "{}", open());
    assert_eq!(element(&open(), "Key"), "parts/aborted#0");
    upload.etag(1, &[], b"part");
    let parts = server.ok("GET", &upload.target(), &[], b"").text();
    assert_eq!((element(&parts, "PartNumber").as_str(), element(&parts, "Size").as_str()), ("1", "4"));
    assert_eq!(upload.abort().status, 204);
    assert!(!open().contains("<UploadId>"), "{}", open());
    refused(&upload.put(1, &[], b"part"), 404, "NoSuchUpload");
    refused(&upload.complete(&[], &[(1, "\"x\"", String::new())]), 404, "NoSuchUpload");
    assert_eq!(server.bytes("/parts/aborted%230"), None);
}

fn wrong_parts(server: &Server) {
    let upload = Upload::begin(server, "/parts/wrong-list", &[]);
    let etags = [upload.etag(1, &[], b"small"), upload.etag(2, &[], b"tail")];
    let other = format!("\"{}\"", hex_md5(b"other"));
    let with = |parts: &[(u32, &str)]| {
        let parts: Vec<_> = parts.iter().map(|(number, etag)| (*number, *etag, String::new())).collect();
        upload.complete(&[], &parts)
    };
    refused(&with(&[(1, &other)]), 400, "InvalidPart");
    refused(&with(&[(3, &etags[1])]), 400, "InvalidPart");
    refused(&with(&[(2, &etags[1]), (1, &etags[0])]), 400, "InvalidPartOrder");
    refused(&with(&[(1, &etags[0]), (2, &etags[1])]), 400, "EntityTooSmall");
    assert_eq!(server.bytes("/parts/wrong-list"), None);
    assert_eq!(upload.abort().status, 204);
}
