//! Reports of a training: after a step, and at its end.

use crate::Adapter;

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

/// Result of [`train`](crate::train()).
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The adapter after the last step.
    pub adapter: Adapter,
    /// Loss of every step.
    pub losses: Vec<f32>,
    /// Tokens of all steps, prompts included.
    pub tokens: u64,
}
