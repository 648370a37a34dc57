//! `--status --output html`: one page for a browser.

use std::fs;

use crate::run::Ran;
use crate::support::{DAY, Lab};

fn page(lab: &Lab, args: &[&str]) -> Ran {
    let ran = lab.for_people(&["--status", "--output", "html"]).args(args).run();
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    ran
}

/// Walks through the tags of a page, which is written as XML would have it, and returns its elements in their order.
fn elements(page: &str) -> Vec<String> {
    let (mut open, mut elements) = (Vec::new(), Vec::new());
    let mut rest = page.strip_prefix("<!DOCTYPE html>\n").expect("a doctype");
    while let Some(at) = rest.find('<') {
        let (text, tag) = rest.split_at(at);
        assert!(!text.contains('>'), "an unescaped > in: {text}");
        let (tag, after) = tag[1..].split_once('>').unwrap();
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "before: {rest:.100}");
            continue;
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name: String = tag.chars().take_while(char::is_ascii_alphanumeric).collect();
        assert!(!name.is_empty(), "{tag}");
        elements.push(name.clone());
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    elements
}

#[test]
fn the_page_shows_hours_failures_the_next_run_and_the_last_ones() {
    let lab = Lab::new();
    lab.rule(&format!("hour={DAY}T05:status=400,body=<b>no</b>"));
    lab.run(&["--date", DAY]).exits(1);
    lab.write("logs/log_s3_load_2025-11-07_03-20-00.log", "cut sh");
    let ran = page(&lab, &["--date", DAY, "--label", "project=<i>&\"web\""]);
    let page = &ran.stdout;
    let elements = elements(page);
    assert!(elements.iter().filter(|name| *name == "td").count() > 24);
    assert!(elements.iter().all(|name| !["script", "img", "link", "iframe", "i", "b", "a"].contains(&name.as_str())));
    for part in [
        "<h1>Amplitude export of project=&lt;i&gt;&amp;&quot;web&quot;</h1>",
        "title=\"2025-11-06 05: failed\">F<span class=\"hidden\"> failed</span></td>",
        "title=\"2025-11-06 04: staged\">S<",
        "<strong>24 settled hours are not loaded.</strong>",
        "<th scope=\"row\">2025-11-06T05</th><td>failed</td>",
        "<td>amp-extract</td><td>partial</td><td>hours: 23 extracted, 1 failed",
        "<th scope=\"row\">2025-11-07 03:20:00</th><td>amp-load</td><td>no result: killed, or still at work</td>",
        "Next run without a window",
        "prefers-color-scheme: dark",
    ] {
        assert!(page.contains(part), "no {part} in {page}");
    }
    // It works without a network and lets nothing in.
    for outside in ["http://", "https://", "//", "src=", "href=", "url(", "@import", "javascript:"] {
        assert!(!page.replace(&lab.server.base_url(), "").contains(outside), "{outside}: {page}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn foreign_text_is_shown_and_never_read() {
    let lab = Lab::new();
    lab.run(&["--date", DAY]).exits(0);
    let ledger = format!("extracted_data/.amp/hours/{DAY}.jsonl");
    let text = fs::read_to_string(lab.path(&ledger)).unwrap();
    let source =
        text.lines().find_map(|line| line.split("\"source\":\"").nth(1)?.split('"').next()).unwrap().to_owned();
    let evil = r#"</td><script>alert(1)</script>'\"&lt;"#;
    let record = format!(
        r#"{{"kind":"failed","at":"2025-11-07T00:00:00Z","start":"{DAY}T03","end":"{DAY}T04","source":"{source}","error":"{evil}"}}"#
    );
    lab.write(&ledger, format!("{text}{record}\n"));
    let name = "log_amplitude_<img src=x>_2025-11-07_03-15-00.log";
    let result = r#"{"program":"amp-extract","outcome":"<u>done</u>","seconds":1,"failures":[{"error":"<s>"}],"hours":{"<em>":3}}"#;
    lab.write(&format!("logs/{name}"), result);
    let ran = page(&lab, &["--date", DAY]);
    let elements = elements(&ran.stdout);
    assert!(elements.iter().all(|name| !["script", "img", "u", "s", "em"].contains(&name.as_str())), "{}", ran.stdout);
    for part in [
        "2025-11-06T03..2025-11-06T04</th><td>failed</td><td>&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;&#39;&quot;&amp;lt;</td>",
        "&lt;u&gt;done&lt;/u&gt;",
        "hours: 3 &lt;em&gt;; &lt;s&gt;",
        "log_amplitude_&lt;img src=x&gt;_2025-11-07_03-15-00.log",
    ] {
        assert!(ran.stdout.contains(part), "no {part} in {}", ran.stdout);
    }
}

#[test]
fn a_page_without_a_ledger_says_so_and_only_the_status_has_one() {
    let lab = Lab::new();
    let ran = page(&lab, &[]);
    elements(&ran.stdout);
    assert!(ran.stdout.contains("No run has requested anything yet") && ran.stdout.contains("There are no logs."));
    assert!(!lab.path("extracted_data").exists() && !lab.path("logs").exists());
    for args in [&["--date", DAY][..], &["--dry-run"]] {
        let ran = lab.for_people(args).args(&["--output", "html"]).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
        ran.says(&["--output html is for --status"]);
    }
    assert!(lab.asked().is_empty());
}
