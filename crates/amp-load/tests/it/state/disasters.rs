//! The machine burns, or the bucket: with both programs, what is left brings back the rest.

use amp_sandbox::export::ExportRequest;

use super::RESTORE;
use crate::healing::Ends;
use crate::support::BUCKET;

const BOTH: [&str; 4] = ["--state-prefix", "_state", "--manifest-prefix", "_m/"];
const DAYS: [&str; 4] = ["--start", "2025-11-06", "--end", "2025-11-08"];

impl Ends {
    /// The windows asked for since the `from`th request.
    fn asked(&self, from: usize) -> Vec<String> {
        let window = |request: ExportRequest| format!("{} to {}", request.start, request.end);
        self.export.requests().into_iter().skip(from).map(window).collect()
    }

    fn load(&self) {
        let ended = self.lab.run(&BOTH);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    /// Every object but state, and what it holds.
    fn lake(&self) -> Vec<(String, Vec<u8>)> {
        self.objects().into_iter().filter(|(key, _)| !key.starts_with("_state/")).collect()
    }
}

#[test]
fn where_the_machine_burnt_the_next_one_goes_on() {
    let burnt = Ends::new();
    assert_eq!(burnt.extract(&["--start", "2025-11-06", "--end", "2025-11-07"]).code, Some(0));
    burnt.load();
    // Fetched, and never loaded.
    assert_eq!(burnt.extract(&["--date", "2025-11-08"]).code, Some(0));
    let from = burnt.export.requests().len();

    let next = burnt.on_another_machine();
    assert_eq!(next.lab.run(&RESTORE).code, Some(0));
    assert_eq!(next.extract(&DAYS).code, Some(0));
    assert_eq!(next.asked(from), ["20251108T00 to 20251108T23"], "nothing that is in the bucket");
    next.load();
    assert_eq!(next.lake().len(), 3 * 25);
    assert_eq!(next.lab.run(&["--verify"]).code, Some(0));
    let from = next.export.requests().len();
    assert_eq!(next.extract(&DAYS).code, Some(0));
    assert!(next.asked(from).is_empty());
}

#[test]
fn where_the_bucket_burnt_the_machine_brings_back_what_amplitude_has() {
    let ends = Ends::new();
    assert_eq!(ends.extract(&DAYS).code, Some(0));
    ends.load();
    let before = ends.lake();
    assert_eq!(before.len(), 3 * 25);
    ends.objects().iter().for_each(|(key, _)| assert!(ends.lab.server.delete_object_directly(BUCKET, key)));

    let ended = ends.lab.run(&["--verify", "--heal"]);
    assert_eq!((ended.code, &ended.document()["verified"]["healed"]), (Some(1), &75.into()), "{ended:?}");
    assert_eq!(ends.extract(&DAYS).code, Some(0));
    ends.load();
    let after = ends.lake();
    let keys = |lake: &[(String, Vec<u8>)]| lake.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&after), keys(&before));
    assert!(before.iter().filter(|(key, _)| !key.starts_with("_m/")).all(|object| after.contains(object)));
    assert_eq!(ends.lab.run(&["--verify"]).code, Some(0));

    // The state came back too: a machine that restores it has nothing to ask for.
    let next = ends.on_another_machine();
    assert_eq!(next.lab.run(&RESTORE).code, Some(0));
    let from = next.export.requests().len();
    assert_eq!(next.extract(&DAYS).code, Some(0));
    assert_eq!(next.asked(from), [""; 0]);
}
