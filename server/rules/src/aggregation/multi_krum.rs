//! Multi-Krum (Blanchard et al. 2017): the mean of the n - m updates with the best Krum scores.

use super::krum::{ranked, scores};
use super::{Context, Outcome, Rule, Update, uniform, weighted_sum};

/// The mean of the n - m updates with the smallest Krum scores.
pub struct MultiKrum;

impl Rule for MultiKrum {
    fn name(&self) -> &'static str {
        "multi-krum"
    }

    fn title(&self) -> &'static str {
        "Multi-Krum"
    }

    fn about(&self) -> &'static str {
        "mean of the n - m updates with the best Krum scores (Blanchard et al. 2017)"
    }

    fn aggregate(&self, updates: &[Update<'_>], context: &Context) -> Outcome {
        let keep = updates
            .len()
            .saturating_sub(context.expected_malicious)
            .max(1);
        let mut chosen = ranked(&scores(updates, context.expected_malicious));
        chosen.truncate(keep);
        let weights = uniform(updates.len(), &chosen);
        Outcome {
            delta: weighted_sum(updates, &weights),
            weights,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::updates;
    use super::*;

    #[test]
    fn the_outlier_is_left_out() {
        let rows = [vec![0.0], vec![1.0], vec![2.0], vec![50.0]];
        let outcome = MultiKrum.aggregate(&updates(&rows), &Context::default());
        assert_eq!(outcome.delta, vec![1.0]);
        assert_eq!(outcome.weights[3], 0.0);
    }
}
