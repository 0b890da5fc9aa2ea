//! Steps with another gradient than that of their batch: a hook takes as many passes as it needs, also at
//! other weights, with constants added to activations, or over examples of its own.
//!
//! A training without a hook does what it did before there were any, with the same bits. With one, passes
//! that look at activations run in tensors; the others are those of a plain step.

mod anchor;
mod deep_tokens;
mod ema;
mod panacea;
mod vaccine;

use crate::{
    Adapter, Example, Model, Tokens, TrainConfig, TuningError,
    adapter::lora::Place,
    train::gradient::{
        self, BatchGradients,
        anchored::{Anchored, anchored_gradients},
        constrained::{Weigh, constrained_gradients},
        tapped::{Activations, Tap, tapped_gradients},
    },
};

pub use anchor::Anchor;
pub use deep_tokens::{DeepTokens, Recovery};
pub use ema::Ema;
pub use panacea::Panacea;
pub use vaccine::Vaccine;

/// Gradient of a training's steps in place of the plain one.
pub trait StepHook: Send {
    /// The gradient that the optimiser gets for a batch at these weights. A proximal term and clipping come
    /// after it, as in a plain step.
    ///
    /// # Errors
    /// Those of the passes.
    fn gradient(
        &mut self,
        passes: &Passes<'_>,
        adapter: &Adapter,
        batch: &[Tokens],
    ) -> Result<BatchGradients, TuningError>;

    /// The adapter that the training gives, from that after its last step.
    ///
    /// # Errors
    /// Those of the passes.
    fn release(&mut self, _passes: &Passes<'_>, adapter: Adapter) -> Result<Adapter, TuningError> {
        Ok(adapter)
    }
}

/// Passes of one step. Dropout draws the same masks in all of them.
pub struct Passes<'a> {
    pub(super) model: &'a Model,
    pub(super) config: &'a TrainConfig,
    pub(super) step: usize,
}

impl Passes<'_> {
    /// Loss and gradient of a batch at an adapter's weights.
    ///
    /// # Errors
    /// [`TuningError::NotFinite`] for a loss that is not finite; [`TuningError::Adapter`] for an adapter of
    /// another model.
    pub fn plain(
        &self,
        adapter: &Adapter,
        batch: &[Tokens],
    ) -> Result<BatchGradients, TuningError> {
        gradient::gradients(self.model, adapter, batch, self.config, self.step as u64)
    }

    /// As [`plain`](Self::plain), with the gradient of the batch's mean loss in the activations at a place.
    ///
    /// # Errors
    /// As [`plain`](Self::plain).
    pub fn watched(
        &self,
        adapter: &Adapter,
        batch: &[Tokens],
        place: Place,
    ) -> Result<(BatchGradients, Activations), TuningError> {
        self.tapped(adapter, batch, &Tap::Watch(place))
    }

    /// As [`plain`](Self::plain), with constants added to the activations of the same batch.
    ///
    /// # Errors
    /// As [`plain`](Self::plain); [`TuningError::Config`] for constants of another batch.
    pub fn shifted(
        &self,
        adapter: &Adapter,
        batch: &[Tokens],
        constants: &Activations,
    ) -> Result<BatchGradients, TuningError> {
        let (found, _) = self.tapped(adapter, batch, &Tap::Shift(constants))?;
        Ok(found)
    }

    fn tapped(
        &self,
        adapter: &Adapter,
        batch: &[Tokens],
        tap: &Tap<'_>,
    ) -> Result<(BatchGradients, Activations), TuningError> {
        tapped_gradients(
            self.model,
            adapter,
            batch,
            self.config,
            self.step as u64,
            tap,
        )
    }

    /// The hidden state of a prompt's last token under a reference, for [`pull`](Self::pull). The prompt is
    /// in the model's template.
    fn anchored(&self, reference: &Adapter, prompt: &str) -> Result<Anchored, TuningError> {
        let ids = self.model.encode_prompt(prompt)?;
        Anchored::at(self.model, reference, ids)
    }

    /// The gradient of the distance between an adapter's hidden states and the anchored ones.
    fn pull(&self, adapter: &Adapter, anchors: &[Anchored]) -> Result<BatchGradients, TuningError> {
        anchored_gradients(self.model, adapter, anchors, self.step as u64)
    }

    /// As [`plain`](Self::plain), of tokens that count by weights: of an adapter, held to a reference.
    fn constrained(
        &self,
        adapters: [&Adapter; 2],
        batch: &[Tokens],
        weigh: Weigh<'_>,
    ) -> Result<BatchGradients, TuningError> {
        let step = self.step as u64;
        constrained_gradients(self.model, adapters, batch, self.config, step, weigh)
    }

    /// Most tokens of an example.
    fn positions(&self) -> usize {
        let most = self.model.config().max_positions;
        self.config.max_length.min(most)
    }

    /// Tokens of an example, cut to the training's lengths.
    ///
    /// # Errors
    /// Errors of the template and of the tokenizer.
    pub fn encode(&self, example: &Example) -> Result<Tokens, TuningError> {
        let TrainConfig {
            max_length,
            max_response_tokens,
            ..
        } = *self.config;
        self.model
            .encode_example(example, max_length, max_response_tokens)
    }

    /// The training's configuration.
    pub fn config(&self) -> &TrainConfig {
        self.config
    }
}

#[cfg(test)]
mod tests;
