//! Krum, in the form of the paper's reference implementation and in its original form.
//!
//! Reference: k = n - m - 1, at least 1; the client whose k + 1 nearest (itself included, Euclidean
//! distance) have the smallest distance sum; the result is the mean of those k + 1.
//! Original (Blanchard et al. 2017): the client with the smallest sum of squared distances to its
//! n - m - 2 nearest others; the result is its update.

use super::definition::{Bound, Definition};
use super::{Inputs, Outcome, Rule, Update, squared_distances, uniform, weighted_sum};

/// Bound of Krum and of what builds on its scores (Blanchard et al. 2017, proposition 1).
pub(super) const BOUND: Bound = Bound {
    condition: "2f + 2 < n",
    holds: |_, n, f| f.saturating_mul(2).saturating_add(2) < n,
};

/// Definition of the rule.
pub const DEFINITION: Definition = Definition {
    name: "krum",
    title: "Krum",
    help: "mean of the tightest neighbourhood (the paper's reference variant of Krum)",
    // The first version had neighbourhoods of the client alone where n - m < 2: all sums were 0, and the
    // first client won.
    version: 2,
    earlier: &[|_| Box::new(Krum { least: 1 })],
    bound: Some(BOUND),
    parameters: &[],
    make: |_| Box::new(Krum { least: 2 }),
};

/// Definition of the rule in its original form.
pub const ORIGINAL: Definition = Definition {
    name: "krum-original",
    title: "original Krum",
    help: "the update nearest to its n - m - 2 nearest others (Blanchard et al. 2017)",
    version: 1,
    earlier: &[],
    bound: Some(BOUND),
    parameters: &[],
    make: |_| Box::new(KrumOriginal),
};

/// Krum as the paper's reference implementation has it.
pub struct Krum {
    /// Fewest updates of a neighbourhood, the client's own among them.
    least: usize,
}

/// Krum as its authors defined it.
pub struct KrumOriginal;

impl Rule for Krum {
    fn aggregate(&self, updates: &[Update<'_>], inputs: &Inputs) -> Outcome {
        let n = updates.len();
        let size = n.saturating_sub(inputs.expected_malicious).max(self.least);
        let distances = squared_distances(updates);
        let mut best: Option<(f64, Vec<usize>)> = None;
        for row in &distances {
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by(|a, b| row[*a].total_cmp(&row[*b]).then(a.cmp(b)));
            order.truncate(size);
            let sum: f64 = order.iter().map(|index| row[*index].sqrt()).sum();
            if best.as_ref().is_none_or(|(least, _)| sum < *least) {
                best = Some((sum, order));
            }
        }
        let chosen = best.map(|(_, order)| order).unwrap_or_default();
        let weights = uniform(n, &chosen);
        Outcome {
            delta: weighted_sum(updates, &weights),
            weights,
        }
    }
}

impl Rule for KrumOriginal {
    fn aggregate(&self, updates: &[Update<'_>], inputs: &Inputs) -> Outcome {
        let scores = scores(updates, inputs.expected_malicious);
        let chosen = ranked(&scores).into_iter().take(1).collect::<Vec<_>>();
        let weights = uniform(updates.len(), &chosen);
        Outcome {
            delta: weighted_sum(updates, &weights),
            weights,
        }
    }
}

/// Krum scores: the sum of squared distances to the n - m - 2 nearest others. Below one neighbour
/// the score would be empty, so at least one counts where there is one.
pub(crate) fn scores(updates: &[Update<'_>], malicious: usize) -> Vec<f64> {
    let n = updates.len();
    let neighbours = n.saturating_sub(malicious + 2).max(1);
    squared_distances(updates)
        .into_iter()
        .enumerate()
        .map(|(index, row)| {
            let mut others: Vec<f64> = row
                .into_iter()
                .enumerate()
                .filter(|(other, _)| *other != index)
                .map(|(_, distance)| distance)
                .collect();
            others.sort_by(f64::total_cmp);
            others.into_iter().take(neighbours).sum()
        })
        .collect()
}

/// Indices by ascending score, ties to the earlier client.
pub(crate) fn ranked(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(a.cmp(b)));
    order
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ONE, built, updates};
    use super::*;

    #[test]
    fn of_three_with_one_attacker_the_two_nearest_are_averaged() {
        let rows = [vec![0.0, 0.0], vec![9.0, 9.0], vec![1.0, 0.0]];
        let outcome = built("krum").aggregate(&updates(&rows), &ONE).unwrap();
        assert_eq!(outcome.weights, vec![0.5, 0.0, 0.5]);
        assert_eq!(outcome.delta, vec![0.5, 0.0]);
    }

    #[test]
    fn two_attackers_of_three_still_leave_a_neighbour() {
        let rows = [vec![9.0, 9.0], vec![0.0, 0.0], vec![1.0, 0.0]];
        let two = Inputs {
            expected_malicious: 2,
            ..ONE
        };
        let krum = DEFINITION.build(&Default::default());
        let outcome = krum.aggregate(&updates(&rows), &two).unwrap();
        assert_eq!(outcome.weights, vec![0.0, 0.5, 0.5]);
        // As it was: every client is its own neighbourhood, and the first one wins.
        let krum = DEFINITION.build_as(1, &Default::default());
        let outcome = krum.aggregate(&updates(&rows), &two).unwrap();
        assert_eq!(outcome.weights, vec![1.0, 0.0, 0.0]);
        // With one attacker there is no difference.
        let [first, now] = [1, 2].map(|version| {
            let krum = DEFINITION.build_as(version, &Default::default());
            krum.aggregate(&updates(&rows), &ONE).unwrap()
        });
        assert_eq!(first, now);
    }

    #[test]
    fn a_round_beyond_the_bound_is_warned_of() {
        let said = |n, f| DEFINITION.warning(&Default::default(), n, f);
        assert_eq!(said(5, 1), None);
        let text = said(4, 1).unwrap();
        for part in ["Krum needs 2f + 2 < n", "n = 4", "f = 1"] {
            assert!(text.contains(part), "{text} lacks {part}");
        }
    }

    #[test]
    fn original_takes_one_update_from_the_cluster() {
        let rows = [vec![0.0], vec![0.4], vec![0.5], vec![0.7], vec![9.0]];
        let outcome = KrumOriginal.aggregate(&updates(&rows), &ONE);
        // n - m - 2 = 2 neighbours: 0.4 scores 0.01 + 0.09, 0.5 scores 0.01 + 0.04.
        assert_eq!(outcome.delta, vec![0.5]);
    }

    #[test]
    fn fewer_updates_than_expected_attackers_still_give_one() {
        let rows = [vec![2.0]];
        let inputs = Inputs {
            expected_malicious: 3,
            ..ONE
        };
        for rule in [&Krum { least: 2 } as &dyn Rule, &KrumOriginal] {
            assert_eq!(rule.aggregate(&updates(&rows), &inputs).delta, vec![2.0]);
        }
    }
}
