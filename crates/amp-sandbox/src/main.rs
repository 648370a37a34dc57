//! `amp-sandbox`: the doubles to try the two programs with, and the proof that they do their job.

mod data;
mod demo;
mod proof;
mod relay;
mod serve;

use std::process::ExitCode;

use amp_sandbox::export::GRAMMAR;
use amp_sandbox::out::complain;
use clap::{Parser, Subcommand};

/// A local Export API and a local S3, for trying out amp-extract and amp-load without an account
#[derive(Parser)]
#[command(name = "amp-sandbox", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run both servers until Ctrl-C and print the .env for them
    #[command(after_long_help = GRAMMAR)]
    Serve(serve::ServeArgs),
    /// Pass connections on to a server, as over a long way, until Ctrl-C; prints its own URL
    Relay(relay::RelayArgs),
    /// Run amp-extract and amp-load against both servers and prove that every event arrived
    #[command(after_long_help = GRAMMAR)]
    Demo(demo::DemoArgs),
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Serve(args) => serve::run(&args).map(|()| true),
        Command::Relay(args) => relay::run(&args).map(|()| true),
        Command::Demo(args) => demo::run(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&format!("amp-sandbox: {error}"));
            ExitCode::FAILURE
        }
    }
}
