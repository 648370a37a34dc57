//! The log under `--log-format json`: an object a line, with what happened, to what, and how it went as keys of their own.

use std::fmt;

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::settings::Labels;

/// Formats the events of one run.
pub(crate) struct JsonLines {
    /// Tells the lines of this run from those of others.
    pub(crate) run_id: String,
    pub(crate) labels: Labels,
}

impl JsonLines {
    fn object(&self, event: &Event<'_>) -> Map<String, Value> {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let time = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
        let mut object = Map::new();
        for (name, value) in [
            ("timestamp", time.as_str()),
            ("level", metadata.level().as_str()),
            ("run_id", &self.run_id),
            ("event", "message"),
            ("target", metadata.target()),
        ] {
            object.insert(name.to_owned(), value.into());
        }
        object.extend(fields.0);
        if !self.labels.is_empty() {
            object.insert("labels".to_owned(), serde_json::to_value(&self.labels).unwrap_or_default());
        }
        object
    }
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writeln!(writer, "{}", Value::Object(self.object(event)))
    }
}

/// The fields of an event as JSON.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn insert(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        // The result of the run is a document itself.
        let document = (field.name() == "result").then(|| serde_json::from_str(value).ok()).flatten();
        self.insert(field, document.unwrap_or_else(|| value.into()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, ((value * 1000.0).round() / 1000.0).into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value.into());
    }
}
