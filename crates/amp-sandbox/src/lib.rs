//! Local doubles of the two ends of the pipeline: Amplitude's Export API and S3.
//!
//! Both servers listen on 127.0.0.1 only, run on threads of their own and stop when dropped, so a test needs no async
//! runtime. Nothing here shares code with the programs it tests, so it can't repeat their mistakes.
//!
//! ```no_run
//! use amp_sandbox::events::Dataset;
//! use amp_sandbox::export::{ExportConfig, ExportServer};
//! use amp_sandbox::s3::{S3Config, S3Server};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dataset = Dataset::new(7).parts_per_hour(2).events_per_part(50);
//! let day = "2025-11-06".parse()?;
//! let export = ExportServer::start(ExportConfig::new(dataset.clone()))?;
//! let s3 = S3Server::start(S3Config::new("lake"))?;
//! export.add_rule("req=1-2:status=503".parse()?); // the first two requests fail
//! // … run the programs against export.base_url() and s3.endpoint_url() …
//! assert_eq!(s3.objects("lake").len(), dataset.expected_files(day).len());
//! # Ok(())
//! # }
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`time`] | [`time::Hour`], [`time::Window`]: UTC hours, inclusive windows |
//! | [`events`] | [`events::Dataset`]: seeded events, generated per hour and part |
//! | [`archive`] | zips and gzips made by hand, hostile ones included |
//! | [`export`] | [`export::ExportServer`] and its fault script |
//! | [`s3`] | [`s3::S3Server`], strict on signatures and checksums, and its fault script |
//! | [`credentials`] | STS, instance metadata, the container agent, IAM Identity Center, `credential_process` |
//! | [`tls`] | [`tls::Authority`]: https for both servers, and what can be wrong with it |
//! | [`http2`] | a front that offers HTTP/2 alone, before either server |
//! | [`proxy`] | a forward proxy that leads every host to one server |
//! | [`distance`] | a long way to a server, with a round trip and a rate |
//! | [`programs`], [`process`] | the programs under test: found, built, run |
//! | [`folder`] | the folder of a demo or a siege |
//! | [`out`], [`error`] | lines for the terminal, errors that say what was being done |
//! | [`schema`] | whether a result or a manifest is as `docs/schema/` describes it |
//! | [`seaweedfs`] | [`seaweedfs::SeaweedFs`]: the same asked of a server of others |
//! | [`strace`] | what a program asked of the system, from a log of strace |
//! | [`tools`] | whether a test can have what it needs, and that it says so where it can't |

pub mod archive;
pub mod credentials;
pub mod distance;
pub mod error;
pub mod events;
pub mod export;
mod flip;
pub mod folder;
mod http;
pub mod http2;
pub mod out;
pub mod process;
pub mod programs;
pub mod proxy;
mod random;
pub mod s3;
pub mod schema;
mod script;
pub mod seaweedfs;
pub mod snapshot;
pub mod strace;
pub mod time;
pub mod tls;
pub mod tools;
mod xml;

pub use script::{duration, size};
