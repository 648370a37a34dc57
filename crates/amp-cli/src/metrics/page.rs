//! Prometheus' text format: what this project writes of it, and what it reads of its own.

use std::collections::BTreeMap;
use std::fmt;

use crate::settings::{Labels, is_label_name};

/// The metrics of one job of one set-up, all of them gauges: what holds until its next run.
#[derive(Debug)]
pub struct Page {
    job: String,
    labels: Labels,
    gauges: Gauges,
}

impl Page {
    /// A page of metrics whose names begin with `job`, each with these labels.
    pub fn new(job: &str, labels: &Labels) -> Self {
        Self { job: job.to_owned(), labels: labels.clone(), gauges: Gauges::default() }
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
        self.add(metric, help, None, value);
    }

    /// Adds a metric with one value for each value of a label.
    pub fn labelled(&mut self, metric: &str, help: &str, label: &str, values: &[(&str, f64)]) {
        values.iter().for_each(|(of, value)| self.add(metric, help, Some((label, of)), *value));
    }

    fn add(&mut self, metric: &str, help: &str, own: Option<(&str, &str)>, value: f64) {
        let labels = label_set(self.labels.iter().chain(own));
        let gauge = self.gauges.0.entry(self.name(metric)).or_default();
        gauge.help = help.to_owned();
        gauge.values.insert(labels, value);
    }
}

/// Labels of a series by name.
type LabelSet = BTreeMap<String, String>;

/// Gauges by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Gauges(BTreeMap<String, Gauge>);

#[derive(Debug, Clone, Default, PartialEq)]
struct Gauge {
    help: String,
    values: BTreeMap<LabelSet, f64>,
}

impl Gauges {
    /// What a former page says. Whatever is damaged, or is no gauge of this project, is left out, for one line that cannot be read makes the
    /// collector pass the whole file over.
    pub(super) fn parse(text: &str) -> Self {
        let mut gauges = BTreeMap::<String, Gauge>::new();
        for line in text.lines() {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
                if is_label_name(name) && !help.contains(['\\', '\r']) {
                    gauges.entry(name.to_owned()).or_default().help = help.to_owned();
                }
            } else if let Some((name, labels, value)) = sample(line) {
                gauges.entry(name.to_owned()).or_default().values.insert(labels, value);
            }
        }
        gauges.retain(|name, gauge| name.starts_with("amp_") && !gauge.values.is_empty() && !gauge.help.is_empty());
        Self(gauges)
    }

    /// The value of a metric that has these labels and no other.
    pub(super) fn value(&self, name: &str, labels: &Labels) -> Option<f64> {
        self.0.get(name)?.values.get(&label_set(labels.iter())).copied()
    }

    /// These with those of `page` in place of what its job said of the same set-up before.
    pub(super) fn with(mut self, page: Page) -> Self {
        let Page { job, labels, gauges: Self(own) } = page;
        for (_, gauge) in self.0.iter_mut().filter(|(name, _)| is_of_job(name, &job)) {
            gauge.values.retain(|set, _| !is_of(set, &labels));
        }
        for (name, Gauge { help, values }) in own {
            let gauge = self.0.entry(name).or_default();
            gauge.help = help;
            gauge.values.extend(values);
        }
        self.0.retain(|_, gauge| !gauge.values.is_empty());
        self
    }
}

fn is_of_job(name: &str, job: &str) -> bool {
    name.strip_prefix(job).is_some_and(|rest| rest.starts_with('_'))
}

/// Whether a series is of the set-up with those labels: besides them it has only what tells the series of a metric apart.
fn is_of(set: &LabelSet, labels: &Labels) -> bool {
    let others = set.iter().filter(|(name, _)| !["outcome", "state", "version"].contains(&name.as_str()));
    others.map(|(name, value)| (name.as_str(), value.as_str())).eq(labels.iter())
}

fn label_set<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> LabelSet {
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl fmt::Display for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, Gauge { help, values }) in &self.0 {
            writeln!(f, "# HELP {name} {help}\n# TYPE {name} gauge")?;
            for (labels, value) in values {
                f.write_str(name)?;
                for (at, (label, text)) in labels.iter().enumerate() {
                    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                    write!(f, "{}{label}=\"{escaped}\"", if at == 0 { '{' } else { ',' })?;
                }
                writeln!(f, "{} {value}", if labels.is_empty() { "" } else { "}" })?;
            }
        }
        Ok(())
    }
}

/// Name, labels and value of a line such as `amp_load_build_info{version="0.1.0"} 1`.
fn sample(line: &str) -> Option<(&str, LabelSet, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_at(series.find('{').unwrap_or(series.len()));
    let value = value.parse::<f64>().ok().filter(|value| value.is_finite())?;
    Some((name, if labels.is_empty() { LabelSet::new() } else { parse_labels(labels)? }, value))
        .filter(|(name, ..)| is_label_name(name))
}

/// Reads `{name="value",…}`.
fn parse_labels(text: &str) -> Option<LabelSet> {
    let mut rest = text.strip_prefix('{')?;
    let mut labels = LabelSet::new();
    loop {
        let (name, value) = rest.split_once("=\"")?;
        let (value, after) = quoted(value)?;
        if !is_label_name(name) || labels.insert(name.to_owned(), value).is_some() {
            return None;
        }
        match after {
            "}" => return Some(labels),
            after => rest = after.strip_prefix(',')?,
        }
    }
}

/// A value up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(match chars.next()? {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                _ => return None,
            }),
            '\r' => return None,
            plain => value.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Resolver;

    fn page() -> Page {
        let mut page = Page::new("amp_load", &Labels::default());
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

    fn labels(text: &str) -> Labels {
        let flags: Vec<_> = text.split(';').filter(|text| !text.is_empty()).map(str::to_owned).collect();
        Labels::resolve(&flags, &mut Resolver::new([], None))
    }

    fn one(job: &str, of: &str, value: f64) -> Page {
        let mut page = Page::new(job, &labels(of));
        page.gauge("x", "X.", value);
        page.labelled("y", "Y.", "state", &[("a", value)]);
        page
    }

    #[test]
    fn what_was_written_is_read_and_kept_as_it_is() {
        let former = Gauges::parse(&Gauges::default().with(page()).to_string());
        assert_eq!(former.value("amp_load_last_success_timestamp_seconds", &labels("")), Some(1_762_400_000.125));
        assert_eq!(former.value("amp_load_last_run_files", &labels("")), None);
        assert_eq!(former.to_string(), TEXT);
        assert_eq!(former.clone().with(page()), former);
    }

    #[test]
    fn a_job_whose_name_begins_like_another_keeps_its_own() {
        let former = Gauges::default().with(one("amp_loader", "", 1.0)).with(one("amp_load", "", 2.0));
        assert_eq!(former.value("amp_loader_x", &labels("")), Some(1.0));
    }

    #[test]
    fn set_ups_of_other_labels_keep_their_own_under_one_head() {
        let all = ["", "team=a", "team=b", "env=p;team=a", r#"team=a" b\c"#];
        let mut gauges = Gauges::default();
        for _ in 0..2 {
            for (at, of) in all.iter().enumerate() {
                gauges = Gauges::parse(&gauges.with(one("amp_load", of, at as f64)).to_string());
            }
            all.iter()
                .enumerate()
                .for_each(|(at, of)| assert_eq!(gauges.value("amp_load_x", &labels(of)), Some(at as f64)));
        }
        let text = gauges.to_string();
        assert_eq!((text.matches("# HELP").count(), text.lines().count()), (2, 2 * (2 + all.len())), "{text}");
        assert!(text.contains(r#"amp_load_y{state="a",team="a\" b\\c"} 4"#), "{text}");
        assert!(text.contains(r#"amp_load_y{env="p",state="a",team="a"} 3"#), "{text}");
    }

    #[test]
    fn of_a_damaged_page_only_whole_gauges_of_this_project_are_kept() {
        for damage in [
            "amp_x{state=\"a\"",
            "amp_x 1 1762400000",
            "# HELP amp_x A.\namp_x NaN",
            "amp_x{a=\"b\",a=\"d\"} 1",
            "amp_x{a=\"b\",} 1",
            "amp_x{a=\"b\"c=\"d\"} 1",
            "amp_x{a=\"\\x\"} 1",
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
                assert_eq!(Gauges::parse(&text).to_string(), TEXT, "{damage}");
            }
        }
        let cut = &TEXT[..TEXT.len() - 5];
        assert_eq!(
            Gauges::parse(cut).value("amp_load_last_success_timestamp_seconds", &labels("")),
            Some(1_762_400_000.0)
        );
    }
}
