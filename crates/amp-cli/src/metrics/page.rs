//! Prometheus' text format: what this project writes of it, and what it reads of its own.

use std::collections::BTreeMap;

/// The metrics of one job, all of them gauges: what holds until its next run.
#[derive(Debug)]
pub struct Page {
    job: String,
    text: String,
}

impl Page {
    /// A page of metrics whose names begin with `job`.
    pub fn new(job: &str) -> Self {
        Self { job: job.to_owned(), text: String::new() }
    }

    /// What the names begin with.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// The whole name of a metric.
    pub fn name(&self, metric: &str) -> String {
        format!("{}_{metric}", self.job)
    }

    /// Adds a metric. Its name ends with its unit where it has one; `help` is one line without backslashes.
    pub fn gauge(&mut self, metric: &str, help: &str, value: f64) {
        self.head(metric, help);
        self.text.push_str(&format!("{} {value}\n", self.name(metric)));
    }

    /// Adds a metric with one value for each value of a label, which holds neither quotes nor backslashes.
    pub fn labelled(&mut self, metric: &str, help: &str, label: &str, values: &[(&str, f64)]) {
        self.head(metric, help);
        for (of, value) in values {
            self.text.push_str(&format!("{}{{{label}=\"{of}\"}} {value}\n", self.name(metric)));
        }
    }

    fn head(&mut self, metric: &str, help: &str) {
        let name = self.name(metric);
        self.text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
    }
}

/// What a former page says: its gauges by name. Whatever is damaged, or is no gauge of this project, is left out,
/// for one line that cannot be read makes the collector pass the whole file over.
#[derive(Debug, Default)]
pub(super) struct Former(BTreeMap<String, Gauge>);

#[derive(Debug, Default)]
struct Gauge {
    help: String,
    /// Values by label, the label as it is written.
    values: BTreeMap<String, f64>,
}

impl Former {
    pub(super) fn parse(text: &str) -> Self {
        let mut gauges = BTreeMap::<String, Gauge>::new();
        for line in text.lines() {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
                if is_name(name) && !help.contains(['\\', '\r']) {
                    gauges.entry(name.to_owned()).or_default().help = help.to_owned();
                }
            } else if let Some((name, label, value)) = sample(line) {
                gauges.entry(name.to_owned()).or_default().values.insert(label.to_owned(), value);
            }
        }
        gauges.retain(|name, gauge| name.starts_with("amp_") && !gauge.values.is_empty() && !gauge.help.is_empty());
        Self(gauges)
    }

    /// The value of a metric without labels.
    pub(super) fn value(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.values.get("").copied()
    }

    /// Leaves out what belongs to `job`.
    pub(super) fn without(mut self, job: &str) -> Self {
        self.0.retain(|name, _| !name.strip_prefix(job).is_some_and(|rest| rest.starts_with('_')));
        self
    }

    /// The text of these and of `page`.
    pub(super) fn join(&self, page: &Page) -> String {
        let mut text = String::new();
        for (name, Gauge { help, values }) in &self.0 {
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
            values.iter().for_each(|(label, value)| text.push_str(&format!("{name}{label} {value}\n")));
        }
        text + &page.text
    }
}

/// Name, label and value of a line such as `amp_load_build_info{version="0.1.0"} 1`.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, label) = series.split_at(series.find('{').unwrap_or(series.len()));
    let value = value.parse::<f64>().ok().filter(|value| value.is_finite())?;
    (is_name(name) && (label.is_empty() || is_label(label))).then_some((name, label, value))
}

fn is_label(text: &str) -> bool {
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix("\"}"));
    let Some((label, value)) = inner.and_then(|inner| inner.split_once("=\"")) else { return false };
    is_name(label) && !value.contains(['"', '\\', '\r'])
}

fn is_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let mut page = Page::new("amp_load");
        page.gauge("last_run_exit_code", "Exit code of the last run.", 75.0);
        page.labelled("last_run_files", "Files.", "state", &[("uploaded", 9_007_199_254_740_991.0), ("failed", 0.0)]);
        page.gauge("last_success_timestamp_seconds", "When.", 1_762_400_000.125);
        page
    }

    const TEXT: &str = "\
# HELP amp_load_last_run_exit_code Exit code of the last run.
# TYPE amp_load_last_run_exit_code gauge
amp_load_last_run_exit_code 75
# HELP amp_load_last_run_files Files.
# TYPE amp_load_last_run_files gauge
amp_load_last_run_files{state=\"failed\"} 0
amp_load_last_run_files{state=\"uploaded\"} 9007199254740991
# HELP amp_load_last_success_timestamp_seconds When.
# TYPE amp_load_last_success_timestamp_seconds gauge
amp_load_last_success_timestamp_seconds 1762400000.125
";

    #[test]
    fn what_was_written_is_read_and_kept_as_it_is() {
        let former = Former::parse(&Former::default().join(&page()));
        assert_eq!(former.value("amp_load_last_success_timestamp_seconds"), Some(1_762_400_000.125));
        assert_eq!(former.value("amp_load_last_run_files"), None);
        assert_eq!(former.join(&Page::new("amp_extract")), TEXT);
        assert_eq!(former.without("amp_load").join(&page()), Former::default().join(&page()));
    }

    #[test]
    fn a_job_whose_name_begins_like_another_keeps_its_own() {
        let mut loader = Page::new("amp_loader");
        loader.gauge("x", "X.", 1.0);
        let former = Former::parse(&Former::default().join(&loader));
        assert!(former.without("amp_load").value("amp_loader_x").is_some());
    }

    #[test]
    fn of_a_damaged_page_only_whole_gauges_of_this_project_are_kept() {
        for damage in [
            "amp_x{state=\"a\"",
            "amp_x 1 1762400000",
            "# HELP amp_x A.\namp_x NaN",
            "amp_x{a=\"b\",c=\"d\"} 1",
            "amp_x{=\"d\"} 1",
            "amp_x",
            "# HELP amp_x",
            "# HELP amp_x Help.",
            "# HELP amp_y a\\b\namp_y 1",
            "# EOF",
            "node_x 1",
            "# HELP node_x A.\nnode_x 1",
            "é\u{fffd} 1",
            "0x 1",
        ] {
            for text in [format!("{damage}\n{TEXT}"), format!("{TEXT}{damage}")] {
                assert_eq!(Former::parse(&text).join(&Page::new("amp_z")), TEXT, "{damage}");
            }
        }
        let cut = &TEXT[..TEXT.len() - 5];
        assert_eq!(Former::parse(cut).value("amp_load_last_success_timestamp_seconds"), Some(1_762_400_000.0));
    }
}
