//! What a power cut would find: S3's confirmation is on disk before the file is deleted. strace tells the order of the calls.

use amp_sandbox::strace::{self, Call};
use amp_sandbox::tools;

use crate::support::{Lab, end, events};

const LOADS: &str = "extracted_data/.amp/loads";
/// Of a day each, so that each has a file of records of its own.
const DAYS: [&str; 3] = ["2025-11-04", "2025-11-05", "2025-11-06"];

#[test]
fn what_s3_confirmed_is_on_disk_before_the_file_is_deleted() {
    if !tools::has("strace, allowed to trace", strace::is_there()) {
        return;
    }
    let lab = Lab::new();
    DAYS.iter().map(|day| format!("7_{day}_0#0.json")).for_each(|name| lab.stage(&name, &events(&name)));
    let log = lab.path("strace.log");
    let plain = lab.command(&[]);
    let mut command = std::process::Command::new("strace");
    command.args(strace::FLAGS).arg(&log).args(["--seccomp-bpf", "-e"]);
    command.arg("trace=openat,write,writev,pwrite64,fsync,fdatasync,unlink,unlinkat");
    command.arg(plain.get_program()).args(plain.get_args()).env_clear().current_dir(lab.path("."));
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert_eq!(end(command).counts(), (0, [3, 3, 0, 0, 3]));

    let calls = strace::calls(&log, &lab.path(".").canonicalize().unwrap()).unwrap();
    let of = |name: &str, about: &str| -> Call {
        let is_it = |call: &&Call| call.name.starts_with(name) && call.about == about && !call.failed;
        calls.iter().find(is_it).unwrap_or_else(|| panic!("no {name} of {about}")).clone()
    };
    for day in DAYS {
        let deleted = of("unlink", &format!("extracted_data/7_{day}_0#0.json"));
        let record = format!("{LOADS}/{day}.jsonl");
        assert!(strace::is_on_disk(&calls, &record, deleted.began), "{deleted:?}");
        let made = of("openat", &record);
        assert!(strace::is_synced(&calls, LOADS, made.ended, deleted.began), "the record's own name");
    }
}
