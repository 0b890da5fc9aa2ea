//! Configuration of a training; the engine that follows it is in another room.

use serde::{Deserialize, Serialize};

use crate::{AdapterError, Schedule, limits};

/// How an adapter is trained. Fields that its JSON omits have their default values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Optimiser steps.
    pub steps: usize,
    /// Examples per batch.
    pub batch_size: usize,
    /// Batches whose gradients are summed into one step. The loss of a step is the mean over the
    /// response tokens of all of them, as if they were one batch.
    #[serde(skip_serializing_if = "is_one")]
    pub accumulation: usize,
    /// Learning rate of AdamW, before the schedule.
    pub learning_rate: f32,
    /// How the learning rate changes.
    #[serde(skip_serializing_if = "Schedule::is_constant")]
    pub schedule: Schedule,
    /// Steps in which the learning rate rises from 0, before the schedule begins.
    #[serde(skip_serializing_if = "is_zero")]
    pub warmup_steps: usize,
    /// Longest example, tokens, and never more than the model's positions; longer prompts lose
    /// their beginning.
    pub max_length: usize,
    /// Longest response, tokens; a longer one is cut and gets no end token.
    pub max_response_tokens: usize,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Largest Euclidean norm of a step's gradient; `None` turns clipping off.
    pub clip_norm: Option<f32>,
    /// Seed of the data order and of the dropout.
    pub seed: u64,
    /// FedProx: pulls towards the start adapter with `mu / 2 · ‖w - w₀‖²`; 0 is off.
    pub proximal_mu: f32,
    /// Gradient checkpointing: a block's intermediate values are discarded in the forward pass and
    /// recomputed in the backward pass. It takes less memory and about a third more time, with the
    /// same bits.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub recompute: bool,
    /// Whether a step ends with the pass over the examples, so that the last step of a pass may have
    /// fewer of them; else it goes on with those of the next pass.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub whole_passes: bool,
}

// Fields that were added later are omitted at their default, so that older configurations keep
// their bytes.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_one(value: &usize) -> bool {
    *value == 1
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(value: &usize) -> bool {
    *value == 0
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: 10,
            batch_size: 16,
            accumulation: 1,
            learning_rate: 5e-5,
            schedule: Schedule::Constant,
            warmup_steps: 0,
            max_length: 512,
            max_response_tokens: 512,
            weight_decay: 0.0,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            clip_norm: Some(1.0),
            seed: 0,
            proximal_mu: 0.0,
            recompute: false,
            whole_passes: false,
        }
    }
}

impl TrainConfig {
    /// Checks every option's range.
    ///
    /// # Errors
    /// [`AdapterError::Config`] that names the option, its value and its bound.
    pub fn validate(&self) -> Result<(), AdapterError> {
        let bad = |text: String| Err(AdapterError::Config(text));
        if self.steps > limits::MAX_STEPS {
            return bad(format!(
                "steps {} are above {}",
                self.steps,
                limits::MAX_STEPS
            ));
        }
        let examples = self.batch_size.checked_mul(self.accumulation);
        if !examples.is_some_and(|examples| (1..=limits::MAX_STEP_EXAMPLES).contains(&examples)) {
            return bad(format!(
                "batch_size {} times accumulation {} is not in 1..={}",
                self.batch_size,
                self.accumulation,
                limits::MAX_STEP_EXAMPLES
            ));
        }
        if self.max_length < 2 {
            return bad(format!("max_length {} is below 2", self.max_length));
        }
        if self.max_response_tokens == 0 {
            return bad("max_response_tokens 0 is below 1".to_owned());
        }
        for (name, value) in [
            ("learning_rate", self.learning_rate),
            ("proximal_mu", self.proximal_mu),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return bad(format!("{name} {value} is no number from 0 on"));
            }
        }
        if let Some(norm) = self
            .clip_norm
            .filter(|norm| !(norm.is_finite() && *norm > 0.0))
        {
            return bad(format!("clip_norm {norm} is no number above 0"));
        }
        self.adam().validate()
    }

    /// Examples per step.
    pub fn step_examples(&self) -> usize {
        self.batch_size * self.accumulation
    }

    /// Steps in which a pass over so many examples ends, where steps end with passes.
    pub fn pass_steps(&self, examples: usize) -> usize {
        examples.div_ceil(self.step_examples().max(1))
    }

    /// The learning rate of a step, counted from 0.
    pub fn rate(&self, step: usize) -> f32 {
        let factor = self.schedule.factor(step, self.warmup_steps, self.steps);
        (f64::from(self.learning_rate) * factor) as f32
    }

    /// AdamW's constants.
    pub fn adam(&self) -> AdamConfig {
        AdamConfig {
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            weight_decay: self.weight_decay,
        }
    }
}

/// Constants of AdamW (Loshchilov and Hutter 2019).
#[derive(Clone, Copy, Debug)]
pub struct AdamConfig {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
}

impl AdamConfig {
    /// Checks every constant's range.
    ///
    /// # Errors
    /// [`AdapterError::Config`] that names the constant, its value and its bound.
    pub fn validate(&self) -> Result<(), AdapterError> {
        let unit = |name: &str, value: f32| {
            if (0.0..1.0).contains(&value) {
                return Ok(());
            }
            Err(AdapterError::Config(format!(
                "{name} {value} is not in [0, 1)"
            )))
        };
        unit("beta1", self.beta1)?;
        unit("beta2", self.beta2)?;
        if !(self.epsilon.is_finite() && self.epsilon > 0.0) {
            return Err(AdapterError::Config(format!(
                "epsilon {} is no number above 0",
                self.epsilon
            )));
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            return Err(AdapterError::Config(format!(
                "weight_decay {} is no number from 0 on",
                self.weight_decay
            )));
        }
        Ok(())
    }
}
