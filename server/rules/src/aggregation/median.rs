//! The coordinate-wise median: the lower of the two middle values when their number is even, as
//! `torch.median` has it (PAPER, "Baseline aggregation rules").

use fedseal_kernels::columns::{self, Ranked};

use super::definition::{Definition, HALF};
use super::device::{Found, Tensors};
use super::{DeviceForm, Inputs, Outcome, Rule, Update, rows};

/// Definition of the rule.
pub const DEFINITION: Definition = Definition {
    name: "median",
    title: "median",
    help: "coordinate-wise median, the lower of two middle values",
    version: 1,
    earlier: &[],
    bound: Some(HALF),
    parameters: &[],
    make: |_| Box::new(Median),
};

/// The coordinate-wise (lower) median.
pub struct Median;

impl Rule for Median {
    fn aggregate(&self, updates: &[Update<'_>], _inputs: &Inputs) -> Outcome {
        outcome(columns::lower_median(&rows(updates)))
    }

    fn device_form(&self) -> Option<&dyn DeviceForm> {
        Some(self)
    }

    fn shows_bad_values(&self) -> bool {
        true
    }
}

impl DeviceForm for Median {
    fn aggregate_on(
        &self,
        updates: &[Update<'_>],
        _inputs: &Inputs,
        device: &dyn Tensors,
    ) -> Found<Outcome> {
        Ok(device.lower_median(&rows(updates))?.map(outcome))
    }
}

/// Medians with each update's share of the columns.
fn outcome(ranked: Ranked) -> Outcome {
    let n = ranked.counted.len();
    let weights = match ranked.values.len() {
        0 => vec![1.0 / n as f64; n],
        // Of equal values the earlier client's counts, so that who decided is a function of the input.
        length => {
            let counted = ranked.counted.iter();
            counted.map(|count| *count as f64 / length as f64).collect()
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
    fn odd_takes_the_middle_even_takes_the_lower_of_two() {
        let rows = [vec![3.0, -1.0], vec![1.0, 5.0], vec![2.0, 0.0]];
        let outcome = Median.aggregate(&updates(&rows), &ONE);
        assert_eq!(outcome.delta, vec![2.0, 0.0]);
        assert_eq!(outcome.weights, vec![0.0, 0.0, 1.0]);
        let rows = [vec![4.0], vec![1.0], vec![3.0], vec![2.0]];
        let outcome = Median.aggregate(&updates(&rows), &ONE);
        assert_eq!(outcome.delta, vec![2.0]);
    }
}
