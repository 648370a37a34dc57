//! Every fault of the Export API and of S3: once, twice and for ever, at each request.

use std::io;

use amp_sandbox::export::Rule;
use amp_sandbox::s3::{S3Op, S3Rule};

use crate::Siege;
use crate::lab::{Lab, Setup};
use crate::steps::prepare;
use crate::tally::Tally;

/// What a fault must come to when it happens once or twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The same run gets over it.
    Recovers,
    /// It ends by itself, and the next run makes it good.
    Ends,
    /// It is believed; only `--force` asks again.
    Believed,
}

const EXPORT: [(&str, Then); 30] = [
    ("status=400", Then::Recovers),
    ("status=401", Then::Ends),
    ("status=403", Then::Ends),
    ("status=404", Then::Ends),
    ("status=404,body=Raw data files were not found", Then::Believed),
    ("status=408", Then::Ends),
    ("status=418", Then::Ends),
    ("status=429", Then::Recovers),
    ("status=429,retry-after=0", Then::Recovers),
    ("status=500", Then::Recovers),
    ("status=502", Then::Recovers),
    ("status=503,retry-after=0", Then::Recovers),
    ("status=504", Then::Recovers),
    ("delay=50ms", Then::Recovers),
    ("cut=0", Then::Recovers),
    ("cut=1500", Then::Recovers),
    ("short=0", Then::Recovers),
    ("short=1500", Then::Recovers),
    ("flip=0", Then::Recovers),
    ("flip=700", Then::Recovers),
    ("flip=-1", Then::Recovers),
    ("flip=-15,mask=1", Then::Recovers),
    ("stall", Then::Recovers),
    ("stall=1500", Then::Recovers),
    ("reset", Then::Recovers),
    ("reset=1500", Then::Recovers),
    ("html", Then::Recovers),
    ("empty", Then::Recovers),
    ("redirect=http://127.0.0.1:9/,code=302", Then::Ends),
    ("redirect=http://127.0.0.1:9/", Then::Ends),
];

const S3: [(&str, Then); 18] = [
    ("status=500", Then::Recovers),
    ("status=503,code=SlowDown", Then::Recovers),
    ("status=503,code=SlowDown,retry-after=0", Then::Recovers),
    ("status=429,code=TooManyRequests", Then::Recovers),
    ("status=400,code=RequestTimeout", Then::Recovers),
    ("status=403,code=AccessDenied", Then::Ends),
    ("status=400,code=ExpiredToken", Then::Ends),
    ("status=403,code=RequestTimeTooSkewed", Then::Ends),
    ("status=404,code=NoSuchBucket", Then::Ends),
    ("status=400,code=InvalidArgument", Then::Ends),
    ("status=412,code=PreconditionFailed", Then::Ends),
    ("reset", Then::Recovers),
    ("reset=500", Then::Recovers),
    ("lost-reply", Then::Recovers),
    ("stall", Then::Recovers),
    ("delay=50ms", Then::Recovers),
    ("wrong-checksum", Then::Ends),
    ("error-in-200", Then::Ends),
];

const OPS: [S3Op; 7] = [
    S3Op::HeadBucket,
    S3Op::PutObject,
    S3Op::HeadObject,
    S3Op::CreateMultipartUpload,
    S3Op::UploadPart,
    S3Op::CompleteMultipartUpload,
    S3Op::AbortMultipartUpload,
];

/// How often: as a rule has it, and whether that is within the retries.
const TIMES: [(Option<u32>, &str); 3] = [(Some(1), "once"), (Some(2), "twice"), (None, "for ever")];

const ENDS: [i32; 4] = [0, 1, 3, 75];

pub(crate) fn run(siege: &Siege, tally: &mut Tally) -> io::Result<()> {
    let mut setup = Setup::small(siege.random("network", 0).u64(..))?;
    setup.dataset = setup.dataset.events_in_file(setup.window.end, 1, 700);
    let mut lab = Lab::new(siege, "network", &setup)?;
    let mut number = 0;
    // A cut takes one of the combinations of each fault, by turns.
    let mut skipped = |_: &str| {
        number += 1;
        siege.short && number % 25 != 0
    };
    for (fault, then) in EXPORT {
        for (at, (times, often)) in (1..=2).flat_map(|at| TIMES.map(|times| (at, times))) {
            if skipped(fault) {
                continue;
            }
            let step = format!("Export API: {fault} {often} from request {at}");
            prepare(&mut lab, "amp-extract")?;
            let mut rule: Rule = format!(":{fault}").parse().map_err(|e| io::Error::other(format!("{e}")))?;
            let asked = u32::try_from(lab.export.requests().len()).unwrap_or(u32::MAX);
            (rule.on.request, rule.on.times) = (Some(asked + at..=u32::MAX), times);
            lab.export.add_rule(rule);
            let more: &[&str] = if then == Then::Believed { &["--force"] } else { &[] };
            // The second time it may be a single hour's, which can't be split any further.
            let impossible = fault == "status=400" && times == Some(2);
            let then = if impossible { Then::Ends } else { then };
            attempt(&mut lab, tally, "amp-extract", &step, then, times, more)?;
            if tally.is_lost() {
                return Ok(());
            }
        }
    }
    for (op, (fault, then)) in OPS.into_iter().flat_map(|op| S3.map(|fault| (op, fault))) {
        for (at, (times, often)) in [1, 4].into_iter().flat_map(|at| TIMES.map(|times| (at, times))) {
            let rare = !matches!(op, S3Op::PutObject);
            if (rare && at > 1) || skipped(fault) {
                continue;
            }
            let step = format!("S3: {op:?} {fault} {often} from {at}");
            prepare(&mut lab, "amp-load")?;
            let mut rule: S3Rule = format!(":{fault}").parse().map_err(|e| io::Error::other(format!("{e}")))?;
            (rule.op, rule.nth, rule.times) = (Some(op), Some(at..=u32::MAX), times);
            lab.s3.add_rule(rule);
            let aborts = op == S3Op::AbortMultipartUpload;
            // The answer to HEAD has no body that could name the error.
            let nameless = matches!(op, S3Op::HeadBucket | S3Op::HeadObject) && fault.starts_with("status=400");
            if aborts {
                // Only what fails is aborted.
                lab.s3.add_rule(S3Rule::on(S3Op::UploadPart, amp_sandbox::s3::S3Fault::status(400, "InvalidArgument")));
            }
            attempt(
                &mut lab,
                tally,
                "amp-load",
                &step,
                if aborts || nameless { Then::Ends } else { then },
                times,
                &[],
            )?;
            if tally.is_lost() {
                return Ok(());
            }
        }
    }
    if tally.held() { lab.clear() } else { Ok(()) }
}

fn attempt(
    lab: &mut Lab<'_>,
    tally: &mut Tally,
    program: &str,
    step: &str,
    then: Then,
    times: Option<u32>,
    peace: &[&str],
) -> io::Result<()> {
    tally.attacks += 1;
    let ended = lab.run(program, &["--read-timeout", "250ms"])?;
    let recovers = then != Then::Ends && times.is_some();
    if let Some(problem) = ended.wrong_end(if recovers { &[0] } else { &ENDS }) {
        tally.violated(&problem, step, &lab.folder);
    }
    if recovers {
        tally.count("recovered in the same run", 1);
    } else if let Some(code) = ended.code {
        tally.count(&format!("exit {code}"), 1);
    }
    lab.check(tally, step)?;
    if ended.code == Some(0) && then != Then::Believed {
        // Whatever happened, success means that all is there.
        let findings = lab.contents().nothing_gone()?;
        tally.take(findings, step, &lab.folder);
    }
    lab.peace(tally, step, peace)?;
    Ok(())
}
