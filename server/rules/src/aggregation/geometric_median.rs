//! The geometric median by the smoothed Weiszfeld algorithm (RFA; Pillutla, Kakade and Harchaoui 2022,
//! algorithm 2): `z = sum_i b_i x_i / sum_i b_i` with `b_i = a_i / max(nu, |z - x_i|)`, some times over.
//!
//! `a_i` is an update's share of the examples. The iteration starts at the global adapter, where the delta is
//! 0, as ByzFL's does: from the mean, which the code of RFA starts at, one large update pulls the start away.

use super::definition::{Definition, HALF, Parameter, Range, Takes};
use super::lengths::{distances, moved, shares};
use super::{Inputs, Outcome, Rule, Update};

/// Definition of the rule.
pub const DEFINITION: Definition = Definition {
    name: "geometric-median",
    title: "geometric median",
    help: "the point with the smallest sum of distances to the updates (RFA)",
    version: 1,
    earlier: &[],
    bound: Some(HALF),
    parameters: &[
        Parameter {
            key: "iterations",
            help: "steps of the smoothed Weiszfeld algorithm",
            takes: Takes::Whole {
                default: 3,
                least: 1,
                most: 1_000,
            },
            flat: None,
        },
        Parameter {
            key: "smoothing",
            help: "least distance that an update's weight is divided by",
            takes: Takes::Number {
                default: 1e-6,
                range: Range::Positive,
            },
            flat: None,
        },
    ],
    make: |p| {
        Box::new(GeometricMedian {
            iterations: p.whole("iterations"),
            smoothing: p.number("smoothing"),
        })
    },
};

/// The smoothed geometric median.
pub struct GeometricMedian {
    /// Steps of the algorithm.
    pub iterations: usize,
    /// Least distance that a weight is divided by.
    pub smoothing: f64,
}

impl Rule for GeometricMedian {
    fn aggregate(&self, updates: &[Update<'_>], _inputs: &Inputs) -> Outcome {
        let length = updates.first().map_or(0, |update| update.delta.len());
        let examples: Vec<f64> = updates.iter().map(|update| update.weight).collect();
        let examples = shares(&examples);
        let mut point = vec![0.0; length];
        let mut weights = examples.clone();
        for _ in 0..self.iterations {
            let apart = distances(updates, &point);
            let pull = |(share, apart): (&f64, f64)| share / apart.max(self.smoothing);
            let pulls: Vec<f64> = examples.iter().zip(apart).map(pull).collect();
            weights = shares(&pulls);
            point = moved(&point, 0.0, updates, &weights);
        }
        Outcome {
            delta: point.into_iter().map(|value| value as f32).collect(),
            weights,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ONE, updates};
    use super::*;

    #[test]
    fn a_worked_example() {
        // From 0: distances 1, 2 and 4, so weights in proportion to 1, 1/2 and 1/4: 4/7, 2/7, 1/7. The point
        // is (4 + 4 + 4) / 7 = 12/7, then distances 5/7, 2/7 and 16/7: weights to 1/5, 1/2, 1/16.
        let rule = |iterations| GeometricMedian {
            iterations,
            smoothing: 1e-6,
        };
        let rows = [vec![1.0], vec![2.0], vec![4.0]];
        let once = rule(1).aggregate(&updates(&rows), &ONE);
        assert!((once.delta[0] - 12.0 / 7.0).abs() < 1e-6);
        assert!((once.weights[0] - 4.0 / 7.0).abs() < 1e-12);
        let twice = rule(2).aggregate(&updates(&rows), &ONE);
        let expected = (0.2 + 2.0 * 0.5 + 4.0 / 16.0) / (0.2 + 0.5 + 1.0 / 16.0);
        assert!((f64::from(twice.delta[0]) - expected).abs() < 1e-6);
    }

    #[test]
    fn one_of_three_far_away_moves_it_little() {
        let rows = [vec![1.0, 0.0], vec![1.0, 0.1], vec![1e6, -1e6]];
        let rule = GeometricMedian {
            iterations: 20,
            smoothing: 1e-6,
        };
        let outcome = rule.aggregate(&updates(&rows), &ONE);
        assert!((outcome.delta[0] - 1.0).abs() < 0.1, "{outcome:?}");
    }
}
