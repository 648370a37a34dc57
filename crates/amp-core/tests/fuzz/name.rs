//! Names of entries and of event files: what is accepted is one plain component of a path, and reads back as it was written.

use std::path::{Component, Path};

use amp_core::ledger::Partition;
use amp_core::name::{EntryKind, EntryName, EventFileName};

pub(crate) fn any_path(bytes: &[u8]) {
    let path = String::from_utf8_lossy(bytes);
    if let Ok(name) = EntryName::from_path(&path) {
        is_one_component(name.as_str());
        is_one_component(name.without_gz().as_str());
        assert_eq!(EntryName::from_path(name.as_str()), Ok(name.clone()));
        assert!(path.to_ascii_lowercase().ends_with(&name.as_str().to_ascii_lowercase()), "endings may be in any case");
        let is_gzip = name.kind() == EntryKind::JsonGz;
        assert_eq!(is_gzip, name.without_gz().kind() == EntryKind::Json && name.without_gz() != name);
        event_file(name.as_str());
    }
    event_file(&path);
}

fn is_one_component(name: &str) {
    let mut parts = Path::new(name).components();
    assert!(
        matches!(parts.next(), Some(Component::Normal(part)) if part == name) && parts.next().is_none(),
        "{name:?}"
    );
    assert!(!name.starts_with('.') && !name.contains(['/', '\\']) && !name.contains(char::is_control), "{name:?}");
    assert!((1..=255).contains(&name.len()), "{name:?}");
}

fn event_file(name: &str) {
    let Some(parts) = EventFileName::parse(name) else {
        assert_eq!(Partition::of_file(name), Partition::Undated);
        return;
    };
    let rendered = |hour: String| format!("{}_{}_{hour}#{}.{}", parts.project, parts.date(), parts.part, parts.ext);
    let hour = parts.hour.of_day();
    assert!([rendered(format!("{hour}")), rendered(format!("{hour:02}"))].iter().any(|text| text == name), "{name:?}");
    assert_eq!(Partition::of_file(name), Partition::Day(parts.hour.date()));
}
