//! Logistic regression on few samples, by AdamW on the whole set. Functions of libm: the same bits everywhere.

use std::collections::BTreeMap;

use super::factors::dot;

/// A linear classifier.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Linear {
    pub weights: Vec<f64>,
    pub bias: f64,
}

/// How one is trained.
pub(crate) struct Training {
    pub steps: usize,
    pub rate: f64,
    pub decay: f64,
    /// Largest norm of a gradient.
    pub clip: f64,
}

impl Linear {
    /// Trains on samples and their labels, true for what is to be found. Both kinds count alike in the mean
    /// loss; moments are those of AdamW with its usual constants, and it starts at zero.
    pub(crate) fn train(samples: &[Vec<f64>], labels: &[bool], training: &Training) -> Self {
        let width = samples.first().map_or(0, Vec::len);
        let found = labels.iter().filter(|label| **label).count();
        let weight = (labels.len() - found) as f64 / (found.max(1)) as f64;
        // The bias is the last value.
        let mut values = vec![0.0; width + 1];
        let (mut first, mut second) = (vec![0.0; width + 1], vec![0.0; width + 1]);
        for step in 1..=training.steps {
            let mut gradient = vec![0.0; width + 1];
            for (sample, label) in samples.iter().zip(labels) {
                let chance = sigmoid(dot(&values[..width], sample) + values[width]);
                let slope = match label {
                    true => weight * (chance - 1.0),
                    false => chance,
                } / samples.len() as f64;
                for (sum, value) in gradient.iter_mut().zip(sample.iter().chain(&[1.0])) {
                    *sum += slope * value;
                }
            }
            let norm = dot(&gradient, &gradient).sqrt();
            let shorter = (training.clip / (norm + 1e-6)).min(1.0);
            let corrections = [0.9f64, 0.999].map(|beta| 1.0 - libm::pow(beta, step as f64));
            for (((value, slope), m), v) in values
                .iter_mut()
                .zip(&gradient)
                .zip(&mut first)
                .zip(&mut second)
            {
                let slope = slope * shorter;
                *value *= 1.0 - training.rate * training.decay;
                *m += (slope - *m) * (1.0 - 0.9);
                *v = *v * 0.999 + slope * slope * (1.0 - 0.999);
                let root = (*v / corrections[1]).sqrt() + 1e-8;
                *value -= training.rate * *m / corrections[0] / root;
            }
        }
        let bias = values.pop().unwrap_or_default();
        Self {
            weights: values,
            bias,
        }
    }

    /// Chance that a sample is what is to be found.
    pub(crate) fn chance(&self, sample: &[f64]) -> f64 {
        sigmoid(dot(&self.weights, sample) + self.bias)
    }

    /// Its numbers by name.
    pub(crate) fn numbers(&self) -> BTreeMap<String, Vec<f64>> {
        BTreeMap::from([
            ("weights".to_owned(), self.weights.clone()),
            ("bias".to_owned(), vec![self.bias]),
        ])
    }

    /// Reads [`Linear::numbers`] back, for samples of a width; none for another one.
    pub(crate) fn read(weights: &[f64], bias: &[f64], width: usize) -> Option<Self> {
        let fits = weights.len() == width;
        let bias = fits.then(|| bias.first().copied())??;
        Some(Self {
            weights: weights.to_vec(),
            bias,
        })
    }
}

/// `1 / (1 + exp(-x))`.
pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that the equations give from zero, the positive sample weighing
    /// twice: tests/oracles/aggregation/learned.py.
    #[test]
    fn two_steps_are_those_of_adamw() {
        let samples = [vec![1.0, 0.5], vec![-0.5, 2.0], vec![0.25, -1.0]];
        let training = Training {
            steps: 2,
            rate: 0.01,
            decay: 2.0,
            clip: 0.5,
        };
        let linear = Linear::train(&samples, &[true, false, false], &training);
        for (found, expected) in linear.weights.iter().chain([&linear.bias]).zip(EXPECTED) {
            assert!((found - expected).abs() < 1e-12, "{linear:?}");
        }
    }

    const EXPECTED: [f64; 3] = [
        0.01979862336807475,
        0.0074408632717604985,
        -0.007441296091356934,
    ];
}
