//! Exponential moving average of a training's weights: plain steps, and the average is released in the place of the
//! last weights. A control of repairs: averaged weights hold what single steps do not agree on back.

use super::{Passes, StepHook};
use crate::{Adapter, Tokens, TuningError, train::gradient::BatchGradients};

/// Average `e_t = decay e_(t-1) + (1 - decay) w_t` over the steps, from `e_0 = w_0`.
#[derive(Debug)]
pub struct Ema {
    decay: f32,
    mean: Option<Adapter>,
}

impl Ema {
    /// With the share of the average that each step keeps, in [0, 1].
    pub fn new(decay: f64) -> Self {
        Self {
            decay: decay as f32,
            mean: None,
        }
    }

    fn see(&mut self, adapter: &Adapter) {
        let Some(mean) = &mut self.mean else {
            self.mean = Some(adapter.clone());
            return;
        };
        for (name, tensor) in &mut mean.tensors {
            let values = adapter.tensors.get(name);
            let values = values.map_or(&[][..], |tensor| tensor.data.as_slice());
            for (mean, value) in tensor.data.iter_mut().zip(values) {
                *mean = self.decay * *mean + (1.0 - self.decay) * value;
            }
        }
    }
}

impl StepHook for Ema {
    fn gradient(
        &mut self,
        passes: &Passes<'_>,
        adapter: &Adapter,
        batch: &[Tokens],
    ) -> Result<BatchGradients, TuningError> {
        self.see(adapter);
        passes.plain(adapter, batch)
    }

    fn release(&mut self, _: &Passes<'_>, adapter: Adapter) -> Result<Adapter, TuningError> {
        self.see(&adapter);
        Ok(self.mean.take().unwrap_or(adapter))
    }
}
