//! FLTrust (Cao, Fang, Liu and Gong 2021, algorithm 2): the server trains an update of its own, `g_0`, on clean
//! data from the same global adapter. An update's trust is `TS_i = max(0, cos(g_i, g_0))`; every update is
//! brought to the length of `g_0`, and `g = sum_i TS_i (|g_0| / |g_i|) g_i / sum_i TS_i`.
//!
//! Its clean data are refused requests and helpful pairs of the defence's split, in place of a sample of the
//! clients' data (declared). The server trains with the steps, the batch and the rate of a client. Where no
//! update is trusted the global adapter stays.

use super::definition::{Definition, Parameter, Takes};
use super::fedavg::FedAvg;
use super::lengths::{length, shares_or_none};
use super::server_input::{Known, Need};
use super::{Inputs, Outcome, Rule, Update, chosen_sum};

/// Name of the rule.
pub const NAME: &str = "fltrust";

/// Definition of the rule.
pub const DEFINITION: Definition = Definition {
    name: NAME,
    title: "FLTrust",
    help: "mean of the updates at the length of the server's own, by their cosine to it (Cao et al. 2021)",
    version: 1,
    earlier: &[],
    bound: None,
    parameters: &[
        pairs(
            "safety_examples",
            "refused requests that the server trains on",
            50,
        ),
        pairs(
            "helpful_examples",
            "helpful pairs that the server trains on",
            50,
        ),
    ],
    make: |_| Box::new(FlTrust),
};

/// A number of pairs that the server has.
pub(super) const fn pairs(key: &'static str, help: &'static str, default: u64) -> Parameter {
    Parameter {
        key,
        help,
        takes: Takes::Whole {
            default,
            least: 1,
            most: 1_000_000,
        },
        flat: None,
    }
}

/// The mean by trust in the server's own update.
pub struct FlTrust;

impl Rule for FlTrust {
    /// Without an update of the server's: the mean.
    fn aggregate(&self, updates: &[Update<'_>], inputs: &Inputs) -> Outcome {
        FedAvg.aggregate(updates, inputs)
    }

    fn input(&self) -> Option<Need> {
        Some(Need::OwnUpdate)
    }

    fn aggregate_with(&self, updates: &[Update<'_>], _: &Inputs, known: &Known<'_>) -> Outcome {
        let own = length(known.own);
        let trust: Vec<f64> = updates
            .iter()
            .map(|update| cosine(update.delta, known.own).max(0.0))
            .collect();
        let weights = shares_or_none(&trust);
        let factors: Vec<f64> = updates
            .iter()
            .zip(&weights)
            .map(|(update, weight)| match *weight > 0.0 {
                true => weight * own / length(update.delta),
                false => 0.0,
            })
            .collect();
        Outcome {
            delta: chosen_sum(updates, &factors),
            weights,
        }
    }
}

/// Cosine of two vectors; 0 where one is zero.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let scale = length(a) * length(b);
    if scale == 0.0 {
        return 0.0;
    }
    let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
    products.sum::<f64>() / scale
}

#[cfg(test)]
mod tests {
    use super::super::server_input::testing::known;
    use super::super::testing::{ONE, updates};
    use super::*;

    #[test]
    fn a_worked_example() {
        // Trust 1, 0.6 and 0 (the third points away); lengths 4, 5 and 1 become 2. The mean is
        // (1 [2, 0] + 0.6 [1.2, 1.6]) / 1.6.
        let rows = [vec![4.0, 0.0], vec![3.0, 4.0], vec![-1.0, 0.0]];
        let outcome = known(&[2.0, 0.0], |known| {
            FlTrust.aggregate_with(&updates(&rows), &ONE, known)
        });
        assert!((outcome.delta[0] - 1.7).abs() < 1e-6, "{outcome:?}");
        assert!((outcome.delta[1] - 0.6).abs() < 1e-6, "{outcome:?}");
        assert!((outcome.weights[0] - 0.625).abs() < 1e-12);
        assert_eq!(outcome.weights[2], 0.0);
    }

    #[test]
    fn nobody_is_trusted_against_the_server_s_update() {
        let rows = [vec![1.0, 1.0], vec![0.0, 0.0]];
        let outcome = known(&[-1.0, -1.0], |known| {
            FlTrust.aggregate_with(&updates(&rows), &ONE, known)
        });
        assert_eq!(outcome.delta, [0.0, 0.0]);
        assert_eq!(outcome.weights, [0.0, 0.0]);
    }
}
