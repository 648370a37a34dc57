//! `--check`: tests the set-up and moves no data. One hour is requested that surely has none.

use std::time::Duration;

use amp_cli::{Diagnostic, Exit, Finding, Retrier, Session, check_dir, check_ledger};
use amp_core::hour::Hour;
use amp_core::ledger::{Ledger, Owners};
use amp_core::retry::RetryPolicy;
use amp_core::stage::Staging;
use amp_core::window::HourWindow;
use chrono::{DateTime, TimeDelta};
use url::Url;

use crate::answer::Answer;
use crate::export::ExportClient;
use crate::fetch_error::FetchError;
use crate::settings::{AMPLITUDE_HOSTS, Settings};

/// 2000-01-01, before there was any Amplitude, in days since 1970.
const EMPTY_DAY: TimeDelta = TimeDelta::days(10_957);

const COPY_AGAIN: &str = "copy both again from Amplitude: Settings > Projects";

/// Tests what a run with `settings` needs.
pub async fn check(settings: &Settings, session: &Session) -> Vec<Finding> {
    let common = &session.common;
    let staging = Staging::existing(&common.extracted_dir);
    let mut findings = vec![
        check_dir("extracted_dir", &common.extracted_dir, true),
        check_dir("download_dir", &settings.download_dir, true),
        check_dir("log_dir", &common.log_dir, false),
        check_ledger(&staging.state_dir()),
        check_lock(&staging),
        check_project(&staging, settings),
    ];
    let regions = AMPLITUDE_HOSTS.map(|(name, url)| (name, Url::parse(url).ok()));
    findings.extend(check_keys(settings, session, &regions).await);
    findings
}

/// Tests whether the keys are accepted, and what the server's clock says. Refused by one of `regions`, they are tried once in the other:
/// they go to no other host.
async fn check_keys(settings: &Settings, session: &Session, regions: &[(&str, Option<Url>)]) -> Vec<Finding> {
    let (asked, clock) = match ExportClient::new(settings, &session.common) {
        Ok(client) => (ask(&client, session).await, check_clock(&client)),
        Err(error) => {
            return vec![Finding::failed("keys", Exit::Unusable, format!("cannot set up the HTTP client: {error:#}"))];
        }
    };
    let keys = match asked {
        Ok(Answer::Archive(_) | Answer::NoData(_)) => {
            Finding::ok("keys", format!("{} accepts them", settings.base_url))
        }
        Ok(Answer::TooLarge(error)) => Finding::warning("keys", error.to_string())
            .with_hint("request a day to see whether they are accepted: amp-extract --date yesterday"),
        Err(FetchError::Stopped) => return Vec::new(),
        Err(error) => {
            let exit = match error.ends_run() {
                Some(ends_run) => ends_run.exit,
                None if error.is_outage() => Exit::Temporary,
                None => Exit::Unusable,
            };
            let failed = Finding::failed("keys", exit, Diagnostic::of(&error));
            match other_region(settings, regions) {
                Some(other) if exit == Exit::Refused => failed.with_hint(try_region(other, settings, session).await),
                _ => failed,
            }
        }
    };
    clock.into_iter().chain([keys]).collect()
}

type Region<'a> = (&'a str, &'a Url);

/// The region of `regions` that is not the one in `settings`, if that is one of them.
fn other_region<'a>(settings: &Settings, regions: &'a [(&str, Option<Url>)]) -> Option<Region<'a>> {
    let urls: Vec<Region<'_>> = regions.iter().filter_map(|(name, url)| Some((*name, url.as_ref()?))).collect();
    let is_asked = |(_, url): &&Region<'_>| **url == settings.base_url;
    urls.iter().find(is_asked)?;
    urls.iter().find(|region| !is_asked(region)).copied()
}

/// What to do about keys that `settings`' region refuses, by what the other region says to them.
async fn try_region((name, url): Region<'_>, settings: &Settings, session: &Session) -> String {
    let Ok(client) = ExportClient::of(url, settings, &session.common) else { return COPY_AGAIN.to_owned() };
    match ask(&client, session).await {
        Ok(_) => format!("set AMP_REGION={name}, or give --region {name}: {url} accepts them"),
        Err(error) if matches!(error.status(), Some(401 | 403)) => {
            format!("{COPY_AGAIN}; {url} refuses them too")
        }
        Err(_) => COPY_AGAIN.to_owned(),
    }
}

/// Requests an hour without data, with retries but without the long patience of a run that nobody watches.
async fn ask(client: &ExportClient, session: &Session) -> Result<Answer, FetchError> {
    let hour = Hour::containing(DateTime::UNIX_EPOCH + EMPTY_DAY);
    let policy = RetryPolicy { retry_for: Duration::ZERO, ..session.common.retry };
    let retrier = Retrier::new(policy, session.stop.clone());
    let request = |_| async { client.get(HourWindow::single(hour)).await.map_err(FetchError::from) };
    retrier.run(request).await.map(|reply| reply.answer)
}

fn check_clock(client: &ExportClient) -> Option<Finding> {
    Some(match client.compare_clocks()? {
        Ok(()) => Finding::ok("clock", "it agrees with Amplitude's within 5 minutes"),
        Err(apart) => {
            Finding::warning("clock", apart).with_hint("set it right: what has settled is decided by the earlier one")
        }
    })
}

fn check_lock(staging: &Staging) -> Finding {
    match staging.is_at_work("extract") {
        Ok(false) => Finding::ok("lock", "no other amp-extract is at work here"),
        Ok(true) => Finding::warning("lock", "another amp-extract is at work here")
            .with_hint("wait for it: until it ends, a run ends with 75"),
        Err(error) => Finding::failed("lock", Exit::Unusable, error),
    }
}

/// Which project's hours the key is for, as earlier runs here learnt from what it delivered.
fn check_project(staging: &Staging, settings: &Settings) -> Finding {
    let owners = match Owners::read(&Ledger::at(&staging.state_dir())) {
        Ok(owners) => owners,
        Err(error) => return Finding::failed("project", Exit::Unusable, error),
    };
    let owner = owners.owner_of(&settings.source());
    let others: Vec<_> = owners.projects().into_iter().collect();
    Finding::ok(
        "project",
        match (owner.project(), others.as_slice()) {
            (Some(_), _) => format!("the key is one of {owner}"),
            (None, []) => "not known before the key has delivered a file".to_owned(),
            (None, others) => format!(
                "not known before the key has delivered a file; other keys fetched project {} here, whose hours it does not take for its own until then",
                others.join(", ")
            ),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::sync::Arc;

    use amp_cli::settings::Resolver;
    use amp_cli::{Common, Level, Program};
    use amp_core::progress::NoProgress;
    use amp_sandbox::events::Dataset;
    use amp_sandbox::export::{ExportConfig, ExportServer};
    use chrono::Utc;
    use clap::Parser;

    use crate::Args;

    fn server() -> ExportServer {
        ExportServer::start(ExportConfig::new(Dataset::new(7))).unwrap()
    }

    /// What is found of the keys when `asked` is asked, which refuses them, and the regions are these.
    async fn refused_by(asked: &ExportServer, eu: &ExportServer, us: &ExportServer) -> Finding {
        asked.revoke_key(asked.api_key());
        let environment: HashMap<_, _> =
            asked.env().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let program = Program {
            name: "amp-extract",
            version: "1",
            log_prefix: "",
            max_retries: 0,
            retry_base: Duration::ZERO,
            other_job: None,
            looks: &[],
            instead_of: |_| None,
        };
        let args = Args::parse_from(["amp-extract", "--check"]);
        let mut resolver = Resolver::new(environment, None);
        let common = Common::resolve(&args.common, &program, &mut resolver).unwrap();
        let settings = Settings::resolve(&args, &mut resolver, Utc::now()).unwrap().settings;
        let session = Session::detached(common, Arc::new(NoProgress), Utc::now());
        let regions = [("eu", Url::parse(&eu.base_url()).ok()), ("us", Url::parse(&us.base_url()).ok())];
        let found = check_keys(&settings, &session, &regions).await.pop().unwrap();
        assert_eq!((found.name, found.level), ("keys", Level::Failed), "{found:?}");
        found
    }

    #[tokio::test]
    async fn keys_of_the_other_region_are_told_with_the_setting_for_it() {
        let (eu, us) = (server(), server());
        let found = refused_by(&eu, &eu, &us).await;
        assert!(found.hint.unwrap().starts_with("set AMP_REGION=us"));
        assert_eq!((eu.requests().len(), us.requests().len()), (1, 1));
    }

    #[tokio::test]
    async fn keys_that_both_regions_refuse_are_to_be_copied_again() {
        let (eu, us) = (server(), server());
        eu.revoke_key(eu.api_key());
        let found = refused_by(&us, &eu, &us).await;
        assert!(found.hint.unwrap().ends_with("refuses them too"));
    }

    #[tokio::test]
    async fn keys_that_another_host_refuses_go_nowhere_else() {
        let (eu, us, proxy) = (server(), server(), server());
        let found = refused_by(&proxy, &eu, &us).await;
        assert!(!found.hint.unwrap().starts_with("set AMP_REGION"));
        assert_eq!((eu.requests().len(), us.requests().len()), (0, 0));
    }
}
