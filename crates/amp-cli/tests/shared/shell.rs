//! What both programs' tests ask of `-h`, `--help`, `--completions` and `--man`; each includes it beside its `NAME` and `BINARY`.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{BINARY, NAME};

/// The program in `dir`, with no environment but PATH and HOME.
fn program(args: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.args(args).env_clear().current_dir(dir).stdin(Stdio::null());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", dir);
    command
}

/// What the program prints in a directory whose settings cannot be read.
fn printed(args: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(".env"), "not a line of settings").unwrap();
    let ran = program(args, dir.path()).output().unwrap();
    assert_eq!((ran.status.code(), String::from_utf8(ran.stderr).unwrap().as_str()), (Some(0), ""), "{args:?}");
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [".env"]);
    String::from_utf8(ran.stdout).unwrap()
}

/// All flags, as `--help` lists them.
fn flags() -> Vec<String> {
    let help = printed(&["--help"]);
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let flags = lines.filter_map(|line| line.split([' ', '.', '[']).find(|word| word.starts_with("--")));
    flags.map(str::to_owned).collect()
}

/// What `program` makes of `input`; `None` where it is not installed.
fn piped(program: &str, args: &[&str], input: &str) -> Option<(bool, String, String)> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("input");
    std::fs::write(&path, input).unwrap();
    let output = Command::new(program).args(args).arg(&path).stdin(Stdio::null()).output().ok()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Some((output.status.success(), text(output.stdout), text(output.stderr)))
}

#[test]
fn the_short_help_is_shorter_and_points_to_the_long_one() {
    let (short, long) = (printed(&["-h"]), printed(&["--help"]));
    assert!(short.lines().count() * 3 < long.lines().count());
    assert!(short.contains("--help") && !short.contains("Exit codes:") && !short.contains("--completions"), "{short}");
    let (examples, codes) = (long.find("\nExamples:\n").unwrap(), long.find("\nExit codes:\n").unwrap());
    assert!(long.find("\nShell:\n").unwrap() < examples && examples < codes);
}

/// A file of the repository.
fn of_the_repository(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)).unwrap()
}

#[test]
fn the_configuration_page_has_every_flag_and_variable_and_the_example_file_the_first_of_each() {
    let (page, example) = (of_the_repository("docs/configuration.md"), of_the_repository(".env.example"));
    let mentioned = |word: &str| page.split(['`', ' ', ',', '=', '[']).any(|mentioned| mentioned == word);
    let missing: Vec<_> = flags().into_iter().filter(|flag| !mentioned(flag)).collect();
    assert!(missing.is_empty(), "docs/configuration.md lacks {missing:?}");

    let help = printed(&["--help"]).split_whitespace().collect::<Vec<_>>().join(" ");
    for listed in help.split("[env: ").skip(1) {
        let (listed, _) = listed.split_once(']').unwrap();
        let names: Vec<_> = listed.split(", ").map(|name| name.trim_end_matches("=true")).collect();
        assert!(names.iter().all(|name| mentioned(name)), "docs/configuration.md lacks one of {names:?}");
        assert!(example.contains(&format!("{}=", names[0])), ".env.example lacks {}", names[0]);
    }
}

#[test]
fn completions_are_scripts_that_know_every_flag() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["--completions", shell]);
        for flag in flags() {
            let word = if shell == "fish" { format!("-l {}", flag.trim_start_matches('-')) } else { flag };
            assert!(script.contains(&word), "{shell}: {word}");
        }
        // Each reads a script without running it.
        if let Some((accepted, _, complaint)) = piped(shell, &["-n"], &script).filter(|_| shell.len() <= 4) {
            assert!(accepted && complaint.is_empty(), "{shell}: {complaint}");
        }
    }
}

/// What bash offers in the repository's directory for the last of `words`; `None` without bash.
fn offered_by_bash(words: &[&str]) -> Option<String> {
    let (line, last, before) = (words.join(" "), words.last()?, words.iter().rev().nth(1).unwrap_or(&NAME));
    let ask = format!(
        "
cd {}
COMP_WORDS=({NAME} {line})
COMP_CWORD={}
$(complete -p {NAME} | sed 's:.*-F \\([^ ]*\\).*:\\1:') {NAME} '{last}' {before}
echo \"${{COMPREPLY[@]}}\"
",
        env!("CARGO_MANIFEST_DIR"),
        words.len()
    );
    let (_, reply, _) = piped("bash", &["--norc"], &(printed(&["--completions", "bash"]) + &ask))?;
    Some(reply.trim().to_owned())
}

#[test]
fn in_bash_the_beginning_of_a_flag_becomes_the_flag() {
    let Some(reply) = offered_by_bash(&["--metr"]) else { return };
    assert_eq!(reply, "--metrics-file");
}

#[test]
fn in_bash_files_are_offered_only_where_a_file_is_wanted() {
    let Some(reply) = offered_by_bash(&["--env-file", "Car"]) else { return };
    assert_eq!(reply, "Cargo.toml");
    assert_eq!(offered_by_bash(&["--max-retries", "Car"]).unwrap(), "Car");
}

#[test]
fn the_manual_page_names_every_flag_with_its_meaning_and_renders_without_a_warning() {
    let manual = printed(&["--man"]);
    for word in [".SH NAME", ".SH EXAMPLES", ".SH \"EXIT CODES\"", &format!(".TH {NAME} 1")] {
        assert!(manual.contains(word), "{word}: {manual}");
    }
    let Some((rendered, text, complaint)) = piped("groff", &["-ww", "-man", "-Tascii", "-P-cbou"], &manual) else {
        return;
    };
    assert!(rendered && complaint.is_empty(), "{complaint}");
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    for flag in flags() {
        let at =
            lines.iter().position(|line| line.starts_with('-') && line.split([' ', ',', '[']).any(|word| word == flag));
        let at = at.unwrap_or_else(|| panic!("{flag}: {text}"));
        assert!(lines[at].contains("  ") || !lines[at + 1].is_empty(), "{flag} lacks its meaning: {text}");
    }
}

#[test]
fn they_stand_alone_and_mind_a_stdout_that_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["--man", "--dry-run"][..], &["--completions", "bash", "--man"], &["--completions", "tcsh"]] {
        assert_eq!(program(args, dir.path()).output().unwrap().status.code(), Some(2), "{args:?}");
    }
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ended = Command::new(BINARY).arg("--man").stdout(full).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8(ended.stderr).unwrap().contains("cannot write to stdout"));
}
