//! The coordinate-wise median: the lower of the two middle values when their number is even, as
//! `torch.median` has it (PAPER, "Baseline aggregation rules").

use super::definition::{Definition, HALF};
use super::{Inputs, Outcome, Rule, Update};

/// Definition of the rule.
pub const DEFINITION: Definition = Definition {
    name: "median",
    title: "median",
    help: "coordinate-wise median, the lower of two middle values",
    version: 1,
    earlier: &[],
    bound: Some(HALF),
    parameters: &[],
    make: |_| Box::new(Median),
};

/// The coordinate-wise (lower) median.
pub struct Median;

impl Rule for Median {
    fn aggregate(&self, updates: &[Update<'_>], _inputs: &Inputs) -> Outcome {
        let n = updates.len();
        let length = updates.first().map_or(0, |update| update.delta.len());
        let middle = n.saturating_sub(1) / 2;
        let mut decided = vec![0usize; n];
        let mut order: Vec<usize> = (0..n).collect();
        let delta = (0..length)
            .map(|coordinate| {
                let value = |index: usize| updates[index].delta[coordinate];
                // Ties go to the earlier client, so that who "decided" is a function of the input.
                order.sort_by(|a, b| value(*a).total_cmp(&value(*b)).then(a.cmp(b)));
                let chosen = order[middle];
                decided[chosen] += 1;
                value(chosen)
            })
            .collect();
        let weights = if length == 0 {
            vec![1.0 / n as f64; n]
        } else {
            decided
                .iter()
                .map(|count| *count as f64 / length as f64)
                .collect()
        };
        Outcome { delta, weights }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ONE, updates};
    use super::*;

    #[test]
    fn odd_takes_the_middle_even_takes_the_lower_of_two() {
        let rows = [vec![3.0, -1.0], vec![1.0, 5.0], vec![2.0, 0.0]];
        let outcome = Median.aggregate(&updates(&rows), &ONE);
        assert_eq!(outcome.delta, vec![2.0, 0.0]);
        assert_eq!(outcome.weights, vec![0.0, 0.0, 1.0]);
        let rows = [vec![4.0], vec![1.0], vec![3.0], vec![2.0]];
        let outcome = Median.aggregate(&updates(&rows), &ONE);
        assert_eq!(outcome.delta, vec![2.0]);
    }
}
