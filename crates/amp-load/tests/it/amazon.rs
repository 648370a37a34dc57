//! Amazon's own S3, whose answers are proof enough: nothing is asked, read or computed a second time.

use std::process::Command;

use amp_sandbox::proxy::Proxy;
use amp_sandbox::s3::{S3Config, S3Op};
use amp_sandbox::strace;
use amp_sandbox::tools;

use crate::support::{Lab, end, noise};

const HOST: &str = "s3.us-east-1.amazonaws.com";

/// A laboratory whose server goes by Amazon's name, with a file that goes in parts beside the small ones.
fn amazon(change: impl FnOnce(&mut S3Config)) -> (Lab, Proxy) {
    let lab = Lab::with(|config| {
        config.domain = Some(HOST.into());
        change(config);
    });
    lab.stage_all();
    lab.stage("7_2025-11-06_9#2.json", &noise(9 << 20));
    let proxy = Proxy::start(&lab.server.endpoint_url()).unwrap();
    (lab, proxy)
}

fn load(lab: &Lab, proxy: &Proxy) -> Command {
    let mut command = lab.command(&["--allow-http", "--multipart-threshold", "5MiB"]);
    command.env("HTTP_PROXY", proxy.url()).env("AWS_ENDPOINT_URL_S3", format!("http://{HOST}"));
    command
}

#[test]
fn an_upload_is_confirmed_by_its_own_answer() {
    let (lab, proxy) = amazon(|_| {});
    assert_eq!(end(load(&lab, &proxy)).counts(), (0, [4, 4, 0, 0, 4]));
    let mut asked: Vec<S3Op> = lab.server.requests().iter().map(|request| request.op).collect();
    asked.sort_by_key(|op| format!("{op:?}"));
    let parts = [S3Op::UploadPart; 2];
    let small = [S3Op::PutObject; 3];
    let expected =
        [&[S3Op::CompleteMultipartUpload, S3Op::CreateMultipartUpload, S3Op::HeadBucket][..], &small, &parts];
    assert_eq!(asked, expected.concat());
    assert!(lab.loads().iter().all(|load| load["proof"] == "checksum" && load.get("endpoint").is_none()));
}

/// How often the staged files are read from, in calls.
fn reads(lab: &Lab, plain: &Command) -> usize {
    let log = lab.path("strace.log");
    let mut command = Command::new("strace");
    command.args(strace::FLAGS).arg(&log).args(["--seccomp-bpf", "-e", "trace=read,pread64,preadv,mmap"]);
    command.arg(plain.get_program()).args(plain.get_args()).env_clear().current_dir(lab.path("."));
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert_eq!(end(command).counts(), (0, [4, 4, 0, 0, 4]));
    let calls = strace::calls(&log, &lab.path(".").canonicalize().unwrap()).unwrap();
    calls.iter().filter(|call| call.about.starts_with("extracted_data/7_")).count()
}

#[test]
fn no_file_is_read_for_an_md5() {
    if !tools::has("strace, allowed to trace", strace::is_there()) {
        return;
    }
    let (lab, proxy) = amazon(|_| {});
    let at_amazon = reads(&lab, &load(&lab, &proxy));
    let (lab, proxy) = amazon(|config| config.quirks.ignore_checksums = true);
    let by_etag = reads(&lab, &load(&lab, &proxy));
    assert!(at_amazon < by_etag, "{at_amazon} and {by_etag} calls");
}
