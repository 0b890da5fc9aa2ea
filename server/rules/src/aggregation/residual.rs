//! Residual-based reweighting (IRLS; Fu et al. 2019), as the paper's reference runs it: per
//! coordinate a repeated-median line through the sorted values; a value far from the line loses
//! confidence, and the client with it.

use fedseal_kernels::parallel;

use super::definition::{Definition, Parameter, Range, Takes};
use super::{Inputs, Outcome, Rule, Update, weighted_sum};

/// Places of clients in coordinates that are worked out before they are added.
const TOGETHER: usize = 1 << 20;

/// Coordinates that one thread works on at a time.
const PART: usize = 256;

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
        let columns = (TOGETHER / n).max(1);
        // A coordinate after another, with a place a client.
        let mut places = vec![Place::default(); n * columns.min(length)];
        for start in (0..length).step_by(columns) {
            let end = (start + columns).min(length);
            let places = &mut places[..n * (end - start)];
            parallel::for_parts(places, n * PART, &|part, places| {
                let mut line = Line::default();
                for (at, places) in places.chunks_mut(n).enumerate() {
                    let column = start + part * PART + at;
                    line.sorted(updates, column);
                    line.weigh(self, places);
                }
            });
            // Confidences are added in the order of coordinates.
            for (column, places) in (start..end).zip(places.chunks(n)) {
                for ((place, values), sum) in places.iter().zip(&mut values).zip(&mut sums) {
                    *sum += place.confidence;
                    if let Some(value) = place.value {
                        values[column] = value;
                    }
                }
            }
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

/// A client's part in a coordinate.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// Its confidence, weighed by the spread of all.
    confidence: f64,
    /// Its value on the line, where it is put there.
    value: Option<f32>,
}

/// The line through a coordinate's sorted values, and memory for the next one's.
#[derive(Default)]
struct Line {
    /// Clients by their values.
    order: Vec<usize>,
    /// The values.
    values: Vec<f64>,
    /// Distances from the line.
    residuals: Vec<f64>,
    /// Confidences in [0, 1].
    confidences: Vec<f64>,
    slopes: Vec<f64>,
    scratch: Vec<f64>,
}

impl Line {
    /// Takes the values of a coordinate, from the lowest, of equal ones the first client's.
    fn sorted(&mut self, updates: &[Update<'_>], column: usize) {
        self.order.clear();
        self.order.extend(0..updates.len());
        let value = |index: usize| updates[index].delta[column];
        self.order
            .sort_unstable_by(|a, b| value(*a).total_cmp(&value(*b)).then(a.cmp(b)));
        let values = self.order.iter().map(|index| f64::from(value(*index)));
        self.values.clear();
        self.values.extend(values);
    }

    /// Works out every client's confidence, and the values of low confidence on the line.
    fn weigh(&mut self, rule: &Residual, places: &mut [Place]) {
        let n = self.values.len();
        let (slope, intercept) = self.repeated_median();
        let line = |rank: usize| slope * rank as f64 + intercept;
        let residuals = self.values.iter().enumerate();
        let residuals = residuals.map(|(rank, value)| value - line(rank));
        self.residuals.clear();
        self.residuals.extend(residuals);
        self.believe(rule.lambda);
        // By the confidences' standard deviation: a coordinate on which all agree says nothing about anybody.
        let mean = self.confidences.iter().sum::<f64>() / n as f64;
        let squares = self.confidences.iter().map(|c| (c - mean).powi(2));
        let spread = (squares.sum::<f64>() / (n - 1) as f64).sqrt();
        for (rank, index) in self.order.iter().enumerate() {
            let confidence = self.confidences[rank];
            places[*index] = Place {
                confidence: confidence * spread,
                value: (confidence < rule.threshold).then(|| line(rank) as f32),
            };
        }
    }

    /// The repeated-median line (Siegel 1982) through `(rank, value)`: slope, intercept.
    fn repeated_median(&mut self) -> (f64, f64) {
        let values = &self.values;
        self.slopes.clear();
        for (i, own) in values.iter().enumerate() {
            let others = values.iter().enumerate().filter(|(j, _)| *j != i);
            let slopes = others.map(|(j, other)| (other - own) / (j as f64 - i as f64));
            self.scratch.clear();
            self.scratch.extend(slopes);
            self.slopes.push(median(&mut self.scratch));
        }
        let slope = median(&mut self.slopes);
        let intercepts = values.iter().enumerate();
        let intercepts = intercepts.map(|(rank, value)| value - slope * rank as f64);
        self.scratch.clear();
        self.scratch.extend(intercepts);
        (slope, median(&mut self.scratch))
    }

    /// Confidences in [0, 1] from studentised residuals: `clip(bound / |e|)` with the bound
    /// `lambda * sqrt(2 / n)` and the hat matrix of ranks `0..n`.
    fn believe(&mut self, lambda: f64) {
        let count = self.residuals.len();
        let n = count as f64;
        self.scratch.clear();
        self.scratch.extend(self.residuals.iter().map(|r| r.abs()));
        self.scratch.sort_unstable_by(f64::total_cmp);
        // The smallest residual is left out: the line passes through a point or two exactly.
        let middle = median(self.scratch.get_mut(1..).unwrap_or_default());
        let scale = 1.4826 * (1.0 + 5.0 / (n - 1.0)) * middle + 1e-7;
        let mean = (n - 1.0) / 2.0;
        let spread: f64 = (0..count).map(|rank| (rank as f64 - mean).powi(2)).sum();
        let bound = lambda * (2.0 / n).sqrt();
        let confidences = self.residuals.iter().enumerate().map(|(rank, residual)| {
            let leverage = 1.0 / n + (rank as f64 - mean).powi(2) / spread;
            let studentised = residual / scale / (1.0 - leverage).max(1e-6).sqrt();
            match studentised.abs() <= bound {
                true => 1.0,
                false => (bound / studentised.abs()).clamp(0.0, 1.0),
            }
        });
        self.confidences.clear();
        self.confidences.extend(confidences);
    }
}

/// The median, the mean of the two middle values when their number is even.
fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
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
    fn parts_change_no_bit() {
        // More coordinates than one thread takes at a time, ties among them.
        let mut rows = cloud(5, 3 * PART + 9, 11);
        for row in &mut rows {
            row.iter_mut()
                .step_by(7)
                .for_each(|value| *value = (*value * 4.0).round());
        }
        let rule = Residual {
            lambda: 2.0,
            threshold: 0.05,
        };
        let updates = updates(&rows);
        let outcome = rule.aggregate(&updates, &ONE);
        let (mut line, mut sums) = (Line::default(), [0.0_f64; 5]);
        for column in 0..rows[0].len() {
            let mut places = [Place::default(); 5];
            line.sorted(&updates, column);
            line.weigh(&rule, &mut places);
            for (sum, place) in sums.iter_mut().zip(places) {
                *sum += place.confidence;
            }
        }
        let top = sums.iter().copied().fold(0.0, f64::max);
        let raw = sums.map(|sum| (sum / top).powi(2));
        let total: f64 = raw.iter().sum();
        assert_eq!(outcome.weights, raw.map(|weight| weight / total));
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
        let mut line = Line {
            values: vec![1.0, 3.0, 5.0, 7.0, 100.0],
            ..Line::default()
        };
        assert_eq!(line.repeated_median(), (2.0, 1.0));
    }
}
