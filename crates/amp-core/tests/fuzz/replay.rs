//! Feeds `fuzz/corpus` to a target. amp-load's fuzz tests include this file.

use std::path::{Path, PathBuf};

/// Runs `target` on the corpus of that name and on `variants` random changes of each of its inputs, the same in every run.
pub(crate) fn replay(name: &str, variants: usize, target: fn(&[u8])) {
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
