//! Texts that are written side by side, token by token; new ones start as others end.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use rayon::prelude::*;

use super::{
    engine::{Engine, Prompt},
    stream::Spelling,
    tensors::{self, HostCache},
    texts::{Finish, GenerateConfig, Generated, Listener, Piece, unless_halted},
};
use crate::Halt;
use fedseal_adapter::rng::Stream;

use crate::{
    Model, TuningError,
    infer::{
        cpu::{Text, TextCache},
        sampling::Sampler,
    },
    ops::to_host,
};

/// Most prompt tokens that one pass reads at once, unless a single prompt is longer.
const PREFILL_TOKENS: usize = 2048;

/// A text in progress.
struct Row {
    /// Index of the prompt that the text answers.
    index: usize,
    /// Tokens that were drawn so far.
    written: Vec<u32>,
    /// Most tokens of the text, and the reason to end there.
    budget: (usize, Finish),
    /// The text so far, where there is a listener or a stop text.
    spelling: Option<Spelling>,
    cache: Cache,
}

enum Cache {
    Cpu(TextCache),
    Burn(HostCache),
}

pub(super) struct Writer<'a, 'l> {
    pub(super) model: &'a Model,
    pub(super) engine: &'a Engine<'a>,
    pub(super) prefix: Option<&'a TextCache>,
    /// Whether all threads belong to this writer.
    pub(super) alone: bool,
    pub(super) config: &'a GenerateConfig,
    /// Listener that receives pieces, and whether it asked to stop.
    pub(super) listener: Option<&'a Mutex<(Listener<'l>, bool)>>,
    /// Called before every token.
    pub(super) halt: Halt<'a>,
}

impl Writer<'_, '_> {
    /// Answers prompts, `batch` at a time.
    pub(super) fn run(
        &self,
        prompts: Vec<&Prompt>,
        batch: usize,
    ) -> Result<Vec<(usize, Generated)>, TuningError> {
        let mut waiting = VecDeque::from(prompts);
        let mut done = Vec::with_capacity(waiting.len());
        let mut rows: Vec<Row> = Vec::new();
        loop {
            unless_halted(self.halt)?;
            let free = batch.saturating_sub(rows.len());
            // New rows start in groups, so that their prompts are read in few large passes.
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
        let shape = self.model.config();
        let mut rows: Vec<Row> = prompts
            .iter()
            .map(|(index, ids)| {
                let budget = self.config.budget(ids.len(), shape.max_positions);
                let tokens = ids.len() + budget.0.min(256);
                let cache = match (self.engine, self.prefix) {
                    (Engine::Cpu(cpu), None) => Cache::Cpu(cpu.cache(tokens)),
                    (Engine::Cpu(cpu), Some(prefix)) => Cache::Cpu(cpu.continued(prefix, tokens)),
                    (Engine::Burn { .. }, _) => Cache::Burn(HostCache::new(shape.layers)),
                };
                Row {
                    index: *index,
                    written: Vec::new(),
                    budget,
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

    /// Reads the new tokens of every row and draws its next token.
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

    /// Returns whether and why a text ended at its last token; passes on the new piece.
    fn finish(&self, row: &mut Row) -> Result<Option<Finish>, TuningError> {
        let ended = row
            .written
            .last()
            .is_some_and(|id| self.model.eos().contains(id));
        let mut finish = if ended {
            Some(Finish::End)
        } else if row.written.len() >= row.budget.0 {
            Some(row.budget.1)
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

    /// Returns the finished text of a row.
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
