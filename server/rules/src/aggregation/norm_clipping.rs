//! Norm clipping (Sun et al. 2019, section 4): the mean by examples of updates that are no longer than a
//! bound.

use super::definition::Definition;
use super::lengths::{BOUND, bound_of, distances, length, shares, shortened};
use super::stream::Sum;
use super::{Inputs, Outcome, Rule, Update, weighted_sum};

/// Definition of the rule.
pub const DEFINITION: Definition = Definition {
    name: "norm-clipping",
    title: "norm clipping",
    help: "mean by examples of updates that are shortened to a bound (Sun et al. 2019)",
    version: 1,
    earlier: &[],
    bound: None,
    parameters: &[BOUND],
    make: |p| {
        Box::new(NormClipping {
            bound: p.number("bound"),
        })
    },
};

/// The mean of shortened updates.
pub struct NormClipping {
    /// Largest length; 0: the median length of the round.
    pub bound: f64,
}

impl Rule for NormClipping {
    fn aggregate(&self, updates: &[Update<'_>], _inputs: &Inputs) -> Outcome {
        let lengths = distances(updates, &[]);
        let bound = bound_of(self.bound, &lengths);
        let examples: Vec<f64> = updates.iter().map(|update| update.weight).collect();
        let shared = shares(&examples).into_iter().zip(lengths);
        let factors: Vec<f64> = shared
            .map(|(share, length)| share * shortened(length, bound))
            .collect();
        Outcome {
            delta: weighted_sum(updates, &factors),
            weights: shares(&factors),
        }
    }

    fn sum(&self, weights: &[f64]) -> Option<Sum> {
        // The median length is known when all updates are.
        let bound = (self.bound > 0.0).then_some(self.bound)?;
        let examples = shares(weights);
        Some(Sum {
            factor: Box::new(move |index, values| {
                examples[index] * shortened(length(values), bound)
            }),
            zero: -0.0,
            weights: shares,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::ONE;
    use super::*;

    #[test]
    fn a_worked_example() {
        // Lengths 5, 1 and 10 with bound 5: the last counts half. Shares of the examples are 1/4, 1/4, 1/2.
        let rows: [&[f32]; 3] = [&[3.0, 4.0], &[0.0, 1.0], &[-10.0, 0.0]];
        let updates: Vec<Update<'_>> = rows
            .iter()
            .zip([10.0, 10.0, 20.0])
            .map(|(delta, weight)| Update { delta, weight })
            .collect();
        for bound in [0.0, 5.0] {
            let outcome = NormClipping { bound }.aggregate(&updates, &ONE);
            assert_eq!(outcome.delta, vec![0.75 - 2.5, 1.25]);
            assert_eq!(outcome.weights, vec![1.0 / 3.0; 3]);
        }
    }
}
