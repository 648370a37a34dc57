//! Both servers, until Ctrl-C.

use std::fs;
use std::io;
use std::path::{self, PathBuf};
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use amp_sandbox::error::context;
use amp_sandbox::export::{ExportConfig, ExportServer};
use amp_sandbox::out::{complain, say};
use amp_sandbox::programs::dotenv;
use amp_sandbox::s3::{Quirks, S3Config, S3Server};
use amp_sandbox::time::Window;
use amp_sandbox::tls::{Authority, TlsOptions};
use chrono::NaiveDate;
use clap::Args;

use crate::data::{BUCKET, DataArgs};

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Port of the Export API [default: any free one]
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    export_port: u16,
    /// Port of S3 [default: any free one]
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    s3_port: u16,
    /// How S3 differs from Amazon's, such as rgw or echo-checksums,throttle-above=8
    #[arg(long, value_name = "QUIRKS", default_value = "", hide_default_value = true)]
    s3_quirks: Quirks,
    /// Path before the bucket, such as /s3
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
    s3_base_path: String,
    /// Domain whose hosts name buckets, such as s3.localtest for amplitude-lake.s3.localtest
    #[arg(long, value_name = "DOMAIN")]
    s3_domain: Option<String>,
    /// Time that S3 takes for each request, as for a round trip, such as 60ms
    #[arg(long, value_name = "TIME", default_value = "0ms", hide_default_value = true, value_parser = amp_sandbox::duration)]
    s3_latency: Duration,
    /// Objects of S3 have version ids
    #[arg(long)]
    s3_versioned: bool,
    /// Serve https at both ends, and write the certificate of the authority to trust to this file
    #[arg(long, value_name = "FILE")]
    tls: Option<PathBuf>,
    /// What is special about https, such as tls12 or expired
    #[arg(long, value_name = "OPTIONS", default_value = "", hide_default_value = true, requires = "tls")]
    tls_options: TlsOptions,
    /// Folder of the objects
    #[arg(long, value_name = "DIR", default_value = "lake")]
    lake: PathBuf,
    /// The only day that has data [default: every day up to now]
    #[arg(long, value_name = "DATE")]
    date: Option<NaiveDate>,
    /// Another key that the Export API accepts; with @PROJECT one of another project, with events of its own
    #[arg(long, value_name = "API:SECRET[@PROJECT]")]
    key: Vec<Key>,
    #[command(flatten)]
    data: DataArgs,
}

/// A key of the project served, or of another.
#[derive(Debug, Clone)]
struct Key {
    api: String,
    secret: String,
    project: Option<u64>,
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = || {
            let (key, project) = match text.rsplit_once('@') {
                Some((key, project)) => (key, Some(project.parse().ok()?)),
                None => (text, None),
            };
            let (api, secret) = key.split_once(':')?;
            Some(Self { api: api.to_owned(), secret: secret.to_owned(), project })
        };
        parsed().ok_or_else(|| "expected API:SECRET or API:SECRET@PROJECT, PROJECT a number".to_owned())
    }
}

pub(crate) fn run(args: &ServeArgs) -> io::Result<()> {
    let dataset = args.data.dataset();
    let dataset = match args.date {
        Some(date) => dataset.only(Window::day(date)),
        None => dataset,
    };
    let tls = match &args.tls {
        None => None,
        Some(file) => {
            let tls = Authority::new()?.serve(&args.tls_options)?;
            fs::write(file, tls.trusted_pem()).map_err(context(format!("can't write {}", file.display())))?;
            Some(tls)
        }
    };
    let config = ExportConfig {
        port: args.export_port,
        bandwidth: args.data.bandwidth,
        tls: tls.clone(),
        ..ExportConfig::new(dataset.clone())
    };
    let export = ExportServer::start(config).map_err(context("the Export API can't listen"))?;
    for Key { api, secret, project } in &args.key {
        match project {
            Some(project) => export.add_project(dataset.clone().project(*project), api, secret),
            None => export.add_key(api, secret),
        }
    }
    let root = Some(args.lake.clone());
    let config = S3Config {
        port: args.s3_port,
        root,
        quirks: args.s3_quirks,
        base_path: args.s3_base_path.clone(),
        domain: args.s3_domain.clone(),
        versioned: args.s3_versioned,
        latency: args.s3_latency,
        tls,
        ..S3Config::new(BUCKET)
    };
    let s3 = S3Server::start(config).map_err(context(format!("S3 can't serve {}", args.lake.display())))?;
    args.data.add_faults(&export, &s3);
    say(dotenv(&export, &s3, BUCKET).trim_end());
    if let Some(file) = &args.tls {
        say(&format!("SSL_CERT_FILE={}", path::absolute(file)?.display()));
    }
    complain(&format!("Serving; objects are files in {}/{BUCKET}. Ctrl-C stops.", args.lake.display()));
    loop {
        thread::park();
    }
}
