//! DnC, divide and conquer (Shejwalkar and Houmansadr 2021): sample coordinates, centre, take the
//! top right singular vector; the squared projection on it is the outlier score; drop the
//! `filter * m` highest; the mean of the updates that every iteration kept.

use super::definition::{Definition, Parameter, Range, Takes};
use super::{Inputs, Outcome, Rule, Update, uniform, weighted_sum};
use crate::sampling;

/// Definition of the rule.
pub const DEFINITION: Definition = Definition {
    name: "dnc",
    title: "DnC",
    help: "drops the updates that stand out along the top singular direction (DnC)",
    version: 1,
    earlier: &[],
    bound: None,
    parameters: &[
        Parameter {
            key: "iterations",
            help: "how often coordinates are sampled; an update counts that every iteration kept",
            takes: Takes::Whole {
                default: 1,
                least: 1,
                most: 1_000_000,
            },
            flat: Some("dnc_iterations"),
        },
        Parameter {
            key: "filter",
            help: "drops this times the expected attackers",
            takes: Takes::Number {
                default: 1.0,
                range: Range::NotNegative,
            },
            flat: Some("dnc_filter"),
        },
        Parameter {
            key: "coordinates",
            help: "sampled coordinates of an iteration",
            takes: Takes::Whole {
                default: 10_000,
                least: 1,
                most: u64::MAX,
            },
            flat: Some("dnc_coordinates"),
        },
    ],
    make: |p| {
        Box::new(Dnc {
            iterations: p.whole("iterations"),
            filter: p.number("filter"),
            coordinates: p.whole("coordinates"),
        })
    },
};

/// Spectral filtering of outliers.
pub struct Dnc {
    /// How often coordinates are sampled.
    pub iterations: usize,
    /// Drops this times the expected attackers.
    pub filter: f64,
    /// Sampled coordinates of an iteration.
    pub coordinates: usize,
}

impl Rule for Dnc {
    fn aggregate(&self, updates: &[Update<'_>], inputs: &Inputs) -> Outcome {
        let n = updates.len();
        let length = updates.first().map_or(0, |update| update.delta.len());
        let drop = (self.filter * inputs.expected_malicious as f64).round() as usize;
        let keep = n.saturating_sub(drop).max(1);
        let mut kept = vec![true; n];
        let mut last: Vec<usize> = (0..n).collect();
        for iteration in 0..self.iterations.max(1) {
            let mut rng = sampling::rng("dnc", inputs.seed, &[&iteration.to_string()]);
            let coordinates = sampling::choose(&mut rng, length, self.coordinates);
            let scores = outlier_scores(updates, &coordinates);
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(a.cmp(b)));
            order.truncate(keep);
            for (index, flag) in kept.iter_mut().enumerate() {
                *flag &= order.contains(&index);
            }
            last = order;
        }
        let mut chosen: Vec<usize> = (0..n).filter(|index| kept[*index]).collect();
        if chosen.is_empty() {
            // The iterations disagreed about everyone: the last one decides alone.
            chosen = last;
            chosen.sort_unstable();
        }
        let weights = uniform(n, &chosen);
        Outcome {
            delta: weighted_sum(updates, &weights),
            weights,
        }
    }
}

/// Squared projections of the centred updates on their top right singular vector. Worked out from
/// the Gram matrix of the rows (n x n): with `G = X X^T = U S^2 U^T`, row i projects to `s * u_i`.
fn outlier_scores(updates: &[Update<'_>], coordinates: &[usize]) -> Vec<f64> {
    let n = updates.len();
    let mut gram = vec![vec![0.0f64; n]; n];
    for coordinate in coordinates {
        let values: Vec<f64> = updates
            .iter()
            .map(|update| f64::from(update.delta[*coordinate]))
            .collect();
        let mean = values.iter().sum::<f64>() / n as f64;
        for i in 0..n {
            for j in 0..=i {
                gram[i][j] += (values[i] - mean) * (values[j] - mean);
            }
        }
    }
    for i in 0..n {
        for j in i + 1..n {
            gram[i][j] = gram[j][i];
        }
    }
    let (value, vector) = top_eigen(&gram);
    vector.iter().map(|u| value * u * u).collect()
}

/// The largest eigenvalue of a symmetric positive semi-definite matrix and its unit vector, by
/// cyclic Jacobi rotations (the matrix is as small as the number of sampled clients).
fn top_eigen(matrix: &[Vec<f64>]) -> (f64, Vec<f64>) {
    let n = matrix.len();
    let mut a: Vec<Vec<f64>> = matrix.to_vec();
    let mut v = vec![vec![0.0; n]; n];
    for (i, row) in v.iter_mut().enumerate() {
        row[i] = 1.0;
    }
    for _ in 0..60 {
        let off: f64 = (0..n)
            .flat_map(|i| (0..n).filter(move |j| *j != i).map(move |j| (i, j)))
            .map(|(i, j)| a[i][j] * a[i][j])
            .sum();
        if off == 0.0 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q] == 0.0 {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let t = if theta == 0.0 { 1.0 } else { t };
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for row in a.iter_mut() {
                    let (x, y) = (row[p], row[q]);
                    row[p] = c * x - s * y;
                    row[q] = s * x + c * y;
                }
                // p < q: the two rows lie on either side of the split.
                let (upper, lower) = a.split_at_mut(q);
                for (x, y) in upper[p].iter_mut().zip(lower[0].iter_mut()) {
                    (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
                }
                for row in v.iter_mut() {
                    let (x, y) = (row[p], row[q]);
                    row[p] = c * x - s * y;
                    row[q] = s * x + c * y;
                }
            }
        }
    }
    let best = (0..n)
        .max_by(|x, y| a[*x][*x].total_cmp(&a[*y][*y]).then(y.cmp(x)))
        .unwrap_or_default();
    (
        a.get(best).map_or(0.0, |row| row[best]),
        v.iter().map(|row| row[best]).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ONE, built, cloud, updates};
    use super::*;

    #[test]
    fn the_update_in_another_direction_is_dropped() {
        let mut rows = cloud(5, 300, 4);
        for (j, value) in rows[2].iter_mut().enumerate() {
            *value += if j % 2 == 0 { 0.5 } else { -0.5 };
        }
        let outcome = built("dnc").aggregate(&updates(&rows), &ONE).unwrap();
        assert_eq!(outcome.weights[2], 0.0);
        assert_eq!(outcome.weights[0], 0.25);
    }

    #[test]
    fn a_worked_example() {
        // Mean 3: the centred values -3, -2, -1 and 6 are the projections, so 6 goes.
        let rows = [0.0, 1.0, 2.0, 9.0].map(|value| vec![value]);
        let outcome = built("dnc").aggregate(&updates(&rows), &ONE).unwrap();
        let third = 1.0 / 3.0;
        assert_eq!(outcome.weights, [third, third, third, 0.0]);
        assert_eq!(outcome.delta, [1.0]);
    }

    #[test]
    fn eigenvalue_of_a_known_matrix() {
        let (value, vector) = top_eigen(&[vec![2.0, 1.0], vec![1.0, 2.0]]);
        assert!((value - 3.0).abs() < 1e-12);
        assert!((vector[0].abs() - 0.5f64.sqrt()).abs() < 1e-12);
        assert!((vector[0] - vector[1]).abs() < 1e-12);
    }
}
