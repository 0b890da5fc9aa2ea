//! The coordinate-wise trimmed mean (Yin et al. 2018): drop the lowest and the highest values, the
//! mean of the rest; the reference drops one on each side.

use fedseal_kernels::columns::{self, Ranked};

use super::definition::{Bound, Definition, Parameter, Takes};
use super::device::{Found, Tensors};
use super::{DeviceForm, Inputs, Outcome, Rule, Update, rows};

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
        let trim = self.trimmed(updates.len());
        outcome(columns::trimmed_mean(&rows(updates), trim), trim)
    }

    fn device_form(&self) -> Option<&dyn DeviceForm> {
        Some(self)
    }

    fn shows_bad_values(&self) -> bool {
        true
    }
}

impl DeviceForm for TrimmedMean {
    fn aggregate_on(
        &self,
        updates: &[Update<'_>],
        _inputs: &Inputs,
        device: &dyn Tensors,
    ) -> Found<Outcome> {
        let trim = self.trimmed(updates.len());
        let ranked = device.trimmed_mean(&rows(updates), trim)?;
        Ok(ranked.map(|ranked| outcome(ranked, trim)))
    }
}

impl TrimmedMean {
    /// Values that are dropped at either end, of `n`. With fewer than 2 * trim + 1 updates something must be
    /// left: as many as leave one.
    fn trimmed(&self, n: usize) -> usize {
        self.trim.min(n.saturating_sub(1) / 2)
    }
}

/// Means with each update's share of the values that were left.
fn outcome(ranked: Ranked, trim: usize) -> Outcome {
    let n = ranked.counted.len();
    let kept = n - 2 * trim;
    let weights = match ranked.values.len() {
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
