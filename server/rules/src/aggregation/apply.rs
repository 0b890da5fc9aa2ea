//! Applying a rule: its inputs, what every rule relies on, its outcome, and sums that rules share.

use crate::error::{Error, Result};

/// One admitted update.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    /// Local adapter minus global adapter, flat.
    pub delta: &'a [f32],
    /// Number of examples the client trained on, times the admission's weight (1 for accept).
    pub weight: f64,
}

/// Inputs of a rule besides the updates and its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inputs {
    /// Number of sampled clients that the server expects to be malicious.
    pub expected_malicious: usize,
    /// Seed of this round, for rules that sample coordinates.
    pub seed: u64,
}

/// Result of a rule for a round.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The aggregated delta, as long as the updates.
    pub delta: Vec<f32>,
    /// How much each update counted, in the order given, in [0, 1]. For a coordinate-wise rule:
    /// the share of coordinates that it decided. Sums to 1 up to rounding.
    pub weights: Vec<f64>,
}

/// One aggregation rule with its parameters.
pub trait Rule: Send + Sync {
    /// Aggregates at least one update; all deltas are equally long and finite.
    fn aggregate(&self, updates: &[Update<'_>], inputs: &Inputs) -> Outcome;
}

/// A rule made from its definition.
pub struct Built {
    pub(super) name: &'static str,
    pub(super) rule: Box<dyn Rule>,
}

impl Built {
    /// Applies the rule after checking what every rule relies on: at least one update, equal lengths,
    /// finite values, weights that are finite, not negative and not all zero.
    ///
    /// # Errors
    /// [`Error::Aggregation`] says which of them does not hold, or that the result is not finite.
    pub fn aggregate(&self, updates: &[Update<'_>], inputs: &Inputs) -> Result<Outcome> {
        let problem = |problem: String| Error::Aggregation {
            rule: self.name,
            problem,
        };
        check(updates).map_err(problem)?;
        let outcome = self.rule.aggregate(updates, inputs);
        if outcome.delta.iter().all(|value| value.is_finite()) {
            Ok(outcome)
        } else {
            Err(problem("the result has a value that is not finite".into()))
        }
    }
}

fn check(updates: &[Update<'_>]) -> Result<(), String> {
    let Some(first) = updates.first() else {
        return Err("no update to aggregate".into());
    };
    for (index, update) in updates.iter().enumerate() {
        if update.delta.len() != first.delta.len() {
            return Err(format!(
                "update {index} has {} values, the first has {}",
                update.delta.len(),
                first.delta.len()
            ));
        }
        if !update.delta.iter().all(|value| value.is_finite()) {
            return Err(format!("update {index} has a value that is not finite"));
        }
        if !(update.weight.is_finite() && update.weight >= 0.0) {
            return Err(format!("update {index} has weight {}", update.weight));
        }
    }
    match updates.iter().all(|update| update.weight == 0.0) {
        true => Err("every update has weight 0".into()),
        false => Ok(()),
    }
}

/// `sum_i weights[i] * updates[i]` in f64, in client order, rounded once.
pub(crate) fn weighted_sum(updates: &[Update<'_>], weights: &[f64]) -> Vec<f32> {
    let Some(first) = updates.first() else {
        return Vec::new();
    };
    (0..first.delta.len())
        .map(|coordinate| {
            updates
                .iter()
                .zip(weights)
                .map(|(update, weight)| weight * f64::from(update.delta[coordinate]))
                .sum::<f64>() as f32
        })
        .collect()
}

/// Squared Euclidean distances between all updates, `[n][n]`.
pub(crate) fn squared_distances(updates: &[Update<'_>]) -> Vec<Vec<f64>> {
    let n = updates.len();
    let mut distances = vec![vec![0.0; n]; n];
    for i in 0..n {
        for j in i + 1..n {
            let distance = updates[i]
                .delta
                .iter()
                .zip(updates[j].delta)
                .map(|(a, b)| {
                    let d = f64::from(*a) - f64::from(*b);
                    d * d
                })
                .sum::<f64>();
            distances[i][j] = distance;
            distances[j][i] = distance;
        }
    }
    distances
}

/// Equal weights over the chosen updates, 0 elsewhere.
pub(crate) fn uniform(n: usize, chosen: &[usize]) -> Vec<f64> {
    let mut weights = vec![0.0; n];
    for index in chosen {
        weights[*index] = 1.0 / chosen.len() as f64;
    }
    weights
}
