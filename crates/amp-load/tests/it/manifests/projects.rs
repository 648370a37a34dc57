//! Several projects: `{project}` in the prefix, in one directory and in many that share a host and a bucket.

use std::fs;
use std::path::Path;
use std::thread;

use amp_core::ledger::{Ledger, SourceRecord};
use amp_core::stage::Staging;
use amp_core::window::HourWindow;
use chrono::Utc;
use serde_json::{Value, json};

use super::{DAY, hours, source};
use crate::support::{Ended, Lab, begin, ended, events};

const ON: [&str; 2] = ["--manifest-prefix", "_manifests/{project}"];

fn file(project: u32, hour: u32) -> String {
    format!("{project}_{DAY}_{hour}#0.json")
}

fn key(project: u32) -> String {
    format!("_manifests/{project}/{DAY}.json")
}

impl Lab {
    /// Fetches hours of a project, with events in the first of them.
    fn fetch_project(&self, dir: &Path, project: u32, window: HourWindow) {
        let name = file(project, window.start().of_day());
        self.fetch_with(&format!("key of {project}"), dir, window, &[(&name, &events(&name))]);
    }

    /// Notes whose key it is, as amp-extract does with the first file.
    fn note_project(&self, dir: &Path, project: u32) {
        let (source, project) = (source(&format!("key of {project}")), Some(project.to_string()));
        let record =
            SourceRecord { time: Utc::now(), source, host: Some("amplitude.com".into()), project, owed_from: None };
        Ledger::at(&Staging::open(dir).unwrap().state_dir()).append_sources(&[record]).unwrap();
    }

    fn manifest_of(&self, project: u32) -> Option<Value> {
        self.object(&key(project)).map(|bytes| serde_json::from_slice(&bytes).unwrap())
    }
}

#[test]
fn in_one_directory_each_project_gets_its_own_manifest_when_its_own_hours_are_done() {
    let lab = Lab::new();
    let dir = lab.extracted();
    for project in [7, 70, 8] {
        lab.note_project(&dir, project);
        lab.fetch_project(&dir, project, hours(0, 11));
    }
    lab.fetch_project(&dir, 7, hours(12, 23));
    let ran = lab.run(&[&ON[..], &["--dry-run"]].concat());
    assert_eq!(ran.document()["planned_manifests"], json!([key(7)]));
    let ran = lab.run(&[&ON[..], &["-v"]].concat());
    assert_eq!((ran.code, &ran.document()["manifests"]), (Some(0), &1.into()), "{ran:?}");
    assert!(ran.stderr.contains(&format!("{DAY} of project 8: no manifest yet: hour {DAY}T12")), "{}", ran.stderr);
    let manifest = lab.manifest_of(7).unwrap();
    assert_eq!(amp_sandbox::schema::departure(&manifest), None);
    assert_eq!((&manifest["project"], &manifest["totals"]["files"]), (&"7".into(), &2.into()));
    let keys: Vec<_> = manifest["files"].as_array().unwrap().iter().map(|file| file["key"].clone()).collect();
    assert_eq!(keys, [file(7, 0), file(7, 12)]);

    // Another project's hours change nothing about it.
    lab.fetch_project(&dir, 70, hours(12, 23));
    let before = lab.server.object_bytes("lake", &key(7));
    assert_eq!(lab.run(&ON).document()["manifests"], 1);
    assert_eq!((lab.object(&key(7)), lab.manifest_of(70).unwrap()["project"].clone()), (before, "70".into()));
    assert_eq!(lab.manifest_of(8), None);
    assert_eq!(lab.run(&ON).document()["manifests"], 0);
    // Without the placeholder the day belongs to all of them.
    let together = ["--manifest-prefix", "_manifests"];
    assert_eq!(lab.run(&together).document()["manifests"], 0);
    lab.fetch_project(&dir, 8, hours(12, 23));
    assert_eq!(lab.run(&together).document()["manifests"], 1);
    assert_eq!(lab.run(&ON).document()["manifests"], 1);
}

#[test]
fn hours_whose_project_is_not_known_have_no_manifest_of_a_project() {
    let lab = Lab::new();
    lab.fetch_project(&lab.extracted(), 7, hours(0, 23));
    let ran = lab.run(&[&ON[..], &["-v"]].concat());
    assert_eq!(ran.document()["manifests"], 0);
    assert!(ran.stderr.contains("no manifest yet: no run of amp-extract has seen which project"), "{}", ran.stderr);
    lab.note_project(&lab.extracted(), 7);
    assert_eq!(lab.run(&ON).document()["manifests"], 1);
}

#[test]
fn another_placeholder_is_refused() {
    let ran = Lab::staged().run(&["--manifest-prefix", "_manifests/{date}"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.error(0).contains("the only placeholder is {project}"), "{ran:?}");
}

#[test]
fn of_fifty_projects_on_one_host_and_bucket_nothing_meets_anothers() {
    let lab = Lab::new();
    fs::create_dir(lab.path("metrics")).unwrap();
    let projects: Vec<u32> = (1..=50).collect();
    let dir = |project: u32| lab.path(&format!("{project}/extracted_data"));
    let run = |project: u32| {
        let path = |name: &str| lab.path(&format!("{project}/{name}")).to_str().unwrap().to_owned();
        let (extracted, logs) = (path("extracted_data"), path("logs"));
        let label = format!("project={project}");
        let dirs = ["--extracted-dir", &extracted, "--log-dir", &logs, "--metrics-file", "metrics", "--label", &label];
        ended(begin(lab.command(&[&ON[..], &dirs].concat())))
    };
    for project in &projects {
        lab.note_project(&dir(*project), *project);
        lab.fetch_project(&dir(*project), *project, hours(0, 23));
    }
    // One of them is turned away by its own lock; it holds nobody else back.
    let held = Staging::open(&dir(13)).unwrap().lock("load").unwrap();
    let ended: Vec<Ended> = thread::scope(|scope| {
        let chunks: Vec<_> = projects
            .chunks(13)
            .map(|chunk| scope.spawn(|| chunk.iter().map(|project| run(*project)).collect::<Vec<_>>()))
            .collect();
        chunks.into_iter().flat_map(|chunk| chunk.join().unwrap()).collect()
    });
    drop(held);
    for (project, ended) in projects.iter().zip(ended) {
        let code = if *project == 13 { 75 } else { 0 };
        assert_eq!(ended.code, Some(code), "{project}: {ended:?}");
        assert_eq!(ended.document()["labels"]["project"], project.to_string());
        let metrics = fs::read_to_string(lab.path(&format!("metrics/amp_load,project={project}.prom"))).unwrap();
        assert!(
            metrics.contains(&format!("\namp_load_last_run_exit_code{{project=\"{project}\"}} {code}\n")),
            "{metrics}"
        );
        assert_eq!(
            metrics.matches("{project=").count() + metrics.matches(",project=").count(),
            metrics.matches("} ").count()
        );
        let logs: Vec<_> = fs::read_dir(lab.path(&format!("{project}/logs"))).unwrap().collect();
        assert_eq!(logs.len(), 1);
    }
    assert_eq!(fs::read_dir(lab.path("metrics")).unwrap().count(), 50);
    assert_eq!(lab.manifest_of(13), None);
    assert_eq!(run(13).code, Some(0));
    for project in projects {
        let manifest = lab.manifest_of(project).unwrap();
        let files = manifest["files"].as_array().unwrap();
        assert_eq!((files.len(), &files[0]["key"]), (1, &file(project, 0).into()));
        assert_eq!(lab.object(&file(project, 0)).unwrap(), events(&file(project, 0)));
    }
}
