//! Batched generation with a key and value cache.

mod stream;
mod tensors;

use std::{
    collections::VecDeque,
    ops::ControlFlow,
    sync::{Mutex, PoisonError},
};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    Adapter, Message, Model, Role, TuningError, device,
    inference::{CpuDecoder, Text, TextCache},
    lora::{Lora, to_host},
    rng::Stream,
    sampling::Sampler,
};
use stream::Spelling;
use tensors::HostCache;

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

/// Most prompt tokens that one pass reads at once, unless a single prompt is longer.
const PREFILL_TOKENS: usize = 2048;

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
    let prompts: Vec<Vec<Message>> = prompts
        .iter()
        .map(|prompt| vec![Message::new(Role::User, prompt)])
        .collect();
    let texts = generate_all(model, adapter, &prompts, config, None)?;
    Ok(texts.into_iter().map(|text| text.text).collect())
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
    generate_all(model, adapter, prompts, config, Some(listener))
}

fn generate_all(
    model: &Model,
    adapter: Option<&Adapter>,
    prompts: &[Vec<Message>],
    config: &GenerateConfig,
    listener: Option<Listener<'_>>,
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

/// A prompt's number and its tokens.
type Prompt = (usize, Vec<u32>);

/// What reads tokens.
enum Engine<'a> {
    /// The kernels alone.
    Cpu(Box<CpuDecoder<'a>>),
    /// Tensors: any device, and the oracle of the other one.
    Burn {
        model: &'a Model,
        lora: Option<Box<Lora>>,
    },
}

/// A model whose matrices fit the caches of a core, bytes.
const SMALL: usize = 16 << 20;
/// Shortest beginning that is worth reading once for all prompts.
const SHORTEST_PREFIX: usize = 8;

impl<'a> Engine<'a> {
    fn new(model: &'a Model, adapter: Option<&Adapter>) -> Result<Self, TuningError> {
        if let Some(decoder) = CpuDecoder::new(model.decoder(), adapter)? {
            return Ok(Self::Cpu(Box::new(decoder)));
        }
        Self::burn(model, adapter)
    }

    fn burn(model: &'a Model, adapter: Option<&Adapter>) -> Result<Self, TuningError> {
        let lora = adapter
            .map(|adapter| Lora::upload(adapter, model.config(), model.device(), false))
            .transpose()?
            .map(Box::new);
        Ok(Self::Burn { model, lora })
    }

    fn is_small(&self) -> bool {
        matches!(self, Self::Cpu(decoder) if decoder.bytes() <= SMALL)
    }

    /// Reads the beginning that all prompts share (a template's, mostly). What follows gets
    /// the same bits with and without it.
    fn read_prefix(&self, prompts: &[Prompt]) -> Option<TextCache> {
        let Self::Cpu(decoder) = self else {
            return None;
        };
        let [(_, first), rest @ ..] = prompts else {
            return None;
        };
        let shared = rest.iter().fold(first.len() - 1, |shared, (_, ids)| {
            let equal = first.iter().zip(ids).take_while(|(a, b)| a == b).count();
            shared.min(equal).min(ids.len() - 1)
        });
        if rest.is_empty() || shared < SHORTEST_PREFIX {
            return None;
        }
        let mut cache = decoder.cache(shared);
        decoder.read(&mut [Text {
            cache: &mut cache,
            ids: &first[..shared],
        }]);
        Some(cache)
    }
}

/// One text in the making.
struct Row {
    /// Which prompt it answers.
    index: usize,
    /// Tokens that were drawn.
    written: Vec<u32>,
    /// The text so far, where somebody listens or stop texts are watched for.
    spelling: Option<Spelling>,
    cache: Cache,
}

enum Cache {
    Cpu(TextCache),
    Burn(HostCache),
}

struct Writer<'a, 'l> {
    model: &'a Model,
    engine: &'a Engine<'a>,
    prefix: Option<&'a TextCache>,
    /// Whether it has all threads.
    alone: bool,
    config: &'a GenerateConfig,
    /// Who hears pieces, and whether they asked to stop.
    listener: Option<&'a Mutex<(Listener<'l>, bool)>>,
}

impl Writer<'_, '_> {
    /// Answers prompts, `batch` at a time.
    fn run(
        &self,
        prompts: Vec<&Prompt>,
        batch: usize,
    ) -> Result<Vec<(usize, Generated)>, TuningError> {
        let mut waiting = VecDeque::from(prompts);
        let mut done = Vec::with_capacity(waiting.len());
        let mut rows: Vec<Row> = Vec::new();
        loop {
            let free = batch.saturating_sub(rows.len());
            // New rows join in groups, so that their prompts are read in few large passes.
            if !waiting.is_empty() && (rows.is_empty() || free >= batch.div_ceil(4)) {
                let mut fresh = Vec::new();
                let mut tokens = 0;
                while let Some((_, ids)) = waiting.front() {
                    tokens += ids.len();
                    if fresh.len() == free || (!fresh.is_empty() && tokens > PREFILL_TOKENS) {
                        break;
                    }
                    fresh.extend(waiting.pop_front());
                }
                rows.append(&mut self.read_prompts(&fresh)?);
            } else if rows.is_empty() {
                return Ok(done);
            } else {
                self.write_token(&mut rows)?;
            }
            let mut open = Vec::with_capacity(rows.len());
            for mut row in rows {
                match self.finish(&mut row)? {
                    Some(finish) => done.push((row.index, self.text(row, finish)?)),
                    None => open.push(row),
                }
            }
            rows = open;
        }
    }

    /// Reads prompts and draws the first token of each.
    fn read_prompts(&self, prompts: &[&Prompt]) -> Result<Vec<Row>, TuningError> {
        let room = self.config.max_new_tokens.min(256);
        let shape = self.model.config();
        let mut rows: Vec<Row> = prompts
            .iter()
            .map(|(index, ids)| {
                let tokens = ids.len() + room;
                let cache = match (self.engine, self.prefix) {
                    (Engine::Cpu(cpu), None) => Cache::Cpu(cpu.cache(tokens)),
                    (Engine::Cpu(cpu), Some(prefix)) => Cache::Cpu(cpu.continued(prefix, tokens)),
                    (Engine::Burn { .. }, _) => Cache::Burn(HostCache::new(shape.layers)),
                };
                Row {
                    index: *index,
                    written: Vec::new(),
                    spelling: (self.listener.is_some() || !self.config.stop.is_empty())
                        .then(Spelling::default),
                    cache,
                }
            })
            .collect();
        let skip = self.prefix.map_or(0, TextCache::tokens);
        let fresh: Vec<&[u32]> = prompts
            .iter()
            .map(|(_, ids)| ids.get(skip..).unwrap_or_default())
            .collect();
        self.read_and_draw(&mut rows, &fresh)?;
        Ok(rows)
    }

    /// Feeds every row its last token and draws the next.
    fn write_token(&self, rows: &mut [Row]) -> Result<(), TuningError> {
        let last: Vec<u32> = rows
            .iter()
            .map(|row| row.written.last().copied().unwrap_or_default())
            .collect();
        let fresh: Vec<&[u32]> = last.iter().map(std::slice::from_ref).collect();
        self.read_and_draw(rows, &fresh)
    }

    /// Reads the new tokens of every row and draws its next one.
    fn read_and_draw(&self, rows: &mut [Row], fresh: &[&[u32]]) -> Result<(), TuningError> {
        let logits = match self.engine {
            Engine::Cpu(decoder) => {
                let mut texts: Vec<Text<'_>> = rows
                    .iter_mut()
                    .zip(fresh)
                    .filter_map(|(row, &ids)| match &mut row.cache {
                        Cache::Cpu(cache) => Some(Text { cache, ids }),
                        Cache::Burn(_) => None,
                    })
                    .collect();
                decoder.step(&mut texts, self.alone)
            }
            Engine::Burn { model, lora } => {
                let mut caches: Vec<&mut HostCache> = rows
                    .iter_mut()
                    .filter_map(|row| match &mut row.cache {
                        Cache::Burn(cache) => Some(cache),
                        Cache::Cpu(_) => None,
                    })
                    .collect();
                let hidden = tensors::read(model, lora.as_deref(), &mut caches, fresh)?;
                to_host(model.decoder().logits(hidden))?
            }
        };
        let vocab = self.model.config().vocab;
        let GenerateConfig {
            temperature,
            top_k,
            top_p,
            seed,
            ..
        } = *self.config;
        let sampler = Sampler {
            temperature,
            top_k,
            top_p,
        };
        let eos = self.model.eos();
        let mut logits = logits;
        rows.par_iter_mut()
            .zip(logits.par_chunks_exact_mut(vocab))
            .for_each(|(row, logits)| {
                if row.written.len() < self.config.min_new_tokens {
                    for &id in eos {
                        if let Some(logit) = logits.get_mut(id as usize) {
                            *logit = f32::NEG_INFINITY;
                        }
                    }
                }
                let stream = Stream::new(seed, &[0x7e87, row.index as u64]);
                row.written
                    .push(sampler.draw(logits, stream, row.written.len() as u64));
            });
        Ok(())
    }

    /// Whether and why a text has ended, after its last token; what is new of it is told.
    fn finish(&self, row: &mut Row) -> Result<Option<Finish>, TuningError> {
        let ended = row
            .written
            .last()
            .is_some_and(|id| self.model.eos().contains(id));
        let mut finish = if ended {
            Some(Finish::End)
        } else if row.written.len() >= self.config.max_new_tokens {
            Some(Finish::Length)
        } else {
            None
        };
        let Some(spelling) = &mut row.spelling else {
            return Ok(finish);
        };
        let ids = row
            .written
            .get(..row.written.len() - usize::from(ended))
            .unwrap_or_default();
        if spelling.grow(
            self.model.tokenizer(),
            ids,
            &self.config.stop,
            finish.is_some(),
        )? {
            finish = Some(Finish::Stop);
        }
        let Some(listener) = self.listener else {
            return Ok(finish);
        };
        let mut listener = listener.lock().unwrap_or_else(PoisonError::into_inner);
        let (hear, stopped) = &mut *listener;
        if *stopped {
            finish = finish.or(Some(Finish::Stopped));
        }
        let text = spelling.ready(&self.config.stop, finish.is_some());
        if !text.is_empty() || finish.is_some() {
            let piece = Piece {
                prompt: row.index,
                text,
                finish,
            };
            *stopped |= hear(piece).is_break();
        }
        Ok(finish)
    }

    /// The finished text of a row.
    fn text(&self, row: Row, finish: Finish) -> Result<Generated, TuningError> {
        let tokens = row.written.len();
        let text = match row.spelling {
            Some(spelling) => spelling.into_text(),
            None => {
                let end = tokens - usize::from(finish == Finish::End);
                self.model
                    .tokenizer()
                    .decode(row.written.get(..end).unwrap_or_default())?
            }
        };
        Ok(Generated {
            text,
            tokens,
            finish,
        })
    }
}
