//! Where requests go: endpoints with a path, the bucket's place, and what the AWS configuration says of either.

use std::fs;
use std::process::Command;

use amp_sandbox::proxy::Proxy;

use crate::support::{BUCKET, Ended, FILES, Lab, end};

#[test]
fn an_endpoints_own_path_stands_before_the_bucket_with_and_without_a_slash() {
    for slash in ["", "/"] {
        let lab = Lab::with(|config| {
            config.base_path = "/s3".into();
            // Where the path and the bucket would run into each other.
            config.buckets.push("s3lake".into());
        });
        lab.stage_all();
        let endpoint = format!("{}{slash}", lab.server.endpoint_url().trim_end_matches('/'));
        assert_eq!(lab.run(&["--endpoint-url", &endpoint]).counts(), (0, [3, 3, 0, 0, 3]));
        assert_eq!(lab.server.objects(BUCKET).len(), 3);
        assert!(lab.server.objects("s3lake").is_empty());
    }
}

/// A run whose host does not resolve but through a proxy, which leads it to the laboratory's server.
fn through(proxy: &Proxy, lab: &Lab, args: &[&str]) -> Command {
    let mut command = lab.command(args);
    command.env("HTTP_PROXY", proxy.url()).env("AWS_ENDPOINT_URL_S3", "http://s3.localtest");
    command.args(["--allow-http"]);
    command
}

#[test]
fn the_bucket_stands_where_the_setting_or_the_profile_says() {
    let profile = "[default]\ns3 =\n  addressing_style = path\n";
    for (args, config, asked) in [
        (&["--addressing", "path"][..], "", "http://s3.localtest/lake"),
        (&[], profile, "http://s3.localtest/lake"),
        (&["--addressing", "virtual"], profile, "http://lake.s3.localtest/"),
        (&[][..], "", "http://lake.s3.localtest/"),
    ] {
        let lab = Lab::with(|config| config.domain = Some("s3.localtest".into()));
        lab.stage_all();
        fs::write(lab.path("aws-config"), config).unwrap();
        let proxy = Proxy::start(&lab.server.endpoint_url()).unwrap();
        let mut command = through(&proxy, &lab, args);
        let ended = end({
            command.env("AWS_CONFIG_FILE", lab.path("aws-config"));
            command
        });
        assert_eq!(ended.counts(), (0, [3, 3, 0, 0, 3]), "{args:?} {ended:?}");
        let lines = proxy.asked();
        // A connection may be made and never used.
        let mut requests = lines.iter().filter(|line| !line.trim().is_empty());
        assert!(requests.all(|line| line.contains(asked)), "{asked}: {lines:?}");
    }
}

#[test]
fn an_addressing_that_is_none_is_told() {
    let lab = Lab::staged();
    let ended = lab.run(&["--addressing", "dns"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.error(0).contains("`dns` is neither auto nor path nor virtual"), "{ended:?}");
}

#[test]
fn an_endpoint_in_services_of_the_aws_configuration_is_used() {
    let lab = Lab::staged();
    let config = format!(
        "[default]\nservices = here\n\n[services here]\ns3 =\n  endpoint_url = {}\n",
        lab.server.endpoint_url()
    );
    fs::write(lab.path("aws-config"), config).unwrap();
    let mut command = lab.command(&[]);
    command.env_remove("AWS_ENDPOINT_URL_S3").env("AWS_CONFIG_FILE", lab.path("aws-config"));
    assert_eq!(end(command).counts(), (0, [3, 3, 0, 0, 3]));
    assert!(lab.object(FILES[0]).is_some());
}

#[test]
fn a_region_that_is_none_is_told_before_anything_is_asked() {
    for region in ["us east 1", "eu-west-1\n"] {
        let lab = Lab::staged();
        let mut command = lab.command(&[]);
        command.env("AWS_REGION", region);
        let ended = end(command);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("region") || ended.stderr.contains("AWS_REGION"), "{ended:?}");
        assert!(lab.server.requests().is_empty());
    }
}

/// A run at Amazon's own hosts, all of which a proxy leads to the laboratory's server, which speaks no TLS.
fn at_amazons(proxy: &Proxy, lab: &Lab, args: &[&str]) -> Ended {
    let mut command = lab.command(args);
    command.env_remove("AWS_ENDPOINT_URL_S3").env("HTTPS_PROXY", proxy.url()).env("AWS_REGION", "eu-west-1");
    end(command)
}

#[test]
fn the_host_that_is_asked_is_the_one_that_an_error_names() {
    let outpost = "arn:aws:s3-outposts:eu-west-1:123456789012:outpost/op-01234567890123456/accesspoint/lake";
    for (bucket, host) in [
        ("lake", "lake.s3.eu-west-1.amazonaws.com"),
        ("lake.example.org", "s3.eu-west-1.amazonaws.com"),
        (
            "arn:aws:s3:eu-west-1:123456789012:accesspoint/lake",
            "lake-123456789012.s3-accesspoint.eu-west-1.amazonaws.com",
        ),
        (outpost, "lake-123456789012.op-01234567890123456.s3-outposts.eu-west-1.amazonaws.com"),
    ] {
        let lab = Lab::staged();
        let proxy = Proxy::start(&lab.server.endpoint_url()).unwrap();
        let ended = at_amazons(&proxy, &lab, &["--bucket", bucket]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert_eq!(proxy.asked(), [format!("CONNECT {host}:443")]);
        assert!(ended.error(0).contains(&format!(" at {host}: ")), "{ended:?}");
    }
}

#[test]
fn an_arn_that_cannot_be_asked_for_is_told_before_anything_is_asked() {
    for (arn, says) in [
        ("arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap", "multi-region"),
        ("arn:aws:s3::123456789012:accesspoint:mfzwi23gnjvgw.mrap", "multi-region"),
        ("arn:aws:s3:eu-west-1:12345:accesspoint/lake", "12 digits"),
        ("arn:aws:s3:eu-west-1:123456789012:accesspoint/", "no name was provided"),
        ("arn:aws:s3:eu-west-1:123456789012:accesspoint/lake/object", "single resource component"),
        ("arn:aws:s3-object-lambda:eu-west-1:123456789012:accesspoint/lake", "is not the ARN of an access point"),
    ] {
        let lab = Lab::staged();
        let proxy = Proxy::start(&lab.server.endpoint_url()).unwrap();
        let ended = at_amazons(&proxy, &lab, &["--bucket", arn]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.error(0).contains(says), "{ended:?}");
        assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
    }
}

#[test]
fn a_proxys_password_is_never_shown() {
    let lab = Lab::staged();
    let mut command = lab.command(&["-vv", "--max-retries", "0", "--allow-http"]);
    command.env("AWS_ENDPOINT_URL_S3", "http://s3.localtest").env("HTTP_PROXY", "http://me:hunter2@127.0.0.1:9");
    let ended = end({
        command.env("RUST_LOG", "trace");
        command
    });
    assert_eq!(ended.code, Some(75), "{ended:?}");
    let all = format!("{}{}{}", ended.stdout, ended.stderr, lab.logs());
    // In base64, too, as it is sent.
    assert!(!all.contains("hunter2") && !all.contains("bWU6aHVudGVyMg"), "{all}");
}
