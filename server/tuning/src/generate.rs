//! Batched generation with a key and value cache.

use std::collections::VecDeque;

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    Adapter, Model, TuningError,
    decoder::Attend,
    device,
    lora::{Lora, to_host},
    ops::{self, Segments},
    rng::Stream,
    sampling::Sampler,
};

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
    let tokens = generate_tokens(model, adapter, prompts, config)?;
    tokens.iter().map(|ids| finished_text(model, ids, &config.stop)).collect()
}

/// [`generate`] before the tokens become text; end tokens are left out.
pub(crate) fn generate_tokens(
    model: &Model,
    adapter: Option<&Adapter>,
    prompts: &[String],
    config: &GenerateConfig,
) -> Result<Vec<Vec<u32>>, TuningError> {
    config.validate()?;
    let lora = adapter
        .map(|adapter| Lora::upload(adapter, model.config(), model.device(), false))
        .transpose()?;
    let room = model.config().max_positions.saturating_sub(config.max_new_tokens).max(1);
    let mut waiting = VecDeque::with_capacity(prompts.len());
    for (index, prompt) in prompts.iter().enumerate() {
        let mut ids = model.encode_prompt(prompt)?;
        if ids.is_empty() {
            return Err(TuningError::Tokenizer("a prompt without a token".to_owned()));
        }
        ids.drain(..ids.len().saturating_sub(room));
        model.decoder().check(&ids)?;
        waiting.push_back((index, ids));
    }
    // Longest first: what runs together ends together, and the last batch is a short one.
    waiting.make_contiguous().sort_by_key(|(index, ids)| (std::cmp::Reverse(ids.len()), *index));
    let mut done = vec![Vec::new(); prompts.len()];
    if config.max_new_tokens == 0 {
        return Ok(done);
    }
    let writer = Writer { model, lora: lora.as_ref(), config };
    device::run(|| {
        let mut rows: Vec<Row> = Vec::new();
        loop {
            let free = config.batch_size.saturating_sub(rows.len());
            // New rows join in groups, so that their prompts are read in few large passes.
            if !waiting.is_empty() && (rows.is_empty() || free >= config.batch_size.div_ceil(4)) {
                let mut fresh = Vec::new();
                let mut tokens = 0;
                while let Some((_, ids)) = waiting.front() {
                    tokens += ids.len();
                    if fresh.len() == free || (!fresh.is_empty() && tokens > PREFILL_TOKENS) {
                        break;
                    }
                    fresh.extend(waiting.pop_front());
                }
                rows.append(&mut writer.read_prompts(&fresh)?);
            } else if rows.is_empty() {
                return Ok(done);
            } else {
                writer.write_token(&mut rows)?;
            }
            let mut open = Vec::with_capacity(rows.len());
            for row in rows {
                if writer.is_finished(&row)? {
                    let mut ids = row.written;
                    if ids.last().is_some_and(|id| model.eos().contains(id)) {
                        ids.pop();
                    }
                    done[row.index] = ids;
                } else {
                    open.push(row);
                }
            }
            rows = open;
        }
    })
}

/// The text of finished tokens, cut before the first stop text.
fn finished_text(model: &Model, ids: &[u32], stop: &[String]) -> Result<String, TuningError> {
    let mut text = model.tokenizer().decode(ids)?;
    if let Some(end) = stop.iter().filter_map(|stop| text.find(stop.as_str())).min() {
        text.truncate(end);
    }
    Ok(text)
}

/// One text in the making.
struct Row {
    /// Which prompt it answers.
    index: usize,
    /// Tokens that were drawn.
    written: Vec<u32>,
    cache: Cache,
}

/// Keys and values of one text, by layer: `[tokens, kv_heads * head_dim]`.
struct Cache {
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
}

struct Writer<'a> {
    model: &'a Model,
    lora: Option<&'a Lora>,
    config: &'a GenerateConfig,
}

impl Writer<'_> {
    /// Reads prompts and draws the first token of each.
    fn read_prompts(&self, prompts: &[(usize, Vec<u32>)]) -> Result<Vec<Row>, TuningError> {
        let shape = self.model.config();
        let ids: Vec<u32> = prompts.iter().flat_map(|(_, ids)| ids).copied().collect();
        let segments = Segments::from_lengths(prompts.iter().map(|(_, ids)| ids.len()));
        let last: Vec<usize> = segments.ranges().map(|range| range.end - 1).collect();
        let width = shape.kv_heads * shape.head_dim;
        let mut rows: Vec<Row> = prompts
            .iter()
            .map(|(index, ids)| {
                let empty = || {
                    let capacity = (ids.len() + self.config.max_new_tokens.min(256)) * width;
                    (0..shape.layers).map(|_| Vec::with_capacity(capacity)).collect()
                };
                let cache = Cache { keys: empty(), values: empty() };
                Row { index: *index, written: Vec::new(), cache }
            })
            .collect();
        let mut error = None;
        let attend = Prefill { segments: &segments, rows: &mut rows, width, error: &mut error };
        let hidden = self.model.decoder().forward(
            &ids,
            &segments.positions(),
            attend,
            self.lora,
            Some(&last),
        );
        if let Some(error) = error {
            return Err(error);
        }
        self.draw(hidden, &mut rows)?;
        Ok(rows)
    }

    /// Feeds every row its last token and draws the next.
    fn write_token(&self, rows: &mut [Row]) -> Result<(), TuningError> {
        let shape = self.model.config();
        let width = (shape.kv_heads * shape.head_dim).max(1);
        let ids: Vec<u32> =
            rows.iter().map(|row| row.written.last().copied().unwrap_or_default()).collect();
        let positions: Vec<u32> = rows
            .iter()
            .map(|row| row.cache.keys.first().map_or(0, |keys| (keys.len() / width) as u32))
            .collect();
        let mut error = None;
        let attend = Cached { rows, error: &mut error };
        let hidden =
            self.model.decoder().forward(&ids, &positions, attend, self.lora, None);
        if let Some(error) = error {
            return Err(error);
        }
        self.draw(hidden, rows)
    }

    /// Draws the next token of every row from its final hidden state.
    fn draw(&self, hidden: Tensor<2>, rows: &mut [Row]) -> Result<(), TuningError> {
        let vocab = self.model.config().vocab;
        let logits = to_host(self.model.decoder().vocab().forward(hidden))?;
        let GenerateConfig { temperature, top_k, top_p, seed, .. } = *self.config;
        let sampler = Sampler { temperature, top_k, top_p };
        rows.par_iter_mut().zip(logits.par_chunks_exact(vocab)).for_each(|(row, logits)| {
            let stream = Stream::new(seed, &[0x7e87, row.index as u64]);
            row.written.push(sampler.draw(logits, stream, row.written.len() as u64));
        });
        Ok(())
    }

    fn is_finished(&self, row: &Row) -> Result<bool, TuningError> {
        let ended = row.written.last().is_some_and(|id| self.model.eos().contains(id));
        if ended || row.written.len() >= self.config.max_new_tokens {
            return Ok(true);
        }
        if self.config.stop.is_empty() {
            return Ok(false);
        }
        let text = self.model.tokenizer().decode(&row.written)?;
        Ok(self.config.stop.iter().any(|stop| text.contains(stop.as_str())))
    }
}

/// Attention over prompts, which fills the rows' caches.
struct Prefill<'a> {
    segments: &'a Segments,
    rows: &'a mut [Row],
    width: usize,
    error: &'a mut Option<TuningError>,
}

impl Attend for Prefill<'_> {
    fn attend(&mut self, layer: usize, q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<3> {
        match (to_host(k.clone()), to_host(v.clone())) {
            (Ok(keys), Ok(values)) => {
                for (row, range) in self.rows.iter_mut().zip(self.segments.ranges()) {
                    let range = range.start * self.width..range.end * self.width;
                    row.cache.keys[layer].extend_from_slice(&keys[range.clone()]);
                    row.cache.values[layer].extend_from_slice(&values[range]);
                }
            }
            (Err(error), _) | (_, Err(error)) => *self.error = Some(error),
        }
        ops::attention(q, k, v, self.segments)
    }
}

/// Attention of one new token a row over its cache, on the host.
struct Cached<'a> {
    rows: &'a mut [Row],
    error: &'a mut Option<TuningError>,
}

impl Attend for Cached<'_> {
    fn attend(&mut self, layer: usize, q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<3> {
        let device = q.device();
        let [tokens, heads, head_dim] = q.dims();
        let kv_heads = k.dims()[1];
        let (q, k, v) = match (to_host(q), to_host(k), to_host(v)) {
            (Ok(q), Ok(k), Ok(v)) => (q, k, v),
            (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => {
                *self.error = Some(error);
                return Tensor::zeros([tokens, heads, head_dim], &device);
            }
        };
        let width = kv_heads * head_dim;
        let mut mixed = vec![0.0f32; tokens * heads * head_dim];
        self.rows
            .par_iter_mut()
            .zip(mixed.par_chunks_exact_mut(heads * head_dim))
            .zip(q.par_chunks_exact(heads * head_dim))
            .zip(k.par_chunks_exact(width).zip(v.par_chunks_exact(width)))
            .for_each(|(((row, mixed), q), (k, v))| {
                let keys = &mut row.cache.keys[layer];
                let values = &mut row.cache.values[layer];
                keys.extend_from_slice(k);
                values.extend_from_slice(v);
                attend_row(q, keys, values, mixed, kv_heads, head_dim);
            });
        Tensor::from_data(TensorData::new(mixed, [tokens, heads, head_dim]), &device)
    }
}

/// One token's attention: `q` and `mixed` are `[heads, head_dim]`, `keys` and `values`
/// `[positions, kv_heads, head_dim]`.
fn attend_row(
    q: &[f32],
    keys: &[f32],
    values: &[f32],
    mixed: &mut [f32],
    kv_heads: usize,
    head_dim: usize,
) {
    let group = q.len() / head_dim / kv_heads;
    let scale = 1.0 / (head_dim as f32).sqrt();
    let width = kv_heads * head_dim;
    let mut scores = vec![0.0f32; keys.len() / width];
    for (head, (q, mixed)) in
        q.chunks_exact(head_dim).zip(mixed.chunks_exact_mut(head_dim)).enumerate()
    {
        let offset = head / group * head_dim;
        let mut top = f32::NEG_INFINITY;
        for (score, key) in scores.iter_mut().zip(keys.chunks_exact(width)) {
            *score = dot(q, &key[offset..offset + head_dim]) * scale;
            top = top.max(*score);
        }
        let mut total = 0.0;
        for score in &mut scores {
            *score = (*score - top).exp();
            total += *score;
        }
        for (score, value) in scores.iter().zip(values.chunks_exact(width)) {
            let weight = score / total;
            for (mixed, value) in mixed.iter_mut().zip(&value[offset..offset + head_dim]) {
                *mixed += weight * value;
            }
        }
    }
}

/// A dot product in eight fixed lanes, so that it vectorises and its bits do not change.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a8, a1) = a.as_chunks::<8>();
    let (b8, b1) = b.as_chunks::<8>();
    let mut lanes = [0.0f32; 8];
    for (a, b) in a8.iter().zip(b8) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let tail: f32 = a1.iter().zip(b1).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + tail
}
