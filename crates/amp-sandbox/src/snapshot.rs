//! What people see, kept in files of the repository, so that a change of words is reviewed as a diff.

use std::fs;
use std::path::Path;

/// When set, what was printed is written to the files instead of compared.
const UPDATE: &str = "AMP_UPDATE_SNAPSHOTS";

/// What a program printed, to stdout, to stderr and as its exit code, below the command with these variables of the environment and arguments.
pub fn transcript(
    program: &str,
    variables: &[(&str, &str)],
    args: &[&str],
    (stdout, stderr, code): (&str, &str, Option<i32>),
) -> String {
    let code = code.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
    let set: String = variables.iter().map(|(name, value)| format!("{name}={value:?} ")).collect();
    format!("$ {set}{program} {}\n{stdout}--- stderr\n{stderr}--- exit code {code}\n", args.join(" "))
}

/// How `printed` departs from the file at `path`, which is written if `AMP_UPDATE_SNAPSHOTS` is set. Of `masks`, each first text stands in the
/// file as the second; what differs from run to run otherwise, such as figures with these units, stands there as `#`.
pub fn departure(path: &Path, printed: &str, masks: &[(&str, &str)]) -> Option<String> {
    let mut text = masks.iter().fold(printed.to_owned(), |text, (from, to)| text.replace(from, to));
    for unit in [" KiB", " MiB", " GiB", " TiB", " B free", " s)"] {
        text = without_figures(&text, unit);
    }
    let text: String = text.lines().map(|line| without_seconds(line.trim_end()) + "\n").collect();
    if std::env::var_os(UPDATE).is_some() {
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text));
        return written.err().map(|error| format!("cannot write `{}`: {error}", path.display()));
    }
    let kept = fs::read_to_string(path).unwrap_or_default();
    let differs = kept != text;
    differs.then(|| format!("`{}` has\n{kept}\nprinted was\n{text}\n{UPDATE}=1 takes that over", path.display()))
}

/// The text with `#` for each number before `unit`.
fn without_figures(text: &str, unit: &str) -> String {
    let mut pieces = text.split(unit);
    let mut masked = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let number = masked.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        if number.len() < masked.len() {
            masked = format!("{number}#");
        }
        masked = masked + unit + piece;
    }
    masked
}

/// The line of a table that says how long the run took, without how long.
fn without_seconds(line: &str) -> String {
    if line.starts_with("  seconds ") { "  seconds    #".to_owned() } else { line.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_masked_and_all_else_is_compared() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("snapshot");
        fs::write(&path, "in DIR, # GiB free\n  seconds    #\n").unwrap();
        let printed = "in /tmp/x, 1.5 GiB free\n  seconds    0.4\n";
        assert_eq!(departure(&path, printed, &[("/tmp/x", "DIR")]), None);
        assert!(departure(&path, &printed.replace("free", "left"), &[("/tmp/x", "DIR")]).unwrap().contains("left"));
    }
}
