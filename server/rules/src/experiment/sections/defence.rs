//! `[defence]`: the post-hoc defence.

use fedseal_adapter::limits;
use serde::{Deserialize, Serialize};

use super::super::locate::Located;
use super::{MOST, MOST_TOKENS, Section};
use crate::error::Result;

/// The post-hoc defence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DefenceConfig {
    /// 1: given data. 2: the base writes them. 3: the attacked model writes them.
    pub level: u8,
    /// Optimiser steps.
    pub steps: u32,
    /// Examples a step.
    pub batch_size: u32,
    /// Learning rate, constant.
    pub learning_rate: f64,
    /// Safety pairs (harmful request, refusal).
    pub safety_examples: usize,
    /// Helpful pairs.
    pub helpful_examples: usize,
    /// Generations that may be tried for each kept pair before the defence goes on with fewer.
    pub attempts: usize,
    /// Longest generated instruction or answer, tokens; with the longest prompt that asks for one
    /// they have to fit the model's positions.
    pub max_new_tokens: usize,
    /// Sampling temperature of instructions; answers are greedy.
    pub temperature: f64,
}

impl Default for DefenceConfig {
    fn default() -> Self {
        DefenceConfig {
            level: 3,
            steps: 500,
            batch_size: 16,
            learning_rate: 5e-5,
            safety_examples: 500,
            helpful_examples: 500,
            attempts: 8,
            max_new_tokens: 128,
            temperature: 0.9,
        }
    }
}

impl DefenceConfig {
    /// Checks the ranges.
    pub(in crate::experiment) fn check(&self, at: &Located<'_>) -> Result<()> {
        let section = Section::new("defence", at);
        section.need(
            (1..=3).contains(&self.level),
            "level",
            "1, 2 or 3",
            self.level,
        )?;
        section.positive("learning_rate", self.learning_rate)?;
        section.single("learning_rate", self.learning_rate)?;
        section.need(
            (0.0..=2.0).contains(&self.temperature),
            "temperature",
            "a number from 0 to 2",
            self.temperature,
        )?;
        self.check_sizes(&section)
    }

    fn check_sizes(&self, section: &Section<'_>) -> Result<()> {
        let batch = self.batch_size as usize;
        for (key, value, most) in [
            ("steps", self.steps as usize, MOST),
            ("batch_size", batch, limits::MAX_STEP_EXAMPLES),
            ("safety_examples", self.safety_examples, MOST),
            ("attempts", self.attempts, MOST),
            ("max_new_tokens", self.max_new_tokens, MOST_TOKENS),
        ] {
            section.least(1, key, value)?;
            section.most(most, key, value)?;
        }
        section.most(MOST, "helpful_examples", self.helpful_examples)
    }
}
