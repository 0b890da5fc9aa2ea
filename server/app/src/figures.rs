//! Measured figures for machines: `target/figures/NAME.json`, from which the tables of README and
//! docs are filled. `{"figures": [{name, value, unit, peer, ratio, commit, machine, command}]}`;
//! shares also carry their counts as `hits` and `n`, by which they are rounded, and the ends of their
//! 95 % interval as `low` and `high`.

use std::path::Path;
use std::process::Command;

use fedseal_record::report::Report;
use fedseal_rules::evaluation::wilson::Share;
use serde_json::{Map, Value, json};

use crate::failure::{Failure, Outcome};
use crate::table::spread;

/// Commit, machine and command line that all figures of one file share.
pub(crate) struct Origin {
    commit: String,
    machine: String,
    command: String,
}

impl Origin {
    /// This commit, this machine, this command line. `root` is the checkout.
    pub(crate) fn here(root: &Path) -> Self {
        let words: Vec<String> = std::env::args().skip(1).collect();
        Origin {
            commit: commit(root),
            machine: machine(),
            command: format!("fedseal {}", words.join(" ")),
        }
    }

    /// One figure without an interval.
    pub(crate) fn figure(&self, name: &str, value: f64, unit: &str) -> Map<String, Value> {
        let value = json!({
            "name": name, "value": rounded(value), "unit": unit, "peer": null, "ratio": null,
            "commit": self.commit, "machine": self.machine, "command": self.command,
        });
        match value {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    /// A share in per cent, with the ends of its interval.
    pub(crate) fn wilson(&self, name: &str, share: &Share) -> Map<String, Value> {
        let mut figure = self.share(name, share);
        figure.insert("low".into(), json!(rounded(share.low * 100.0)));
        figure.insert("high".into(), json!(rounded(share.high * 100.0)));
        figure
    }

    /// A share in per cent, without an interval.
    fn share(&self, name: &str, share: &Share) -> Map<String, Value> {
        let mut figure = self.figure(name, share.rate * 100.0, "%");
        figure.insert("hits".into(), json!(share.hits));
        figure.insert("n".into(), json!(share.n));
        figure
    }
}

/// The figures of a run; with several seeds those of the first.
pub(crate) fn of(reports: &[Report], origin: &Origin) -> Vec<Map<String, Value>> {
    let Some(first) = reports.first() else {
        return Vec::new();
    };
    let mut figures = Vec::new();
    for arm in &first.arms {
        for (what, rate) in [("safety", arm.safety), ("helpfulness", arm.helpfulness)] {
            let Some(rate) = rate else { continue };
            figures.push(origin.wilson(&format!("{}.{what}", arm.id), &rate));
        }
        if let Some(safety) = arm.safety {
            figures.push(origin.figure(&format!("{}.prompts", arm.id), safety.n as f64, "prompts"));
        }
    }
    figures.push(origin.figure("run.seconds", first.seconds, "s"));
    figures.push(origin.figure("run.peak_mb", first.peak_mb, "MiB"));
    figures
}

/// Mean, spread and each seed's value of every arm's measures.
pub(crate) fn of_seeds(
    seeds: &[u64],
    reports: &[Report],
    origin: &Origin,
) -> Vec<Map<String, Value>> {
    let mut figures = vec![origin.figure("seeds", reports.len() as f64, "seeds")];
    for arm in reports.first().map_or(&[][..], |first| &first.arms) {
        for what in ["safety", "helpfulness"] {
            let value = |report: &Report| {
                let arm = report.arms.iter().find(|a| a.id == arm.id)?;
                match what {
                    "safety" => arm.safety,
                    _ => arm.helpfulness,
                }
            };
            let shares = reports.iter().filter_map(value);
            let values: Vec<f64> = shares.map(|share| share.rate * 100.0).collect();
            let (mean, deviation) = spread(&values);
            let name = format!("{}.{what}", arm.id);
            figures.push(origin.figure(&format!("{name}.mean"), mean, "%"));
            figures.push(origin.figure(&format!("{name}.spread"), deviation, "%"));
            for (seed, report) in seeds.iter().zip(reports) {
                if let Some(share) = value(report) {
                    figures.push(origin.share(&format!("{name}.seed.{seed}"), &share));
                }
            }
        }
    }
    figures
}

/// Writes `FOLDER/NAME.json`.
pub(crate) fn write(folder: &Path, name: &str, figures: &[Map<String, Value>]) -> Outcome {
    let path = folder.join(format!("{name}.json"));
    let text = serde_json::to_string_pretty(&json!({ "figures": figures }))
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&path, text + "\n"))
        .map_err(|error| Failure::io(&path, &error))
}

/// Four decimals: more would be noise in a file that people compare.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// The commit; `+` after it where the tree has changes.
fn commit(root: &Path) -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(root)
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    };
    let Some(head) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".into();
    };
    let status = git(&["status", "--porcelain", "--untracked-files=no"]);
    let changed = status.is_some_and(|text| !text.is_empty());
    if changed { format!("{head}+") } else { head }
}

/// Processor, cores and memory.
pub(crate) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cpu =
        field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown processor".into());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = field(&read("/proc/meminfo"), "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok())
        .map_or_else(String::new, |kib| {
            format!(", {:.0} GiB", kib / 1024.0 / 1024.0)
        });
    format!("{cpu}, {cores} cores{memory}")
}
