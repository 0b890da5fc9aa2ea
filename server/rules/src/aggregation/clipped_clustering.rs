//! ClippedClustering (Li, Ngai and Voigt 2023, algorithm 2): shorten updates to the median length, part them
//! into two clusters by cosine distance (average linkage), and average the larger one.
//!
//! The source takes the median over all rounds so far, this rule that of the round. Where both clusters are
//! equally large neither is the larger, and all shortened updates count; the source takes the first one.

use fedseal_kernels::distances;

use super::definition::{Definition, HALF};
use super::lengths::{bound_of, lengths, shares, shortened};
use super::{Inputs, Outcome, Rule, Update, chosen_sum, rows};

/// Definition of the rule.
pub const DEFINITION: Definition = Definition {
    name: "clipped-clustering",
    title: "ClippedClustering",
    help: "mean of the larger of two clusters of shortened updates (Li et al. 2023)",
    version: 1,
    earlier: &[],
    bound: Some(HALF),
    parameters: &[],
    make: |_| Box::new(ClippedClustering),
};

/// The mean of the larger of two clusters.
pub struct ClippedClustering;

impl Rule for ClippedClustering {
    fn aggregate(&self, updates: &[Update<'_>], _inputs: &Inputs) -> Outcome {
        let n = updates.len();
        let lengths = lengths(updates);
        let bound = bound_of(0.0, &lengths);
        let (first, second) = two_clusters(&apart(updates, &lengths));
        let chosen = match first.len().cmp(&second.len()) {
            std::cmp::Ordering::Greater => first,
            std::cmp::Ordering::Less => second,
            std::cmp::Ordering::Equal => (0..n).collect(),
        };
        let mut factors = vec![0.0; n];
        for index in &chosen {
            factors[*index] = shortened(lengths[*index], bound) / chosen.len() as f64;
        }
        Outcome {
            delta: chosen_sum(updates, &factors),
            weights: shares(&factors),
        }
    }
}

/// Cosine distances, `[n][n]`. A zero update is as far from everybody as a right angle is.
fn apart(updates: &[Update<'_>], lengths: &[f64]) -> Vec<Vec<f64>> {
    let n = updates.len();
    let products = distances::products(&rows(updates));
    let mut apart = vec![vec![0.0; n]; n];
    for i in 0..n {
        for j in i + 1..n {
            let scale = lengths[i] * lengths[j];
            let cosine = match scale > 0.0 {
                true => products[i][j] / scale,
                false => 0.0,
            };
            apart[i][j] = 1.0 - cosine;
            apart[j][i] = apart[i][j];
        }
    }
    apart
}

/// Two clusters by average linkage: the two nearest are merged until two are left, of equally near ones those
/// with the earliest members. The second is empty where there is one member only.
fn two_clusters(apart: &[Vec<f64>]) -> (Vec<usize>, Vec<usize>) {
    let mut clusters: Vec<Vec<usize>> = (0..apart.len()).map(|index| vec![index]).collect();
    while clusters.len() > 2 {
        let mut nearest = (f64::INFINITY, 0, 1);
        for i in 0..clusters.len() {
            for j in i + 1..clusters.len() {
                let (first, second) = (&clusters[i], &clusters[j]);
                let between = first
                    .iter()
                    .flat_map(|a| second.iter().map(move |b| apart[*a][*b]));
                let mean = between.sum::<f64>() / (first.len() * second.len()) as f64;
                if mean < nearest.0 {
                    nearest = (mean, i, j);
                }
            }
        }
        let merged = clusters.remove(nearest.2);
        clusters[nearest.1].extend(merged);
    }
    let second = clusters.pop().unwrap_or_default();
    match clusters.pop() {
        Some(first) => (first, second),
        None => (second, Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ONE, updates};
    use super::*;

    #[test]
    fn a_worked_example() {
        // Lengths 1, 2, 5 and 3: the lower median is 2. Three point up, one down: [0, 1], [0, 2], [0, 2].
        let rows = [
            vec![0.0, 1.0],
            vec![0.0, 2.0],
            vec![0.0, -5.0],
            vec![0.0, 3.0],
        ];
        let outcome = ClippedClustering.aggregate(&updates(&rows), &ONE);
        assert!((outcome.delta[1] - 5.0 / 3.0).abs() < 1e-6, "{outcome:?}");
        assert_eq!(outcome.weights[2], 0.0);
    }

    #[test]
    fn equally_large_clusters_all_count() {
        let rows = [vec![1.0, 0.0], vec![0.0, 1.0]];
        let outcome = ClippedClustering.aggregate(&updates(&rows), &ONE);
        assert_eq!(outcome.delta, vec![0.5, 0.5]);
        let rows = [
            vec![1.0, 0.1],
            vec![1.0, 0.0],
            vec![-1.0, 0.1],
            vec![-1.0, 0.0],
        ];
        let outcome = ClippedClustering.aggregate(&updates(&rows), &ONE);
        assert!(
            outcome.weights.iter().all(|weight| *weight > 0.2),
            "{outcome:?}"
        );
    }

    #[test]
    fn zeros_are_in_nobodys_direction() {
        let rows = [
            vec![0.0, 0.0],
            vec![1.0, 0.0],
            vec![1.0, 0.0],
            vec![1.0, 0.0],
        ];
        let outcome = ClippedClustering.aggregate(&updates(&rows), &ONE);
        assert_eq!(outcome.weights[0], 0.0);
        assert_eq!(outcome.delta, vec![1.0, 0.0]);
    }
}
