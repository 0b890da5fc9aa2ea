//! AdamW over host vectors, step by step as PyTorch does it.

use std::collections::BTreeMap;

use fedseal_adapter::AdamConfig;

use crate::TuningError;

/// Both moments of every parameter.
pub(crate) struct AdamW {
    config: AdamConfig,
    step: u32,
    moments: BTreeMap<String, (Vec<f32>, Vec<f32>)>,
}

impl AdamW {
    pub(crate) fn new(config: AdamConfig) -> Self {
        Self {
            config,
            step: 0,
            moments: BTreeMap::new(),
        }
    }

    /// Resumes after `step` steps with these moments.
    pub(crate) fn resume(
        config: AdamConfig,
        step: u32,
        moments: BTreeMap<String, (Vec<f32>, Vec<f32>)>,
    ) -> Self {
        Self {
            config,
            step,
            moments,
        }
    }

    /// Returns first and second moment of a parameter, once it was updated.
    pub(crate) fn moments(&self, name: &str) -> Option<(&[f32], &[f32])> {
        self.moments
            .get(name)
            .map(|(first, second)| (first.as_slice(), second.as_slice()))
    }

    /// Starts the next step; every parameter is then updated once.
    pub(crate) fn next_step(&mut self) {
        self.step = self.step.saturating_add(1);
    }

    /// Updates one parameter with its gradient; `decay` means that weight decay applies.
    pub(crate) fn update(
        &mut self,
        name: &str,
        values: &mut [f32],
        gradient: &[f32],
        rate: f32,
        decay: bool,
    ) {
        if !self.moments.contains_key(name) {
            let zero = vec![0.0; values.len()];
            self.moments.insert(name.to_owned(), (zero.clone(), zero));
        }
        let Some((first, second)) = self.moments.get_mut(name) else {
            return;
        };
        let AdamConfig {
            beta1,
            beta2,
            epsilon,
            weight_decay,
        } = self.config;
        // PyTorch keeps these scalars in double precision.
        let correction1 = 1.0 - f64::from(beta1).powi(self.step as i32);
        let correction2 = (1.0 - f64::from(beta2).powi(self.step as i32)).sqrt() as f32;
        let step_size = (f64::from(rate) / correction1) as f32;
        let shrink = if decay {
            1.0 - rate * weight_decay
        } else {
            1.0
        };
        for (((value, &gradient), m), v) in values
            .iter_mut()
            .zip(gradient)
            .zip(first.iter_mut())
            .zip(second.iter_mut())
        {
            *value *= shrink;
            *m += (gradient - *m) * (1.0 - beta1);
            *v = *v * beta2 + gradient * gradient * (1.0 - beta2);
            *value -= step_size * (*m / (v.sqrt() / correction2 + epsilon));
        }
    }
}

/// Scales gradients so that their joint Euclidean norm is at most `limit` (as
/// `torch.nn.utils.clip_grad_norm_`), and returns the norm before.
///
/// # Errors
/// [`TuningError::NotFinite`] when the norm is not finite.
pub(crate) fn clip_norm(
    gradients: &mut BTreeMap<String, Vec<f32>>,
    limit: Option<f32>,
) -> Result<f64, TuningError> {
    let norm = gradients
        .values()
        .map(|gradient| {
            gradient
                .iter()
                .map(|&x| f64::from(x) * f64::from(x))
                .sum::<f64>()
        })
        .sum::<f64>()
        .sqrt();
    if !norm.is_finite() {
        return Err(TuningError::NotFinite("the gradient".to_owned()));
    }
    if let Some(limit) = limit {
        let factor = (f64::from(limit) / (norm + 1e-6)).min(1.0) as f32;
        if factor < 1.0 {
            for value in gradients.values_mut().flatten() {
                *value *= factor;
            }
        }
    }
    Ok(norm)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.optim.AdamW([p], lr=0.1, weight_decay=0.01)` with p = [1, -2], gradients [0.5, 0.1]
    /// and then [-0.25, 0.4].
    #[test]
    fn follows_pytorch() {
        let config = AdamConfig {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
        };
        let mut adam = AdamW::new(config);
        let mut values = [1.0f32, -2.0];
        for gradient in [[0.5f32, 0.1], [-0.25, 0.4]] {
            adam.next_step();
            adam.update("p", &mut values, &gradient, 0.1, true);
        }
        let expected = EXPECTED;
        for (value, expected) in values.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-6, "{values:?}");
        }
    }

    const EXPECTED: [f32; 2] = [0.871_467_4, -2.184_339_5];

    #[test]
    fn clipping_bounds_the_norm() {
        let mut gradients = BTreeMap::from([("a".to_owned(), vec![3.0, 4.0])]);
        assert!((clip_norm(&mut gradients, Some(1.0)).unwrap() - 5.0).abs() < 1e-9);
        assert!((clip_norm(&mut gradients, None).unwrap() - 1.0).abs() < 1e-5);
        gradients.insert("b".to_owned(), vec![f32::NAN]);
        assert!(clip_norm(&mut gradients, None).is_err());
    }
}
