//! A disk without room, which amp-load is there to make.

use amp_sandbox::tools::SmallDisk;

use crate::support::{FILES, Lab, noise};

#[test]
fn a_full_disk_keeps_no_file_from_being_noted_and_deleted() {
    let lab = Lab::new();
    let Some(disk) = SmallDisk::mount(&lab.extracted(), "8m") else { return };
    lab.stage_all();
    // Large enough to go in parts, whose journal needs room too.
    lab.stage("7_2025-11-06_10#0.json", &noise(1 << 20));
    disk.fill("a-neighbour").unwrap();
    assert_eq!(lab.run(&["--multipart-threshold", "512KiB"]).counts(), (0, [4, 4, 0, 0, 4]));
    assert_eq!(lab.loads().len(), 4);
    assert!(FILES.iter().all(|file| lab.object(file).is_some()));
    assert!(lab.server.open_uploads("lake").is_empty());

    // With the room that it made, the reserve is there again for the next time.
    lab.stage_all();
    disk.fill("another-neighbour").unwrap();
    assert_eq!(lab.run(&[]).counts(), (0, [3, 3, 0, 0, 3]));
}
