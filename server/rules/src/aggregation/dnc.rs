//! DnC, divide and conquer (Shejwalkar and Houmansadr 2021): sample coordinates, centre, take the
//! top right singular vector; the squared projection on it is the outlier score; drop the
//! `filter * m` highest; the mean of the updates that every iteration kept.

use fedseal_kernels::{distances, parallel};

use super::definition::{Definition, Parameter, Range, Takes};
use super::device::{Found, Near, Tensors};
use super::{DeviceForm, Inputs, Outcome, Rule, Update, chosen_sum, mean_on, uniform};
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
        let keep = self.keep(n, inputs);
        let mut kept = Kept::all(n);
        for iteration in 0..self.iterations.max(1) {
            let coordinates = self.sampled(updates, inputs, iteration);
            let rows = values_at(updates, &coordinates);
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            // The Gram matrix of the rows around their mean.
            let Scores { scores, .. } = Scores::of(&distances::centred_products(&rows));
            kept.only(lowest(&scores, keep));
        }
        let weights = uniform(n, &kept.chosen());
        Outcome {
            delta: chosen_sum(updates, &weights),
            weights,
        }
    }

    fn device_form(&self) -> Option<&dyn DeviceForm> {
        Some(self)
    }
}

impl DeviceForm for Dnc {
    fn aggregate_on(
        &self,
        updates: &[Update<'_>],
        inputs: &Inputs,
        device: &dyn Tensors,
    ) -> Found<Outcome> {
        let n = updates.len();
        let keep = self.keep(n, inputs);
        let mut kept = Kept::all(n);
        for iteration in 0..self.iterations.max(1) {
            let coordinates = self.sampled(updates, inputs, iteration);
            let rows = values_at(updates, &coordinates);
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let Some(Near { values, error }) = device.centred_products(&rows)? else {
                return Ok(None);
            };
            match Scores::of(&values).surely_lowest(keep, error) {
                Some(order) => kept.only(order),
                None => return Ok(None),
            }
        }
        mean_on(updates, &kept.chosen(), device)
    }
}

impl Dnc {
    /// Updates of `n` that an iteration keeps.
    fn keep(&self, n: usize, inputs: &Inputs) -> usize {
        let drop = (self.filter * inputs.expected_malicious as f64).round() as usize;
        n.saturating_sub(drop).max(1)
    }

    /// Coordinates of an iteration.
    fn sampled(&self, updates: &[Update<'_>], inputs: &Inputs, iteration: usize) -> Vec<usize> {
        let length = updates.first().map_or(0, |update| update.delta.len());
        let mut rng = sampling::rng("dnc", inputs.seed, &[&iteration.to_string()]);
        sampling::choose(&mut rng, length, self.coordinates)
    }
}

/// Updates that every iteration so far kept.
struct Kept {
    kept: Vec<bool>,
    last: Vec<usize>,
}

impl Kept {
    fn all(n: usize) -> Self {
        Kept {
            kept: vec![true; n],
            last: (0..n).collect(),
        }
    }

    /// An iteration keeps these.
    fn only(&mut self, order: Vec<usize>) {
        for (index, flag) in self.kept.iter_mut().enumerate() {
            *flag &= order.contains(&index);
        }
        self.last = order;
    }

    fn chosen(self) -> Vec<usize> {
        let Kept { kept, mut last } = self;
        let chosen: Vec<usize> = (0..kept.len()).filter(|index| kept[*index]).collect();
        if chosen.is_empty() {
            // The iterations disagreed about everyone: the last one decides alone.
            last.sort_unstable();
            return last;
        }
        chosen
    }
}

/// The updates with the lowest scores, `keep` of them; of equal ones the earlier.
fn lowest(scores: &[f64], keep: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(a.cmp(b)));
    order.truncate(keep);
    order
}

/// Squared projections of the centred updates on their top right singular vector. Worked out from
/// the Gram matrix of the rows (n x n): with `G = X X^T = U S^2 U^T`, row i projects to `s * u_i`.
struct Scores {
    /// A score an update.
    scores: Vec<f64>,
    /// The two largest eigenvalues.
    top: [f64; 2],
    /// Sum of all eigenvalues.
    trace: f64,
}

impl Scores {
    fn of(gram: &[Vec<f64>]) -> Self {
        let Top {
            value,
            vector,
            next,
        } = top_eigen(gram);
        let diagonal = gram.iter().enumerate().map(|(index, row)| row[index]);
        Scores {
            scores: vector.iter().map(|u| value * u * u).collect(),
            top: [value, next],
            trace: diagonal.sum(),
        }
    }

    /// As [`lowest`], where every entry of the Gram matrix may be off by a share of both rows' lengths. None
    /// where that could change who they are.
    ///
    /// Such errors have a norm of at most `error` times the trace. They move the largest eigenvalue by that
    /// much (Weyl), and its vector by an angle whose sine is that much of the gap below it (Davis and Kahan
    /// 1970).
    fn surely_lowest(&self, keep: usize, error: f64) -> Option<Vec<usize>> {
        let moved = error * self.trace;
        let [value, next] = self.top;
        let gap = value - next - moved;
        let most = match gap > 0.0 {
            true => moved + value * moved / gap,
            false => f64::INFINITY,
        };
        let order = lowest(&self.scores, self.scores.len());
        let below = keep.checked_sub(1).and_then(|last| order.get(last));
        let sure = match (below, order.get(keep)) {
            (Some(last), Some(next)) => self.scores[*last] + most < self.scores[*next] - most,
            _ => true,
        };
        sure.then(|| order.into_iter().take(keep).collect())
    }
}

/// The updates' values at these coordinates.
fn values_at(updates: &[Update<'_>], coordinates: &[usize]) -> Vec<Vec<f32>> {
    let mut all = vec![vec![0.0; coordinates.len()]; updates.len()];
    // Row by row: neighbours in a row come from memory together.
    parallel::for_parts(&mut all, 1, &|index, rows| {
        for (value, at) in rows.iter_mut().flatten().zip(coordinates) {
            *value = updates[index].delta[*at];
        }
    });
    all
}

/// The largest eigenvalue of a matrix with its unit vector.
struct Top {
    value: f64,
    vector: Vec<f64>,
    /// The eigenvalue below it; 0 where there is none.
    next: f64,
}

/// The largest eigenvalue of a symmetric positive semi-definite matrix and its unit vector, by
/// cyclic Jacobi rotations (the matrix is as small as the number of sampled clients).
fn top_eigen(matrix: &[Vec<f64>]) -> Top {
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
    let others = (0..n).filter(|index| *index != best);
    Top {
        value: a.get(best).map_or(0.0, |row| row[best]),
        vector: v.iter().map(|row| row[best]).collect(),
        next: others.fold(0.0, |most, index| a[index][index].max(most)),
    }
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
    fn an_error_that_could_change_who_is_kept_leaves_it_open() {
        // Eigenvalues 50 and 0; scores 9, 4, 1 and 36.
        let values = [-3.0, -2.0, -1.0, 6.0];
        let row = |a: &f64| values.iter().map(|b| a * b).collect();
        let gram: Vec<Vec<f64>> = values.iter().map(row).collect();
        let scores = Scores::of(&gram);
        assert_eq!(scores.surely_lowest(3, 1e-5), Some(vec![2, 1, 0]));
        assert_eq!(scores.surely_lowest(3, 0.2), None);
        // Between 9 and 4 there is less room than between 36 and 9.
        assert_eq!(scores.surely_lowest(2, 0.1), None);
        assert!(scores.surely_lowest(3, 0.1).is_some());
        assert_eq!(scores.surely_lowest(4, 10.0).map(|all| all.len()), Some(4));
        // Two equal eigenvalues: any direction in their plane is the first.
        let round = Scores::of(&[vec![1.0, 0.0], vec![0.0, 1.0]]);
        assert_eq!(round.surely_lowest(1, 1e-9), None);
    }

    #[test]
    fn eigenvalue_of_a_known_matrix() {
        let Top {
            value,
            vector,
            next,
        } = top_eigen(&[vec![2.0, 1.0], vec![1.0, 2.0]]);
        assert!((value - 3.0).abs() < 1e-12);
        assert!((next - 1.0).abs() < 1e-12);
        assert!((vector[0].abs() - 0.5f64.sqrt()).abs() < 1e-12);
        assert!((vector[0] - vector[1]).abs() < 1e-12);
    }
}
