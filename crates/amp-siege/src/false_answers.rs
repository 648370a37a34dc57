//! Servers that say they hold what they do not: nothing may be deleted here that is not there.

use std::io;

use amp_sandbox::s3::{Quirks, S3Rule};

use crate::Siege;
use crate::contents::names;
use crate::lab::{Lab, Setup};
use crate::steps::prepare;
use crate::tally::Tally;

type Set = fn(&mut Quirks);

/// What a server keeps to itself or makes up.
const QUIRKS: [(&str, Set); 11] = [
    ("none", |_| {}),
    ("ignore-checksums", |q| q.ignore_checksums = true),
    ("echo-checksums", |q| q.echo_checksums = true),
    ("no-md5-etag", |q| q.no_md5_etag = true),
    ("random-etag", |q| q.random_etag = true),
    ("ignore-checksums no-md5-etag", |q| (q.ignore_checksums, q.no_md5_etag) = (true, true)),
    ("echo-checksums no-md5-etag", |q| (q.echo_checksums, q.no_md5_etag) = (true, true)),
    ("ignore-checksums random-etag", |q| (q.ignore_checksums, q.random_etag) = (true, true)),
    ("head-denied", |q| q.head_object_denied = true),
    ("ignore-checksums head-denied", |q| (q.ignore_checksums, q.head_object_denied) = (true, true)),
    ("echo-checksums head-denied", |q| (q.echo_checksums, q.head_object_denied) = (true, true)),
];

const LIES: [&str; 12] = [
    "op=PutObject:drop-body",
    "op=PutObject,nth=3-:drop-body",
    "op=UploadPart:drop-body",
    "op=CompleteMultipartUpload:drop-body",
    "op=PutObject:truncate",
    "op=PutObject,nth=3-:truncate",
    "op=UploadPart:truncate",
    ":wrong-checksum",
    ":wrong-etag",
    ":no-checksum",
    ":no-etag",
    "op=CompleteMultipartUpload:error-in-200",
];

pub(crate) fn run(siege: &Siege, tally: &mut Tally) -> io::Result<()> {
    let seed = siege.random("lies", 0).u64(..);
    for (quirk, set) in QUIRKS.into_iter().step_by(if siege.short { 4 } else { 1 }) {
        let mut setup = Setup::small(seed)?;
        setup.dataset = setup.dataset.events_in_file(setup.window.end, 1, 700);
        set(&mut setup.quirks);
        let before = tally.violations();
        let mut lab = Lab::new(siege, &format!("lies-{}", quirk.replace(' ', "-")), &setup)?;
        for lie in LIES.into_iter().step_by(if siege.short { 3 } else { 1 }) {
            let step = format!("S3 with {quirk}: {lie}");
            prepare(&mut lab, "amp-load")?;
            let rule: S3Rule = lie.parse().map_err(|error| io::Error::other(format!("{error}")))?;
            lab.s3.add_rule(rule);
            tally.attacks += 1;
            let ended = lab.run("amp-load", &["--max-retries", "1"])?;
            if let Some(problem) = ended.wrong_end(&[0, 1, 3, 75]) {
                tally.violated(&problem, &step, &lab.folder);
            }
            let left = names(&lab.folder.join("extracted_data"))?.iter().filter(|name| *name != ".amp").count();
            tally.count("files kept from a liar", left as u64);
            tally.count("files that a liar holds all the same", lab.expected.len().saturating_sub(left) as u64);
            lab.settle();
            let findings = lab.contents().nothing_gone()?;
            tally.take(findings, &step, &lab.folder);
            if quirk == "none" {
                // The same server, honest again.
                lab.peace(tally, &step, &[])?;
            }
            if tally.is_lost() {
                return Ok(());
            }
        }
        if tally.violations() == before {
            lab.clear()?;
        }
    }
    Ok(())
}
