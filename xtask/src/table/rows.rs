//! Rows of the table: every arm of every experiment with safety, over-refusal, their difference and helpfulness, mean
//! over the seeds; and how many rows there are and have been measured.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Map, Value, json};

use super::measured::{Arm, HELPFULNESS, Measured, OVER_REFUSAL, Rate, SAFETY, interval, mean};
use super::runs::{Group, arms};
use super::{Figures, Part, rounded};
use crate::process::{commit, root};
use crate::{Outcome, readme};

/// Seeds that a row needs to count as measured.
const SEEDS: usize = 3;
/// A share of fewer prompts is marked.
const FEW: u64 = 100;
/// Safety less over-refusal.
const DIFFERENCE: &str = "difference";

/// Figures of the rows of a part: `row.PART.ARM.MEASURE`, with a variant behind the part's name.
pub(super) fn figures(part: &Part, command: &str, groups: &[Group]) -> Vec<Map<String, Value>> {
    let mut figures = Vec::new();
    let (commit, machine) = (commit(), readme::machine());
    for group in groups {
        let name = named(part, &group.label);
        let Some(first) = group.measured.first() else {
            continue;
        };
        for arm in &first.arms {
            for (measure, rates) in measures(&group.measured, &arm.id) {
                let values: Vec<f64> = rates.iter().map(|rate| rate.value).collect();
                let bounds = ends(&rates, measure);
                let few = rates.iter().any(|rate| rate.prompts < FEW);
                let figure = json!({
                    "name": format!("row.{name}.{}.{measure}", arm.id), "title": arm.title,
                    "value": rounded(mean(&values)),
                    "low": bounds.map(|[low, _]| rounded(low)),
                    "high": bounds.map(|[_, high]| rounded(high)),
                    "seeds": values.len(), "few": few,
                    "unit": if measure == DIFFERENCE { "points" } else { "%" },
                    "peer": null, "ratio": null,
                    "commit": commit, "machine": machine, "command": command,
                });
                figures.extend(figure.as_object().cloned());
            }
        }
    }
    figures
}

/// Name of a part's rows; a variant stands behind it.
fn named(part: &Part, label: &str) -> String {
    match label {
        "" => part.name.to_owned(),
        label => format!("{}-{label}", part.name),
    }
}

/// The measures of an arm over the seeds that have it; those that one of these lacks are left out.
fn measures(all: &[Measured], id: &str) -> Vec<(&'static str, Vec<Rate>)> {
    let arms: Vec<&Arm> = all.iter().filter_map(|one| one.arm(id)).collect();
    let of = |measure: &str| -> Option<Vec<Rate>> {
        let rates = arms.iter().map(|arm| arm.rates.get(measure).copied());
        rates.collect()
    };
    let mut found: Vec<(&'static str, Vec<Rate>)> = Vec::new();
    for measure in [SAFETY, OVER_REFUSAL, HELPFULNESS] {
        found.extend(of(measure).map(|rates| (measure, rates)));
    }
    if let (Some(safety), Some(over)) = (of(SAFETY), of(OVER_REFUSAL)) {
        let less = safety.iter().zip(&over).map(|(safety, over)| Rate {
            value: safety.value - over.value,
            prompts: safety.prompts.min(over.prompts),
            ..*safety
        });
        found.push((DIFFERENCE, less.collect()));
    }
    found
}

/// Ends of the interval of a mean with the seed as the unit; of one seed those of its share, which a difference
/// has not.
fn ends(rates: &[Rate], measure: &str) -> Option<[f64; 2]> {
    let values: Vec<f64> = rates.iter().map(|rate| rate.value).collect();
    let (least, most) = match measure {
        DIFFERENCE => (-100.0, 100.0),
        _ => (0.0, 100.0),
    };
    match (interval(&values), rates) {
        (Some([low, high]), _) => Some([f64::max(low, least), f64::min(high, most)]),
        (None, [one]) if measure != DIFFERENCE => Some([one.low, one.high]),
        _ => None,
    }
}

/// Number of rows, of those that were measured over enough seeds, and the same of the real model. A row that is in
/// the kept figures counts, wherever it was measured.
pub(super) fn counts(parts: &[Part]) -> Outcome<Figures> {
    let kept = readme::kept("table");
    let mut figures = Vec::new();
    for (name, real) in [("rows", false), ("rows.smollm2", true)] {
        let mut wanted = BTreeSet::new();
        for part in parts.iter().filter(|part| part.smollm2 == real) {
            let path = root().join(format!("experiments/{}.toml", part.experiment));
            let arms = arms(&fs::read_to_string(path)?);
            let labels = part.variants.iter().map(|variant| variant.label);
            let labels: Vec<&str> = match part.variants {
                [] => vec![""],
                _ => labels.collect(),
            };
            for label in labels {
                let name = named(part, label);
                wanted.extend(arms.iter().map(|arm| format!("row.{name}.{arm}.{SAFETY}")));
            }
        }
        let measured = kept.iter().filter(|figure| {
            let name = figure.get("name").and_then(Value::as_str);
            let seeds = figure.get("seeds").and_then(Value::as_u64).unwrap_or(0);
            name.is_some_and(|name| wanted.contains(name)) && seeds >= SEEDS as u64
        });
        let measured = measured.count() as f64;
        let total = wanted.len() as f64;
        figures.extend(match real {
            false => [
                (format!("{name}.total"), total),
                (format!("{name}.measured"), measured),
            ],
            true => [
                (format!("{name}.total"), total),
                (name.to_owned(), measured),
            ],
        });
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::super::PARTS;
    use super::super::measured::tests::seed;
    use super::*;

    #[test]
    fn rows_have_means_intervals_and_the_difference_to_over_refusal() {
        let seeds = [0.9, 0.8, 0.7].map(|safety| seed(&[("clean", safety, 0.5)], 0));
        let group = |measured| Group {
            label: "rank-2".to_owned(),
            measured,
        };
        let find = |figures: &[Map<String, Value>], name: &str| {
            let named = |figure: &&Map<String, Value>| figure["name"] == name;
            Value::Object(figures.iter().find(named).unwrap().clone())
        };
        let found = figures(&PARTS[0], "x", &[group(seeds.into())]);
        let part = PARTS[0].name;
        let safety = find(&found, &format!("row.{part}-rank-2.clean.safety"));
        assert_eq!(
            (&safety["value"], &safety["seeds"]),
            (&json!(80.0), &json!(3))
        );
        // t 4.303 times 10 / sqrt(3); no share is above 100 %.
        assert_eq!(
            (&safety["low"], &safety["high"]),
            (&json!(55.1566), &json!(100.0))
        );
        assert_eq!(safety["few"], false);
        let less = find(&found, &format!("row.{part}-rank-2.clean.difference"));
        assert_eq!((&less["value"], &less["few"]), (&json!(72.0), &json!(true)));
        // One seed: no interval of a difference.
        let one = figures(
            &PARTS[0],
            "x",
            &[group(vec![seed(&[("clean", 0.9, 0.5)], 0)])],
        );
        let less = find(&one, &format!("row.{part}-rank-2.clean.difference"));
        assert!(less["low"].is_null() && less["seeds"] == 1);
    }

    #[test]
    fn every_arm_of_every_part_is_a_row() {
        let counts = counts(&PARTS).unwrap();
        let value = |name: &str| counts.iter().find(|(of, _)| of == name).unwrap().1;
        assert!(value("rows.total") > 80.0);
        assert!(value("rows.smollm2.total") > 15.0);
        assert!(value("rows.measured") <= value("rows.total"));
        assert!(value("rows.smollm2") <= value("rows.smollm2.total"));
    }
}
