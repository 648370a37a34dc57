//! What the bucket lost comes back: --verify --heal, then both programs as ever.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use amp_sandbox::events::Dataset;
use amp_sandbox::export::{ExportConfig, ExportServer};
use amp_sandbox::programs::Programs;
use amp_sandbox::s3::S3Op;
use chrono::{Days, Utc};
use serde_json::Value;

use crate::support::{BUCKET, Ended, FILES, Lab, end};

const MANIFESTS: [&str; 2] = ["--manifest-prefix", "_m/"];

/// Both ends, with one file an hour.
pub(crate) struct Ends {
    pub(crate) lab: Lab,
    pub(crate) export: Arc<ExportServer>,
    programs: Programs,
}

impl Ends {
    pub(crate) fn new() -> Self {
        let dataset = Dataset::new(7).parts_per_hour(1).events_per_part(3);
        let export = Arc::new(ExportServer::start(ExportConfig::new(dataset)).unwrap());
        Self::with(Lab::new(), export)
    }

    fn with(lab: Lab, export: Arc<ExportServer>) -> Self {
        let programs = Programs::beside(Path::new(env!("CARGO_BIN_EXE_amp-load")), false).unwrap();
        programs.build().unwrap();
        Self { lab, export, programs }
    }

    /// A machine with an empty disk, and the same two ends.
    pub(crate) fn on_another_machine(&self) -> Self {
        Self::with(self.lab.another_machine(), Arc::clone(&self.export))
    }

    /// With that day fetched and loaded, and its manifest put.
    fn loaded(day: &str) -> Self {
        let ends = Self::new();
        assert_eq!(ends.extract(&["--date", day]).code, Some(0));
        assert_eq!(ends.lab.run(&MANIFESTS).code, Some(0));
        assert_eq!(ends.objects().len(), 25);
        ends
    }

    pub(crate) fn extract(&self, args: &[&str]) -> Ended {
        let mut command: Command = self.programs.command(&[], "amp-extract", &self.lab.path("."));
        command.args(args).args(["--output", "json"]).envs(self.export.env()).env("AMP_RETRY_BASE", "5ms");
        end(command)
    }

    /// Every object and what it holds.
    pub(crate) fn objects(&self) -> Vec<(String, Vec<u8>)> {
        let keys = self.lab.server.objects(BUCKET).into_iter().map(|object| object.key);
        keys.map(|key| (key.clone(), self.lab.object(&key).unwrap())).collect()
    }

    /// Deletes an object, damages another and deletes the manifest.
    fn lose(&self) -> [String; 3] {
        let [gone, changed, manifest] = [3, 4, 24].map(|index| self.objects()[index].0.clone());
        self.lab.server.delete_object_directly(BUCKET, &gone);
        let other: Vec<u8> = self.lab.object(&changed).unwrap().into_iter().rev().collect();
        self.lab.server.put_object_directly(BUCKET, &changed, &other).unwrap();
        self.lab.server.delete_object_directly(BUCKET, &manifest);
        [gone, changed, manifest]
    }
}

fn verified(ended: &Ended) -> (i32, [Value; 4]) {
    let document = ended.document();
    let count = |name: &str| match &document["verified"][name] {
        Value::Array(keys) => keys.len().into(),
        count => count.clone(),
    };
    (ended.code.unwrap(), ["checked", "missing", "different", "healed"].map(count))
}

#[test]
fn lost_objects_are_fetched_and_loaded_again() {
    let day = Utc::now().date_naive().checked_sub_days(Days::new(3)).unwrap().to_string();
    let ends = Ends::loaded(&day);
    let before = ends.objects();
    let [_, changed, _] = ends.lose();

    let ended = ends.lab.run(&["--verify"]);
    assert_eq!(verified(&ended), (1, [25, 2, 1, 0].map(Value::from)));
    assert!((0..3).all(|index| ended.error(index).contains("--heal")), "{ended:?}");
    let ended = ends.lab.run(&["--verify", "--heal"]);
    assert_eq!(verified(&ended), (1, [25, 2, 1, 3].map(Value::from)), "{ended:?}");
    assert!((0..3).all(|index| ended.error(index).contains("recorded as lost")), "{ended:?}");
    let records = ends.lab.loads().len();
    assert_eq!(verified(&ends.lab.run(&["--verify", "--heal"])), (1, [25, 2, 1, 3].map(Value::from)));
    assert_eq!(ends.lab.loads().len(), records, "it is recorded once");

    let ended = ends.extract(&[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ends.lab.left().contains(&changed), "{ended:?}");
    assert_eq!(ends.lab.left().iter().filter(|name| name.contains(&day)).count(), 2, "the two hours alone");
    assert_eq!(ends.lab.run(&MANIFESTS).code, Some(0));
    let after = ends.objects();
    assert!(before.iter().all(|object| after.contains(object)), "the objects are as they were");
    let ended = ends.lab.run(&["--verify"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let status = ends.extract(&["--status", "--date", &day, "--fail"]);
    assert_eq!(status.code, Some(0), "{status:?}");
}

#[test]
fn what_is_lost_of_a_day_before_the_repair_days_is_named_until_it_is_fetched_by_name() {
    let day = "2025-11-06";
    let ends = Ends::loaded(day);
    let [gone, ..] = ends.lose();
    assert_eq!(ends.lab.run(&["--verify", "--heal"]).code, Some(1));
    let ended = ends.extract(&[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("2025-11-06T") && ended.stderr.contains("older than --repair-days"), "{ended:?}");
    assert!(!ends.lab.left().contains(&gone));
    let ended = ends.extract(&["--date", day]);
    assert_eq!((ended.code, &ended.document()["files"]), (Some(0), &2.into()), "{ended:?}");
    assert_eq!(ends.lab.run(&MANIFESTS).code, Some(0));
    assert_eq!(ends.lab.run(&["--verify"]).code, Some(0));
    assert_eq!(ends.extract(&[]).code, Some(0));
}

#[test]
fn what_no_fetch_would_bring_back_is_said() {
    let lab = Lab::new();
    let by_hand = ["by hand.json", FILES[0]];
    by_hand.iter().for_each(|name| lab.copy_in(name, b"{}\n"));
    assert_eq!(lab.run(&[]).code, Some(0));
    assert!(by_hand.iter().all(|name| lab.server.delete_object_directly(BUCKET, name)));
    let ended = lab.run(&["--verify", "--heal"]);
    assert_eq!(verified(&ended), (1, [2, 2, 0, 0].map(Value::from)), "{ended:?}");
    let errors = [ended.error(0), ended.error(1)];
    assert!(errors.iter().all(|error| error.contains("cannot be fetched again")), "{errors:?}");
    assert!(errors.iter().any(|error| error.contains("no hour")), "{errors:?}");
}

#[test]
fn a_dry_run_records_nothing() {
    let lab = Lab::staged();
    assert_eq!(lab.run(&[]).code, Some(0));
    lab.server.delete_object_directly(BUCKET, FILES[0]);
    let (loads, heads) = (lab.loads().len(), lab.count(S3Op::HeadObject));
    assert_eq!(lab.run(&["--verify", "--heal", "--dry-run"]).code, Some(0));
    assert_eq!((lab.loads().len(), lab.count(S3Op::HeadObject)), (loads, heads));
}
