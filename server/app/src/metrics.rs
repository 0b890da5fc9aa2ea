//! Numbers for whoever watches this process, in Prometheus' text format, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>). A metric is one line here and one in
//! [`ALL`]; whoever changes it calls it by its name.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Media type of [`text`].
pub(crate) const MEDIA: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Bounds of a histogram's buckets, seconds.
const BUCKETS: [f64; 8] = [0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 600.0];
/// Sets of labels of one metric, most; what comes after is counted under [`OTHER`].
const MOST_SERIES: usize = 1000;
/// Label of what has no series of its own.
const OTHER: &str = "other";

/// HTTP requests by route, method and status.
pub(crate) static REQUESTS: Metric = Metric::new(
    Kind::Counter,
    "fedseal_http_requests_total",
    "Requests that were answered.",
    &["route", "method", "status"],
);
/// Time until an answer's head.
pub(crate) static REQUEST_SECONDS: Metric = Metric::new(
    Kind::Histogram,
    "fedseal_http_request_seconds",
    "Seconds from a request's head to its answer's head; long polls wait on purpose.",
    &["route"],
);
/// Refusals of requests.
pub(crate) static REFUSALS: Metric = Metric::new(
    Kind::Counter,
    "fedseal_http_refusals_total",
    "Refused requests by status and reason.",
    &["status", "reason"],
);
/// Bytes over sockets.
pub(crate) static BYTES: [Total; 2] = [
    Total::new(
        "fedseal_http_received_bytes_total",
        "Bytes that came over connections, TLS included.",
    ),
    Total::new(
        "fedseal_http_sent_bytes_total",
        "Bytes that went over connections, TLS included.",
    ),
];
/// Open connections.
pub(crate) static CONNECTIONS: Metric = Metric::new(
    Kind::Gauge,
    "fedseal_http_connections",
    "Open connections.",
    &[],
);
/// Runs that a server shows.
pub(crate) static RUNS: Metric = Metric::new(
    Kind::Gauge,
    "fedseal_runs",
    "Runs in the served folder, by whether somebody works on them.",
    &["worked_on"],
);
/// Submitted modules.
pub(crate) static MODULES: Metric = Metric::new(
    Kind::Gauge,
    "fedseal_modules",
    "Submitted modules, by the last decision on them.",
    &["decision"],
);
/// Rounds of the run that is executed.
pub(crate) static ROUNDS: Metric = Metric::new(
    Kind::Counter,
    "fedseal_rounds_total",
    "Rounds that ended with a new or an unchanged global adapter.",
    &["changed"],
);
/// Executed updates.
pub(crate) static UPDATES: Metric = Metric::new(
    Kind::Counter,
    "fedseal_updates_total",
    "Executions of clients' modules, by outcome.",
    &["outcome"],
);
/// Time of an update.
pub(crate) static UPDATE_SECONDS: Metric = Metric::new(
    Kind::Histogram,
    "fedseal_update_seconds",
    "Seconds of a client's execution.",
    &[],
);
/// Verdicts of admission.
pub(crate) static VERDICTS: Metric = Metric::new(
    Kind::Counter,
    "fedseal_verdicts_total",
    "Verdicts on updates, by effect and deciding check.",
    &["effect", "check"],
);
/// Steps of the run.
pub(crate) static STEPS: Metric = Metric::new(
    Kind::Gauge,
    "fedseal_run_steps",
    "Steps of the run that is executed: done, and in all.",
    &["of"],
);
/// Jobs of the batch at hand.
pub(crate) static JOBS: Metric = Metric::new(
    Kind::Gauge,
    "fedseal_jobs",
    "Jobs without a result: waiting (the queue's depth), in this process, or lent.",
    &["state"],
);
/// Results by worker.
pub(crate) static WORKERS: Metric = Metric::new(
    Kind::Gauge,
    "fedseal_worker_jobs",
    "Jobs that workers reported to the run at hand, done or failed.",
    &["worker", "outcome"],
);
/// Nodes of federations.
pub(crate) static NODES: Metric = Metric::new(
    Kind::Gauge,
    "fedseal_federation_nodes",
    "Nodes by federation: heard in the last five minutes, silent for longer, or with a revoked key.",
    &["federation", "state"],
);
/// Jobs of the round at nodes.
pub(crate) static NODE_JOBS: Metric = Metric::new(
    Kind::Gauge,
    "fedseal_federation_jobs",
    "Jobs of the round without an update: open, and those of them that wait for their nodes.",
    &["federation", "state"],
);
/// Refused requests of nodes.
pub(crate) static NODE_REFUSALS: Metric = Metric::new(
    Kind::Gauge,
    "fedseal_federation_refusals",
    "Refused requests of nodes since the federation was made, by what was wrong with them.",
    &["federation", "kind"],
);
/// Leases that ended without a result.
pub(crate) static LEASES_ENDED: Total = Total::new(
    "fedseal_leases_ended_total",
    "Leases that ended without a result.",
);

/// Every metric, in the order in which they are shown.
static ALL: [&(dyn Shown + Sync); 19] = [
    &REQUESTS,
    &REQUEST_SECONDS,
    &REFUSALS,
    &BYTES[0],
    &BYTES[1],
    &CONNECTIONS,
    &RUNS,
    &MODULES,
    &ROUNDS,
    &UPDATES,
    &UPDATE_SECONDS,
    &VERDICTS,
    &STEPS,
    &JOBS,
    &WORKERS,
    &NODES,
    &NODE_JOBS,
    &NODE_REFUSALS,
    &LEASES_ENDED,
];

/// All metrics as text. Those that were never touched are left out, but for totals without labels.
pub(crate) fn text() -> String {
    let mut out = String::new();
    for metric in ALL {
        metric.show(&mut out);
    }
    out
}

/// Metric that writes itself into the text.
trait Shown {
    fn show(&self, out: &mut String);
}

/// Kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    /// Seconds, by [`BUCKETS`].
    Histogram,
}

/// A metric with labels.
#[derive(Debug)]
pub(crate) struct Metric {
    kind: Kind,
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    series: Mutex<BTreeMap<Vec<String>, Value>>,
}

#[derive(Debug, Default)]
struct Value {
    number: f64,
    /// Values of a histogram that were at most as long as each bound; `count` is how many there are in all.
    within: [u64; BUCKETS.len()],
    count: u64,
}

impl Metric {
    const fn new(
        kind: Kind,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Self {
        Metric {
            kind,
            name,
            help,
            labels,
            series: Mutex::new(BTreeMap::new()),
        }
    }

    /// Counts up, or down for a gauge.
    pub(crate) fn add(&self, labels: &[&str], by: f64) {
        self.change(labels, |value| value.number += by);
    }

    /// Sets a gauge.
    pub(crate) fn set(&self, labels: &[&str], to: f64) {
        self.change(labels, |value| value.number = to);
    }

    /// Counts a duration into a histogram.
    pub(crate) fn observe(&self, labels: &[&str], seconds: f64) {
        self.change(labels, |value| {
            value.number += seconds;
            value.count += 1;
            for (within, bound) in value.within.iter_mut().zip(BUCKETS) {
                *within += u64::from(seconds <= bound);
            }
        });
    }

    fn change(&self, labels: &[&str], change: impl FnOnce(&mut Value)) {
        debug_assert_eq!(labels.len(), self.labels.len(), "{}", self.name);
        let mut key: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        if series.len() >= MOST_SERIES && !series.contains_key(&key) {
            key = vec![OTHER.to_owned(); self.labels.len()];
        }
        change(series.entry(key).or_default());
    }
}

impl Shown for Metric {
    fn show(&self, out: &mut String) {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        if series.is_empty() {
            return;
        }
        let kind = match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        head(out, self.name, self.help, kind);
        for (key, value) in series.iter() {
            let labels = |more: Option<(&str, &str)>| {
                let mut all: Vec<(&str, &str)> = Vec::new();
                for (name, value) in self.labels.iter().zip(key) {
                    all.push((name, value));
                }
                all.extend(more);
                braces(&all)
            };
            if self.kind != Kind::Histogram {
                sample(out, self.name, &labels(None), value.number);
                continue;
            }
            let bucket = format!("{}_bucket", self.name);
            for (within, bound) in value.within.iter().zip(BUCKETS) {
                let bound = bound.to_string();
                sample(out, &bucket, &labels(Some(("le", &bound))), *within as f64);
            }
            let count = value.count as f64;
            sample(out, &bucket, &labels(Some(("le", "+Inf"))), count);
            sample(
                out,
                &format!("{}_sum", self.name),
                &labels(None),
                value.number,
            );
            sample(out, &format!("{}_count", self.name), &labels(None), count);
        }
    }
}

/// A number without labels that only grows: cheap enough for every piece of a transfer.
#[derive(Debug)]
pub(crate) struct Total {
    name: &'static str,
    help: &'static str,
    number: AtomicU64,
}

impl Total {
    const fn new(name: &'static str, help: &'static str) -> Self {
        Total {
            name,
            help,
            number: AtomicU64::new(0),
        }
    }

    /// Counts up.
    pub(crate) fn add(&self, by: u64) {
        self.number.fetch_add(by, Ordering::Relaxed);
    }

    /// Takes over a number that somebody else counts.
    pub(crate) fn reach(&self, number: u64) {
        self.number.fetch_max(number, Ordering::Relaxed);
    }
}

impl Shown for Total {
    fn show(&self, out: &mut String) {
        head(out, self.name, self.help, "counter");
        sample(
            out,
            self.name,
            "",
            self.number.load(Ordering::Relaxed) as f64,
        );
    }
}

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    // Help lines escape backslash and line feed; ours have neither.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(out: &mut String, name: &str, labels: &str, value: f64) {
    let _ = writeln!(out, "{name}{labels} {value}");
}

/// Labels in braces. "label_value can be any sequence of UTF-8 characters, but the backslash (\\), double-quote
/// (\"), and line feed (\\n) characters have to be escaped".
fn braces(labels: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in labels {
        out.push(if out.is_empty() { '{' } else { ',' });
        let value = value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        let _ = write!(out, "{name}=\"{value}\"");
    }
    if !out.is_empty() {
        out.push('}');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    static SHAPES: Metric = Metric::new(Kind::Gauge, "shapes", "Shapes.", &["kind"]);
    static WAITS: Metric = Metric::new(Kind::Histogram, "waits_seconds", "Waits.", &[]);
    static SENT: Total = Total::new("sent_total", "Sent.");
    static MANY: Metric = Metric::new(Kind::Counter, "many_total", "Many.", &["name"]);

    #[test]
    fn the_text_is_that_of_the_format() {
        SHAPES.set(&["a \"square\"\\\n"], 2.0);
        SHAPES.add(&["a \"square\"\\\n"], -0.5);
        for seconds in [0.01, 3.0, 1e9] {
            WAITS.observe(&[], seconds);
        }
        SENT.add(3);
        SENT.reach(2);
        let mut out = String::new();
        for metric in [&SHAPES as &dyn Shown, &WAITS, &SENT] {
            metric.show(&mut out);
        }
        let expected = "\
# HELP shapes Shapes.
# TYPE shapes gauge
shapes{kind=\"a \\\"square\\\"\\\\\\n\"} 1.5
# HELP waits_seconds Waits.
# TYPE waits_seconds histogram
waits_seconds_bucket{le=\"0.005\"} 0
waits_seconds_bucket{le=\"0.025\"} 1
waits_seconds_bucket{le=\"0.1\"} 1
waits_seconds_bucket{le=\"0.5\"} 1
waits_seconds_bucket{le=\"2.5\"} 1
waits_seconds_bucket{le=\"10\"} 2
waits_seconds_bucket{le=\"60\"} 2
waits_seconds_bucket{le=\"600\"} 2
waits_seconds_bucket{le=\"+Inf\"} 3
waits_seconds_sum 1000000003.01
waits_seconds_count 3
# HELP sent_total Sent.
# TYPE sent_total counter
sent_total 3
";
        assert_eq!(out, expected);
    }

    /// The parser of Prometheus' Python client reads what was counted; see tests/oracles/metrics.
    #[test]
    fn prometheus_reads_what_was_counted() {
        use std::io::Write as _;
        use std::process::{Command, Stdio};
        static READ: Metric = Metric::new(
            Kind::Counter,
            "fedseal_read_total",
            "What is read.",
            &["route", "reason"],
        );
        static READ_SECONDS: Metric = Metric::new(
            Kind::Histogram,
            "fedseal_read_seconds",
            "Seconds.",
            &["route"],
        );
        let odd = "a \"b\" \\ c\nd {e=\"f\"}, \u{e9}";
        READ.add(&["/api/{run}", odd], 3.0);
        READ.add(&["", ""], 1e18);
        READ_SECONDS.observe(&["/api/{run}"], 0.07);
        READ_SECONDS.observe(&["/api/{run}"], 7.5);
        let python = std::env::var("FEDSEAL_PYTHON").unwrap_or_else(|_| "python3".into());
        let there = Command::new(&python)
            .args(["-c", "import prometheus_client"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !there {
            assert!(
                std::env::var_os("FEDSEAL_REQUIRE_ORACLES").is_none(),
                "{python} has no prometheus-client; see tests/oracles/metrics/README.md"
            );
            crate::output::note(format_args!("left out: {python} has no prometheus-client"));
            return;
        }
        let mut text = text();
        READ.show(&mut text);
        READ_SECONDS.show(&mut text);
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/oracles/metrics/check.py"
        );
        let mut child = Command::new(&python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{text}");
        let families: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let samples = |name: &str, kind: &str| {
            let all = families.as_array().unwrap();
            let family = all.iter().find(|family| family["name"] == name);
            let family = family.unwrap_or_else(|| panic!("{name}: {families}"));
            assert_eq!(family["type"], kind);
            family["samples"].as_array().unwrap().clone()
        };
        // Its names of counters are without the ending.
        let read = samples("fedseal_read", "counter");
        assert!(read.iter().any(|sample| sample["value"] == 3.0
            && sample["labels"]["route"] == "/api/{run}"
            && sample["labels"]["reason"] == odd));
        assert!(read.iter().any(|sample| sample["value"] == 1e18));
        let seconds = samples("fedseal_read_seconds", "histogram");
        let value = |name: &str, le: Option<&str>| {
            let found = seconds.iter().find(|sample| {
                sample["name"] == name && le.is_none_or(|le| sample["labels"]["le"] == le)
            });
            found.unwrap()["value"].as_f64().unwrap()
        };
        assert_eq!(value("fedseal_read_seconds_bucket", Some("0.1")), 1.0);
        assert_eq!(value("fedseal_read_seconds_bucket", Some("+Inf")), 2.0);
        assert_eq!(value("fedseal_read_seconds_sum", None), 7.57);
        assert_eq!(value("fedseal_read_seconds_count", None), 2.0);
    }

    #[test]
    fn no_client_makes_more_series_than_there_may_be() {
        for number in 0..MOST_SERIES + 50 {
            MANY.add(&[&number.to_string()], 1.0);
        }
        let series = MANY.series.lock().unwrap();
        assert_eq!(series.len(), MOST_SERIES + 1);
        assert_eq!(series[&vec![OTHER.to_owned()]].number, 50.0);
    }

    #[test]
    fn names_are_different_and_of_their_kind() {
        let text = {
            for metric in [&REQUESTS, &REFUSALS, &ROUNDS, &VERDICTS] {
                let labels = vec!["x"; metric.labels.len()];
                metric.add(&labels, 1.0);
            }
            text()
        };
        let mut names: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        for name in names {
            let (name, kind) = name.split_once(' ').unwrap();
            assert!(name.starts_with("fedseal_"), "{name}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        }
    }
}
