//! Aggregation rules: pure functions from the admitted updates of a round to one delta.
//!
//! An update is a flat vector of f32 (every adapter tensor in name order) and a weight. Sums run
//! in client order in f64 and are rounded once, so the same updates give the same bits whatever
//! order they arrived in. One file a rule; each names its source.

use crate::error::{Error, Result};

mod apply;
pub mod behaviour_weighted;
pub mod bulyan;
pub mod centred_clipping;
pub mod clipped_clustering;
mod config;
pub mod definition;
pub mod device;
pub mod dnc;
mod factors;
pub mod fedavg;
pub mod fltrust;
pub mod foolsgold;
pub mod geometric_median;
pub mod krum;
mod lengths;
mod linear;
pub mod lora_product;
pub mod median;
pub mod multi_krum;
mod nearest;
pub mod norm_clipping;
mod outcome;
pub mod residual;
pub mod safe_fedllm;
pub mod server_input;
pub mod spectral;
pub mod stream;
pub mod trimmed_mean;

pub use apply::{Built, DeviceForm, Inputs, Rule, Update};
pub(crate) use apply::{chosen_sum, mean_on, rows, uniform, weighted_sum};
pub use config::{AggregationConfig, BadParameter};
use definition::Definition;
pub use outcome::Outcome;
pub use server_input::{Known, Need, ServerInput};

/// Every rule, in the order of messages and arms.
pub const ALL: &[&Definition] = &[
    &fedavg::DEFINITION,
    &median::DEFINITION,
    &trimmed_mean::DEFINITION,
    &krum::DEFINITION,
    &krum::ORIGINAL,
    &multi_krum::DEFINITION,
    &dnc::DEFINITION,
    &foolsgold::DEFINITION,
    &residual::DEFINITION,
    &bulyan::DEFINITION,
    &geometric_median::DEFINITION,
    &centred_clipping::DEFINITION,
    &clipped_clustering::DEFINITION,
    &norm_clipping::DEFINITION,
    &lora_product::DEFINITION,
    &fltrust::DEFINITION,
    &safe_fedllm::DEFINITION,
    &spectral::DEFINITION,
    &behaviour_weighted::DEFINITION,
];

/// The rule of that name; the error lists the known ones.
pub fn rule(name: &str) -> Result<&'static Definition> {
    let names = ALL.iter().map(|definition| definition.name);
    ALL.iter()
        .find(|definition| definition.name == name)
        .copied()
        .ok_or_else(|| Error::unknown("aggregation rule", name, names))
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Inputs of a round with one attacker.
    pub(crate) const ONE: Inputs = Inputs {
        expected_malicious: 1,
        seed: 0,
    };

    /// The rule of that name with its defaults.
    pub(crate) fn built(name: &str) -> Built {
        AggregationConfig::default().rule(name).unwrap()
    }

    /// Updates of equal weight over the given rows.
    pub(crate) fn updates<'a>(rows: &'a [Vec<f32>]) -> Vec<Update<'a>> {
        rows.iter()
            .map(|row| Update {
                delta: row,
                weight: 1.0,
            })
            .collect()
    }

    /// Pseudo-random rows around a common centre.
    pub(crate) fn cloud(n: usize, d: usize, seed: u64) -> Vec<Vec<f32>> {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        (0..n)
            .map(|_| {
                (0..d)
                    .map(|j| {
                        state = state
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1_442_695_040_888_963_407);
                        let noise = (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
                        (j as f32 * 0.37).sin() + 0.1 * noise
                    })
                    .collect()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::*;
    use super::*;

    #[test]
    fn unknown_rule_lists_the_known() {
        let text = rule("fedavgg").err().unwrap().to_string();
        for known in ALL {
            assert!(text.contains(known.name), "{text}");
        }
    }

    #[test]
    fn every_definition_is_one_of_its_kind() {
        let mut keys = vec!["expected_malicious", "device"];
        for definition in ALL {
            keys.push(definition.name);
            for parameter in definition.parameters {
                keys.extend(parameter.flat);
                let found = definition.parameter(parameter.key).unwrap();
                assert!(std::ptr::eq(found, parameter), "{}", parameter.key);
            }
        }
        let different: std::collections::BTreeSet<&str> = keys.iter().copied().collect();
        assert_eq!(different.len(), keys.len(), "{keys:?}");
    }

    #[test]
    fn the_docs_have_every_parameter() {
        let docs = include_str!("../../../../docs/METHODS.md");
        for parameter in ALL.iter().flat_map(|definition| definition.parameters) {
            let default = match parameter.takes {
                definition::Takes::Whole { default, .. } => default.to_string(),
                definition::Takes::Number { default, .. } => format!("{default:?}"),
            };
            let row = format!("`{}` | {default} |", parameter.key);
            let row = docs.lines().find(|line| line.contains(&row));
            let row = row.unwrap_or_else(|| panic!("no row for {}", parameter.key));
            assert!(
                row.contains(parameter.flat.unwrap_or_default()),
                "{row} lacks the key of before"
            );
        }
    }

    #[test]
    fn every_rule_leaves_identical_updates_alone_and_its_weights_sum_to_one() {
        let row: Vec<f32> = (0..50).map(|i| (i as f32 - 20.0) * 0.01).collect();
        for n in 1..6 {
            let rows = vec![row.clone(); n];
            for Definition { name, .. } in ALL {
                let outcome = built(name).aggregate(&updates(&rows), &ONE).unwrap();
                for (a, b) in outcome.delta.iter().zip(&row) {
                    assert!((a - b).abs() < 1e-6, "{name} n={n}: {a} {b}");
                }
                let sum: f64 = outcome.weights.iter().sum();
                assert!(
                    (sum - 1.0).abs() < 1e-9,
                    "{name} n={n}: {:?}",
                    outcome.weights
                );
            }
        }
    }

    #[test]
    fn every_rule_is_a_pure_function() {
        let rows = cloud(5, 400, 3);
        for Definition { name, .. } in ALL {
            let first = built(name).aggregate(&updates(&rows), &ONE).unwrap();
            let second = built(name).aggregate(&updates(&rows), &ONE).unwrap();
            assert_eq!(first, second, "{name}");
            assert_eq!(first.weights.len(), 5);
            assert_eq!(first.delta.len(), 400);
        }
    }

    #[test]
    fn what_rules_rely_on_is_checked() {
        let rule = built("fedavg");
        let fails = |updates: &[Update<'_>]| rule.aggregate(updates, &ONE).unwrap_err().to_string();
        assert!(fails(&[]).contains("no update"));
        let rows = [vec![1.0, f32::NAN]];
        assert!(fails(&updates(&rows)).contains("not finite"));
        let rows = [vec![1.0], vec![1.0, 2.0]];
        assert!(fails(&updates(&rows)).contains("2 values"));
        assert!(
            fails(&[Update {
                delta: &[1.0],
                weight: 0.0
            }])
            .contains("weight 0")
        );
    }
}
