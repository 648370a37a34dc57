//! A relay to a server that is far away, until Ctrl-C.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use amp_sandbox::distance::{self, Distance};
use amp_sandbox::error::context;
use amp_sandbox::out::say;
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct RelayArgs {
    /// Server to pass on to, such as 127.0.0.1:8333
    #[arg(value_name = "ADDRESS")]
    server: SocketAddr,
    /// From a byte to its answer
    #[arg(long, value_name = "TIME", default_value = "60ms", value_parser = amp_sandbox::duration)]
    rtt: Duration,
    /// Bytes a second of each connection in either direction, such as 40M [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = amp_sandbox::size)]
    rate: Option<u64>,
}

pub(crate) fn run(args: &RelayArgs) -> io::Result<()> {
    let distance = Distance { round_trip: args.rtt, rate: args.rate };
    let ready = |address| say(&format!("http://{address}"));
    distance::serve(args.server, distance, ready).map_err(context("the relay can't listen"))
}
