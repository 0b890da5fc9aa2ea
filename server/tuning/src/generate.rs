//! Batched generation with a key and value cache.

mod engine;
mod stream;
mod tensors;
mod writer;

use std::{collections::VecDeque, ops::ControlFlow, sync::Mutex};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Adapter, Message, Model, Role, TuningError, device};
use engine::Engine;
use writer::Writer;

/// How [`generate`] writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GenerateConfig {
    /// Most tokens a text.
    pub max_new_tokens: usize,
    /// 0 always takes the likeliest token.
    pub temperature: f32,
    /// Samples among this many of the likeliest tokens; 0 is all.
    pub top_k: usize,
    /// Samples among the likeliest tokens that together have this probability; 1 is all.
    pub top_p: f32,
    /// Names the random numbers; text `i` has its own stream, whatever the batches are.
    pub seed: u64,
    /// A text ends before the first of these.
    pub stop: Vec<String>,
    /// Texts that are written at once.
    pub batch_size: usize,
    /// No text ends at an end token before it has so many tokens.
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
    fn validate(&self) -> Result<(), TuningError> {
        let bad = |text: String| Err(TuningError::Config(text));
        if self.batch_size == 0 {
            return bad("batch_size is 0".to_owned());
        }
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return bad(format!("temperature {}", self.temperature));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return bad(format!("top_p {} is not in (0, 1]", self.top_p));
        }
        if self.stop.iter().any(String::is_empty) {
            return bad("an empty stop text".to_owned());
        }
        Ok(())
    }
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// The model wrote an end token.
    End,
    /// A stop text came.
    Stop,
    /// `max_new_tokens` were written.
    Length,
    /// The caller asked to stop.
    Stopped,
}

/// A finished text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generated {
    /// The text, without special tokens and up to the first stop text.
    pub text: String,
    /// Tokens that were drawn, a closing end token included.
    pub tokens: usize,
    /// Why it ended.
    pub finish: Finish,
}

/// What [`generate_stream`] tells while it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Which prompt the text answers.
    pub prompt: usize,
    /// What is new of it; the pieces of a text, one after the other, are the text.
    pub text: &'a str,
    /// Set in the last piece of a text, which may be empty.
    pub finish: Option<Finish>,
}

/// Says whether to stop; asked between passes of a model, from any thread.
pub type Halt<'a> = &'a (dyn Fn() -> bool + Sync);

/// Hears pieces, from any thread, one at a time.
type Listener<'a> = &'a mut (dyn FnMut(Piece<'_>) -> ControlFlow<()> + Send);

/// Continues every prompt, in its template, with the base or the base and an adapter.
///
/// Returns one text a prompt, in order, without special tokens. A text ends at an end token, before
/// a stop text, or at `max_new_tokens`. A prompt that leaves no room in the model's positions loses
/// its beginning.
///
/// # Errors
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

/// [`generate`] that gives up when `halt` says so: it is asked before every prompt that is encoded
/// and before every token.
///
/// # Errors
/// As [`generate`]; [`TuningError::Stopped`] when `halt` said stop.
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

/// An error once `halt` says stop.
pub(crate) fn unless_halted(halt: Halt<'_>) -> Result<(), TuningError> {
    match halt() {
        true => Err(TuningError::Stopped { steps: 0 }),
        false => Ok(()),
    }
}

/// [`generate`] for messages of several turns, heard while it writes.
///
/// A piece is given as soon as later tokens cannot change it: not in the middle of a character,
/// and not while it may be the beginning of a stop text. When `listener` breaks, every text ends
/// where it is, with [`Finish::Stopped`].
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
    let room = model
        .config()
        .max_positions
        .saturating_sub(config.max_new_tokens)
        .max(1);
    let mut waiting = VecDeque::with_capacity(prompts.len());
    for (index, prompt) in prompts.iter().enumerate() {
        unless_halted(halt)?;
        let mut ids = model.encode_messages(prompt)?;
        if ids.is_empty() {
            return Err(TuningError::Tokenizer(
                "a prompt without a token".to_owned(),
            ));
        }
        ids.drain(..ids.len().saturating_sub(room));
        model.decoder().check(&ids)?;
        waiting.push_back((index, ids));
    }
    // Longest first: what runs together ends together, and the last batch is a short one.
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
    let finished = device::run(|| {
        let prefix = engine.read_prefix(&waiting);
        // A small model stays in the caches of the processor: there, threads that write
        // texts of their own beat threads that share every product.
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
        let batch = config.batch_size.div_ceil(lanes);
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
