//! LoRA training on a frozen base.

pub(crate) mod gradient;
pub(crate) mod optimizer;
pub(crate) mod pretrain;
pub(crate) mod trainer;

use std::ops::ControlFlow;

use crate::{Adapter, Example, Model, TrainConfig, TuningError, train::trainer::Trainer};

/// Report to the progress function after a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepEvent {
    /// Number of finished steps, from 1.
    pub step: usize,
    /// Number of steps in the whole call.
    pub steps: usize,
    /// Mean loss of the step's response tokens, nats.
    pub loss: f32,
    /// Tokens that this step processed, prompts included.
    pub tokens: u64,
    /// Tokens that the step computed: a beginning that examples share counts once.
    pub computed: u64,
    /// Learning rate of the step.
    pub learning_rate: f32,
}

/// Result of [`train`].
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The adapter after the last step.
    pub adapter: Adapter,
    /// Loss of every step.
    pub losses: Vec<f32>,
    /// Tokens of all steps, prompts included.
    pub tokens: u64,
}

/// Trains an adapter from `start` on examples.
///
/// The loss counts response tokens only and is the mean over those of a batch. The data come in a
/// seeded order, shuffled again for every pass. The same inputs give the same bits on the CPU,
/// whatever the number of threads.
///
/// # Errors
/// [`TuningError::Config`] for numbers out of range or no examples, [`TuningError::Adapter`] when
/// `start` does not fit the model, [`TuningError::Stopped`] when `progress` breaks,
/// [`TuningError::NotFinite`] when the loss or the gradient explodes, and the tokenizer's errors.
pub fn train(
    model: &Model,
    start: &Adapter,
    examples: &[Example],
    config: &TrainConfig,
    progress: &mut dyn FnMut(StepEvent) -> ControlFlow<()>,
) -> Result<Trained, TuningError> {
    let mut trainer = Trainer::new(model, start, examples, config)?;
    while let Some(event) = trainer.step()? {
        if progress(event).is_break() {
            return Err(TuningError::Stopped { steps: event.step });
        }
    }
    trainer.finish()
}
