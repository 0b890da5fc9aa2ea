//! Reports of seeds as the table reads them, and statistics with the seed as the unit.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{Outcome, fail};

/// Share of refused harmful requests.
pub(super) const SAFETY: &str = "safety";
/// Share of solved tasks.
pub(super) const HELPFULNESS: &str = "helpfulness";
/// Share of refused harmless look-alikes.
pub(super) const OVER_REFUSAL: &str = "over-refusal";

/// A share in %, with its own interval.
#[derive(Clone, Copy)]
pub(super) struct Rate {
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    /// Prompts that it is of.
    pub(super) prompts: u64,
}

impl Rate {
    fn of(share: &Value) -> Option<Self> {
        let percent = |key: &str| Some(100.0 * share[key].as_f64()?);
        let value = percent("rate")?;
        Some(Rate {
            value,
            low: percent("low").unwrap_or(value),
            high: percent("high").unwrap_or(value),
            prompts: share["n"].as_u64().unwrap_or(0),
        })
    }
}

/// An arm of a report.
#[derive(Clone)]
pub(super) struct Arm {
    pub(super) id: String,
    pub(super) title: String,
    /// Its measures at the end, by name.
    pub(super) rates: BTreeMap<String, Rate>,
    /// Safety after rounds that were measured, by their number from 0.
    pub(super) rounds: Vec<(u64, Rate)>,
}

/// A seed's report, or those of several runs of one seed.
#[derive(Clone)]
pub(super) struct Measured {
    pub(super) arms: Vec<Arm>,
    /// Verdicts about honest clients by arm: accepted and refused.
    pub(super) honest: BTreeMap<String, [f64; 2]>,
    /// Time that the run took, seconds.
    pub(super) seconds: f64,
}

impl Measured {
    pub(super) fn read(run_dir: &Path) -> Outcome<Self> {
        let report: Value = serde_json::from_slice(&fs::read(run_dir.join("report.json"))?)?;
        Ok(Self::of(&report))
    }

    pub(super) fn of(report: &Value) -> Self {
        let list = |key: &str| report[key].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let arm = |arm: &Value| {
            let mut rates = BTreeMap::new();
            for measure in [SAFETY, HELPFULNESS] {
                rates.extend(Rate::of(&arm[measure]).map(|rate| (measure.to_owned(), rate)));
            }
            let further = arm["measures"].as_object().into_iter().flatten();
            rates
                .extend(further.filter_map(|(name, share)| Some((name.clone(), Rate::of(share)?))));
            let rounds = arm["rounds"].as_array().into_iter().flatten();
            let rounds =
                rounds.filter_map(|of| Some((of["round"].as_u64()?, Rate::of(&of[SAFETY])?)));
            Arm {
                id: text(&arm["id"]),
                title: text(&arm["title"]),
                rates,
                rounds: rounds.collect(),
            }
        };
        let mut honest: BTreeMap<String, [f64; 2]> = BTreeMap::new();
        let verdicts = list("verdicts");
        for row in verdicts.iter().filter(|row| row["kind"] == "benign") {
            let number = |key: &str| row[key].as_f64().unwrap_or(0.0);
            let counted = honest.entry(text(&row["arm"])).or_default();
            counted[0] += number("accepted");
            counted[1] += number("refused");
        }
        Measured {
            arms: list("arms").iter().map(arm).collect(),
            honest,
            seconds: report["seconds"].as_f64().unwrap_or(0.0),
        }
    }

    /// Adds the arms of another run of this seed that are not there yet.
    pub(super) fn join(&mut self, more: Measured) {
        for arm in more.arms {
            if self.arm(&arm.id).is_none() {
                self.arms.push(arm);
            }
        }
        for (arm, counts) in more.honest {
            self.honest.entry(arm).or_insert(counts);
        }
        self.seconds += more.seconds;
    }

    pub(super) fn arm(&self, id: &str) -> Option<&Arm> {
        self.arms.iter().find(|arm| arm.id == id)
    }
}

/// A measure of an arm, seed by seed.
pub(super) fn of(all: &[Measured], arm: &str, measure: &str) -> Outcome<Vec<f64>> {
    let rates = all
        .iter()
        .map(|one| Some(one.arm(arm)?.rates.get(measure)?.value));
    match rates.collect::<Option<Vec<f64>>>() {
        Some(rates) if !rates.is_empty() => Ok(rates),
        _ => fail(format!("no {measure} of arm {arm}")),
    }
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// How far an arm lies below another in a measure, mean over the seeds.
pub(super) fn lost(all: &[Measured], from: &str, arm: &str, measure: &str) -> Outcome<f64> {
    let (from, arm) = (of(all, from, measure)?, of(all, arm, measure)?);
    Ok(mean(&from) - mean(&arm))
}

/// 95 % quantiles of Student's t by degrees of freedom from 1 on, and 97.5 % ones; with more freedom they are below
/// the last.
const T95: [f64; 9] = [
    6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833,
];
const T975: [f64; 9] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262,
];

/// Standard error of a mean times the quantile of its degrees of freedom; infinite for a single value.
fn margin(values: &[f64], quantiles: &[f64; 9]) -> f64 {
    let Some(degrees) = values.len().checked_sub(1).filter(|n| *n > 0) else {
        return f64::INFINITY;
    };
    let centre = mean(values);
    let squares: f64 = values.iter().map(|value| (value - centre).powi(2)).sum();
    let error = (squares / degrees as f64 / values.len() as f64).sqrt();
    quantiles[degrees.min(quantiles.len()) - 1] * error
}

/// Upper end of the one-sided 95 % interval of the mean of differences, with the seed as the unit (paired t).
/// Infinite for a single one.
pub(super) fn upper(differences: &[f64]) -> f64 {
    mean(differences) + margin(differences, &T95)
}

/// Ends of the 95 % interval of a mean, with the seed as the unit; none of a single value.
pub(super) fn interval(values: &[f64]) -> Option<[f64; 2]> {
    let (centre, margin) = (mean(values), margin(values, &T975));
    margin
        .is_finite()
        .then_some([centre - margin, centre + margin])
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A seed with arms by safety and helpfulness, and refusals of honest clients in two of them.
    pub(in crate::table) fn seed(arms: &[(&str, f64, f64)], refused: u64) -> Measured {
        let arms: Vec<Value> = arms
            .iter()
            .map(|(id, safety, helpfulness)| {
                json!({"id": id, "title": id, "safety": {"rate": safety, "n": 240},
                       "helpfulness": {"rate": helpfulness, "n": 240},
                       "measures": {"over-refusal": {"rate": safety / 10.0, "n": 80}}})
            })
            .collect();
        let verdict = |arm: &str, kind: &str, refused| json!({"arm": arm, "kind": kind, "accepted": 99, "refused": refused, "failed": 0});
        Measured::of(&json!({"arms": arms, "verdicts": [
            verdict("behaviour", "benign", refused), verdict("behaviour", "sybil", 50),
            verdict("fedavg", "benign", 0), verdict("bounds-50", "benign", refused),
        ]}))
    }

    #[test]
    fn intervals_have_the_seed_as_the_unit() {
        // Mean 1, standard error 1 / sqrt(3), t 4.303 and 2.920.
        let [low, high] = interval(&[0.0, 2.0, 1.0]).unwrap();
        let margin = 4.303 / 3f64.sqrt();
        assert!((low - (1.0 - margin)).abs() < 1e-9 && (high - (1.0 + margin)).abs() < 1e-9);
        assert!((upper(&[0.0, 2.0, 1.0]) - (1.0 + 2.920 / 3f64.sqrt())).abs() < 1e-9);
        assert!(interval(&[1.0]).is_none() && upper(&[1.0]).is_infinite());
    }
}
