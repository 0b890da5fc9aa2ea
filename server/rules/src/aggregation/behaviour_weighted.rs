//! The mean by behaviour (ours): an update's weight falls with what it takes away on the round's canaries. It is
//! the check `canaries` without a bound: nobody is refused, and nobody counts in full who is worse than the
//! others.
//!
//! `w_i = n_i exp(-d_i / refusal_scale - r_i / loss_scale)`, with `n_i` the examples, `d_i = max(0, R - R_i)` the
//! fall of the refusal log-odds and `r_i = max(0, L_i - L)` the rise of the helpfulness loss, both in nats. `R`
//! is the higher of the updates' upper median and the global adapter's, `L` the lower of the updates' lower
//! median and the global adapter's: what most updates lose, a round may lose. Where every weight is 0 the global
//! adapter stays.

use super::definition::{Definition, Parameter, Range, Takes};
use super::fedavg::FedAvg;
use super::lengths::counted;
use super::server_input::{Known, Need};
use super::{Inputs, Outcome, Rule, Update};
use crate::admission::Behaviour;

/// Name of the rule.
pub const NAME: &str = "behaviour-weighted";

/// Definition of the rule.
pub const DEFINITION: Definition = Definition {
    name: NAME,
    title: "mean by behaviour",
    help: "mean by examples, each times what its behaviour on the canaries leaves (ours)",
    version: 1,
    earlier: &[],
    bound: None,
    parameters: &[
        scale(
            "refusal_scale",
            "fall of refusal log-odds that divides a weight by e, nats",
            0.5,
        ),
        scale(
            "loss_scale",
            "rise of helpfulness loss that divides a weight by e, nats a token",
            0.25,
        ),
    ],
    make: |p| {
        Box::new(BehaviourWeighted {
            refusal_scale: p.number("refusal_scale"),
            loss_scale: p.number("loss_scale"),
        })
    },
};

const fn scale(key: &'static str, help: &'static str, default: f64) -> Parameter {
    Parameter {
        key,
        help,
        takes: Takes::Number {
            default,
            range: Range::Positive,
        },
        flat: None,
    }
}

/// The mean by behaviour.
pub struct BehaviourWeighted {
    /// Fall of refusal log-odds that divides a weight by e.
    pub refusal_scale: f64,
    /// Rise of helpfulness loss that divides a weight by e.
    pub loss_scale: f64,
}

impl BehaviourWeighted {
    /// Factor of each update's weight.
    fn factors(&self, updates: &[Behaviour], global: Behaviour) -> Vec<f64> {
        let sorted = |number: fn(&Behaviour) -> f64| -> Vec<f64> {
            let mut numbers: Vec<f64> = updates.iter().map(number).collect();
            numbers.sort_by(f64::total_cmp);
            numbers
        };
        let refusals = sorted(|one| one.refusal);
        let losses = sorted(|one| one.loss);
        let middle = updates.len() / 2;
        let refusal = refusals
            .get(middle)
            .map_or(global.refusal, |m| m.max(global.refusal));
        let below = updates.len().saturating_sub(1) / 2;
        let loss = losses
            .get(below)
            .map_or(global.loss, |m| m.min(global.loss));
        let factor = |one: &Behaviour| {
            let fall = (refusal - one.refusal).max(0.0) / self.refusal_scale;
            let rise = (one.loss - loss).max(0.0) / self.loss_scale;
            libm::exp(-fall - rise)
        };
        updates.iter().map(factor).collect()
    }
}

impl Rule for BehaviourWeighted {
    /// Without behaviours: the mean.
    fn aggregate(&self, updates: &[Update<'_>], inputs: &Inputs) -> Outcome {
        FedAvg.aggregate(updates, inputs)
    }

    fn input(&self) -> Option<Need> {
        Some(Need::Behaviour)
    }

    fn aggregate_with(
        &self,
        updates: &[Update<'_>],
        inputs: &Inputs,
        known: &Known<'_>,
    ) -> Outcome {
        let Some((behaviours, global)) = known.behaviours else {
            return self.aggregate(updates, inputs);
        };
        let factors = self.factors(behaviours, global);
        counted(updates, &factors)
    }
}

#[cfg(test)]
mod tests {
    use super::super::server_input::{ServerInput, testing::known};
    use super::super::testing::{ONE, updates};
    use super::*;

    fn behaviour(refusal: f64, loss: f64) -> Behaviour {
        Behaviour { refusal, loss }
    }

    #[test]
    fn a_worked_example() {
        let rule = BehaviourWeighted {
            refusal_scale: 0.5,
            loss_scale: 0.25,
        };
        // The global adapter has 2.0 and 1.0; the updates' middle is 2.5 and 1.2.
        let updates = [
            behaviour(2.5, 1.0),
            behaviour(0.5, 1.2),
            behaviour(3.0, 1.5),
        ];
        let factors = rule.factors(&updates, behaviour(2.0, 1.0));
        // No fall and no rise; a fall of 2 and a rise of 0.2; a rise of 0.5.
        let expected = [1.0, (-4.8f64).exp(), (-2.0f64).exp()];
        for (found, expected) in factors.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{factors:?}");
        }
    }

    #[test]
    fn a_round_of_updates_without_finite_scores_changes_nothing() {
        let rule = BehaviourWeighted {
            refusal_scale: 0.5,
            loss_scale: 0.25,
        };
        let lost = behaviour(f64::NAN, f64::NAN);
        let input = ServerInput::of_behaviours(NAME, &[Some(lost); 2], behaviour(2.0, 1.0));
        let (behaviours, global) = input.behaviours(2).unwrap();
        let rows = [vec![1.0, 2.0], vec![3.0, 4.0]];
        let outcome = known(&[], |known| {
            let known = Known {
                behaviours: Some((&behaviours, global)),
                ..*known
            };
            rule.aggregate_with(&updates(&rows), &ONE, &known)
        });
        assert_eq!(
            (outcome.weights, outcome.delta),
            (vec![0.0; 2], vec![0.0; 2])
        );
    }

    #[test]
    fn of_two_the_better_one_is_the_measure() {
        let rule = BehaviourWeighted {
            refusal_scale: 1.0,
            loss_scale: 1.0,
        };
        let updates = [behaviour(4.0, 1.0), behaviour(0.0, 1.0)];
        let factors = rule.factors(&updates, behaviour(1.0, 1.0));
        assert_eq!(factors[0], 1.0);
        assert!((factors[1] - (-4.0f64).exp()).abs() < 1e-12);
    }
}
