//! Fuzzing on the stable toolchain: replays `fuzz/corpus`, the inputs that coverage-guided runs found, and changes each a number of times.
//! `fuzz/run` lets libFuzzer search with the same targets for as long as it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "panicking is how a target tells")]
#![allow(clippy::print_stderr, reason = "an input that failed must be seen")]

mod archive;
mod build;
mod ledger;
mod name;
mod peer;
mod script;
mod text;

use std::path::{Path, PathBuf};

/// Runs `target` on the corpus of that name and on `variants` random changes of each of its inputs, the same in every run.
fn replay(name: &str, variants: usize, target: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", dir.display());
    let inputs: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let mut random = fastrand::Rng::with_seed(3);
    for (path, input) in paths.iter().zip(&inputs) {
        run(target, input, &path.display().to_string());
        for _ in 0..variants {
            let other = random.choice(&inputs).unwrap();
            run(target, &changed(input, other, &mut random), "a change of it");
        }
    }
}

/// Runs the target and, where it fails, shows the input: not every one is a file.
fn run(target: fn(&[u8]), input: &[u8], what: &str) {
    if let Err(panic) = std::panic::catch_unwind(|| target(input)) {
        eprintln!("failed on {what}: b\"{}\"", input.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

fn changed(input: &[u8], other: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..random.usize(1..4) {
        let (from, to) = (random.usize(0..=bytes.len()), random.usize(0..=bytes.len()));
        let (from, to) = (from.min(to), from.max(to));
        match random.u8(0..6) {
            0 => bytes.truncate(to),
            1 => drop(bytes.drain(from..to)),
            2 => drop(bytes.splice(from..from, input[from.min(input.len())..to.min(input.len())].to_vec())),
            3 => drop(bytes.splice(from..to, other[from.min(other.len())..].iter().copied().take(64))),
            _ if bytes.is_empty() => bytes.push(random.u8(..)),
            4 => *random.choice(&mut bytes).unwrap() = random.choice([0, 1, 0x7f, 0x80, 0xff]).unwrap(),
            _ => *random.choice(&mut bytes).unwrap() ^= 1 << random.u8(0..8),
        }
    }
    bytes
}

#[test]
fn no_archive_makes_the_reader_panic_leave_files_or_stage_wrong_bytes() {
    replay("archive", 4, archive::any_bytes);
}

#[test]
fn an_archive_built_and_damaged_at_will_is_staged_as_it_was_built_or_refused() {
    replay("archive_built", 4, archive::built);
}

#[test]
fn no_path_makes_a_name_that_is_more_than_one_component() {
    replay("name", 20, name::any_path);
}

#[test]
fn no_bytes_in_the_ledger_make_its_reader_panic_or_its_next_line_unreadable() {
    replay("ledger", 4, ledger::any_bytes);
}

#[test]
fn every_whole_line_of_a_damaged_ledger_counts() {
    replay("ledger_built", 4, ledger::built);
}

#[test]
fn no_text_makes_windows_sizes_or_settings_leave_their_bounds() {
    replay("text", 20, text::any_text);
}
