//! Centred clipping (Karimireddy, He and Jaggi 2021, equation CCLIP):
//! `v = v + mean_i((x_i - v) * min(1, bound / |x_i - v|))`, some times over.
//!
//! It starts at the global adapter, where the delta is 0; the source starts at the round's before, with
//! momentum in the clients, which adapters that are trained anew in each round do not have.

use super::definition::{Bound, Definition, Parameter, Takes};
use super::lengths::{BOUND, bound_of, distances, length, moved, shares, shortened};
use super::stream::Sum;
use super::{Inputs, Outcome, Rule, Update};

/// Definition of the rule.
pub const DEFINITION: Definition = Definition {
    name: "centred-clipping",
    title: "centred clipping",
    help: "mean of the updates, each at most so far from the centre (Karimireddy et al. 2021)",
    version: 1,
    earlier: &[],
    bound: Some(Bound {
        condition: "10f <= n",
        holds: |_, n, f| f.saturating_mul(10) <= n,
    }),
    parameters: &[
        Parameter {
            key: "iterations",
            help: "how often the centre moves",
            takes: Takes::Whole {
                default: 1,
                least: 1,
                most: 1_000,
            },
            flat: None,
        },
        BOUND,
    ],
    make: |p| {
        Box::new(CentredClipping {
            iterations: p.whole("iterations"),
            bound: p.number("bound"),
        })
    },
};

/// The mean of updates that are clipped around a moving centre.
pub struct CentredClipping {
    /// How often the centre moves.
    pub iterations: usize,
    /// Largest distance from it; 0: the median length of the round.
    pub bound: f64,
}

impl Rule for CentredClipping {
    fn aggregate(&self, updates: &[Update<'_>], _inputs: &Inputs) -> Outcome {
        let n = updates.len() as f64;
        let length = updates.first().map_or(0, |update| update.delta.len());
        let mut centre = vec![0.0; length];
        let mut bound = self.bound;
        // How much of each update the centre is made of.
        let mut parts = vec![0.0; updates.len()];
        for _ in 0..self.iterations {
            let apart = distances(updates, &centre);
            // The first distances are the lengths.
            bound = bound_of(bound, &apart);
            let factor = |apart: f64| shortened(apart, bound) / n;
            let factors: Vec<f64> = apart.into_iter().map(factor).collect();
            let keep = 1.0 - factors.iter().sum::<f64>();
            centre = moved(&centre, keep, updates, &factors);
            for (part, factor) in parts.iter_mut().zip(factors) {
                *part = keep * *part + factor;
            }
        }
        Outcome {
            delta: centre.into_iter().map(|value| value as f32).collect(),
            weights: shares(&parts),
        }
    }

    fn sum(&self, weights: &[f64]) -> Option<Sum> {
        // A centre that moves twice needs every update twice.
        let bound = (self.bound > 0.0 && self.iterations == 1).then_some(self.bound)?;
        let n = weights.len() as f64;
        Some(Sum {
            factor: Box::new(move |_, values| shortened(length(values), bound) / n),
            zero: 0.0,
            weights: shares,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ONE, updates};
    use super::*;

    #[test]
    fn a_worked_example() {
        // Bound 2 around 0: 1, -1 and 8 count as 1, -1 and 2; the mean is 2/3. Around it -1 is 5/3 away, and
        // 8, 22/3 away, counts as 2 away: 2/3 + (1/3 - 5/3 + 2) / 3 = 8/9.
        let rows = [vec![1.0], vec![-1.0], vec![8.0]];
        for (iterations, expected) in [(1, 2.0 / 3.0), (2, 8.0 / 9.0)] {
            let rule = CentredClipping {
                iterations,
                bound: 2.0,
            };
            let outcome = rule.aggregate(&updates(&rows), &ONE);
            assert!(
                (f64::from(outcome.delta[0]) - expected).abs() < 1e-6,
                "{outcome:?}"
            );
        }
    }

    #[test]
    fn without_a_bound_the_median_length_is_it() {
        let rows = [vec![1.0], vec![2.0], vec![60.0]];
        let rule = CentredClipping {
            iterations: 1,
            bound: 0.0,
        };
        let outcome = rule.aggregate(&updates(&rows), &ONE);
        assert!((outcome.delta[0] - 5.0 / 3.0).abs() < 1e-6, "{outcome:?}");
    }
}
