//! Aggregation of updates one after another, for rules that need each of them once: memory for one sum,
//! whatever their number. The result has the bits that [`Built::aggregate`](super::Built::aggregate) gives.

use fedseal_kernels::columns;

use super::outcome::Outcome;
use crate::error::{Error, Result};

/// Factor of an update by its number and values.
pub type Factor = Box<dyn Fn(usize, &[f32]) -> f64 + Send>;

/// A rule as a sum of multiples.
pub struct Sum {
    /// The factor of each update.
    pub factor: Factor,
    /// The start of the sum: a zero, whose sign a sum of zeros keeps.
    pub zero: f64,
    /// How much each update counted, from the factors.
    pub weights: fn(&[f64]) -> Vec<f64>,
}

/// A sum that takes the updates of a round in client order.
pub struct Stream {
    rule: &'static str,
    sum: Sum,
    sums: Vec<f64>,
    factors: Vec<f64>,
    /// Updates that have to come.
    expected: usize,
}

impl Stream {
    pub(super) fn new(rule: &'static str, sum: Sum, width: usize, expected: usize) -> Self {
        Stream {
            rule,
            sums: vec![sum.zero; width],
            sum,
            factors: Vec::with_capacity(expected),
            expected,
        }
    }

    fn problem(&self, problem: String) -> Error {
        Error::Aggregation {
            rule: self.rule,
            problem,
        }
    }

    /// Adds the next client's update.
    ///
    /// # Errors
    /// [`Error::Aggregation`] for an update of another length, or one too many.
    pub fn add(&mut self, delta: &[f32]) -> Result<()> {
        let index = self.factors.len();
        if index == self.expected {
            return Err(self.problem(format!("more than {index} updates")));
        }
        if delta.len() != self.sums.len() {
            return Err(self.problem(format!(
                "update {index} has {} values, expected {}",
                delta.len(),
                self.sums.len()
            )));
        }
        let factor = (self.sum.factor)(index, delta);
        columns::add_scaled(&mut self.sums, factor, delta);
        self.factors.push(factor);
        Ok(())
    }

    /// The aggregate.
    ///
    /// # Errors
    /// [`Error::Aggregation`] where updates are missing or a value is not finite.
    pub fn finish(self) -> Result<Outcome> {
        let (came, expected) = (self.factors.len(), self.expected);
        if came < expected {
            return Err(self.problem(format!("{came} of {expected} updates came")));
        }
        let delta: Vec<f32> = self.sums.iter().map(|value| *value as f32).collect();
        if !columns::all_finite(&delta) {
            return Err(self.problem("the result has a value that is not finite".into()));
        }
        Ok(Outcome {
            delta,
            weights: (self.sum.weights)(&self.factors),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ONE, cloud};
    use super::super::{AggregationConfig, Update};

    #[test]
    fn a_stream_has_the_bits_of_the_whole() {
        let rows = cloud(9, 3_000, 5);
        let weights: Vec<f64> = (0..9).map(|index| f64::from(10 * index + 3)).collect();
        let all: Vec<Update<'_>> = rows
            .iter()
            .zip(&weights)
            .map(|(delta, weight)| Update {
                delta,
                weight: *weight,
            })
            .collect();
        let clipped = AggregationConfig::default()
            .with("norm-clipping", "bound", 20.0)
            .with("centred-clipping", "bound", 20.0);
        for name in ["fedavg", "norm-clipping", "centred-clipping"] {
            let rule = clipped.rule(name).unwrap();
            let mut stream = rule.stream(&weights, 3_000).unwrap().unwrap();
            rows.iter().for_each(|row| stream.add(row).unwrap());
            assert!(stream.add(&rows[0]).is_err());
            assert_eq!(
                stream.finish().unwrap(),
                rule.aggregate(&all, &ONE).unwrap(),
                "{name}"
            );
        }
        // These need every update before the first counts.
        for name in ["median", "krum", "geometric-median"] {
            let rule = clipped.rule(name).unwrap();
            assert!(rule.stream(&weights, 3_000).unwrap().is_none(), "{name}");
        }
        let plain = AggregationConfig::default();
        assert!(
            plain
                .rule("norm-clipping")
                .unwrap()
                .stream(&weights, 3)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_stream_that_is_not_whole_is_an_error() {
        let rule = AggregationConfig::default().rule("fedavg").unwrap();
        let stream = |weights: &[f64]| rule.stream(weights, 2);
        let mut short = stream(&[1.0, 2.0]).unwrap().unwrap();
        let said = short.add(&[1.0]).unwrap_err().to_string();
        assert!(said.contains("1 values, expected 2"), "{said}");
        short.add(&[1.0, 2.0]).unwrap();
        let said = short.finish().unwrap_err().to_string();
        assert!(said.contains("1 of 2 updates came"), "{said}");
        let mut bad = stream(&[1.0]).unwrap().unwrap();
        bad.add(&[1.0, f32::NAN]).unwrap();
        assert!(bad.finish().unwrap_err().to_string().contains("not finite"));
        assert!(stream(&[0.0, 0.0]).is_err());
        assert!(stream(&[-1.0]).is_err());
    }
}
