//! What a person sees on a terminal that is narrow, shared, or both.

use amp_sandbox::tools;
use vt100::Parser;

use crate::support::{DAY, HOUR, Lab, Ran, Run};

const ALONE: [&str; 4] = ["--start", HOUR, "--end", HOUR];
const COLUMNS: u16 = 60;

/// What bars begin with.
const BARS: [&str; 3] = ["waiting for ", "downloading ", "unpacking "];

/// A laboratory whose one hour takes about two seconds to come, after a fault that is warned of.
fn slow() -> Lab {
    let lab = Lab::with(|config| {
        config.dataset = config.dataset.clone().events_per_part(1500);
        config.bandwidth = Some(75_000);
    });
    lab.rule("req=1:status=503");
    lab
}

/// The run on a narrow terminal and what that shows in the end, once it is known that no bar was ever broken into two lines.
/// `None` where a terminal cannot be had.
fn seen(run: Run, behind: &str) -> Option<(Ran, String, bool)> {
    let ran = run.on_a_terminal(COLUMNS, behind).run();
    if !tools::has("`script`, for a terminal", !ran.stderr.contains("not found")) {
        return None;
    }
    let mut terminal = Parser::new(40, COLUMNS, 0);
    let mut had_bars = false;
    for byte in ran.stdout.bytes() {
        terminal.process(&[byte]);
        if !matches!(byte, b'\r' | b'\n' | 0x1b) {
            continue;
        }
        for (number, row) in (0..).zip(terminal.screen().rows(0, COLUMNS)) {
            let is_bar = BARS.iter().any(|bar| row.starts_with(bar));
            had_bars |= is_bar;
            assert!(!is_bar || !terminal.screen().row_wrapped(number), "{}", terminal.screen().contents());
        }
    }
    let screen = terminal.screen().contents();
    assert!(!BARS.iter().any(|bar| screen.lines().any(|line| line.contains(bar))), "a bar is left: {screen}");
    Some((ran, screen, had_bars))
}

#[test]
fn on_a_narrow_terminal_bars_fit_and_warnings_stand_above_them_whole() {
    let lab = slow();
    let Some((ran, screen, had_bars)) = seen(lab.for_people(&ALONE), "") else { return };
    assert_eq!(ran.code, Some(0), "{screen}");
    assert!(had_bars, "{ran:#?}");
    let text = screen.replace('\n', "");
    assert!(text.starts_with("amp-extract: warning: Amplitude answered HTTP 503"), "{screen}");
    assert!(screen.contains("(1 of 3)") && screen.contains("amp-extract complete"), "{screen}");
    assert_eq!(screen.matches("amp-extract").count(), 2, "{screen}");
}

#[test]
fn a_run_in_the_background_of_its_terminal_draws_no_bars() {
    let lab = slow();
    // A shell with job control, as at a prompt, gives what it starts with `&` a process group of its own.
    let run = lab.for_people(&ALONE).wrapped(&["bash", "-mc", "\"$0\" \"$@\" & wait $!"]);
    let Some((ran, screen, had_bars)) = seen(run, "") else { return };
    assert!(!had_bars, "{ran:#?}");
    assert!(
        screen.contains("warning: Amplitude answered HTTP 503") && screen.contains("amp-extract complete"),
        "{screen}"
    );
}

#[test]
fn a_run_that_is_stopped_or_fails_leaves_no_bar() {
    let lab = Lab::faulty(&[":stall=100"]);
    let stopped = "& sleep 1; kill -TERM $!; wait $!";
    let Some((ran, screen, had_bars)) = seen(lab.for_people(&["--date", DAY]), stopped) else { return };
    assert!(had_bars && screen.contains("amp-extract interrupted"), "{screen}");
    assert_eq!(ran.code, Some(143));
    lab.server.clear_rules();
    lab.rule(":flip=60");
    let (ran, screen, _) = seen(lab.for_people(&["--date", DAY]), "").unwrap();
    assert!(ran.code == Some(75) && screen.contains("amp-extract failed"), "{screen}");
}
