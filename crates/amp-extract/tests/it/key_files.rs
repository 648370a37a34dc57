//! Keys from files, and keys that are surely not meant as they stand.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{HOUR, Lab};

const ALONE: [&str; 4] = ["--start", HOUR, "--end", HOUR];

#[test]
fn keys_come_from_files_that_are_named_and_from_those_that_systemd_lays() {
    let lab = Lab::new();
    let (key, secret) = (lab.server.api_key().to_owned(), lab.server.secret_key().to_owned());
    lab.write("files/key", format!("{key}\r\n"));
    lab.write("files/secret", format!("\n{secret}\n\n"));
    lab.write("laid/amp_api_key", format!("{key}\n"));
    lab.write("laid/amp_secret_key", secret);
    let by_name = [("AMP_API_KEY_FILE", "files/key"), ("AMP_SECRET_KEY_FILE", "~/files/secret")];
    let by_systemd = [("CREDENTIALS_DIRECTORY", "laid"), ("AMP_REGION", "eu")];
    for (number, environment) in [by_name, by_systemd].into_iter().enumerate() {
        let run = lab.command(&ALONE).args(&["--force"]).without("AMP_API_KEY").without("AMP_SECRET_KEY");
        let ran = environment.into_iter().fold(run, |run, (name, value)| run.env(name, value)).run();
        ran.exits(0);
        assert_eq!(lab.asked().len(), number + 1);
    }
    lab.write(".env", "AMP_API_KEY_FILE=files/key\nAMP_SECRET_KEY_FILE=files/secret\n");
    lab.command(&ALONE).args(&["--force"]).without("AMP_API_KEY").without("AMP_SECRET_KEY").run().exits(0);
    // A level above wins, whichever form it has.
    lab.write(".env", "AMP_API_KEY=wrong\nAMP_SECRET_KEY_FILE=nowhere\n");
    let run = lab.command(&ALONE).args(&["--force"]).without("AMP_API_KEY").env("AMP_API_KEY_FILE", "files/key");
    run.run().exits(0);
}

#[test]
fn a_value_beside_a_file_and_a_file_that_has_no_key_are_refused() {
    let lab = Lab::new();
    lab.write("empty", "\n");
    lab.write("laid/amp_api_key", "hunter2");
    lab.write("binary", [0xff, 0xfe]);
    for (name, value, says) in [
        ("AMP_API_KEY_FILE", "empty", "AMP_API_KEY and AMP_API_KEY_FILE are both set"),
        ("CREDENTIALS_DIRECTORY", "laid", "AMP_API_KEY and $CREDENTIALS_DIRECTORY/amp_api_key are both set"),
    ] {
        let ran = lab.command(&ALONE).env(name, value).run();
        assert_eq!(ran.exits(2)["failures"].as_array().unwrap().len(), 1);
        ran.says(&[says]).does_not_say(&["hunter2"]);
    }
    for (file, says) in [("empty", "`empty` is empty"), ("nowhere", "cannot read `nowhere`"), ("binary", "not UTF-8")] {
        let ran = lab.command(&ALONE).without("AMP_API_KEY").env("AMP_API_KEY_FILE", file).run();
        assert_eq!(ran.exits(2)["failures"].as_array().unwrap().len(), 1, "{file}");
        ran.says(&["AMP_API_KEY_FILE: ", says]).does_not_say(&["is missing"]);
    }
    assert_eq!(lab.asked(), [""; 0]);
}

#[test]
fn blanks_quotes_and_control_characters_around_a_key_are_named_and_line_ends_taken_off() {
    let lab = Lab::new();
    for (value, says) in [
        ("hunter2 ", "a blank at its beginning or end"),
        ("\thunter2", "a control character"),
        ("hun\nter2", "a control character"),
        ("\"hunter2\"", "a quote at its beginning or end"),
        ("'hunter2'\n", "a quote at its beginning or end"),
    ] {
        lab.write("key", value);
        for (name, given) in [("AMP_API_KEY", value), ("AMP_API_KEY_FILE", "key")] {
            let ran = lab.command(&ALONE).without("AMP_API_KEY").env(name, given).run();
            ran.exits(2);
            ran.says(&[&format!("{name}: it has {says}")]).does_not_say(&["hunter2", "ter2"]);
        }
    }
    assert_eq!(lab.asked(), [""; 0]);
    let with_line_end = format!("{}\r\n", lab.server.api_key());
    lab.command(&ALONE).env("AMP_API_KEY", with_line_end).run().exits(0);
}

#[test]
fn a_dotenv_with_secrets_that_everyone_can_read_is_warned_about() {
    let lab = Lab::new();
    for (text, mode, is_warned) in [
        ("AMP_API_KEY=x\n", 0o644, true),
        ("AMP_API_KEY=x\n", 0o640, false),
        ("AMP_API_KEY=x\n", 0o600, false),
        ("AMP_API_KEY=\nAMP_REGION=eu\n", 0o644, false),
    ] {
        lab.write(".env", text);
        fs::set_permissions(lab.path(".env"), fs::Permissions::from_mode(mode)).unwrap();
        let ran = lab.command(&ALONE).run();
        ran.exits(0);
        assert_eq!(ran.stderr.contains("chmod 600"), is_warned, "{text:?} {mode:o} {ran:#?}");
    }
}
