//! Batched generation with a key and value cache.

mod engine;
mod stream;
mod tensors;
mod texts;
mod writer;

use std::{collections::VecDeque, ops::ControlFlow, sync::Mutex};

use rayon::prelude::*;

use fedseal_kernels::pool;

use crate::{Adapter, Halt, Message, Model, Role, TuningError};
use engine::{Engine, Prompt};
use texts::Listener;
use writer::Writer;

pub(crate) use texts::unless_halted;
pub use texts::{Finish, GenerateConfig, Generated, Piece};

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
