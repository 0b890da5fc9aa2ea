//! The results table, from one report or from several seeds of one experiment.

use std::path::{Path, PathBuf};

use fedseal_federation::report::{Rate, Report};
use fedseal_federation::rundir::{MAX_REPORT, RunDir};

use crate::failure::{Failure, Outcome};
use crate::output::duration;

/// The runs of a folder: itself, or those one level below it (one a seed), sorted by name.
pub fn runs_of(folder: &Path) -> Outcome<Vec<PathBuf>> {
    if folder.join("run.json").exists() {
        return Ok(vec![folder.to_owned()]);
    }
    let entries = std::fs::read_dir(folder).map_err(|error| Failure::io(folder, &error))?;
    let mut runs: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("run.json").exists())
        .collect();
    runs.sort();
    if runs.is_empty() {
        return Err(
            Failure::usage(format!("{}: no run is here", folder.display()))
                .hint("A run's folder holds run.json; `fedseal run` makes one."),
        );
    }
    Ok(runs)
}

/// Reads a run's report.
pub fn read(run: &Path) -> Outcome<Report> {
    let path = run.join("report.json");
    let bytes = RunDir::new(run).read("report.json", MAX_REPORT)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::new(format!("{}: not a report: {error}", path.display())))
}

/// Mean and sample standard deviation.
pub fn spread(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n.max(1.0);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (
        mean,
        if n > 1.0 {
            (squares / (n - 1.0)).sqrt()
        } else {
            0.0
        },
    )
}

/// Refused and all updates of an arm: (attackers', benign).
fn refusals(report: &Report, arm: &str) -> [(u64, u64); 2] {
    let mut sums = [(0, 0); 2];
    for row in report.verdicts.iter().filter(|row| row.arm == arm) {
        let sum = &mut sums[usize::from(row.kind == "benign")];
        sum.0 += row.refused;
        sum.1 += row.refused + row.accepted;
    }
    sums
}

/// The table as text. With several reports each figure is mean ± standard deviation over seeds.
pub fn text(reports: &[Report]) -> String {
    let Some(first) = reports.first() else {
        return String::new();
    };
    let mut rows = vec![[
        "arm".to_owned(),
        "safety %".into(),
        "helpfulness %".into(),
        "attackers refused".into(),
        "false refusals".into(),
    ]];
    for arm in &first.arms {
        let measures = |which: fn(&fedseal_federation::report::ArmView) -> Option<Rate>| {
            let found = reports
                .iter()
                .flat_map(|report| report.arms.iter().find(|a| a.id == arm.id))
                .filter_map(which);
            measure(&found.collect::<Vec<_>>())
        };
        let mut sums = [(0, 0); 2];
        for report in reports {
            for (sum, more) in sums.iter_mut().zip(refusals(report, &arm.id)) {
                *sum = (sum.0 + more.0, sum.1 + more.1);
            }
        }
        let [attackers, benign] = sums.map(|(refused, all)| match all {
            0 => "–".to_owned(),
            _ => format!("{refused} of {all}"),
        });
        rows.push([
            arm.title.clone(),
            measures(|arm| arm.safety),
            measures(|arm| arm.helpfulness),
            attackers,
            benign,
        ]);
    }
    let mut out = aligned(&rows);
    let seconds: Vec<f64> = reports.iter().map(|report| report.seconds).collect();
    let peak = reports
        .iter()
        .map(|report| report.peak_mb)
        .fold(0.0, f64::max);
    if reports.len() > 1 {
        let seeds: Vec<String> = reports
            .iter()
            .map(|report| report.seed.to_string())
            .collect();
        out.push_str(&format!(
            "\nmean ± standard deviation over seeds {}; {} a run; peak memory {peak:.0} MiB",
            seeds.join(", "),
            duration(spread(&seconds).0)
        ));
    } else {
        let n = first
            .arms
            .iter()
            .find_map(|arm| arm.safety)
            .map_or(0, |rate| rate.n);
        out.push_str(&format!(
            "\n95 % Wilson intervals, {n} harmful requests; {}; peak memory {peak:.0} MiB",
            duration(first.seconds)
        ));
    }
    out
}

fn measure(rates: &[Rate]) -> String {
    match rates {
        [] => "not yet".into(),
        [rate] => format!(
            "{:.1} ({:.1} to {:.1})",
            rate.rate * 100.0,
            rate.low * 100.0,
            rate.high * 100.0
        ),
        many => {
            let values: Vec<f64> = many.iter().map(|rate| rate.rate * 100.0).collect();
            let (mean, deviation) = spread(&values);
            format!("{mean:.1} ± {deviation:.1}")
        }
    }
}

/// Columns padded to their widest cell.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for (at, row) in rows.iter().enumerate() {
        let line: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        out.push_str(line.join("   ").trim_end());
        out.push('\n');
        if at == 0 {
            out.push_str(&widths.map(|width| "─".repeat(width)).join("   "));
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_of_three() {
        let (mean, deviation) = spread(&[1.0, 2.0, 6.0]);
        assert!((mean - 3.0).abs() < 1e-12);
        assert!((deviation - 7.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(spread(&[4.0]), (4.0, 0.0));
    }

    #[test]
    fn columns_line_up() {
        let rows = [["a".to_owned(), "bb".into()], ["ccc".into(), "d".into()]];
        assert_eq!(aligned(&rows), "a     bb\n───   ──\nccc   d\n");
    }
}
