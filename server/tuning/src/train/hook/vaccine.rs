//! Vaccine (Huang, Hu and Liu 2024, "Vaccine: Perturbation-aware Alignment for Large Language Models against
//! Harmful Fine-tuning Attack", algorithm 1): a step's gradient is that of the loss with each block's
//! attention output moved in the direction in which the loss rises fastest.
//!
//! First pass: `g_l = dL/de_l`, with `e_l` the output of block l's self-attention. Second pass, on the same
//! batch: the constant `rho g_l / (N + 1e-7)` is added to each `e_l`, with `N` the joint Euclidean norm of all
//! `g_l` over blocks, examples and tokens. Only the second pass's gradient counts. With accumulation the
//! batch is that of the whole step (declared; the source takes each of its parts alone).

use super::{Passes, StepHook};
use crate::{Adapter, Tokens, TuningError, adapter::lora::Place, train::gradient::BatchGradients};

/// Steps of perturbation-aware alignment.
#[derive(Clone, Copy, Debug)]
pub struct Vaccine {
    /// Joint norm of the perturbation.
    pub rho: f64,
}

impl StepHook for Vaccine {
    fn gradient(
        &mut self,
        passes: &Passes<'_>,
        adapter: &Adapter,
        batch: &[Tokens],
    ) -> Result<BatchGradients, TuningError> {
        let (first, outward) = passes.watched(adapter, batch, Place::AttentionOut)?;
        let factor = self.rho / (outward.norm() + 1e-7);
        let moved = outward.scaled(factor as f32);
        let mut second = passes.shifted(adapter, batch, &moved)?;
        second.computed += first.computed;
        Ok(second)
    }
}
