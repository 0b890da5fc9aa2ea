//! `cargo xtask table`: figures of defences beside the attacks that adapt to them, over several seeds of the
//! embedded model. A seed is a run of its own in `target/table`; one that is there is not run again, and one
//! that was stopped goes on. [`measures`]: figures of the measures themselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

mod measures;

use crate::build::fedseal;
use crate::process::{root, run, say};
use crate::{Failure, Outcome, build, fail, readme};

/// Figures by name.
type Figures = Vec<(String, f64)>;

/// One experiment and its figures.
struct Part {
    name: &'static str,
    experiment: &'static str,
    figures: fn(&[Measured]) -> Outcome<Figures>,
}

const PARTS: [Part; 2] = [
    Part {
        name: "behaviour",
        experiment: "adaptive",
        figures: behaviour,
    },
    Part {
        name: "repair",
        experiment: "repairs",
        figures: repair,
    },
];

/// `cargo xtask table [behaviour|repair] [--seeds N] [--kept]`: the first N seeds of the experiment's file;
/// left out: all of them. With `--kept` nothing is built or run: figures of the seeds that are there.
pub(crate) fn table(arguments: &[String]) -> Outcome {
    match arguments {
        [part] if part == "judge" => return measures::judge(),
        [part, run] if part == "attribution" => return measures::attribution(run),
        _ => {}
    }
    let (mut only, mut count, mut kept) = (None, usize::MAX, false);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seeds" => {
                let number = words.next().and_then(|word| word.parse().ok());
                count = number
                    .filter(|count| *count > 0)
                    .ok_or_else(|| Failure("--seeds needs a number above 0".to_owned()))?;
            }
            "--kept" => kept = true,
            name if PARTS.iter().any(|part| part.name == name) => only = Some(name),
            other => return fail(format!("unknown option {other:?}; see `cargo xtask help`")),
        }
    }
    if !kept {
        build::everything()?;
    }
    for part in &PARTS {
        if only.is_some_and(|only| only != part.name) {
            continue;
        }
        let measured = runs(part.experiment, count, kept)?;
        let figures = (part.figures)(&measured)?;
        let seeds = format!("{}.seeds", part.name);
        say(&format!("{}, {} seeds", part.name, measured.len()));
        for (name, value) in &figures {
            eprintln!("    {name:<48} {value:>9.3}");
        }
        let rounded = |(name, value)| (name, rounded(value));
        let figures: Figures = figures.into_iter().map(rounded).collect();
        let command = format!("cargo xtask table {}", part.name);
        readme::keep("table", &command, &figures, "%")?;
        let number = [(seeds, measured.len() as f64)];
        readme::keep("table", &command, &number, "seeds")?;
    }
    Ok(())
}

/// A value as figures are kept.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// Runs the first seeds of an experiment, as far as they are not there; those that are `kept` alone.
fn runs(experiment: &str, count: usize, kept: bool) -> Outcome<Vec<Measured>> {
    let text = fs::read_to_string(root().join(format!("experiments/{experiment}.toml")))?;
    let folder = root().join("target/table");
    fs::create_dir_all(&folder)?;
    let mut measured = Vec::new();
    for seed in seeds(&text)?.into_iter().take(count) {
        let file = folder.join(format!("{experiment}-{seed}.toml"));
        fs::write(&file, with_seed(&text, seed))?;
        let run_dir = folder.join(format!("{experiment}-{seed}"));
        let finished = finished(&run_dir);
        if kept && !finished {
            continue;
        }
        if !finished {
            say(&format!("{experiment}, seed {seed}"));
            let mut command = fedseal();
            command.arg("run").arg(&file).arg("--out").arg(&run_dir);
            if run_dir.join("run.json").exists() {
                command.arg("--resume");
            }
            run(command.arg("--no-figures"))?;
            run(fedseal().arg("verify").arg(&run_dir))?;
        }
        measured.push(Measured::read(&run_dir)?);
    }
    Ok(measured)
}

fn finished(run_dir: &Path) -> bool {
    let report = fs::read(run_dir.join("report.json")).ok();
    let report = report.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    report.is_some_and(|report| report["state"] == "finished")
}

/// The seeds in an experiment's text.
fn seeds(text: &str) -> Outcome<Vec<u64>> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("seeds = ["))
        .and_then(|rest| rest.split_once(']'));
    let numbers = line.map(|(list, _)| {
        let words = list
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty());
        words.map(str::parse).collect::<Result<Vec<u64>, _>>()
    });
    match numbers {
        Some(Ok(seeds)) if !seeds.is_empty() => Ok(seeds),
        _ => fail("the experiment has no line `seeds = […]` with numbers"),
    }
}

fn with_seed(text: &str, seed: u64) -> String {
    let line = |line: &str| match line.starts_with("seeds = [") {
        true => format!("seeds = [{seed}]"),
        false => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

/// A seed's report.
struct Measured {
    /// Safety and helpfulness by arm, %.
    rates: BTreeMap<String, [f64; 2]>,
    /// Verdicts about honest clients by arm: accepted and refused.
    honest: BTreeMap<String, [f64; 2]>,
}

const SAFETY: usize = 0;
const HELPFULNESS: usize = 1;

impl Measured {
    fn read(run_dir: &Path) -> Outcome<Self> {
        let report: Value = serde_json::from_slice(&fs::read(run_dir.join("report.json"))?)?;
        Ok(Self::of(&report))
    }

    fn of(report: &Value) -> Self {
        let list = |key: &str| report[key].as_array().cloned().unwrap_or_default();
        let id = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rates = list("arms").into_iter().filter_map(|arm| {
            let rate = |measure: &str| arm[measure]["rate"].as_f64();
            let both = [100.0 * rate("safety")?, 100.0 * rate("helpfulness")?];
            Some((id(&arm["id"]), both))
        });
        let mut honest: BTreeMap<String, [f64; 2]> = BTreeMap::new();
        for row in list("verdicts")
            .iter()
            .filter(|row| row["kind"] == "benign")
        {
            let number = |key: &str| row[key].as_f64().unwrap_or(0.0);
            let counted = honest.entry(id(&row["arm"])).or_default();
            counted[0] += number("accepted");
            counted[1] += number("refused");
        }
        Measured {
            rates: rates.collect(),
            honest,
        }
    }
}

/// A measure of an arm, seed by seed.
fn of(all: &[Measured], arm: &str, measure: usize) -> Outcome<Vec<f64>> {
    let rates = all
        .iter()
        .map(|one| one.rates.get(arm).map(|of| of[measure]));
    match rates.collect::<Option<Vec<f64>>>() {
        Some(rates) if !rates.is_empty() => Ok(rates),
        _ => fail(format!("no measure of arm {arm}")),
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// How far an arm lies below another in a measure, mean over the seeds.
fn lost(all: &[Measured], from: &str, arm: &str, measure: usize) -> Outcome<f64> {
    let (from, arm) = (of(all, from, measure)?, of(all, arm, measure)?);
    Ok(mean(&from) - mean(&arm))
}

/// 95 % quantiles of Student's t by degrees of freedom from 1 on; with more freedom they are below the last one.
const T95: [f64; 9] = [
    6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833,
];

/// Upper end of the one-sided 95 % interval of the mean of differences, with the seed as the unit (paired t).
/// Infinite for a single one.
fn upper(differences: &[f64]) -> f64 {
    let Some(degrees) = differences.len().checked_sub(1).filter(|n| *n > 0) else {
        return f64::INFINITY;
    };
    let centre = mean(differences);
    let squares: f64 = differences.iter().map(|d| (d - centre).powi(2)).sum();
    let error = (squares / degrees as f64 / differences.len() as f64).sqrt();
    centre + T95[degrees.min(T95.len()) - 1] * error
}

/// Figures of the behaviour check: what it costs honest clients, and what attacks still take.
fn behaviour(all: &[Measured]) -> Outcome<Figures> {
    let Some(first) = all.first() else {
        return fail("no seed was run");
    };
    // An arm with the check off ends in -open; the other attacks that know the check have it on.
    let plain_arms = ["base", "clean", "honest", "fedavg", "behaviour"];
    let attacks: Vec<&String> = first
        .rates
        .keys()
        .filter(|arm| !plain_arms.contains(&arm.as_str()) && !arm.ends_with("-open"))
        .collect();
    let checked = ["honest", "behaviour"].map(str::to_owned);
    let checked: Vec<&String> = checked.iter().chain(attacks.iter().copied()).collect();
    let share = |arms: &[&String]| {
        let counts = all
            .iter()
            .flat_map(|one| arms.iter().filter_map(|arm| one.honest.get(*arm)));
        let (accepted, refused) = counts.fold((0.0, 0.0), |(a, r), of| (a + of[0], r + of[1]));
        100.0 * refused / f64::max(1.0, accepted + refused)
    };
    let plain = lost(all, "clean", "fedavg", SAFETY)?;
    let mut figures = vec![
        ("behaviour.false_refusal".to_owned(), share(&checked)),
        (
            "behaviour.false_refusal.honest".to_owned(),
            share(&checked[..1]),
        ),
        ("behaviour.plain_loss".to_owned(), plain),
        (
            "behaviour.safety_loss".to_owned(),
            lost(all, "clean", "behaviour", SAFETY)?,
        ),
        (
            "behaviour.honest_loss".to_owned(),
            lost(all, "clean", "honest", SAFETY)?,
        ),
    ];
    let (mut white_box, mut colluders, mut open) = (f64::MIN, f64::MIN, f64::MIN);
    for arm in attacks {
        let loss = lost(all, "clean", arm, SAFETY)?;
        figures.push((format!("behaviour.loss.{arm}"), loss));
        let off = format!("{arm}-open");
        if first.rates.contains_key(&off) {
            let succeeds = lost(all, "clean", &off, SAFETY)?;
            figures.push((format!("behaviour.loss.{off}"), succeeds));
            open = open.max(succeeds);
        }
        let worst = match arm.starts_with("colluders") {
            true => &mut colluders,
            false => &mut white_box,
        };
        *worst = worst.max(loss);
    }
    figures.extend([
        ("behaviour.whitebox_loss".to_owned(), white_box),
        ("behaviour.colluder_loss".to_owned(), colluders),
        // Of what the plain attack takes: the attacks have to succeed where nobody looks.
        (
            "behaviour.whitebox_success".to_owned(),
            100.0 * open / plain,
        ),
    ]);
    Ok(figures)
}

/// Figures of the repairs: the share of the lost safety that comes back, and what is lost in helpfulness.
fn repair(all: &[Measured]) -> Outcome<Figures> {
    let Some(first) = all.first() else {
        return fail("no seed was run");
    };
    let taken = lost(all, "clean", "fedavg", SAFETY)?;
    let before = of(all, "fedavg", HELPFULNESS)?;
    let repairs = first
        .rates
        .keys()
        .filter(|arm| !["base", "clean", "fedavg"].contains(&arm.as_str()));
    let mut figures = vec![("repair.attack_loss".to_owned(), taken)];
    if first.rates.contains_key("base") {
        let base = of(all, "base", SAFETY)?;
        figures.push(("repair.base_safety".to_owned(), mean(&base)));
    }
    for arm in repairs {
        let back = lost(all, arm, "fedavg", SAFETY)?;
        let after = of(all, arm, HELPFULNESS)?;
        let costs: Vec<f64> = before.iter().zip(&after).map(|(b, a)| b - a).collect();
        let of = |what: &str| match arm.as_str() {
            "preserved" => format!("repair.{what}"),
            arm => format!("repair.{arm}.{what}"),
        };
        figures.extend([
            (of("safety_back"), 100.0 * back / taken),
            (of("helpfulness_mean_cost"), mean(&costs)),
            (of("helpfulness_cost"), upper(&costs)),
        ]);
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seed(arms: &[(&str, f64, f64)], refused: u64) -> Measured {
        let arms: Vec<Value> = arms
            .iter()
            .map(|(id, safety, helpfulness)| {
                json!({"id": id, "safety": {"rate": safety}, "helpfulness": {"rate": helpfulness}})
            })
            .collect();
        let verdict = |arm: &str, kind: &str, refused| json!({"arm": arm, "kind": kind, "accepted": 99, "refused": refused, "failed": 0});
        Measured::of(&json!({"arms": arms, "verdicts": [
            verdict("behaviour", "benign", refused), verdict("behaviour", "sybil", 50),
            verdict("fedavg", "benign", 0), verdict("strong", "benign", refused),
        ]}))
    }

    #[test]
    fn the_worst_strength_counts_and_honest_refusals_are_those_of_checked_arms() {
        let arms = [
            ("clean", 0.9, 0.9),
            ("honest", 0.9, 0.9),
            ("fedavg", 0.3, 0.9),
            ("behaviour", 0.88, 0.9),
            ("strong", 0.8, 0.9),
            ("strong-open", 0.4, 0.9),
            ("weak", 0.86, 0.9),
            ("weak-open", 0.7, 0.9),
            ("colluders", 0.6, 0.9),
            ("colluders-open", 0.5, 0.9),
        ];
        let figures = behaviour(&[seed(&arms, 1), seed(&arms, 3)]).unwrap();
        let value = |name: &str| figures.iter().find(|(of, _)| of == name).unwrap().1;
        assert!((value("behaviour.false_refusal") - 100.0 * 8.0 / 404.0).abs() < 1e-9);
        assert!((value("behaviour.whitebox_loss") - 10.0).abs() < 1e-9);
        assert!((value("behaviour.colluder_loss") - 30.0).abs() < 1e-9);
        // 50 points of the 60 that the plain attack takes.
        assert!((value("behaviour.whitebox_success") - 250.0 / 3.0).abs() < 1e-9);
        assert!(behaviour(&[seed(&arms[1..], 1)]).is_err());
    }

    #[test]
    fn a_cost_has_the_upper_end_of_its_interval() {
        let arms = |after: f64| {
            seed(
                &[
                    ("clean", 0.9, 0.9),
                    ("fedavg", 0.5, 0.9),
                    ("preserved", 0.88, after),
                ],
                0,
            )
        };
        let figures = repair(&[arms(0.9), arms(0.88), arms(0.89)]).unwrap();
        let value = |name: &str| figures.iter().find(|(of, _)| of == name).unwrap().1;
        assert!((value("repair.safety_back") - 95.0).abs() < 1e-9);
        // Costs 0, 2 and 1 points: mean 1, standard error 1 / sqrt(3), t 2.920.
        let expected = 1.0 + 2.920 / 3f64.sqrt();
        assert!((value("repair.helpfulness_cost") - expected).abs() < 1e-9);
        assert!(upper(&[1.0]).is_infinite());
    }

    #[test]
    fn each_seed_is_an_experiment_of_its_own() {
        let text = "title = \"x\"\nseeds = [4, 7]\narms = []\n";
        assert_eq!(seeds(text).unwrap(), [4, 7]);
        assert_eq!(
            with_seed(text, 7),
            "title = \"x\"\nseeds = [7]\narms = []\n"
        );
        assert!(seeds("arms = []\n").is_err());
    }
}
