//! Batched generation with a key and value cache.

mod engine;
mod stream;
mod tensors;
mod writer;

use std::{collections::VecDeque, ops::ControlFlow, sync::Mutex};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use fedseal_kernels::pool;

use crate::{Adapter, Halt, Message, Model, Role, TuningError, limits};
use engine::{Engine, Prompt};
use writer::Writer;

/// How [`generate`] writes.
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
    fn budget(&self, prompt: usize, positions: usize) -> (usize, Finish) {
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

/// New piece of a text, as [`generate_stream`] passes it to its listener.
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
type Listener<'a> = &'a mut (dyn FnMut(Piece<'_>) -> ControlFlow<()> + Send);

/// Continues every prompt, in its template, with the base or the base and an adapter.
///
/// Returns one text per prompt, in order, without special tokens. A text ends at an end token,
/// before a stop text, at `max_new_tokens`, or where the model's positions are used up: a prompt is
/// read as a whole, and its answer gets the remaining positions.
///
/// # Errors
/// [`TuningError::Positions`] for a prompt that leaves no position for an answer,
/// [`TuningError::Config`] for numbers out of range, [`TuningError::Adapter`] when the adapter does
/// not fit, and the template's and tokenizer's errors.
pub fn generate(
    model: &Model,
    adapter: Option<&Adapter>,
    prompts: &[String],
    config: &GenerateConfig,
) -> Result<Vec<String>, TuningError> {
    generate_until(model, adapter, prompts, config, &|| false)
}

/// As [`generate`], but ends when `halt` returns true: it is called before every prompt that is
/// encoded and before every token.
///
/// # Errors
/// As [`generate`]; [`TuningError::Stopped`] when `halt` returned true.
pub fn generate_until(
    model: &Model,
    adapter: Option<&Adapter>,
    prompts: &[String],
    config: &GenerateConfig,
    halt: Halt<'_>,
) -> Result<Vec<String>, TuningError> {
    let prompts: Vec<Vec<Message>> = prompts
        .iter()
        .map(|prompt| vec![Message::new(Role::User, prompt)])
        .collect();
    let texts = generate_all(model, adapter, &prompts, config, None, halt)?;
    Ok(texts.into_iter().map(|text| text.text).collect())
}

/// Returns an error once `halt` returns true.
pub(crate) fn unless_halted(halt: Halt<'_>) -> Result<(), TuningError> {
    match halt() {
        true => Err(TuningError::Stopped { steps: 0 }),
        false => Ok(()),
    }
}

/// As [`generate`], for messages of several turns, with a listener that receives pieces.
///
/// A piece is passed on as soon as later tokens cannot change it: not in the middle of a character,
/// and not while it may be the beginning of a stop text. When `listener` breaks, every text ends at
/// its current token, with [`Finish::Stopped`].
///
/// # Errors
/// As [`generate`].
pub fn generate_stream(
    model: &Model,
    adapter: Option<&Adapter>,
    prompts: &[Vec<Message>],
    config: &GenerateConfig,
    listener: &mut (dyn FnMut(Piece<'_>) -> ControlFlow<()> + Send),
) -> Result<Vec<Generated>, TuningError> {
    generate_all(model, adapter, prompts, config, Some(listener), &|| false)
}

fn generate_all(
    model: &Model,
    adapter: Option<&Adapter>,
    prompts: &[Vec<Message>],
    config: &GenerateConfig,
    listener: Option<Listener<'_>>,
    halt: Halt<'_>,
) -> Result<Vec<Generated>, TuningError> {
    config.validate()?;
    let engine = Engine::new(model, adapter)?;
    let positions = model.config().max_positions;
    let mut waiting = VecDeque::with_capacity(prompts.len());
    for (index, prompt) in prompts.iter().enumerate() {
        unless_halted(halt)?;
        let ids = model.encode_messages(prompt)?;
        if ids.is_empty() {
            return Err(TuningError::Tokenizer("a prompt without a token".into()));
        }
        if ids.len() >= positions {
            return Err(TuningError::Positions {
                what: "prompt",
                index,
                tokens: ids.len(),
                positions,
            });
        }
        model.decoder().check(&ids)?;
        waiting.push_back((index, ids));
    }
    // Longest first: prompts in one batch then end at similar times, and the last batch is a short
    // one.
    waiting
        .make_contiguous()
        .sort_by_key(|(index, ids)| (std::cmp::Reverse(ids.len()), *index));
    let empty = Generated {
        text: String::new(),
        tokens: 0,
        finish: Finish::Length,
    };
    let mut done = vec![empty; prompts.len()];
    if config.max_new_tokens == 0 {
        return Ok(done);
    }
    let listener = listener.map(|listener| Mutex::new((listener, false)));
    let waiting: Vec<_> = waiting.into();
    let finished = pool::run(|| {
        let prefix = engine.read_prefix(&waiting);
        // A small model stays in the caches of the processor: threads that write separate texts are
        // then faster than threads that share every product.
        let lanes = if engine.is_small() {
            rayon::current_num_threads()
                .min(waiting.len().div_ceil(4))
                .max(1)
        } else {
            1
        };
        let writer = Writer {
            model,
            engine: &engine,
            prefix: prefix.as_ref(),
            alone: !engine.is_small(),
            config,
            listener: listener.as_ref(),
            halt,
        };
        let batch = config
            .batch_size
            .min(fitting_texts(model, config, &waiting));
        let batch = batch.div_ceil(lanes);
        (0..lanes)
            .into_par_iter()
            .map(|lane| writer.run(waiting.iter().skip(lane).step_by(lanes).collect(), batch))
            .collect::<Result<Vec<_>, _>>()
    })?;
    for (index, text) in finished.into_iter().flatten() {
        done[index] = text;
    }
    Ok(done)
}

/// Most bytes of keys and values that all texts in progress hold together; fewer texts are
/// generated at once where they would not fit.
const CACHE_BYTES: usize = 4 << 30;

/// Returns how many texts may be in progress at once, so that their keys and values stay within
/// [`CACHE_BYTES`]; at least one. `prompts` begin with the longest.
fn fitting_texts(model: &Model, config: &GenerateConfig, prompts: &[Prompt]) -> usize {
    let shape = model.config();
    let longest = prompts.first().map_or(0, |(_, ids)| ids.len());
    let tokens = longest.saturating_add(config.max_new_tokens);
    let token_bytes = 2 * size_of::<f32>() * shape.layers * shape.kv_heads * shape.head_dim;
    let text_bytes = tokens.min(shape.max_positions).saturating_mul(token_bytes);
    (CACHE_BYTES / text_bytes.max(1)).max(1)
}
