use super::*;

fn window() -> HourWindow {
    HourWindow::single(Hour::parse("2025-11-06T04").unwrap())
}

fn source(key: &str) -> SourceId {
    SourceId::new("amplitude.com", &amp_core::secret::Secret::new(key.to_owned()))
}

/// Finishes a download of an archive without entries.
fn finish(mut flight: InFlight) -> DownloadedArchive {
    flight.write(&[b"PK\x05\x06".as_slice(), &[0; 18]].concat()).unwrap();
    let export = ExportArchive::from_file(flight.handle().unwrap(), flight.whole()).unwrap();
    flight.finish(export).unwrap()
}

fn count(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

#[test]
fn a_download_that_is_given_up_leaves_nothing_and_a_finished_one_its_archive() {
    let dir = tempfile::tempdir().unwrap();
    let downloads = Downloads::open(dir.path()).unwrap();
    let begin = || downloads.begin(window(), &source("a"), window().end().settled_at()).unwrap();
    drop(begin());
    assert_eq!(count(dir.path()), 0);
    let mut archive = finish(begin());
    assert_eq!(archive.path().file_name().unwrap(), "amplitude_20251106T04_20251106T04.zip");
    archive.keep();
    drop(archive);
    let left = |key| downloads.left(window(), |whose| *whose == source(key));
    assert!(left("b").is_none(), "another project's archive");
    drop(left("a").unwrap().unwrap());
    assert_eq!(count(dir.path()), 0);
}

#[test]
fn an_archive_asked_for_before_its_hours_were_settled_is_not_used_later() {
    let dir = tempfile::tempdir().unwrap();
    let downloads = Downloads::open(dir.path()).unwrap();
    let early = window().end().settled_at() - chrono::TimeDelta::seconds(1);
    finish(downloads.begin(window(), &source("a"), early).unwrap()).keep();
    assert!(downloads.left(window(), |_| true).is_none());
}

#[test]
fn an_archive_that_lost_its_attributes_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let downloads = Downloads::open(dir.path()).unwrap();
    let mut archive = finish(downloads.begin(window(), &source("a"), window().end().settled_at()).unwrap());
    archive.keep();
    for name in [REQUESTED_AT_ATTRIBUTE, SOURCE_ATTRIBUTE] {
        assert!(downloads.left(window(), |_| true).unwrap().map(|mut archive| archive.keep()).is_ok());
        let value = attribute(&File::open(archive.path()).unwrap(), name).unwrap();
        rustix::fs::removexattr(archive.path(), name).unwrap();
        assert!(downloads.left(window(), |_| true).is_none());
        rustix::fs::setxattr(archive.path(), name, value.as_bytes(), XattrFlags::empty()).unwrap();
    }
}

#[test]
fn only_downloads_of_dead_runs_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let downloads = Downloads::open(dir.path()).unwrap();
    let alive = downloads.begin(window(), &source("a"), Utc::now()).unwrap();
    fs::write(dir.path().join("amplitude_20251106T04_20251106T04.zip.part-1"), "dead").unwrap();
    fs::write(dir.path().join("mine.zip.part-1"), "not ours").unwrap();
    assert_eq!(downloads.sweep().unwrap(), 1);
    assert!(alive.path.exists());
    assert_eq!(count(dir.path()), 2);
}
