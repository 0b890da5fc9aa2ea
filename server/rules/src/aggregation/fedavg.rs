//! FedAvg: the mean weighted by the number of local examples (McMahan et al. 2017).

use super::definition::Definition;
use super::device::{Found, Tensors};
use super::stream::Sum;
use super::{DeviceForm, Inputs, Outcome, Rule, Update, rows, weighted_sum};

/// Definition of the rule.
pub const DEFINITION: Definition = Definition {
    name: "fedavg",
    title: "FedAvg",
    help: "mean weighted by the number of examples",
    version: 1,
    earlier: &[],
    bound: None,
    parameters: &[],
    make: |_| Box::new(FedAvg),
};

/// The mean weighted by examples.
pub struct FedAvg;

impl Rule for FedAvg {
    fn aggregate(&self, updates: &[Update<'_>], _inputs: &Inputs) -> Outcome {
        let weights = shares(updates);
        Outcome {
            delta: weighted_sum(updates, &weights),
            weights,
        }
    }

    fn device_form(&self) -> Option<&dyn DeviceForm> {
        Some(self)
    }

    fn sum(&self, weights: &[f64]) -> Option<Sum> {
        let total: f64 = weights.iter().sum();
        let shares: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
        Some(Sum {
            factor: Box::new(move |index, _| shares[index]),
            zero: -0.0,
            weights: <[f64]>::to_vec,
        })
    }

    fn shows_bad_values(&self) -> bool {
        true
    }
}

impl DeviceForm for FedAvg {
    fn aggregate_on(
        &self,
        updates: &[Update<'_>],
        _inputs: &Inputs,
        device: &dyn Tensors,
    ) -> Found<Outcome> {
        let weights = shares(updates);
        let delta = device.weighted_sum(&rows(updates), &weights)?;
        Ok(delta.map(|delta| Outcome { delta, weights }))
    }
}

/// Each update's share of the examples.
fn shares(updates: &[Update<'_>]) -> Vec<f64> {
    let total: f64 = updates.iter().map(|update| update.weight).sum();
    updates.iter().map(|update| update.weight / total).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::ONE;
    use super::*;

    #[test]
    fn weights_are_shares_of_the_examples() {
        let outcome = FedAvg.aggregate(
            &[
                Update {
                    delta: &[1.0, 0.0],
                    weight: 300.0,
                },
                Update {
                    delta: &[0.0, 4.0],
                    weight: 100.0,
                },
            ],
            &ONE,
        );
        assert_eq!(outcome.weights, vec![0.75, 0.25]);
        assert_eq!(outcome.delta, vec![0.75, 1.0]);
    }
}
