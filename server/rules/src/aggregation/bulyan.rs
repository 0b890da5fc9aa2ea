//! Bulyan (El Mhamdi et al. 2018, algorithm 2): choose `n - 2f` updates one after another by Krum among those
//! that are left, then average in each coordinate the `n - 4f` chosen values nearest to their median.

use std::sync::{Mutex, PoisonError};

use fedseal_kernels::{distances, parallel};

use super::definition::{Bound, Definition};
use super::krum::scores;
use super::{Inputs, Outcome, Rule, Update, rows};

/// Definition of the rule.
pub const DEFINITION: Definition = Definition {
    name: "bulyan",
    title: "Bulyan",
    help: "Krum's choice of n - 2f updates, then a mean around the median (El Mhamdi et al. 2018)",
    version: 1,
    earlier: &[],
    bound: Some(Bound {
        condition: "n >= 4f + 3",
        holds: |_, n, f| f.saturating_mul(4).saturating_add(3) <= n,
    }),
    parameters: &[],
    make: |_| Box::new(Bulyan),
};

/// Coordinates that one thread works on at a time.
const PART: usize = 1024;

/// Krum's choice, then a mean around the median.
pub struct Bulyan;

impl Rule for Bulyan {
    fn aggregate(&self, updates: &[Update<'_>], inputs: &Inputs) -> Outcome {
        let n = updates.len();
        let f = inputs.expected_malicious;
        // Below its bound something must be left: at least one update, and one value of it.
        let keep = n.saturating_sub(f.saturating_mul(2)).max(1);
        let near = n.saturating_sub(f.saturating_mul(4)).max(1);
        let chosen = chosen(&distances::exact(&rows(updates)), f, keep);
        let length = updates.first().map_or(0, |update| update.delta.len());
        let near = near.min(chosen.len());
        let mut delta = vec![0.0; length];
        let all = Mutex::new(vec![0_usize; n]);
        parallel::for_parts(&mut delta, PART, &|part, delta| {
            let mut counted = vec![0_usize; n];
            let mut order = chosen.clone();
            for (at, result) in delta.iter_mut().enumerate() {
                let value = |index: usize| f64::from(updates[index].delta[part * PART + at]);
                let (low, high) = (order.len().saturating_sub(1) / 2, order.len() / 2);
                order.sort_unstable_by(|a, b| value(*a).total_cmp(&value(*b)).then(a.cmp(b)));
                let median = f64::midpoint(value(order[low]), value(order[high]));
                let apart = |index: usize| (value(index) - median).abs();
                order.sort_unstable_by(|a, b| apart(*a).total_cmp(&apart(*b)).then(a.cmp(b)));
                // Of values that are equally near, the earlier client's counts. The sum runs in client order.
                let nearest = &mut order[..near];
                nearest.sort_unstable();
                nearest.iter().for_each(|index| counted[*index] += 1);
                let sum: f64 = nearest.iter().map(|index| value(*index)).sum();
                *result = (sum / near as f64) as f32;
            }
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            for (all, counted) in all.iter_mut().zip(counted) {
                *all += counted;
            }
        });
        let counted = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        let total: usize = counted.iter().sum();
        let share = |count: usize| match total {
            0 => 1.0 / n as f64,
            total => count as f64 / total as f64,
        };
        Outcome {
            delta,
            weights: counted.into_iter().map(share).collect(),
        }
    }
}

/// The updates that Krum takes one after another from those that are left, ascending.
fn chosen(distances: &[Vec<f64>], malicious: usize, keep: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..distances.len()).collect();
    let mut chosen = Vec::new();
    while chosen.len() < keep && !left.is_empty() {
        let row = |i: &usize| left.iter().map(|j| distances[*i][*j]).collect::<Vec<f64>>();
        let among: Vec<Vec<f64>> = left.iter().map(row).collect();
        let scores = scores(&among, malicious);
        let mut best = 0;
        for (index, score) in scores.iter().enumerate() {
            if *score < scores[best] {
                best = index;
            }
        }
        chosen.push(left.remove(best));
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ONE, updates};
    use super::*;

    #[test]
    fn a_worked_example() {
        // n = 7, f = 1: 5 are chosen, 3 values count. Scores over 4 neighbours take 0, 1, -1, 2 and -2 before
        // 10 and 90; the three nearest to their median 0 are -1, 0 and 1.
        let rows = [0.0, 1.0, -1.0, 2.0, -2.0, 10.0, 90.0].map(|value| vec![value]);
        let outcome = Bulyan.aggregate(&updates(&rows), &ONE);
        assert_eq!(outcome.delta, vec![0.0]);
        let third = 1.0 / 3.0;
        assert_eq!(
            outcome.weights,
            vec![third, third, third, 0.0, 0.0, 0.0, 0.0]
        );
    }

    #[test]
    fn equal_coordinates_have_equal_results_in_every_part() {
        let few =
            [0.0, 1.0, -1.0, 2.0, -2.0, 10.0, 90.0].map(|value| vec![value, 2.0 * value, 1.0]);
        let many = few.clone().map(|row| row.repeat(PART));
        let [few, many] = [few, many].map(|rows| Bulyan.aggregate(&updates(&rows), &ONE));
        assert_eq!(many.delta, few.delta.repeat(PART));
        assert_eq!(many.weights, few.weights);
    }

    #[test]
    fn below_its_bound_one_is_left() {
        let rows = [vec![1.0], vec![2.0]];
        let outcome = Bulyan.aggregate(&updates(&rows), &ONE);
        assert_eq!(outcome.delta, vec![1.0]);
    }
}
