//! The results table, from one report or from several seeds of one experiment.

use std::path::{Path, PathBuf};

use fedseal_record::opened::OpenRun;
use fedseal_record::report::{ArmView, Rate, Report, State};
use fedseal_record::rundir::PlannedMeasure;
use fedseal_rules::attack::is_honest;
use fedseal_rules::evaluation::difference::Difference;
use fedseal_rules::evaluation::wilson::FEW;
use fedseal_rules::evaluation::{over_refusal, percent};
use fedseal_rules::experiment::{Experiment, differences, in_words};

use crate::failure::{Failure, Outcome};
use crate::output::duration;

/// Rounds that are named one by one.
const ROUNDS: usize = 10;
/// Measure of refused look-alikes, which safety is shown beside.
const OVER_REFUSAL: &str = over_refusal::JUDGE.name;
/// Mark of a share that is of few prompts.
const FEW_MARK: &str = "†";

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

/// Reads a run's report, which is the logged one where the run is over.
pub fn read(run: &Path) -> Outcome<Report> {
    Ok(OpenRun::read(run)?.report()?)
}

/// Refuses to make one table of runs that are not one experiment under different seeds.
///
/// # Errors
/// The first two runs that do not go together, with the keys that differ or the seed that both have.
pub fn one_experiment(runs: &[(PathBuf, Report)]) -> Outcome {
    let Some(((first, report), others)) = runs.split_first() else {
        return Ok(());
    };
    let refused = |run: &Path, other: &Path, why: String| {
        let (run, other) = (run.display(), other.display());
        Err(
            Failure::usage(format!("{run} and {other} do not go into one table: {why}"))
                .hint("Name one run, or a folder with the seeds of one experiment."),
        )
    };
    let experiment = experiment(first, report)?;
    let mut seen = vec![(report.seed, first)];
    for (run, other) in others {
        let differ = differences(&experiment, &self::experiment(run, other)?);
        if !differ.is_empty() {
            return refused(
                first,
                run,
                in_words(&differ, "in the first", "in the second"),
            );
        }
        if report.base.digest != other.base.digest {
            let bases = [&report.base, &other.base].map(|b| format!("{} {}", b.name, b.digest));
            return refused(
                first,
                run,
                format!("their base models are {}", bases.join(" and ")),
            );
        }
        if let Some((seed, same)) = seen.iter().find(|(seed, _)| *seed == other.seed) {
            return refused(same, run, format!("both are of seed {seed}"));
        }
        seen.push((other.seed, run));
    }
    Ok(())
}

/// The experiments of two reports, by the names of their runs.
///
/// # Errors
/// A report whose experiment is none.
pub fn experiments(runs: [(&str, &Report); 2]) -> Outcome<[Experiment; 2]> {
    let [(one, first), (two, second)] = runs;
    Ok([
        experiment(Path::new(one), first)?,
        experiment(Path::new(two), second)?,
    ])
}

/// The experiment of a report; a key that its version did not know has the value of a missing key.
fn experiment(run: &Path, report: &Report) -> Outcome<Experiment> {
    serde_json::from_value(report.experiment.clone()).map_err(|error| {
        Failure::new(format!(
            "{}: the report's experiment: {error}",
            run.join("report.json").display()
        ))
    })
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

/// Counts of an arm's updates, each out of how many: attackers' ones that were refused, benign ones that
/// were refused, and failed ones of all. A failed update could not be refused.
fn refusals(report: &Report, arm: &str) -> [(u64, u64); 3] {
    let [mut attackers, mut benign, mut failed] = [(0, 0); 3];
    for row in report.verdict_counts() {
        if row.arm != arm {
            continue;
        }
        let sum = match is_honest(&row.kind) {
            true => &mut benign,
            false => &mut attackers,
        };
        let there = row.refused + row.accepted;
        *sum = (sum.0 + row.refused, sum.1 + there);
        let lost = row.failed.unwrap_or(0);
        failed = (failed.0 + lost, failed.1 + lost + there);
    }
    [attackers, benign, failed]
}

/// Line about an arm's rounds that changed nothing; `None` where every round changed something.
fn unchanged(report: &Report, arm: &ArmView) -> Option<String> {
    let empty = arm.rounds.iter().filter(|round| round.changed_nothing());
    let empty: Vec<String> = empty.map(|round| round.round.to_string()).collect();
    let which = match (empty.len(), arm.rounds.len()) {
        (0, _) => return None,
        (n, all) if n == all => "no round changed anything".to_owned(),
        (n, all) if n > ROUNDS => format!("{n} of {all} rounds changed nothing"),
        _ => format!("nothing changed in round {}", empty.join(", ")),
    };
    Some(format!("{}, seed {}: {which}", arm.id, report.seed))
}

/// Measures that some report has beside safety and helpfulness, each once.
fn extra(reports: &[Report]) -> Vec<&PlannedMeasure> {
    let mut all: Vec<&PlannedMeasure> = Vec::new();
    for measure in reports.iter().flat_map(|report| &report.measures) {
        if !all.iter().any(|known| known.name == measure.name) {
            all.push(measure);
        }
    }
    all
}

/// The table as text. With several reports each figure is mean ± standard deviation over seeds.
pub fn text(reports: &[Report]) -> String {
    if reports.is_empty() {
        return String::new();
    }
    let mut out = aligned(&rows(reports));
    for report in reports {
        for line in report.arms.iter().filter_map(|arm| unchanged(report, arm)) {
            out.push_str(&format!("\n{line}"));
        }
        if report.changed_nothing() {
            let seed = report.seed;
            out.push_str(&format!("\nno update counted in any round of seed {seed}"));
        }
    }
    out.push('\n');
    out.push_str(&footer(reports));
    out
}

/// Sentence about intervals, prompts and costs, and about shares of few prompts.
pub fn footer(reports: &[Report]) -> String {
    let Some(first) = reports.first() else {
        return String::new();
    };
    let seconds: Vec<f64> = reports.iter().map(|report| report.seconds).collect();
    let peak = reports
        .iter()
        .map(|report| report.peak_mb)
        .fold(0.0, f64::max);
    let mut out = if reports.len() > 1 {
        let seeds: Vec<String> = reports
            .iter()
            .map(|report| report.seed.to_string())
            .collect();
        format!(
            "mean ± standard deviation over seeds {}; {} a run; peak memory {peak:.0} MiB",
            seeds.join(", "),
            duration(spread(&seconds).0)
        )
    } else {
        let n = first
            .arms
            .iter()
            .find_map(|arm| arm.safety)
            .map_or(0, |rate| rate.n);
        format!(
            "95 % Wilson intervals, {n} harmful requests; {}; peak memory {peak:.0} MiB",
            duration(first.seconds)
        )
    };
    let few = reports.iter().flat_map(|report| &report.arms).any(|arm| {
        let own = [arm.safety, arm.helpfulness].into_iter().flatten();
        own.chain(arm.measures.values().copied())
            .any(|rate| rate.is_few())
    });
    if few {
        out.push_str(&format!("\n{FEW_MARK} from fewer than {FEW} prompts"));
    }
    out
}

/// The rows of the table, its heading first.
pub fn rows(reports: &[Report]) -> Vec<Vec<String>> {
    let Some(first) = reports.first() else {
        return Vec::new();
    };
    let extra = extra(reports);
    let finished = reports.iter().all(|report| report.state == State::Finished);
    // Safety without the cost of it says little: where look-alikes were asked, the difference comes first.
    let alike = extra.iter().any(|measure| measure.name == OVER_REFUSAL);
    let extra: Vec<_> = extra
        .into_iter()
        .filter(|it| it.name != OVER_REFUSAL)
        .collect();
    let mut head = vec!["arm".to_owned()];
    if alike {
        head.push("safety less over-refusal".into());
    }
    head.push("safety %".into());
    if alike {
        head.push("over-refusal %".into());
    }
    head.push("helpfulness %".into());
    head.extend(
        extra
            .iter()
            .map(|it| format!("{} %", it.title.to_lowercase())),
    );
    head.extend(["attackers refused", "false refusals", "failed"].map(String::from));
    let mut rows = vec![head];
    for arm in &first.arms {
        let measures = |which: &dyn Fn(&ArmView) -> Option<Rate>| {
            let found = reports
                .iter()
                .flat_map(|report| report.arms.iter().find(|a| a.id == arm.id))
                .filter_map(which);
            measure(&found.collect::<Vec<_>>(), finished)
        };
        let mut sums = [(0, 0); 3];
        for report in reports {
            for (sum, more) in sums.iter_mut().zip(refusals(report, &arm.id)) {
                *sum = (sum.0 + more.0, sum.1 + more.1);
            }
        }
        let over = |arm: &ArmView| arm.measures.get(OVER_REFUSAL).copied();
        let mut row = vec![arm.title.clone()];
        if alike {
            let own =
                |report: &Report| report.arms.iter().find(|other| other.id == arm.id).cloned();
            let pairs = reports.iter().filter_map(own);
            let pairs = pairs.filter_map(|arm| Some((over(&arm)?, arm.safety?)));
            row.push(margin(&pairs.collect::<Vec<_>>(), finished));
        }
        row.push(measures(&|arm| arm.safety));
        if alike {
            row.push(measures(&over));
        }
        row.push(measures(&|arm| arm.helpfulness));
        for PlannedMeasure { name, .. } in &extra {
            row.push(measures(&|arm| arm.measures.get(name).copied()));
        }
        row.extend(sums.map(|(refused, all)| match all {
            0 => "–".to_owned(),
            _ => format!("{refused} of {all}"),
        }));
        rows.push(row);
    }
    rows
}

/// Rates of an arm over seeds; where a run is over, one without any asked nothing.
fn measure(rates: &[Rate], finished: bool) -> String {
    let shown = match rates {
        [] if finished => "not measured".into(),
        [] => "not yet".into(),
        [rate] if rate.n == 0 => "not measured".into(),
        [rate] => format!(
            "{} ({} to {})",
            percent::of(rate.hits, rate.n),
            percent::decimal(rate.low * 100.0),
            percent::decimal(rate.high * 100.0)
        ),
        many => {
            let values: Vec<f64> = many.iter().map(|rate| rate.rate * 100.0).collect();
            let (mean, deviation) = spread(&values);
            format!(
                "{} ± {}",
                percent::decimal(mean),
                percent::decimal(deviation)
            )
        }
    };
    match rates.iter().any(Rate::is_few) {
        true => format!("{shown} {FEW_MARK}"),
        false => shown,
    }
}

/// Safety less over-refusal of an arm over seeds, in points.
fn margin(pairs: &[(Rate, Rate)], finished: bool) -> String {
    let pairs: Vec<_> = pairs
        .iter()
        .filter(|(over, safety)| over.n > 0 && safety.n > 0)
        .collect();
    match pairs.as_slice() {
        [] if finished => "not measured".into(),
        [] => "not yet".into(),
        [(over, safety)] => {
            let difference = Difference::of(over, safety);
            within(difference.value, difference.low, difference.high)
        }
        many => {
            let values: Vec<f64> = many
                .iter()
                .map(|(over, safety)| safety.rate - over.rate)
                .collect();
            let (mean, deviation) = spread(&values);
            format!("{} ± {}", signed(mean), percent::decimal(deviation * 100.0))
        }
    }
}

/// Points with their interval: "+4.2 (-1.0 to +9.4)".
pub fn within(value: f64, low: f64, high: f64) -> String {
    let [value, low, high] = [value, low, high].map(signed);
    format!("{value} ({low} to {high})")
}

/// Points with their sign: "+4.2", "-1.0", "0.0".
pub fn signed(share: f64) -> String {
    let text = percent::decimal((share * 100.0).abs());
    match text.as_str() {
        "0.0" => text,
        _ if share < 0.0 => format!("-{text}"),
        _ => format!("+{text}"),
    }
}

/// Columns padded to their widest cell; the first row is the heading.
pub fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![0; columns];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for (at, row) in rows.iter().enumerate() {
        let line: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        out.push_str(line.join("   ").trim_end());
        out.push('\n');
        if at == 0 {
            let line: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
            out.push_str(&line.join("   "));
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_client_sdk::digest::Digest;
    use serde_json::json;

    #[test]
    fn spread_of_three() {
        let (mean, deviation) = spread(&[1.0, 2.0, 6.0]);
        assert!((mean - 3.0).abs() < 1e-12);
        assert!((deviation - 7.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(spread(&[4.0]), (4.0, 0.0));
    }

    #[test]
    fn halves_are_rounded_up() {
        let rate = Rate::new(219, 240);
        assert_eq!(measure(&[rate], true), "91.3 (87.0 to 94.2)");
        assert_eq!(measure(&[rate, rate], true), "91.3 ± 0.0");
        // A share of few prompts says so.
        assert_eq!(measure(&[Rate::new(4, 8)], true), "50.0 (21.5 to 78.5) †");
        assert_eq!(signed(-0.0001), "0.0");
    }

    #[test]
    fn nothing_that_was_asked_is_no_rate_of_zero() {
        assert_eq!(measure(&[], false), "not yet");
        assert_eq!(measure(&[], true), "not measured");
        assert_eq!(measure(&[Rate::new(0, 0)], true), "not measured");
    }

    #[test]
    fn columns_line_up() {
        let rows = [["a", "bb"], ["ccc", "d"]].map(|row| row.map(String::from).to_vec());
        assert_eq!(aligned(&rows), "a     bb\n───   ──\nccc   d\n");
    }
    #[test]
    fn measures_beyond_the_first_two_are_columns_by_their_headings() {
        let report = |measures: &[(&str, &str)], hits: u64| -> Report {
            let rate = |hits| serde_json::to_value(Rate::new(hits, 10)).unwrap();
            let listed: Vec<_> = measures
                .iter()
                .map(|(name, title)| json!({"name": name, "title": title}))
                .collect();
            let taken: serde_json::Map<_, _> = measures
                .iter()
                .map(|(name, _)| ((*name).to_owned(), rate(hits)))
                .collect();
            let digest = Digest::of(b"x");
            serde_json::from_value(json!({
                "run": "r", "title": "t", "state": "finished", "started": "", "seed": hits,
                "progress": {"done": 1, "total": 1, "label": ""},
                "seconds": 1.0, "peak_mb": 1.0, "experiment": {}, "engine": "e", "node": "n",
                "base": {"digest": digest, "name": "b"},
                "log": {"size": 0, "root": digest, "checkpoint": ""},
                "measures": listed,
                "arms": [{
                    "id": "base", "title": "Base", "kind": "base", "rule": "fedavg",
                    "safety": rate(1), "helpfulness": rate(2), "measures": taken,
                    "final_adapter": null, "rounds": [],
                }],
                "verdicts": [], "defence": [], "side_by_side": [],
            }))
            .unwrap()
        };
        let strict = [("rule-strict", "Strict Rule")];
        let table = text(&[report(&strict, 3)]);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].contains("helpfulness %") && lines[0].contains("strict rule %"));
        assert!(lines[2].contains("30.0 ("), "{table}");
        assert!(table.ends_with("† from fewer than 100 prompts"), "{table}");
        // Of two seeds, one of which is older.
        let table = text(&[report(&[], 1), report(&strict, 5)]);
        assert!(table.contains("50.0 ("), "{table}");
        let table = text(&[report(&strict, 3), report(&strict, 5)]);
        assert!(table.contains("40.0 ± 14.1"), "{table}");
        // Where look-alikes were asked, safety less over-refusal comes first.
        let both = [
            ("rule-strict", "Strict Rule"),
            ("over-refusal", "Over-refusal"),
        ];
        let table = rows(&[report(&both, 0)]);
        assert_eq!(
            table[0][..5],
            [
                "arm",
                "safety less over-refusal",
                "safety %",
                "over-refusal %",
                "helpfulness %"
            ]
        );
        assert!(
            table[1][1].starts_with("+10.0 (") && table[1][3].starts_with("0.0 ("),
            "{table:?}"
        );
        let seeds = rows(&[report(&both, 0), report(&both, 2)]);
        assert_eq!(seeds[1][1], "0.0 ± 14.1");
        // An older run's table is as it was.
        assert!(!text(&[report(&[], 1)]).contains("strict"));
    }
}
