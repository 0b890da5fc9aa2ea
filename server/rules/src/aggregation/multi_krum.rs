//! Multi-Krum (Blanchard et al. 2017): the mean of the n - m updates with the best Krum scores.

use super::definition::Definition;
use super::krum::{BOUND, best, mean_of};
use super::{Inputs, Outcome, Rule, Update};

/// Definition of the rule.
pub const DEFINITION: Definition = Definition {
    name: "multi-krum",
    title: "Multi-Krum",
    help: "mean of the n - m updates with the best Krum scores (Blanchard et al. 2017)",
    version: 1,
    earlier: &[],
    bound: Some(BOUND),
    parameters: &[],
    make: |_| Box::new(MultiKrum),
};

/// The mean of the n - m updates with the smallest Krum scores.
pub struct MultiKrum;

impl Rule for MultiKrum {
    fn aggregate(&self, updates: &[Update<'_>], inputs: &Inputs) -> Outcome {
        let keep = updates
            .len()
            .saturating_sub(inputs.expected_malicious)
            .max(1);
        mean_of(updates, best(updates, inputs.expected_malicious, keep))
    }

    fn shows_bad_values(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ONE, updates};
    use super::*;

    #[test]
    fn the_outlier_is_left_out() {
        let rows = [vec![0.0], vec![1.0], vec![2.0], vec![50.0]];
        let outcome = MultiKrum.aggregate(&updates(&rows), &ONE);
        assert_eq!(outcome.delta, vec![1.0]);
        assert_eq!(outcome.weights[3], 0.0);
    }
}
