//! What a shell is given once: completions and the manual page, both made from the flags themselves.

use clap::{Arg, Command, CommandFactory, ValueHint};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::args::CommonArgs;

/// What `args` ask to print instead of a run.
pub(crate) fn text<A: CommandFactory>(args: &CommonArgs) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    if let Some(shell) = args.completions {
        let mut command = A::command().mut_args(without_files);
        let name = command.get_name().to_owned();
        clap_complete::generate(shell, &mut command, name, &mut text);
    } else if args.man {
        // Nothing written to memory fails.
        write_manual(A::command(), &mut text).ok()?;
    } else {
        return None;
    }
    Some(text)
}

/// Has shells offer no files where the value is not one, such as a day.
fn without_files(arg: Arg) -> Arg {
    let may_be_a_file = arg.get_action().takes_values() && arg.get_value_hint() == ValueHint::Unknown;
    if may_be_a_file { arg.value_hint(ValueHint::Other) } else { arg }
}

/// The end of `--help` goes in as sections of its own, line by line, which [`Man::render`] would run together.
fn write_manual(command: Command, text: &mut Vec<u8>) -> std::io::Result<()> {
    let end = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    // What `-h` leaves out would stand there without its description.
    let manual = Man::new(command.mut_args(|arg| arg.hide_short_help(false))).manual("User Commands");
    manual.render_title(text)?;
    manual.render_name_section(text)?;
    manual.render_synopsis_section(text)?;
    manual.render_description_section(text)?;
    manual.render_options_section(text)?;
    let mut roff = Roff::new();
    for section in end.split("\n\n") {
        let mut lines = section.lines();
        let title = lines.next().unwrap_or_default().trim_end_matches(':').to_uppercase();
        roff.control("SH", [title.as_str()]).control("nf", []);
        lines.for_each(|line| {
            roff.text([roman(line)]);
        });
        roff.control("fi", []);
    }
    roff.to_writer(text)
}
