//! Whether a document that the programs print or upload is as `docs/schema/` describes it.

use std::fs;
use std::path::Path;

use boon::{Compiler, Schemas};
use serde_json::Value;

/// Describes how `document` departs from its published schema; keys that the schema does not name count, too.
///
/// Consumers get open schemas, so that a later version may add keys. Here every key must be described.
pub fn departure(document: &Value) -> Option<String> {
    let name = match document["program"].as_str() {
        None => "manifest.json",
        Some(_) if document.get("findings").is_some() => "check.json",
        Some("amp-load") => "load.json",
        Some(_) if document.get("days").is_some() => "status.json",
        Some(_) => "extract.json",
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema").join(name);
    check(document, &path).err().map(|why| format!("not as docs/schema/{name} describes it: {why}"))
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
