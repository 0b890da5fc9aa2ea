//! Residual-based reweighting (IRLS; Fu et al. 2019), as the paper's reference runs it: per
//! coordinate a repeated-median line through the sorted values; a value far from the line loses
//! confidence, and the client with it.

use super::definition::{Definition, Parameter, Range, Takes};
use super::{Inputs, Outcome, Rule, Update, weighted_sum};

/// Coordinates per shard: confidences are scaled within a shard.
const SHARD: usize = 2_000;

/// Definition of the rule.
pub const DEFINITION: Definition = Definition {
    name: "residual",
    title: "residual",
    help: "clients whose values lie off the repeated-median line count less (IRLS)",
    version: 1,
    earlier: &[],
    bound: None,
    parameters: &[
        Parameter {
            key: "lambda",
            help: "a residual counts in full up to this times sqrt(2 / updates)",
            takes: Takes::Number {
                default: 2.0,
                range: Range::Positive,
            },
            flat: Some("residual_lambda"),
        },
        Parameter {
            key: "threshold",
            help: "values with a confidence below are put on the line",
            takes: Takes::Number {
                default: 0.05,
                range: Range::Share,
            },
            flat: Some("residual_threshold"),
        },
    ],
    make: |p| {
        Box::new(Residual {
            lambda: p.number("lambda"),
            threshold: p.number("threshold"),
        })
    },
};

/// Iteratively reweighted residuals.
pub struct Residual {
    /// A residual counts in full up to this times `sqrt(2 / updates)`.
    pub lambda: f64,
    /// Values with a confidence below are put on the line.
    pub threshold: f64,
}

impl Rule for Residual {
    fn aggregate(&self, updates: &[Update<'_>], _inputs: &Inputs) -> Outcome {
        let n = updates.len();
        let length = updates.first().map_or(0, |update| update.delta.len());
        if n < 3 || length == 0 {
            // A line through two points fits them exactly: there is no residual to judge by.
            let weights = vec![1.0 / n as f64; n];
            return Outcome {
                delta: weighted_sum(updates, &weights),
                weights,
            };
        }
        let mut values: Vec<Vec<f32>> = updates.iter().map(|u| u.delta.to_vec()).collect();
        let mut sums = vec![0.0f64; n];
        for start in (0..length).step_by(SHARD) {
            let end = (start + SHARD).min(length);
            shard(&mut values, start..end, self, &mut sums);
        }
        let top = sums.iter().copied().fold(0.0, f64::max);
        let raw: Vec<f64> = if top > 0.0 {
            sums.iter().map(|sum| (sum / top).powi(2)).collect()
        } else {
            vec![1.0; n]
        };
        let total: f64 = raw.iter().sum();
        let weights: Vec<f64> = raw.iter().map(|weight| weight / total).collect();
        let mended: Vec<Update<'_>> = values
            .iter()
            .zip(updates)
            .map(|(delta, update)| Update {
                delta,
                weight: update.weight,
            })
            .collect();
        Outcome {
            delta: weighted_sum(&mended, &weights),
            weights,
        }
    }
}

/// Works on the coordinates of one shard: puts values of low confidence on the line and adds each
/// client's confidence to `sums`.
fn shard(
    values: &mut [Vec<f32>],
    range: std::ops::Range<usize>,
    rule: &Residual,
    sums: &mut [f64],
) {
    let n = values.len();
    for coordinate in range {
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|a, b| {
            values[*a][coordinate]
                .total_cmp(&values[*b][coordinate])
                .then(a.cmp(b))
        });
        let sorted: Vec<f64> = order
            .iter()
            .map(|index| f64::from(values[*index][coordinate]))
            .collect();
        let (slope, intercept) = repeated_median(&sorted);
        let line: Vec<f64> = (0..n).map(|rank| slope * rank as f64 + intercept).collect();
        let residuals: Vec<f64> = sorted.iter().zip(&line).map(|(y, l)| y - l).collect();
        let confidence = confidences(&residuals, rule.lambda);
        for (rank, index) in order.iter().enumerate() {
            if confidence[rank] < rule.threshold {
                values[*index][coordinate] = line[rank] as f32;
            }
        }
        // By the weights' standard deviation: a coordinate on which all agree says nothing about
        // anybody.
        let mean = confidence.iter().sum::<f64>() / n as f64;
        let squares: f64 = confidence.iter().map(|c| (c - mean).powi(2)).sum();
        let spread = (squares / (n - 1) as f64).sqrt();
        for (rank, index) in order.iter().enumerate() {
            sums[*index] += confidence[rank] * spread;
        }
    }
}

/// The repeated-median line (Siegel 1982) through `(rank, value)`: slope, intercept.
fn repeated_median(values: &[f64]) -> (f64, f64) {
    let n = values.len();
    let slopes: Vec<f64> = (0..n)
        .map(|i| {
            median(
                (0..n)
                    .filter(|j| *j != i)
                    .map(|j| (values[j] - values[i]) / (j as f64 - i as f64))
                    .collect(),
            )
        })
        .collect();
    let slope = median(slopes);
    let intercept = median(
        values
            .iter()
            .enumerate()
            .map(|(rank, value)| value - slope * rank as f64)
            .collect(),
    );
    (slope, intercept)
}

/// Weights in [0, 1] from studentised residuals: `clip(bound / |e|)` with the bound
/// `lambda * sqrt(2 / n)` and the hat matrix of ranks `0..n`.
fn confidences(residuals: &[f64], lambda: f64) -> Vec<f64> {
    let n = residuals.len() as f64;
    // The smallest residual is left out: the line passes through a point or two exactly.
    let mut sizes: Vec<f64> = residuals.iter().map(|r| r.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let middle = median(sizes.into_iter().skip(1).collect());
    let scale = 1.4826 * (1.0 + 5.0 / (n - 1.0)) * middle + 1e-7;
    let mean = (n - 1.0) / 2.0;
    let spread: f64 = (0..residuals.len())
        .map(|rank| (rank as f64 - mean).powi(2))
        .sum();
    residuals
        .iter()
        .enumerate()
        .map(|(rank, residual)| {
            let leverage = 1.0 / n + (rank as f64 - mean).powi(2) / spread;
            let studentised = residual / scale / (1.0 - leverage).max(1e-6).sqrt();
            let bound = lambda * (2.0 / n).sqrt();
            if studentised.abs() <= bound {
                1.0
            } else {
                (bound / studentised.abs()).clamp(0.0, 1.0)
            }
        })
        .collect()
}

/// The median, the mean of the two middle values when their number is even.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ONE, built, cloud, updates};
    use super::*;

    #[test]
    fn a_worked_example() {
        // Slopes from 0: 1, 1, 3; from 1: 1, 1, 4; from 2: 1, 1, 7; from 9: 3, 4, 7. Their medians are 1, 1, 1 and
        // 4, so the line has slope 1; intercepts 0, 0, 0 and 6 make it start at 0. Only 9 has a residual: its
        // confidence is nearly 0, it is put on the line at 3, and its client counts for nothing.
        let rows = [0.0, 1.0, 2.0, 9.0].map(|value| vec![value]);
        let outcome = built("residual").aggregate(&updates(&rows), &ONE).unwrap();
        for (weight, expected) in outcome.weights.iter().zip([1.0, 1.0, 1.0, 0.0]) {
            assert!((weight - expected / 3.0).abs() < 1e-9, "{outcome:?}");
        }
        assert!((outcome.delta[0] - 1.0).abs() < 1e-6, "{outcome:?}");
    }

    #[test]
    fn the_outlier_loses_weight() {
        let mut rows = cloud(7, 500, 9);
        for value in &mut rows[4] {
            *value += 3.0;
        }
        let outcome = built("residual").aggregate(&updates(&rows), &ONE).unwrap();
        let others = (1.0 - outcome.weights[4]) / 6.0;
        assert!(outcome.weights[4] < others / 2.0, "{:?}", outcome.weights);
    }

    #[test]
    fn a_straight_line_is_found() {
        let (slope, intercept) = repeated_median(&[1.0, 3.0, 5.0, 7.0, 100.0]);
        assert_eq!((slope, intercept), (2.0, 1.0));
    }
}
