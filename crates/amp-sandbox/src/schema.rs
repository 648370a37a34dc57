//! Whether a document that the programs print or upload is as `docs/schema/` describes it.

use std::fs;
use std::path::Path;

use boon::{Compiler, Schemas};
use serde_json::Value;

/// Describes how `document` departs from its published schema; keys that the schema does not name count, too,
/// and so do parts that do not add up.
///
/// Consumers get open schemas, so that a later version may add keys. Here every key must be described.
pub fn departure(document: &Value) -> Option<String> {
    let name = match document["program"].as_str() {
        None if document.get("level").is_some() => "log.json",
        None => "manifest.json",
        Some(_) if document.get("findings").is_some() => "check.json",
        Some("amp-load") => "load.json",
        Some(_) if document.get("days").is_some() => "status.json",
        Some(_) => "extract.json",
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema").join(name);
    let invalid = check(document, &path).err().map(|why| format!("not as docs/schema/{name} describes it: {why}"));
    invalid.or_else(|| missum(document))
}

/// The counts of a result whose parts do not add up to their whole.
fn missum(document: &Value) -> Option<String> {
    let parts_of = [
        ("hours", "asked", &["extracted", "no_data", "skipped", "failed", "unfinished", "accepted", "verified"][..]),
        ("files", "found", &["uploaded", "skipped", "failed", "unfinished"][..]),
    ];
    parts_of.into_iter().find_map(|(counts, whole, parts)| {
        let counts = document.get(counts).filter(|counts| counts.get(whole).is_some())?;
        let count = |name: &str| counts[name].as_u64().unwrap_or_default();
        let sum: u64 = parts.iter().map(|part| count(part)).sum();
        (sum != count(whole)).then(|| format!("{} {whole}, but the parts add up to {sum}: {counts}", count(whole)))
    })
}

fn check(document: &Value, path: &Path) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let mut schema = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    close(&mut schema);
    let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
    compiler.enable_format_assertions();
    compiler.add_resource("schema.json", schema).map_err(|error| error.to_string())?;
    let index = compiler.compile("schema.json", &mut schemas).map_err(|error| error.to_string())?;
    schemas.validate(document, index).map_err(|error| format!("{error:#}"))
}

/// Lets no object of the schema have keys that it does not name.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(close);
            if object.contains_key("properties") {
                object.entry("additionalProperties").or_insert(Value::Bool(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest() -> Value {
        let hours: Vec<_> =
            (0..24).map(|hour| json!({"hour": format!("2025-11-06T{hour:02}"), "data": false})).collect();
        let totals = json!({"files": 0, "bytes": 0, "lines": 0, "hours_with_data": 0, "hours_without_data": 24});
        json!({"version": 1, "date": "2025-11-06", "bucket": "lake", "hours": hours, "files": [], "totals": totals})
    }

    #[test]
    fn counts_that_do_not_add_up_are_noticed() {
        let files =
            |uploaded| json!({"files": {"found": 3, "uploaded": uploaded, "skipped": 0, "failed": 1, "unfinished": 0}});
        assert_eq!(missum(&files(2)), None);
        assert!(missum(&files(1)).unwrap().contains("3 found, but the parts add up to 2"));
    }

    #[test]
    fn a_wrong_type_a_missing_key_and_one_that_is_not_described_are_noticed() {
        assert_eq!(departure(&manifest()), None);
        for (pointer, key, value) in [
            ("", "date", json!("2025-02-30")),
            ("", "bucket", Value::Null),
            ("/totals", "lines", json!(-1)),
            ("/totals", "seconds", json!(1)),
            ("/hours/3", "hour", json!("2025-11-06")),
        ] {
            let mut changed = manifest();
            changed.pointer_mut(pointer).unwrap()[key] = value;
            assert!(departure(&changed).is_some(), "{pointer}/{key}");
        }
        let mut lacking = manifest();
        lacking["totals"].as_object_mut().unwrap().remove("bytes");
        assert!(departure(&lacking).unwrap().contains("docs/schema/manifest.json"));
    }
}
