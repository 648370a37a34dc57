//! A day of events through both programs, and the proof that it arrived.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use amp_sandbox::error::context;
use amp_sandbox::export::{ExportConfig, ExportServer};
use amp_sandbox::folder;
use amp_sandbox::out::{complain, say};
use amp_sandbox::programs::{Programs, dotenv};
use amp_sandbox::s3::{S3Config, S3Server};
use amp_sandbox::time::Window;
use amp_sandbox::tls::{Authority, TlsOptions};
use chrono::{Days, NaiveDate, Utc};
use clap::{Args, ValueEnum};

use crate::data::{BUCKET, DataArgs};
use crate::proof::Proof;

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The day [default: yesterday, UTC]
    #[arg(long, value_name = "DATE")]
    date: Option<NaiveDate>,
    /// Folder for everything; emptied if an earlier demo made it [default: demo/ in the target directory]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Build and run the programs with optimisation
    #[arg(long)]
    release: bool,
    /// What amp-extract stages and amp-load loads
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "json")]
    format: Format,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Json,
    #[value(name = "json.gz")]
    JsonGz,
}

/// Runs a program as a user would who has nothing but the `.env` in the folder. Returns its seconds, or what it
/// came to.
fn run_program(programs: &Programs, folder: &Path, program: &str, args: &[&str]) -> io::Result<Result<f64, String>> {
    say(&format!("\n$ {}", [&[program], args].concat().join(" ")));
    let mut command = programs.command(&[], program, folder);
    let start = Instant::now();
    let status = command.args(args).status().map_err(context(format!("{program} can't be run")))?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(if status.success() { Ok(seconds) } else { Err(format!("{program} ended with {status}")) })
}

/// Whether everything is as it should be.
pub(crate) fn run(args: &DemoArgs) -> io::Result<bool> {
    let programs = Programs::beside_us(args.release)?;
    programs.build()?;
    let folder = args.dir.clone().unwrap_or_else(|| programs.target().join("demo"));
    let _lock = folder::fresh(&folder)?;
    let folder = folder.canonicalize()?;
    let date = args.date.or_else(|| Utc::now().date_naive().checked_sub_days(Days::new(1))).unwrap_or_default();
    let window = Window::day(date);

    let dataset = args.data.dataset().only(window);
    let authority = Authority::new()?;
    let trusted = folder.join("authority.pem");
    authority.write_pem(&trusted)?;
    let tls = Some(authority.serve(&TlsOptions::default())?);
    let config =
        ExportConfig { bandwidth: args.data.bandwidth, tls: tls.clone(), ..ExportConfig::new(dataset.clone()) };
    let export = ExportServer::start(config)?;
    let lake = folder.join("lake");
    let s3 = S3Server::start(S3Config { root: Some(lake.clone()), tls, ..S3Config::new(BUCKET) })?;
    args.data.add_faults(&export, &s3);
    say(&format!("Generating {} events of {date} …", dataset.events_in(window)));
    export.prepare(window)?;
    let expected = dataset.expected_files(window);
    let settings = dotenv(&export, &s3, BUCKET) + &format!("SSL_CERT_FILE={}\n", trusted.display());
    fs::write(folder.join(".env"), settings)?;
    say(&format!(
        "Export API  {}\nS3          {}\nfolder      {}",
        export.base_url(),
        s3.endpoint_url(),
        folder.display()
    ));

    let day = date.to_string();
    let (format, extension) = match args.format {
        Format::Json => (&[][..], ""),
        Format::JsonGz => (&["--format", "json.gz"][..], ".gz"),
    };
    let extracted = run_program(&programs, &folder, "amp-extract", &[&["--date", &day], format].concat())?;
    let loaded = run_program(&programs, &folder, "amp-load", &[])?;

    let mut proof = Proof::default();
    let mut seconds = [0.0; 2];
    for (outcome, seconds) in [extracted, loaded].into_iter().zip(&mut seconds) {
        match outcome {
            Ok(taken) => *seconds = taken,
            Err(failure) => proof.differs(failure),
        }
    }
    proof.compare_bucket(&s3, BUCKET, &expected, extension);
    proof.expect_empty(&folder.join("extracted_data"), ".amp");
    proof.expect_empty(&folder.join("downloaded_data"), "");
    report(&proof, expected.len(), &lake.join(BUCKET), seconds);
    Ok(proof.differences.is_empty())
}

fn report(proof: &Proof, expected: usize, lake: &Path, [extract, load]: [f64; 2]) {
    let figures = format!(
        "{} of {expected} files, {} events, {:.1} MB of JSON in {}",
        proof.files,
        proof.events,
        proof.bytes as f64 / 1e6,
        lake.display()
    );
    if proof.differences.is_empty() {
        say(&format!(
            "\nPROVEN: the bucket holds every event that was generated, byte for byte (SHA-256 of each file), and \
             nothing is left in extracted_data or downloaded_data.\n{figures}\namp-extract {extract:.1} s, amp-load {load:.1} s"
        ));
        return;
    }
    complain("\nFAILED: what is in the bucket or was left behind is not what it should be.");
    const SHOWN: usize = 20;
    for difference in proof.differences.iter().take(SHOWN) {
        complain(&format!("  {difference}"));
    }
    if let Some(more) = proof.differences.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        complain(&format!("  … and {more} more"));
    }
    complain(&figures);
}
