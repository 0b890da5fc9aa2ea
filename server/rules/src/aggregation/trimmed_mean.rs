//! The coordinate-wise trimmed mean (Yin et al. 2018): drop the lowest and the highest values, the
//! mean of the rest; the reference drops one on each side.

use fedseal_kernels::columns;

use super::definition::{Bound, Definition, Parameter, Takes};
use super::{Inputs, Outcome, Rule, Update, rows};

/// Every attacker's value can be trimmed away, and a value is left (Yin et al. 2018, theorem 4).
const TRIMMED: Bound = Bound {
    condition: "f <= trim and 2 trim < n",
    holds: |parameters, n, f| {
        let trim = parameters.whole("trim");
        f <= trim && trim.saturating_mul(2) < n
    },
};

/// Definition of the rule.
pub const DEFINITION: Definition = Definition {
    name: "trimmed-mean",
    title: "trimmed mean",
    help: "coordinate-wise mean without the lowest and highest values",
    version: 1,
    earlier: &[],
    bound: Some(TRIMMED),
    parameters: &[Parameter {
        key: "trim",
        help: "values that are dropped at either end of each coordinate",
        takes: Takes::Whole {
            default: 1,
            least: 0,
            most: u64::MAX,
        },
        flat: Some("trim"),
    }],
    make: |p| {
        Box::new(TrimmedMean {
            trim: p.whole("trim"),
        })
    },
};

/// The coordinate-wise trimmed mean.
pub struct TrimmedMean {
    /// Values that are dropped at either end of each coordinate.
    pub trim: usize,
}

impl Rule for TrimmedMean {
    fn aggregate(&self, updates: &[Update<'_>], _inputs: &Inputs) -> Outcome {
        let n = updates.len();
        // With fewer than 2 * trim + 1 updates something must be left: trim as many as leave one.
        let trim = self.trim.min(n.saturating_sub(1) / 2);
        let kept = n - 2 * trim;
        let ranked = columns::trimmed_mean(&rows(updates), trim);
        let length = ranked.values.len();
        let weights = match length {
            0 => vec![1.0 / n as f64; n],
            length => {
                let counted = ranked.counted.iter();
                counted
                    .map(|count| *count as f64 / (length * kept) as f64)
                    .collect()
            }
        };
        Outcome {
            delta: ranked.values,
            weights,
        }
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
    fn the_extremes_do_not_count() {
        let rows = [vec![100.0], vec![1.0], vec![3.0], vec![-50.0]];
        let outcome = TrimmedMean { trim: 1 }.aggregate(&updates(&rows), &ONE);
        assert_eq!(outcome.delta, vec![2.0]);
        assert_eq!(outcome.weights, vec![0.0, 0.5, 0.5, 0.0]);
    }

    #[test]
    fn two_updates_are_averaged() {
        let rows = [vec![1.0], vec![3.0]];
        let outcome = TrimmedMean { trim: 1 }.aggregate(&updates(&rows), &ONE);
        assert_eq!(outcome.delta, vec![2.0]);
    }
}
