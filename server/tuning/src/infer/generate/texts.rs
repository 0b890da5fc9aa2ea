//! Options of generation, and the texts that come of it.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use crate::{Halt, TuningError, limits};

/// How [`generate`](crate::generate) writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GenerateConfig {
    /// Most tokens per text; fewer where the model has fewer positions after the prompt.
    pub max_new_tokens: usize,
    /// Sampling temperature; 0 always takes the likeliest token.
    pub temperature: f32,
    /// Samples among this many of the likeliest tokens; 0 is all.
    pub top_k: usize,
    /// Samples among the likeliest tokens that together have this probability; 1 is all.
    pub top_p: f32,
    /// Seed of the random numbers; text `i` has a separate stream, whatever the batches are.
    pub seed: u64,
    /// Stop texts: a text ends before the first of these.
    pub stop: Vec<String>,
    /// Number of texts that are generated at once.
    pub batch_size: usize,
    /// Fewest tokens: a text does not end at an end token before it has this many.
    pub min_new_tokens: usize,
}

impl Default for GenerateConfig {
    fn default() -> Self {
        Self {
            max_new_tokens: 64,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            seed: 0,
            stop: Vec::new(),
            batch_size: 64,
            min_new_tokens: 0,
        }
    }
}

impl GenerateConfig {
    /// Checks every option's range.
    ///
    /// # Errors
    /// [`TuningError::Config`] that names the option, its value and its bound.
    pub fn validate(&self) -> Result<(), TuningError> {
        let bad = |text: String| Err(TuningError::Config(text));
        if !(1..=limits::MAX_TEXTS).contains(&self.batch_size) {
            return bad(format!(
                "batch_size {} is not in 1..={}",
                self.batch_size,
                limits::MAX_TEXTS
            ));
        }
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return bad(format!(
                "temperature {} is no number from 0 on",
                self.temperature
            ));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return bad(format!("top_p {} is not in (0, 1]", self.top_p));
        }
        if self.stop.len() > limits::MAX_STOPS {
            return bad(format!(
                "stop has {} texts, at most {}",
                self.stop.len(),
                limits::MAX_STOPS
            ));
        }
        let outside = |stop: &&String| !(1..=limits::MAX_STOP_BYTES).contains(&stop.len());
        if let Some(stop) = self.stop.iter().find(outside) {
            return bad(format!(
                "stop has a text of {} bytes, not of 1..={}",
                stop.len(),
                limits::MAX_STOP_BYTES
            ));
        }
        Ok(())
    }

    /// Returns the most tokens that may follow a prompt of `prompt` tokens, and the reason to end
    /// there.
    pub(super) fn budget(&self, prompt: usize, positions: usize) -> (usize, Finish) {
        let room = positions.saturating_sub(prompt);
        match room < self.max_new_tokens {
            true => (room, Finish::Positions),
            false => (self.max_new_tokens, Finish::Length),
        }
    }
}

/// Reason why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// The model wrote an end token.
    End,
    /// A stop text appeared.
    Stop,
    /// The text has `max_new_tokens` tokens.
    Length,
    /// The text used all of the model's positions after the prompt, fewer than `max_new_tokens`.
    Positions,
    /// The caller asked to stop.
    Stopped,
}

/// A finished text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generated {
    /// The text, without special tokens and up to the first stop text.
    pub text: String,
    /// Number of tokens that were drawn, a closing end token included.
    pub tokens: usize,
    /// Reason why the text ended.
    pub finish: Finish,
}

/// New piece of a text, as [`generate_stream`](crate::generate_stream) passes it to its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Index of the prompt that the text answers.
    pub prompt: usize,
    /// New part of the text; all pieces of a text, one after the other, are the text.
    pub text: &'a str,
    /// Set in the last piece of a text, which may be empty.
    pub finish: Option<Finish>,
}

/// Receives pieces, from any thread, one at a time.
pub(super) type Listener<'a> = &'a mut (dyn FnMut(Piece<'_>) -> ControlFlow<()> + Send);

/// Returns an error once `halt` returns true.
pub(crate) fn unless_halted(halt: Halt<'_>) -> Result<(), TuningError> {
    match halt() {
        true => Err(TuningError::Stopped { steps: 0 }),
        false => Ok(()),
    }
}
