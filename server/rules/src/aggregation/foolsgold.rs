//! FoolsGold (Fung et al. 2020) without history, as the paper's reference runs it: clients whose
//! updates resemble another's count less.

use fedseal_kernels::distances;

use super::definition::Definition;
use super::lengths::lengths;
use super::{Inputs, Outcome, Rule, Update, rows, weighted_sum};

/// Definition of the rule.
pub const DEFINITION: Definition = Definition {
    name: "foolsgold",
    title: "FoolsGold",
    help: "updates that resemble another's count less (no history)",
    version: 1,
    earlier: &[],
    bound: None,
    parameters: &[],
    make: |_| Box::new(FoolsGold),
};

/// Down-weights updates by their cosine similarity to others.
pub struct FoolsGold;

impl Rule for FoolsGold {
    fn aggregate(&self, updates: &[Update<'_>], _inputs: &Inputs) -> Outcome {
        let raw = weights(updates);
        // The mean over clients with a non-zero weight: every counted update is scaled by its own
        // weight and divided by how many count.
        let counted = raw.iter().filter(|weight| **weight != 0.0).count();
        let scaled: Vec<f64> = if counted == 0 {
            // All are copies of each other: nobody stands out, so all count alike.
            vec![1.0 / updates.len() as f64; updates.len()]
        } else {
            raw.iter().map(|weight| weight / counted as f64).collect()
        };
        let total: f64 = scaled.iter().sum();
        Outcome {
            delta: weighted_sum(updates, &scaled),
            weights: scaled.iter().map(|weight| weight / total).collect(),
        }
    }
}

/// The weights in [0, 1] before the mean.
fn weights(updates: &[Update<'_>]) -> Vec<f64> {
    let n = updates.len();
    if n == 1 {
        return vec![1.0];
    }
    let products = distances::products(&rows(updates));
    let norms = lengths(updates);
    // Similarity of i to j, its own taken out (the reference subtracts the identity).
    let mut similar = vec![vec![0.0; n]; n];
    for i in 0..n {
        for j in 0..n {
            let scale = norms[i] * norms[j];
            if i != j && scale > 0.0 {
                similar[i][j] = products[i][j] / scale;
            }
        }
    }
    let most: Vec<f64> = similar
        .iter()
        .map(|row| row.iter().copied().fold(f64::NEG_INFINITY, f64::max))
        .collect();
    // Pardoning: a similarity counts less for the one who is less similar to anybody.
    for i in 0..n {
        for j in 0..n {
            if i != j && most[i] < most[j] {
                similar[i][j] *= most[i] / most[j];
            }
        }
    }
    let mut weights: Vec<f64> = similar
        .iter()
        .map(|row| {
            let highest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            (1.0 - highest).clamp(0.0, 1.0)
        })
        .collect();
    let top = weights.iter().copied().fold(0.0, f64::max);
    if top > 0.0 {
        for weight in &mut weights {
            *weight /= top;
            if *weight == 1.0 {
                *weight = 0.99;
            }
            *weight = if *weight <= 0.0 {
                0.0
            } else {
                ((*weight / (1.0 - *weight)).ln() + 0.5).clamp(0.0, 1.0)
            };
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ONE, updates};
    use super::*;

    #[test]
    fn a_worked_example() {
        // Cosines: 0.6 of the first two, 0 of the first and the third, -0.8 of the last two; most alike 0.6, 0.6
        // and 0. Pardoning takes the third's to 0. So 0.4, 0.4 and 1, which becomes 0.99; the logit of 0.4 and
        // 1/2 is 0.094535, that of 0.99 is cut at 1. Sums over the three that count, divided by three.
        let rows = [vec![1.0, 0.0], vec![0.6, 0.8], vec![0.0, -1.0]];
        let outcome = FoolsGold.aggregate(&updates(&rows), &ONE);
        let few = (0.4f64 / 0.6).ln() + 0.5;
        for (found, expected) in outcome.delta.iter().zip([1.6 * few, 0.8 * few - 1.0]) {
            assert!(
                (f64::from(*found) - expected / 3.0).abs() < 1e-6,
                "{outcome:?}"
            );
        }
        assert!(
            (outcome.weights[0] - few / (1.0 + 2.0 * few)).abs() < 1e-6,
            "{outcome:?}"
        );
    }

    #[test]
    fn two_copies_count_less_than_the_one_who_differs() {
        let rows = [
            vec![1.0, 0.0, 0.1],
            vec![1.0, 0.0, 0.1],
            vec![-0.1, 1.0, 0.0],
        ];
        let outcome = FoolsGold.aggregate(&updates(&rows), &ONE);
        assert!(outcome.weights[2] > 0.9, "{:?}", outcome.weights);
        assert_eq!(outcome.weights[0], outcome.weights[1]);
    }
}
