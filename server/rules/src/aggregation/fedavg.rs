//! FedAvg: the mean weighted by the number of local examples (McMahan et al. 2017).

use super::definition::Definition;
use super::stream::Sum;
use super::{Inputs, Outcome, Rule, Update, weighted_sum};

/// Definition of the rule.
pub const DEFINITION: Definition = Definition {
    name: "fedavg",
    title: "FedAvg",
    help: "mean weighted by the number of examples",
    version: 1,
    earlier: &[],
    bound: None,
    parameters: &[],
    make: |_| Box::new(FedAvg),
};

/// The mean weighted by examples.
pub struct FedAvg;

impl Rule for FedAvg {
    fn aggregate(&self, updates: &[Update<'_>], _inputs: &Inputs) -> Outcome {
        let total: f64 = updates.iter().map(|update| update.weight).sum();
        let weights: Vec<f64> = updates.iter().map(|update| update.weight / total).collect();
        Outcome {
            delta: weighted_sum(updates, &weights),
            weights,
        }
    }

    fn sum(&self, weights: &[f64]) -> Option<Sum> {
        let total: f64 = weights.iter().sum();
        let shares: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
        Some(Sum {
            factor: Box::new(move |index, _| shares[index]),
            zero: -0.0,
            weights: <[f64]>::to_vec,
        })
    }

    fn shows_bad_values(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::ONE;
    use super::*;

    #[test]
    fn weights_are_shares_of_the_examples() {
        let outcome = FedAvg.aggregate(
            &[
                Update {
                    delta: &[1.0, 0.0],
                    weight: 300.0,
                },
                Update {
                    delta: &[0.0, 4.0],
                    weight: 100.0,
                },
            ],
            &ONE,
        );
        assert_eq!(outcome.weights, vec![0.75, 0.25]);
        assert_eq!(outcome.delta, vec![0.75, 1.0]);
    }
}
