//! `[training]`: training of one client in a round.

use fedseal_adapter::{TrainConfig, limits};
use serde::{Deserialize, Serialize};

use super::super::locate::Located;
use super::{MOST, MOST_TOKENS, Section};
use crate::error::Result;
use crate::schedule::Schedule;

/// Training of one client in a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {
    /// Optimiser steps a round.
    pub local_steps: u32,
    /// Examples a step.
    pub batch_size: u32,
    /// Longest sequence, tokens, and never more than the model's positions; longer ones are cut.
    pub sequence_length: usize,
    /// Longest response, tokens; longer ones are cut.
    pub max_response_tokens: usize,
    /// Learning rate of the first round.
    pub learning_rate: f64,
    /// Learning rate that the schedule falls to.
    pub learning_rate_final: f64,
    /// `constant`, `linear` or `cosine`, over rounds.
    pub schedule: String,
    /// AdamW's weight decay.
    pub weight_decay: f64,
    /// AdamW's beta 1.
    pub beta1: f64,
    /// AdamW's beta 2.
    pub beta2: f64,
    /// AdamW's epsilon.
    pub epsilon: f64,
    /// Largest gradient norm; 0: no clipping.
    pub clip_norm: f64,
    /// FedProx's mu that honest modules are told to use; 0: none.
    pub proximal_mu: f64,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        TrainingConfig {
            local_steps: 10,
            batch_size: 16,
            sequence_length: 512,
            max_response_tokens: 512,
            learning_rate: 5e-5,
            learning_rate_final: 1e-6,
            schedule: "cosine".into(),
            weight_decay: 0.0,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            clip_norm: 1.0,
            proximal_mu: 0.0,
        }
    }
}

impl TrainingConfig {
    /// Training as the engine takes it; steps, rate and seed are set per call.
    pub(in crate::experiment) fn for_engine(&self) -> TrainConfig {
        TrainConfig {
            steps: self.local_steps as usize,
            batch_size: self.batch_size as usize,
            learning_rate: self.learning_rate as f32,
            max_length: self.sequence_length,
            max_response_tokens: self.max_response_tokens,
            weight_decay: self.weight_decay as f32,
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            epsilon: self.epsilon as f32,
            clip_norm: (self.clip_norm > 0.0).then_some(self.clip_norm as f32),
            seed: 0,
            proximal_mu: self.proximal_mu as f32,
            ..TrainConfig::default()
        }
    }

    /// Checks the ranges, and the values as the engine gets them.
    pub(in crate::experiment) fn check(&self, at: &Located<'_>) -> Result<()> {
        let section = Section::new("training", at);
        self.check_sizes(&section)?;
        self.check_rates(&section)?;
        self.check_optimiser(&section)?;
        let fits = self.for_engine().validate();
        fits.map_err(|error| section.whole(error))
    }

    fn check_sizes(&self, section: &Section<'_>) -> Result<()> {
        let (steps, batch) = (self.local_steps as usize, self.batch_size as usize);
        let (sequence, response) = (self.sequence_length, self.max_response_tokens);
        section.least(1, "local_steps", steps)?;
        section.least(1, "batch_size", batch)?;
        section.need(
            sequence > 1,
            "sequence_length",
            "at least 2 tokens",
            sequence,
        )?;
        section.need(
            response > 0,
            "max_response_tokens",
            "at least 1 token",
            response,
        )?;
        section.most(MOST, "local_steps", steps)?;
        section.most(limits::MAX_STEP_EXAMPLES, "batch_size", batch)?;
        section.most(MOST_TOKENS, "sequence_length", sequence)?;
        section.most(MOST_TOKENS, "max_response_tokens", response)
    }

    fn check_rates(&self, section: &Section<'_>) -> Result<()> {
        section.positive("learning_rate", self.learning_rate)?;
        section.not_negative("learning_rate_final", self.learning_rate_final)?;
        section.single("learning_rate_final", self.learning_rate_final)?;
        section.named("schedule", Schedule::named(&self.schedule))
    }

    fn check_optimiser(&self, section: &Section<'_>) -> Result<()> {
        section.not_negative("weight_decay", self.weight_decay)?;
        section.below_one("beta1", self.beta1)?;
        section.below_one("beta2", self.beta2)?;
        section.positive("epsilon", self.epsilon)?;
        section.need(
            self.clip_norm.is_finite() && self.clip_norm >= 0.0,
            "clip_norm",
            "0 (no clipping) or a number above",
            self.clip_norm,
        )?;
        section.not_negative("proximal_mu", self.proximal_mu)
    }
}
