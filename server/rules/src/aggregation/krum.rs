//! Krum, in the form of the paper's reference implementation and in its original form.
//!
//! Reference: k = n - m - 1, at least 1; the client whose k + 1 nearest (itself included, Euclidean
//! distance) have the smallest distance sum; the result is the mean of those k + 1.
//! Original (Blanchard et al. 2017): the client with the smallest sum of squared distances to its
//! n - m - 2 nearest others; the result is its update.

use super::definition::{Bound, Definition};
use super::device::{Found, Near, Tensors};
use super::nearest::{decide, surely_less};
use super::{DeviceForm, Inputs, Outcome, Rule, Update, chosen_sum, mean_on, rows, uniform};

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
        let size = self.size(updates, inputs);
        mean_of(
            updates,
            decide(updates, |distances, error| tightest(distances, size, error)),
        )
    }

    fn device_form(&self) -> Option<&dyn DeviceForm> {
        Some(self)
    }

    fn shows_bad_values(&self) -> bool {
        true
    }
}

impl Krum {
    /// Updates of a neighbourhood.
    fn size(&self, updates: &[Update<'_>], inputs: &Inputs) -> usize {
        let honest = updates.len().saturating_sub(inputs.expected_malicious);
        honest.max(self.least)
    }
}

impl DeviceForm for Krum {
    fn aggregate_on(
        &self,
        updates: &[Update<'_>],
        inputs: &Inputs,
        device: &dyn Tensors,
    ) -> Found<Outcome> {
        let Some(Near { values, error }) = device.distances(&rows(updates))? else {
            return Ok(None);
        };
        match tightest(&values, self.size(updates, inputs), error) {
            Some(chosen) => mean_on(updates, &chosen, device),
            None => Ok(None),
        }
    }
}

impl Rule for KrumOriginal {
    fn aggregate(&self, updates: &[Update<'_>], inputs: &Inputs) -> Outcome {
        mean_of(updates, best(updates, inputs.expected_malicious, 1))
    }

    fn shows_bad_values(&self) -> bool {
        true
    }
}

/// The mean of chosen updates. None were chosen where a value is not finite, which the result shows.
pub(crate) fn mean_of(updates: &[Update<'_>], chosen: Option<Vec<usize>>) -> Outcome {
    let Some(chosen) = chosen else {
        let length = updates.first().map_or(0, |update| update.delta.len());
        return Outcome {
            delta: vec![f32::NAN; length],
            weights: vec![0.0; updates.len()],
        };
    };
    let weights = uniform(updates.len(), &chosen);
    Outcome {
        delta: chosen_sum(updates, &weights),
        weights,
    }
}

/// The tightest group: each update has one with its `size` nearest, itself among them, and the group with the
/// smallest sum of distances counts, the first of equal ones. None where an error of the distances could change that.
fn tightest(distances: &[Vec<f64>], size: usize, error: f64) -> Option<Vec<usize>> {
    struct Around {
        sum: f64,
        /// Who is near.
        near: Vec<usize>,
        /// Whether they are whatever the error.
        sure: bool,
    }
    let around = |row: &Vec<f64>| {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|a, b| row[*a].total_cmp(&row[*b]).then(a.cmp(b)));
        let next = order.get(size).map(|next| row[*next]);
        order.truncate(size);
        let last = order.last().map_or(0.0, |last| row[*last]);
        Around {
            sum: order.iter().map(|index| row[*index].sqrt()).sum(),
            sure: next.is_none_or(|next| surely_less(last, next, error)),
            near: order,
        }
    };
    let mut all: Vec<Around> = distances.iter().map(around).collect();
    let mut best = 0;
    for (index, one) in all.iter().enumerate() {
        if one.sum < all[best].sum {
            best = index;
        }
    }
    if error > 0.0 {
        all.iter_mut().for_each(|one| one.near.sort_unstable());
        let winner = &all[best];
        let same = |one: &Around| one.sure && one.near == winner.near;
        // A root has half the error of its square, and a share of the error more.
        let half = error / 2.0 * (1.0 + error);
        let mut others = all.iter();
        if !others.all(|one| surely_less(winner.sum, one.sum, half) || same(one)) {
            return None;
        }
    }
    Some(all.swap_remove(best).near)
}

/// The updates with the smallest Krum scores, `keep` of them; none where a value is not finite.
pub(crate) fn best(updates: &[Update<'_>], malicious: usize, keep: usize) -> Option<Vec<usize>> {
    decide(updates, |distances, error| {
        let scores = scores(distances, malicious);
        let mut chosen = ranked(&scores);
        let next = chosen.get(keep).map(|next| scores[*next]);
        chosen.truncate(keep);
        let last = chosen.last().map_or(0.0, |last| scores[*last]);
        let sure = next.is_none_or(|next| surely_less(last, next, error));
        (sure || error == 0.0).then_some(chosen)
    })
}

/// Krum scores: the sum of squared distances to the n - m - 2 nearest others. Below one neighbour
/// the score would be empty, so at least one counts where there is one.
pub(crate) fn scores(distances: &[Vec<f64>], malicious: usize) -> Vec<f64> {
    let neighbours = distances
        .len()
        .saturating_sub(malicious.saturating_add(2))
        .max(1);
    let score = |(index, row): (usize, &Vec<f64>)| {
        let others = row.iter().enumerate();
        let others = others.filter(|(other, _)| *other != index);
        let mut others: Vec<f64> = others.map(|(_, distance)| *distance).collect();
        others.sort_by(f64::total_cmp);
        others.into_iter().take(neighbours).sum::<f64>()
    };
    distances.iter().enumerate().map(score).collect()
}

/// Indices by ascending score, ties to the earlier client.
pub(crate) fn ranked(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(a.cmp(b)));
    order
}

#[cfg(test)]
mod tests {
    use fedseal_kernels::distances;

    use super::super::testing::{ONE, built, cloud, updates};
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
    fn near_distances_decide_as_exact_ones() {
        // Large enough for distances in single precision; every third set has copies in it.
        for seed in 0..12 {
            let mut rows = cloud(6, 40_000, seed);
            for (index, row) in rows.iter_mut().enumerate() {
                row.iter_mut()
                    .for_each(|value| *value *= 1.0 + index as f32 * 1e-3);
            }
            if seed % 3 == 0 {
                rows[4] = rows[2].clone();
            }
            let updates = updates(&rows);
            let exact = distances::exact(&super::super::rows(&updates));
            for malicious in 0..5 {
                let size = (6 - malicious).max(2);
                let set = |mut chosen: Vec<usize>| {
                    chosen.sort_unstable();
                    chosen
                };
                let expected = set(tightest(&exact, size, 0.0).unwrap());
                let found = decide(&updates, |distances, error| {
                    tightest(distances, size, error)
                });
                assert_eq!(set(found.unwrap()), expected, "seed {seed}, {malicious}");
                for keep in [1, 3] {
                    let mut expected = ranked(&scores(&exact, malicious));
                    expected.truncate(keep);
                    let found = best(&updates, malicious, keep).unwrap();
                    assert_eq!(set(found), set(expected), "seed {seed}, {malicious}");
                }
            }
        }
    }

    /// Whole models, of which clients change little: squared lengths less twice the products, as Flower 1.42
    /// takes distances, leave only rounding of these (findings/flwr-krum-rounds-its-distances-away.sh).
    #[test]
    fn a_large_base_that_all_share_decides_nothing() {
        let base = cloud(1, 40_000, 3).remove(0);
        let mut rows = cloud(6, 40_000, 5);
        for (index, row) in rows.iter_mut().enumerate() {
            let size = 3e-4 * (1.0 + 0.05 * index as f32);
            for (value, base) in row.iter_mut().zip(&base) {
                *value = base + size * (*value - base);
            }
        }
        let mut found = best(&updates(&rows), 1, 3).unwrap();
        found.sort_unstable();
        assert_eq!(found, [0, 1, 2]);
    }

    #[test]
    fn two_nearest_of_three_are_sure_though_their_sums_are_equal() {
        let distances = [
            vec![0.0, 1.0, 9.0],
            vec![1.0, 0.0, 8.0],
            vec![9.0, 8.0, 0.0],
        ];
        assert_eq!(tightest(&distances, 2, 1e-4), Some(vec![0, 1]));
        let close = [
            vec![0.0, 1.0, 1.00001],
            vec![1.0, 0.0, 8.0],
            vec![1.00001, 8.0, 0.0],
        ];
        assert_eq!(tightest(&close, 2, 1e-4), None);
        assert_eq!(tightest(&close, 2, 0.0), Some(vec![0, 1]));
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
