//! LoRA training on a frozen base.

mod event;
pub(crate) mod gradient;
pub(crate) mod hook;
pub(crate) mod optimizer;
pub(crate) mod pretrain;
pub(crate) mod trainer;

use std::ops::ControlFlow;

use crate::{Adapter, Example, Model, TrainConfig, TuningError, train::trainer::Trainer};

pub use event::{StepEvent, Trained};
pub use gradient::{BatchGradients, tapped::Activations};
pub use hook::{Anchor, DeepTokens, Ema, Panacea, Passes, Recovery, StepHook, Vaccine};

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
