//! The default call at other times and in other zones, and a clock that jumps back between runs.

use std::collections::BTreeSet;
use std::io;
use std::process::Stdio;

use amp_sandbox::events::Dataset;
use amp_sandbox::process::{Ended, Running};
use amp_sandbox::time::{Hour, Window};
use chrono::{DateTime, Days, NaiveDate, Utc};

use crate::Siege;
use crate::faketime::Faketime;
use crate::lab::{Lab, Setup, expected};
use crate::tally::Tally;

pub(crate) const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Pacific/Kiritimati",
    "Pacific/Niue",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/St_Johns",
];

/// Around midnight, when clocks change here or there, on a leap day, at the ends of months and years.
const MOMENTS: [&str; 18] = [
    "2025-11-06T23:59:40Z",
    "2025-11-07T00:00:05Z",
    "2025-11-07T12:00:00Z",
    "2025-03-30T00:30:00Z",
    "2025-03-30T01:30:00Z",
    "2025-03-31T00:10:00Z",
    "2025-10-26T00:30:00Z",
    "2025-10-26T01:30:00Z",
    "2025-03-09T07:30:00Z",
    "2025-11-02T06:30:00Z",
    "2025-04-05T15:30:00Z",
    "2024-02-29T12:00:00Z",
    "2024-03-01T00:00:05Z",
    "2024-02-29T23:59:40Z",
    "2025-03-01T05:00:00Z",
    "2025-01-01T00:00:05Z",
    "2024-12-31T23:59:40Z",
    "2025-05-01T09:00:00Z",
];

pub(crate) fn run(siege: &Siege, tally: &mut Tally) -> io::Result<()> {
    let Some(faketime) = Faketime::find() else {
        tally.note("SKIPPED: faketime is missing");
        return Ok(());
    };
    let dataset = Dataset::new(siege.random("clock", 0).u64(..)).parts_per_hour(1).events_per_part(2);
    for (number, moment) in MOMENTS.into_iter().enumerate().filter(|(number, _)| !siege.short || number % 6 == 0) {
        let moment: DateTime<Utc> = moment.parse().map_err(|error| io::Error::other(format!("{error}")))?;
        let yesterday = before(moment, 1);
        let setup = Setup::new(dataset.clone(), Window::day(yesterday));
        let mut lab = Lab::new(siege, &format!("clock-{number}"), &setup)?;
        lab.export.set_clock_offset(moment - Utc::now());
        for zone in ZONES.into_iter().step_by(if siege.short { 3 } else { 1 }) {
            lab.reset()?;
            let step = format!("{moment} in {zone}");
            tally.attacks += 1;
            let asked = default_call(&lab, &faketime, tally, moment, zone, &step)?;
            if asked != [Window::day(yesterday)] {
                tally.violated(&format!("asked for {asked:?} instead of {yesterday}"), &step, &lab.folder);
            }
            lab.check(tally, &step)?;
        }
        lab.peace(tally, &moment.to_string(), &[])?;
        if tally.held() {
            lab.clear()?;
        }
    }
    jumps(siege, &faketime, tally, &dataset)
}

fn before(moment: DateTime<Utc>, days: u64) -> NaiveDate {
    moment.date_naive().checked_sub_days(Days::new(days)).unwrap_or_default()
}

/// What the call without a window asks for at that moment.
fn default_call(
    lab: &Lab<'_>,
    faketime: &Faketime,
    tally: &mut Tally,
    moment: DateTime<Utc>,
    zone: &str,
    step: &str,
) -> io::Result<Vec<Window>> {
    let seen = lab.export.requests().len();
    let ended = at(lab, faketime, moment, zone)?;
    if let Some(problem) = ended.wrong_end(&[0]) {
        tally.violated(&problem, step, &lab.folder);
    }
    Ok(lab.export.requests().into_iter().skip(seen).filter_map(|request| request.window).collect())
}

fn at(lab: &Lab<'_>, faketime: &Faketime, moment: DateTime<Utc>, zone: &str) -> io::Result<Ended> {
    let mut command = lab.siege.programs.command(&[], "amp-extract", &lab.folder);
    faketime.set(&mut command, moment);
    command.env("TZ", zone);
    Running::start(command, Stdio::null())?.wait()
}

/// The clock jumps back by some hours or days between runs and on again: nothing is lost, nothing that is done is asked for again.
fn jumps(siege: &Siege, faketime: &Faketime, tally: &mut Tally, dataset: &Dataset) -> io::Result<()> {
    let noon: DateTime<Utc> = Hour::of(NaiveDate::from_ymd_opt(2025, 11, 7).unwrap_or_default(), 12).start();
    for hours in if siege.short { vec![36] } else { vec![1, 5, 13, 36, 24 * 20] } {
        let earlier = noon - chrono::TimeDelta::hours(hours);
        let days = [before(earlier, 1), before(noon, 1)];
        let window = Window::new(Hour::of(days[0], 0), Hour::of(days[1], 23));
        let served = dataset.clone().only(window);
        let mut lab = Lab::new(siege, &format!("clock-jump-{hours}"), &Setup::new(served.clone(), window))?;
        // Amplitude's clock does not jump.
        lab.export.set_clock_offset(noon - Utc::now());
        lab.expected.clear();
        for day in days {
            lab.expected.extend(expected(&served, Window::day(day)));
        }
        let step = format!("the clock jumps back by {hours} h");
        tally.attacks += 1;
        let mut got = BTreeSet::new();
        for moment in [noon, earlier, noon, earlier, noon] {
            for hour in default_call(&lab, faketime, tally, moment, "UTC", &step)?.into_iter().flat_map(Window::hours) {
                // An hour is settled two hours after its end; one that was fetched before is rightly fetched again.
                let is_settled = hour.plus(3).start() <= moment;
                if got.contains(&hour) {
                    tally.violated(&format!("{hour} was done and was asked for again"), &step, &lab.folder);
                }
                if is_settled {
                    got.insert(hour);
                }
            }
            lab.check(tally, &step)?;
        }
        if let Some(problem) = lab.run("amp-load", &["--dry-run"])?.wrong_end(&[0]) {
            tally.violated(&problem, &step, &lab.folder);
        }
        lab.load_all(tally, &step)?;
        if tally.held() {
            lab.clear()?;
        }
    }
    Ok(())
}
