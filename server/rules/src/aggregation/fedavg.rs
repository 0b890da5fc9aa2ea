//! FedAvg: the mean weighted by the number of local examples (McMahan et al. 2017).

use super::{Context, Outcome, Rule, Update, weighted_sum};

/// The mean weighted by examples.
pub struct FedAvg;

impl Rule for FedAvg {
    fn name(&self) -> &'static str {
        "fedavg"
    }

    fn title(&self) -> &'static str {
        "FedAvg"
    }

    fn about(&self) -> &'static str {
        "mean weighted by the number of examples"
    }

    fn aggregate(&self, updates: &[Update<'_>], _context: &Context) -> Outcome {
        let total: f64 = updates.iter().map(|update| update.weight).sum();
        let weights: Vec<f64> = updates.iter().map(|update| update.weight / total).collect();
        Outcome {
            delta: weighted_sum(updates, &weights),
            weights,
        }
    }
}

#[cfg(test)]
mod tests {
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
            &Context::default(),
        );
        assert_eq!(outcome.weights, vec![0.75, 0.25]);
        assert_eq!(outcome.delta, vec![0.75, 1.0]);
    }
}
